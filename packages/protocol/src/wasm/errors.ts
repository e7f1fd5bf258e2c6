/**
 * The stable codes of `wasm/`: what is wrong with a module, and what went wrong in a record that it computed.
 *
 * `wasm/time`, `wasm/no-memory` and `wasm/crashed` depend on the machine and may pass on another; so may a
 * `wasm/trap` of a full stack. Every other code about a module or a record comes out the same everywhere.
 */
import type { ErrorEntry } from '../core/errors.ts'

export const WASM_ERRORS = {
  'wasm/malformed': {
    meaning: 'The bytes are not a WebAssembly module in the binary format, or are truncated.',
    remedy: 'Fetch or build the module again; the message says at which byte it goes wrong.',
  },
  'wasm/too-large': {
    meaning: 'The module is larger than the cap, or has more or larger parts than a node will compile.',
    remedy: 'Build for size (-Oz, --gc-sections, strip); the message names the part and its cap.',
  },
  'wasm/feature': {
    meaning: 'The module uses something beyond WebAssembly 2.0, or something on which engines may differ.',
    remedy: 'Switch the feature off where the module is compiled; the message names it.',
  },
  'wasm/import': {
    meaning: 'The module imports something else than the function `assay.emit`.',
    remedy: 'Link without WASI and without a host environment; take everything from the record.',
  },
  'wasm/memory': {
    meaning: 'The module has no memory of its own, or one without a maximum, or one beyond the cap.',
    remedy: 'Export `memory` and declare its maximum; with wasm-ld: `--max-memory=BYTES`.',
  },
  'wasm/start': {
    meaning: 'The module has a start function, which would run before anybody could meter it.',
    remedy: 'Export it as `_initialize` instead (AssemblyScript: `--exportStart _initialize`).',
  },
  'wasm/abi': {
    meaning: 'An export that a record is computed with is missing, or has another type.',
    remedy: 'Export `memory`, `alloc: (i32) -> i32` and `run: (i32, i32) -> i64`.',
  },
  'wasm/invalid': {
    meaning: 'The module is well formed, but the engine does not accept it: mostly a type error.',
    remedy: 'Build the module again with a current compiler, and check it with `wasm-validate`.',
  },
  'wasm/record-too-large': {
    meaning: 'A record is larger than the limits allow.',
    remedy: 'Split the record, or ask for a higher `recordBytes`.',
  },
  'wasm/trap': {
    meaning: 'The module trapped: an access out of bounds, a division by zero, `unreachable`, a full stack.',
    remedy: 'Run the record under a debugger; the module must be defined for every record.',
  },
  'wasm/bounds': {
    meaning: 'The module named a range that does not lie in its memory.',
    remedy: 'Check what `alloc` and `run` return and what is passed to `assay.emit`.',
  },
  'wasm/output-too-large': {
    meaning: 'The output of a record, or what it emitted, is more than the limits allow.',
    remedy: 'Return less, emit less often, or ask for higher limits.',
  },
  'wasm/no-memory': {
    meaning: 'This machine could not give the module the memory that it declares.',
    remedy: 'Run it on a machine with more memory, or with fewer workers.',
  },
  'wasm/time': {
    meaning: 'A record took longer than its limit and was ended, or the module took too long to load.',
    remedy: 'Cut the record into smaller ones, ask for more time, or run on a faster machine.',
  },
  'wasm/crashed': {
    meaning: 'The thread of a module ended by itself, or did not start.',
    remedy: 'The message says how. Give the machine more memory; if it goes on, report it.',
  },
  'wasm/closed': {
    meaning: 'The runner was closed while, or before, it was asked for rows.',
    remedy: 'Close a runner after its last run; open a new one for another.',
  },
  'wasm/options': {
    meaning: 'A runner was asked for with a number of workers, or a run with a time limit, out of range.',
    remedy: 'The message names the option and its range.',
  },
} as const satisfies { readonly [code: string]: ErrorEntry }
