/** `npm run build`: the kernels and TypeScript; installs first where needed. */
import { prepare } from './prepare.mjs'

prepare()
