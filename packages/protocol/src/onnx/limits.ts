/**
 * Size caps of model and input files that several decoders share.
 */

/** Most bytes of one input file, and of all arrays that it unpacks to: one tensor at its own cap, with room for headers. */
export const MAX_INPUT_BYTES = 2 ** 30 + 2 ** 20
/** Most bytes of a JSON input file: parsing takes up to 30 times as much memory, and a second for the worst 8 MiB. Larger data belong into .npy. */
export const MAX_JSON_BYTES = 2 ** 23
/** Default cap of a model file; protobuf itself ends at 2 GiB. Raise it with `maxBytes`. */
export const MAX_MODEL_BYTES = 2 ** 29
