"""Train the digit classifier of this folder and write its model and data files.

Writes model.onnx, images.npy, labels.npy, split.json and provenance.json. The network is a small
convolutional one; forward pass, backward pass and optimiser are plain numpy, so that a reader can
follow each step and a second machine can repeat the run with three pinned packages.

    python train.py                train and write the files beside this script
    python train.py --out DIR      write them elsewhere
    python train.py --check        train into a temporary folder and compare with the files here
    python train.py --validate     hold out 200 training images and report on them; writes nothing

What keeps the run repeatable:

- RandomState is numpy's frozen generator, and only integer and uniform draws are used, so no
  logarithm or cosine of the platform's C library takes part in initialisation or augmentation.
- The matrix products, the only sums whose order a library chooses, run on one thread with one
  fixed OpenBLAS kernel. The variables below must therefore be set before numpy is imported.
- Softmax exponentials are taken in float64 and rounded to float32, which hides differences in the
  last bit between implementations.

A processor that lacks the fixed kernel (ARM, x86-64 before AVX2) sums in another order and yields a
different model of similar quality; `--check` then says so.
"""

import os

os.environ["OPENBLAS_CORETYPE"] = "Haswell"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import hashlib
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import sklearn
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

HERE = Path(__file__).resolve().parent
CLASSES = 10
SIDE = 8
MAX_INK = 16  # each pixel counts the dark cells of a 4x4 block
CONV_CHANNELS = (64, 64, 64)
POOL = 4
HIDDEN = 64

TEST_SIZE = 500
SPLIT_SEED = 20240501
TRAIN_SEED = 7

EPOCHS = 30
BATCH = 32
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-3  # decoupled, on weights only
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

FILES = ("model.onnx", "images.npy", "labels.npy", "split.json")


# --- data ---------------------------------------------------------------------------------------


def load_images():
    """All images as float32 [1797, 1, 8, 8] in 0..1 (exact multiples of 1/16) and uint8 labels."""
    digits = load_digits()
    images = (digits.images / MAX_INK).astype(np.float32).reshape(-1, 1, SIDE, SIDE)
    return images, digits.target.astype(np.uint8)


def stratified_split(labels, test_size, seed):
    """Sorted train and test indices; every class gives the same share, by largest remainder."""
    random = np.random.RandomState(seed)
    counts = np.bincount(labels, minlength=CLASSES)
    exact = counts * test_size  # in units of 1/len(labels): integers, so no rounding question
    quota = exact // len(labels)
    remainder = exact % len(labels)
    for digit in sorted(range(CLASSES), key=lambda d: (-remainder[d], d))[: test_size - quota.sum()]:
        quota[digit] += 1
    test = [random.permutation(np.flatnonzero(labels == d))[: quota[d]] for d in range(CLASSES)]
    test = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), test), test


def shifted(batch, random):
    """Each image moved by -1, 0 or 1 pixel in both directions; empty pixels come in at the edge."""
    padded = np.pad(batch, ((0, 0), (1, 1), (1, 1), (0, 0)))
    moved = np.empty_like(batch)
    for i, (row, column) in enumerate(random.randint(0, 3, size=(len(batch), 2))):
        moved[i] = padded[i, row : row + SIDE, column : column + SIDE]
    return moved


# --- network (activations are [batch, row, column, channel]) --------------------------------------


def uniform_fan_in(random, fan_in, fan_out):
    """He initialisation from a uniform draw: variance 2 / fan_in."""
    bound = np.sqrt(6.0 / fan_in)
    return random.uniform(-bound, bound, size=(fan_in, fan_out)).astype(np.float32)


def init_params(seed):
    """Weights [inputs, outputs] and biases; conv inputs are ordered (kernel row, column, channel)."""
    random = np.random.RandomState(seed)
    params, channels = {}, 1
    for i, width in enumerate(CONV_CHANNELS, start=1):
        params[f"conv{i}.weight"] = uniform_fan_in(random, 9 * channels, width)
        params[f"conv{i}.bias"] = np.zeros(width, np.float32)
        channels = width
    flat = channels * (SIDE // POOL) ** 2
    for name, inputs, outputs in (("fc1", flat, HIDDEN), ("fc2", HIDDEN, CLASSES)):
        params[f"{name}.weight"] = uniform_fan_in(random, inputs, outputs)
        params[f"{name}.bias"] = np.zeros(outputs, np.float32)
    return params


def im2col(x):
    """The 3x3 neighbourhood of every pixel, zero beyond the edge: [batch * 64, 9 * channels]."""
    batch, _, _, channels = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    columns = np.empty((batch, SIDE, SIDE, 9, channels), np.float32)
    for k in range(9):
        row, column = divmod(k, 3)
        columns[:, :, :, k] = padded[:, row : row + SIDE, column : column + SIDE]
    return columns.reshape(batch * SIDE * SIDE, 9 * channels)


def col2im(columns, channels):
    """Adjoint of im2col: adds every neighbourhood's gradient back to the pixels it was read from."""
    columns = columns.reshape(-1, SIDE, SIDE, 9, channels)
    padded = np.zeros((len(columns), SIDE + 2, SIDE + 2, channels), np.float32)
    for k in range(9):
        row, column = divmod(k, 3)
        padded[:, row : row + SIDE, column : column + SIDE] += columns[:, :, :, k]
    return padded[:, 1:-1, 1:-1]


def max_pool(x):
    """Maximum of each POOL x POOL window, and which cell held it (the first one on a tie)."""
    batch, _, _, channels = x.shape
    side = SIDE // POOL
    windows = x.reshape(batch, side, POOL, side, POOL, channels).transpose(0, 1, 3, 5, 2, 4)
    windows = windows.reshape(batch, side, side, channels, POOL * POOL)
    winner = windows.argmax(axis=-1)[..., None]
    return np.take_along_axis(windows, winner, axis=-1)[..., 0], winner


def max_pool_backward(grad, winner):
    """Hands each window's gradient to the cell that won."""
    batch, side, _, channels = grad.shape
    windows = np.zeros((batch, side, side, channels, POOL * POOL), np.float32)
    np.put_along_axis(windows, winner, grad[..., None], axis=-1)
    windows = windows.reshape(batch, side, side, channels, POOL, POOL)
    return windows.transpose(0, 1, 4, 2, 5, 3).reshape(batch, SIDE, SIDE, channels)


def forward(params, x):
    """Logits [batch, 10] and what the backward pass needs again."""
    batch = len(x)
    tape = {}
    for i, width in enumerate(CONV_CHANNELS, start=1):
        columns = im2col(x)
        x = columns @ params[f"conv{i}.weight"] + params[f"conv{i}.bias"]
        x = np.maximum(x, 0).reshape(batch, SIDE, SIDE, width)
        tape[f"conv{i}"] = (columns, x)
    x, tape["winner"] = max_pool(x)
    # ONNX flattens [channel, row, column], so the dense layer is trained in that order.
    flat = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(batch, -1)
    hidden = np.maximum(flat @ params["fc1.weight"] + params["fc1.bias"], 0)
    tape["fc"] = (flat, hidden)
    return hidden @ params["fc2.weight"] + params["fc2.bias"], tape


def softmax(logits):
    """Row-wise softmax; float64 inside, float32 out."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def dense_grads(grads, name, inputs, grad):
    """Weight and bias gradients of `inputs @ weight + bias`; the bias sum is a BLAS product too."""
    grads[f"{name}.weight"] = inputs.T @ grad
    grads[f"{name}.bias"] = np.ones(len(grad), np.float32) @ grad


def backward(params, tape, logits, labels):
    """Gradients of the mean cross-entropy with respect to every parameter."""
    batch = len(labels)
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]
    grads = {}
    flat, hidden = tape["fc"]
    grad = (softmax(logits) - one_hot) / np.float32(batch)
    dense_grads(grads, "fc2", hidden, grad)
    grad = (grad @ params["fc2.weight"].T) * (hidden > 0)
    dense_grads(grads, "fc1", flat, grad)
    side = SIDE // POOL
    grad = (grad @ params["fc1.weight"].T).reshape(batch, CONV_CHANNELS[-1], side, side)
    grad = max_pool_backward(grad.transpose(0, 2, 3, 1), tape["winner"])
    for i in range(len(CONV_CHANNELS), 0, -1):
        columns, output = tape[f"conv{i}"]
        grad = (grad * (output > 0)).reshape(batch * SIDE * SIDE, -1)
        dense_grads(grads, f"conv{i}", columns, grad)
        if i > 1:
            grad = col2im(grad @ params[f"conv{i}.weight"].T, CONV_CHANNELS[i - 2])
    return grads


# --- training -------------------------------------------------------------------------------------


def adam_step(params, grads, moments, powers, rate):
    """One AdamW update in place. `powers` holds beta^t, kept by multiplication, not by pow()."""
    powers[0] *= BETA1
    powers[1] *= BETA2
    step = np.float32(rate / (1 - powers[0]))
    unbias = np.float32(1 / (1 - powers[1]))
    for name, grad in grads.items():
        mean, square = moments[name]
        mean += np.float32(1 - BETA1) * (grad - mean)
        square += np.float32(1 - BETA2) * (grad * grad - square)
        if name.endswith(".weight"):
            params[name] *= np.float32(1 - rate * WEIGHT_DECAY)
        params[name] -= step * mean / (np.sqrt(square * unbias) + np.float32(EPSILON))


def train(images, labels, log):
    """Parameters after EPOCHS passes; the learning rate falls linearly to zero."""
    random = np.random.RandomState(TRAIN_SEED)
    params = init_params(TRAIN_SEED)
    moments = {name: (np.zeros_like(p), np.zeros_like(p)) for name, p in params.items()}
    powers = [1.0, 1.0]
    x = images.transpose(0, 2, 3, 1)
    starts = range(0, len(x), BATCH)
    for epoch in range(EPOCHS):
        order, right = random.permutation(len(x)), 0
        for number, start in enumerate(starts):
            picked = order[start : start + BATCH]
            logits, tape = forward(params, shifted(x[picked], random))
            grads = backward(params, tape, logits, labels[picked])
            done = (epoch * len(starts) + number) / (EPOCHS * len(starts))
            adam_step(params, grads, moments, powers, LEARNING_RATE * (1 - done))
            right += int((logits.argmax(axis=1) == labels[picked]).sum())
        log(f"epoch {epoch + 1:2d}/{EPOCHS}  accuracy on shifted training images {right / len(x):.4f}")
    return params


def predict(params, images):
    """Class of every image [n, 1, 8, 8]."""
    x = images.transpose(0, 2, 3, 1)
    parts = [forward(params, x[i : i + 256])[0].argmax(axis=1) for i in range(0, len(x), 256)]
    return np.concatenate(parts)


# --- files ----------------------------------------------------------------------------------------


def onnx_weights(params):
    """Parameters in ONNX layout: Conv weights [out, in, row, column], Gemm weights [out, in]."""
    out = {}
    for name, value in params.items():
        if name.startswith("conv") and name.endswith(".weight"):
            value = value.reshape(3, 3, -1, value.shape[1]).transpose(3, 2, 0, 1)
        elif name.endswith(".weight"):
            value = value.T
        out[name] = np.ascontiguousarray(value)
    return out


def onnx_model(params):
    """The network as an ONNX model: opset 17, IR 8, `image` [batch, 1, 8, 8] -> `logits` [batch, 10]."""
    nodes, x = [], "image"
    for i in range(1, len(CONV_CHANNELS) + 1):
        inputs = [x, f"conv{i}.weight", f"conv{i}.bias"]
        conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
        nodes.append(helper.make_node("Conv", inputs, [f"conv{i}"], name=f"conv{i}", **conv))
        nodes.append(helper.make_node("Relu", [f"conv{i}"], [f"relu{i}"], name=f"relu{i}"))
        x = f"relu{i}"
    window = {"kernel_shape": [POOL, POOL], "strides": [POOL, POOL]}
    nodes.append(helper.make_node("MaxPool", [x], ["pool"], name="pool", **window))
    nodes.append(helper.make_node("Flatten", ["pool"], ["flat"], name="flat", axis=1))
    nodes.append(helper.make_node("Gemm", ["flat", "fc1.weight", "fc1.bias"], ["fc1"], name="fc1", transB=1))
    nodes.append(helper.make_node("Relu", ["fc1"], ["hidden"], name="hidden"))
    nodes.append(helper.make_node("Gemm", ["hidden", "fc2.weight", "fc2.bias"], ["logits"], name="fc2", transB=1))
    weights = [numpy_helper.from_array(value, name) for name, value in onnx_weights(params).items()]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])
    graph = helper.make_graph(nodes, "digits", [image], [logits], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.producer_name = "examples/digits/train.py"
    onnx.checker.check_model(model, full_check=True)
    return model


def accuracy(right):
    """{correct, total, accuracy} of a boolean array."""
    return {"correct": int(right.sum()), "total": len(right), "accuracy": round(float(right.mean()), 6)}


def provenance(folder, params, right, train_index, test_index):
    """What the files are, where they come from and how they score; free of dates and timings."""
    return {
        "dataset": {
            "name": "Optical Recognition of Handwritten Digits",
            "authors": "E. Alpaydin, C. Kaynak",
            "part": "optdigits.tes, 1,797 images, as shipped with scikit-learn (load_digits)",
            "source": "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            "doi": "10.24432/C50P49",
            "licence": "CC-BY-4.0",
            "changes": "pixels divided by 16 and stored as float32; labels stored as uint8",
        },
        "model": {
            "input": "image float32 [batch, 1, 8, 8], 0..1",
            "output": "logits float32 [batch, 10]",
            "layers": [f"Conv3x3x{c} pad 1, Relu" for c in CONV_CHANNELS]
            + [f"MaxPool{POOL}", f"Gemm {HIDDEN}, Relu", f"Gemm {CLASSES}"],
            "parameters": int(sum(p.size for p in params.values())),
            "opset": 17,
            "irVersion": 8,
        },
        "training": {
            "script": "train.py",
            "scriptSha256": sha256(HERE / "train.py"),
            "splitSeed": SPLIT_SEED,
            "trainSeed": TRAIN_SEED,
            "epochs": EPOCHS,
            "batch": BATCH,
            "optimiser": "AdamW, learning rate falling linearly to 0",
            "learningRate": LEARNING_RATE,
            "weightDecay": WEIGHT_DECAY,
            "augmentation": "shift by -1, 0 or 1 pixel in each direction",
        },
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "onnx": onnx.__version__,
        },
        "measured": {
            "by": "the numpy network of train.py",
            "train": accuracy(right[train_index]),
            "test": accuracy(right[test_index]),
            "all": accuracy(right),
            "misclassified": np.flatnonzero(~right).tolist(),
        },
        "files": {
            name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in FILES
        },
    }


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8", newline="\n")


def build(folder, log):
    """Train and write every file to `folder`; the provenance that was written."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = load_images()
    train_index, test_index = stratified_split(labels, TEST_SIZE, SPLIT_SEED)
    params = train(images[train_index], labels[train_index], log)
    (folder / "model.onnx").write_bytes(onnx_model(params).SerializeToString(deterministic=True))
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    write_json(folder / "split.json", {"train": train_index.tolist(), "test": test_index.tolist()})
    right = predict(params, images) == labels
    record = provenance(folder, params, right, train_index, test_index)
    write_json(folder / "provenance.json", record)
    return record


def check(log):
    """Repeat the run and compare digests with the provenance beside this script; an exit status."""
    expected = json.loads((HERE / "provenance.json").read_text(encoding="utf-8"))["files"]
    with tempfile.TemporaryDirectory() as scratch:
        found = build(Path(scratch), log)["files"]
    same = True
    for name in FILES:
        here = sha256(HERE / name)
        agree = expected[name]["sha256"] == found[name]["sha256"] == here
        same &= agree
        log(f"{'same     ' if agree else 'DIFFERENT'}  {name}  committed {here}  rebuilt {found[name]['sha256']}")
    return 0 if same else 1


def validate(log):
    """Score the settings above on 200 training images held out, so that choosing them spares the test set."""
    images, labels = load_images()
    rest, _ = stratified_split(labels, TEST_SIZE, SPLIT_SEED)
    images, labels = images[rest], labels[rest]
    fit, held_out = stratified_split(labels, 200, SPLIT_SEED + 1)
    params = train(images[fit], labels[fit], log)
    log(f"held out: {accuracy(predict(params, images[held_out]) == labels[held_out])}")


def main():
    parser = argparse.ArgumentParser(description="Train the digit classifier and write its files.")
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--check", action="store_true", help="rebuild and compare with the files here")
    parser.add_argument("--validate", action="store_true", help="score on held-out training images only")
    options = parser.parse_args()

    def log(line):
        print(line, file=sys.stderr, flush=True)

    if options.check:
        return check(log)
    if options.validate:
        validate(log)
        return 0
    started = time.monotonic()
    record = build(options.out, log)
    log(f"{time.monotonic() - started:.0f} s")
    print(json.dumps({"measured": record["measured"], "files": record["files"]}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
