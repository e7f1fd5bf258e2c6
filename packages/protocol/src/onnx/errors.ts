/**
 * The stable codes of `onnx/`: models (`onnx/...`) and the arrays that are fed to them (`input/...`).
 *
 * Threat: model files and input files are hostile until they have been decoded here. Whatever is wrong with
 * them becomes one of these codes, with a message that names the file's part that is wrong.
 */
import type { ErrorEntry } from '../core/errors.ts'

export const ONNX_ERRORS = {
  'onnx/too-large': {
    meaning: 'The model is larger than the cap, or has more parts or deeper nesting than the caps allow.',
    remedy: 'Check that it is the right file; raise `maxBytes` if a model of this size is meant.',
  },
  'onnx/malformed': {
    meaning: 'The bytes are not an ONNX ModelProto or TensorProto, or are truncated or corrupt.',
    remedy: 'Fetch or export the file again. The message says what was found and at which byte.',
  },
  'onnx/invalid-graph': {
    meaning: 'The graph breaks a rule of ONNX: a duplicate name, a value without a producer, a cycle.',
    remedy: 'The message names the value or node. Run `onnx.checker` where the model is exported.',
  },
  'onnx/unsupported-domain': {
    meaning: 'The model uses an operator domain outside the list that both runtimes implement.',
    remedy: 'Export without custom operators; the message lists the domains that are allowed.',
  },
  'onnx/unsupported-opset': {
    meaning: 'The model uses an operator set or file version outside the known range.',
    remedy: 'Convert it with `onnx.version_converter`, or export for a version that the message names.',
  },
  'onnx/unsupported-operator': {
    meaning: 'The runtime has no implementation of an operator of the model.',
    remedy: 'The message names the operator. Use another runtime, or export with other operators.',
  },
  'onnx/unsupported-type': {
    meaning: 'An input or output is not a tensor, or is a tensor of an element type that is not supported.',
    remedy: 'Export with plain tensors; for scikit-learn classifiers, with `zipmap` off.',
  },
  'onnx/unsupported-feature': {
    meaning: 'The model uses a part of ONNX that this library does not run, named by the message.',
    remedy: 'Export without it: functions inlined, initialisers dense, no training information.',
  },
  'onnx/external-data': {
    meaning: 'The model keeps weights in other files, so its own bytes do not say what it computes.',
    remedy: 'Save it as one file: `onnx.save(model, path, save_as_external_data=False)`.',
  },
  'onnx/runtime-missing': {
    meaning: 'The runtime package cannot be loaded.',
    remedy: 'Install the package that the message names, next to this library.',
  },
  'onnx/runtime': {
    meaning: 'The runtime refused the model, or failed while it ran it.',
    remedy: 'The message carries the reason of the runtime, and the node where the runtime gives it.',
  },
  'onnx/closed': {
    meaning: 'A session was used after it had been closed.',
    remedy: 'Close a session after its last run.',
  },
  'input/too-large': {
    meaning: 'An input file or array is larger than the cap, or unpacks to more than the cap.',
    remedy: 'Split the batch into several files.',
  },
  'input/malformed': {
    meaning: 'An input file is not what its format requires, or is truncated.',
    remedy: 'The message says what was expected and what came. Write the file again.',
  },
  'input/unknown-format': {
    meaning: 'The format of an input file is not known.',
    remedy: 'Use .npy, .npz, .pb (TensorProto) or .json.',
  },
  'input/unsupported-type': {
    meaning: 'An array has an element type that is not supported, such as Python objects.',
    remedy: 'Convert it with `astype` to a number type, bool, or text.',
  },
  'input/missing': {
    meaning: 'The model needs an input that was not given.',
    remedy: 'Give every input that the message names.',
  },
  'input/unknown-name': {
    meaning: 'An input was given that the model does not have.',
    remedy: 'Rename or remove it; the message lists the names that the model has.',
  },
  'input/dtype': {
    meaning: 'An input has another element type than the model expects.',
    remedy: 'Convert it to the type that the message names.',
  },
  'input/shape': {
    meaning: 'An input has another rank or another size along an axis than the model expects.',
    remedy: 'Reshape it to the shape that the message names.',
  },
  'input/not-finite': {
    meaning: 'A floating point input holds NaN or an infinity.',
    remedy: 'Clean the data; the message names the tensor and the position.',
  },
  'input/batch': {
    meaning: 'The inputs do not form a batch over the first axis for this model.',
    remedy:
      'Give arrays whose first axis counts the rows, the same number in each; or run the whole at once.',
  },
  'input/out-of-range': {
    meaning: 'A row was asked for that the batch does not have.',
    remedy: 'Use indices from 0 to count - 1.',
  },
} as const satisfies { readonly [code: `${string}/${string}`]: ErrorEntry }
