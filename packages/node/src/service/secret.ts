/**
 * A text that no log, message or dump shows by accident: it must be asked for by `reveal()`.
 */
import { inspect } from 'node:util'

const SHOWN = '[secret]'

export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  reveal(): string {
    return this.#text
  }

  toString(): string {
    return SHOWN
  }

  toJSON(): string {
    return SHOWN
  }

  [inspect.custom](): string {
    return SHOWN
  }
}
