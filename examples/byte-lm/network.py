"""The network: a decoder-only transformer over bytes, in PyTorch for training and as an ONNX graph.

Pre-norm blocks, rotary positions, squared ReLU, one matrix for embedding and logits. Both forms take their
weights from one dictionary, so that what is exported is what was trained.
"""
import math

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

VOCABULARY = 256
WIDTH = 128
HEADS = 4
HEAD = WIDTH // HEADS
LAYERS = 4
CONTEXT = 512
EPSILON = 1e-5
OPSET, IR = 17, 8


def shapes() -> dict[str, tuple[int, ...]]:
    """Weights by name, in the order of the file; matrices are [in, out]."""
    found = {"embedding": (VOCABULARY, WIDTH)}
    for i in range(LAYERS):
        found |= {
            f"{i}.norm1.scale": (WIDTH,), f"{i}.norm1.bias": (WIDTH,),
            f"{i}.qkv": (WIDTH, 3 * WIDTH), f"{i}.mix": (WIDTH, WIDTH),
            f"{i}.norm2.scale": (WIDTH,), f"{i}.norm2.bias": (WIDTH,),
            f"{i}.up": (WIDTH, 4 * WIDTH), f"{i}.down": (4 * WIDTH, WIDTH),
        }
    return found | {"norm.scale": (WIDTH,), "norm.bias": (WIDTH,)}


def initial(generator: torch.Generator) -> dict[str, torch.Tensor]:
    weights = {}
    for name, shape in shapes().items():
        if name.endswith(".scale"):
            weights[name] = torch.ones(shape)
        elif name.endswith(".bias"):
            weights[name] = torch.zeros(shape)
        else:
            deviation = 0.02 if name == "embedding" else shape[0] ** -0.5
            if name.endswith((".mix", ".down")):
                deviation /= math.sqrt(2 * LAYERS)
            weights[name] = torch.randn(shape, generator=generator) * deviation
    return weights


def rotations() -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine by position and pair of features, [CONTEXT, HEAD / 2]."""
    rates = 10_000.0 ** (-np.arange(0, HEAD, 2) / HEAD)
    angles = np.outer(np.arange(CONTEXT), rates)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def forward(weights: dict[str, torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
    """Logits [batch, sequence, 256] of whole sequences."""
    batch, length = tokens.shape
    cosine, sine = (torch.from_numpy(table)[:length] for table in rotations())

    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), weights[f"{name}.scale"], weights[f"{name}.bias"], EPSILON)

    def rotate(x):
        low, high = x.chunk(2, -1)
        return torch.cat((low * cosine - high * sine, low * sine + high * cosine), -1)

    x = weights["embedding"][tokens]
    for i in range(LAYERS):
        qkv = norm(x, f"{i}.norm1") @ weights[f"{i}.qkv"]
        q, k, v = qkv.view(batch, length, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        x = x + attended.transpose(1, 2).reshape(batch, length, WIDTH) @ weights[f"{i}.mix"]
        x = x + F.relu(norm(x, f"{i}.norm2") @ weights[f"{i}.up"]).square() @ weights[f"{i}.down"]
    return norm(x, "norm") @ weights["embedding"].T


class Graph:
    def __init__(self, weights: dict[str, np.ndarray]):
        self.nodes = []
        self.initializers = [numpy_helper.from_array(np.ascontiguousarray(w), name) for name, w in weights.items()]

    def constant(self, name: str, value) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def split(self, source: str, outputs: list[str], axis: int) -> list[str]:
        self.nodes.append(helper.make_node("Split", [source], outputs, name=outputs[0], axis=axis))
        return outputs


def to_onnx(weights: dict[str, torch.Tensor]) -> bytes:
    """
    input_ids int64 [batch, seq] and past_i float [2, batch, heads, past, head] to logits [batch, seq, 256],
    hidden [batch, seq, width] (after the last norm) and present_i [2, batch, heads, past + seq, head].
    """
    g = Graph({name: weights[name].numpy() for name in shapes()})
    for name, value in {
        "zero": np.int64(0), "one": np.int64(1), "axis0": np.array([0]), "axis1": np.array([1]), "masked": np.float32(-1e30),
        "unmasked": np.float32(0), "scale": np.float32(HEAD**-0.5), "dim1": np.int64(1),
        "dim3": np.int64(3), "split_heads": np.array([0, 0, 3, HEADS, HEAD]), "join_heads": np.array([0, 0, WIDTH]),
    }.items():
        g.constant(name, value)
    for name, table in zip(("cosine", "sine"), rotations()):
        g.constant(name, table)
    positions(g)
    x = g.add("Gather", ["embedding", "input_ids"], "x0")
    for i in range(LAYERS):
        x = block(g, i, x)
    hidden = g.add("LayerNormalization", [x, "norm.scale", "norm.bias"], "hidden", axis=-1, epsilon=EPSILON)
    g.add("Transpose", ["embedding"], "unembedding", perm=[1, 0])
    g.add("MatMul", [hidden, "unembedding"], "logits")
    graph = helper.make_graph(g.nodes, "byte-lm", *signature(), g.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="byte-lm")
    model.ir_version = IR
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def positions(g: Graph) -> None:
    """Rotations of the new positions, and the causal mask of new positions over all."""
    g.add("Shape", ["past_0"], "past_shape")
    g.add("Gather", ["past_shape", "dim3"], "past_length")
    g.add("Shape", ["input_ids"], "ids_shape")
    g.add("Gather", ["ids_shape", "dim1"], "new_length")
    g.add("Add", ["past_length", "new_length"], "total_length")
    g.add("Range", ["past_length", "total_length", "one"], "new_positions")
    g.add("Range", ["zero", "total_length", "one"], "all_positions")
    g.add("Gather", ["cosine", "new_positions"], "new_cosine")
    g.add("Gather", ["sine", "new_positions"], "new_sine")
    g.add("Unsqueeze", ["new_positions", "axis1"], "new_column")
    g.add("Greater", ["all_positions", "new_column"], "is_later")
    g.add("Where", ["is_later", "masked", "unmasked"], "mask")


def rotate(g: Graph, x: str) -> str:
    low, high = g.split(x, [f"{x}_low", f"{x}_high"], 3)
    parts = {}
    for half in (low, high):
        for table in ("cosine", "sine"):
            parts[half, table] = g.add("Mul", [half, f"new_{table}"], f"{half}_{table}")
    first = g.add("Sub", [parts[low, "cosine"], parts[high, "sine"]], f"{x}_first")
    second = g.add("Add", [parts[low, "sine"], parts[high, "cosine"]], f"{x}_second")
    return g.add("Concat", [first, second], f"{x}_rotated", axis=3)


def block(g: Graph, i: int, x: str) -> str:
    at = lambda name: f"block{i}_{name}"
    norm = lambda name, source: g.add(
        "LayerNormalization", [source, f"{i}.{name}.scale", f"{i}.{name}.bias"], at(name), axis=-1, epsilon=EPSILON
    )
    qkv = g.add("MatMul", [norm("norm1", x), f"{i}.qkv"], at("qkv"))
    apart = g.add("Reshape", [qkv, "split_heads"], at("apart"))
    ordered = g.add("Transpose", [apart], at("ordered"), perm=[2, 0, 3, 1, 4])
    rows = g.split(ordered, [at("q5"), at("k5"), at("v5")], 0)
    q, k, v = (g.add("Squeeze", [row, "axis0"], at(name)) for row, name in zip(rows, "qkv"))
    q, k = rotate(g, q), rotate(g, k)
    new = [g.add("Unsqueeze", [part, "axis0"], f"{part}_new") for part in (k, v)]
    new = g.add("Concat", new, at("new"), axis=0)
    present = g.add("Concat", [f"past_{i}", new], f"present_{i}", axis=3)
    keys, values = g.split(present, [at("keys5"), at("values5")], 0)
    keys = g.add("Squeeze", [keys, "axis0"], at("keys"))
    values = g.add("Squeeze", [values, "axis0"], at("values"))
    turned = g.add("Transpose", [keys], at("turned"), perm=[0, 1, 3, 2])
    scores = g.add("Mul", [g.add("MatMul", [q, turned], at("dots")), "scale"], at("scaled"))
    shares = g.add("Softmax", [g.add("Add", [scores, "mask"], at("scores"))], at("shares"), axis=-1)
    mixed = g.add("Transpose", [g.add("MatMul", [shares, values], at("mixed"))], at("together"), perm=[0, 2, 1, 3])
    joined = g.add("Reshape", [mixed, "join_heads"], at("joined"))
    x = g.add("Add", [x, g.add("MatMul", [joined, f"{i}.mix"], at("attended"))], at("middle"))
    up = g.add("Relu", [g.add("MatMul", [norm("norm2", x), f"{i}.up"], at("up"))], at("relu"))
    squared = g.add("Mul", [up, up], at("squared"))
    return g.add("Add", [x, g.add("MatMul", [squared, f"{i}.down"], at("down"))], at("out"))


def signature():
    cache = lambda name, length: helper.make_tensor_value_info(
        name, TensorProto.FLOAT, [2, "batch", HEADS, length, HEAD]
    )
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "seq"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "seq", VOCABULARY])
    hidden = helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["batch", "seq", WIDTH])
    return (
        [ids, *(cache(f"past_{i}", "past") for i in range(LAYERS))],
        [logits, hidden, *(cache(f"present_{i}", "total") for i in range(LAYERS))],
    )
