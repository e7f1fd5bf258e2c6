import { describe, expect, it } from 'vitest'
import { adaptiveCapacity } from './capacity.ts'

describe('the capacity of a node', () => {
  it('is two segments a slot, as long as no slot is idle', () => {
    const capacity = adaptiveCapacity(4)
    for (let i = 0; i < 10; i++) capacity.answered(true)
    expect(capacity.value()).toBe(8)
  })

  it('grows once for each full answer that was not enough, up to two requests', () => {
    const capacity = adaptiveCapacity(4)
    capacity.starved()
    expect(capacity.value()).toBe(8)
    capacity.answered(true)
    capacity.starved()
    capacity.starved()
    expect(capacity.value()).toBe(16)
    capacity.answered(false)
    capacity.starved()
    expect(capacity.value()).toBe(16)
    for (let i = 0; i < 20; i++) {
      capacity.answered(true)
      capacity.starved()
    }
    expect(capacity.value()).toBe(1024)
    expect(adaptiveCapacity(1000).value()).toBe(2000)
  })

  it('shrinks where segments wait, never below what the slots need', () => {
    const capacity = adaptiveCapacity(2)
    for (let i = 0; i < 6; i++) {
      capacity.answered(true)
      capacity.starved()
    }
    capacity.began(900)
    expect(capacity.value()).toBe(256)
    capacity.began(1_500)
    expect(capacity.value()).toBe(128)
    for (let i = 0; i < 20; i++) capacity.began(60_000)
    expect(capacity.value()).toBe(4)
  })
})
