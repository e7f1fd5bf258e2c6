/** Stable codes of what every service stands on: configuration and HTTP. */
import type { ErrorCode, ErrorEntry } from 'assay/core/errors'

export const SERVICE_ERRORS = {
  'config/unknown': {
    meaning: 'A flag, an environment variable or a field of the configuration file is not known.',
    remedy: 'The message names what was probably meant; the list of options is in --help.',
  },
  'config/invalid': {
    meaning: 'An option is missing, or has a value that it cannot have.',
    remedy: 'The message names the option, where its value came from, and what it must be.',
  },
  'config/file': {
    meaning: 'The configuration file, or a file with a secret, cannot be read or is not what it should be.',
    remedy: 'The message names the file and the reason; a configuration file is one JSON object.',
  },
  'http/listen': {
    meaning: 'The service cannot listen on its address.',
    remedy: 'Stop whatever uses the port, or give another one; port 0 takes any that is free.',
  },
  'http/encoding': {
    meaning:
      'The body of a request is compressed, which is not accepted: a small body could hide a huge one.',
    remedy: 'Send the body as it is, without Content-Encoding.',
  },
  'http/media-type': {
    meaning: 'The body of a request is of another media type than the one that is read there.',
    remedy: 'Send the Content-Type that the message names.',
  },
  'http/length-required': {
    meaning: 'The body of a request comes without its length.',
    remedy: 'Send a Content-Length; only uploads of blobs may come in chunks.',
  },
  'http/slow': {
    meaning: 'The body of a request did not arrive in its time.',
    remedy: 'Send it again over a faster connection, or in smaller parts.',
  },
  'http/internal': {
    meaning: 'The service failed in a way that it does not know: a defect of its own.',
    remedy: 'Report the request id; the log of the service has the reason under it.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
