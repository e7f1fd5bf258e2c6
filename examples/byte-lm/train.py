"""Trains the byte-level language model of this folder and writes every file of it. See README.md.

    python train.py             train and rewrite the files (about 15 minutes on one idle core)
    python train.py --steps N   fewer steps, to try it
    python train.py --deb FILE  take the text from a package that is already here
"""
import argparse
import hashlib
import json
import math
import pathlib
import platform
import time

import numpy as np
import onnx
import torch
import torch.nn.functional as F

import corpus
import network

HERE = pathlib.Path(__file__).parent
SEED = 20250611
STEPS = 1400
EARLIER = 0.75
BATCH = 8
WARM_UP = 60
RATE = 3e-3
DECAY = 0.1
HELD_OUT_BYTES = 32_768
FILES = ("model.onnx", "earlier.delta.f16", "held-out.txt")


def learning_rate(step: int, steps: int) -> float:
    return RATE * min(1.0, (step + 1) / WARM_UP) * (1 - step / steps)


def train(text: bytes, steps: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], list[float]]:
    """The weights at the end and after `EARLIER` of the steps, and the loss of each step in bits per byte."""
    generator = torch.Generator().manual_seed(SEED)
    data = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    weights = {name: weight.requires_grad_(True) for name, weight in network.initial(generator).items()}
    matrices = [weight for weight in weights.values() if weight.dim() == 2]
    vectors = [weight for weight in weights.values() if weight.dim() == 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}],
        lr=RATE, betas=(0.9, 0.98), eps=1e-9,
    )
    losses, earlier, started = [], None, time.time()
    for step in range(steps):
        starts = torch.randint(len(data) - network.CONTEXT - 1, (BATCH,), generator=generator)
        rows = torch.stack([data[start : start + network.CONTEXT + 1] for start in starts])
        logits = network.forward(weights, rows[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps)
        optimiser.step()
        losses.append(loss.item() / math.log(2))
        if step + 1 == int(EARLIER * steps):
            earlier = copied(weights)
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}: {np.mean(losses[-50:]):.3f} bits per byte, {time.time() - started:.0f} s", flush=True)
    return copied(weights), earlier, losses


def copied(weights):
    return {name: weight.detach().clone() for name, weight in weights.items()}


@torch.no_grad()
def bits_per_byte(weights, text: bytes) -> float:
    """
    Windows of a whole context, each half over the one before: a byte is predicted from 256 to 511 bytes
    before it (the first 256 from what there is; the first of all is not counted).
    """
    data = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    half, total, count = network.CONTEXT // 2, 0.0, 0
    for start in range(0, len(data) - 1, half):
        row = data[start : start + network.CONTEXT]
        losses = F.cross_entropy(network.forward(weights, row[None, :-1])[0], row[1:], reduction="none")
        fresh = losses if start == 0 else losses[half - 1 :]
        total, count = total + fresh.double().sum().item(), count + len(fresh)
        if start + network.CONTEXT >= len(data):
            break
    return total / count / math.log(2)


def delta(earlier, final) -> bytes:
    """Earlier weights less the final ones as half floats, in the order of the file: half the bytes of a model."""
    parts = [(earlier[name] - final[name]).numpy().astype("<f2").ravel() for name in network.shapes()]
    return np.concatenate(parts).tobytes()


def rebuilt(raw: bytes, final):
    values, at, weights = np.frombuffer(raw, "<f2").astype(np.float32), 0, {}
    for name, shape in network.shapes().items():
        size = math.prod(shape)
        weights[name] = final[name] + torch.from_numpy(values[at : at + size].reshape(shape))
        at += size
    return weights


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--deb", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    texts = corpus.novels(options.deb.read_bytes() if options.deb else corpus.download())
    text = b"\n\n\n".join(texts[name] for name in corpus.TRAIN)
    held_out = texts[corpus.HELD_OUT]
    sample = held_out[len(held_out) // 2 :][:HELD_OUT_BYTES]
    started = time.time()
    final, earlier, losses = train(text, options.steps)
    minutes = (time.time() - started) / 60

    options.out.mkdir(parents=True, exist_ok=True)
    raw = delta(earlier, final)
    for name, data in zip(FILES, (network.to_onnx(final), raw, sample)):
        (options.out / name).write_bytes(data)
    earlier = rebuilt(raw, final)
    facts = {
        "text": {
            "name": "Six novels of Jane Austen (1775-1817), as Project Gutenberg transcribed them",
            "licence": "public domain; the package that carries them is MIT (c) 2016-2017 Julia Silge",
            "package": {"name": corpus.PACKAGE, "version": corpus.VERSION, "registry": "Debian", "sha256": corpus.DEB_SHA256},
            "train": {"novels": corpus.TRAIN, "bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()},
            "heldOut": {"novel": corpus.HELD_OUT, "bytes": len(held_out), "sample": f"{len(sample)} bytes from its middle"},
        },
        "model": {
            "layers": network.LAYERS, "width": network.WIDTH, "heads": network.HEADS, "context": network.CONTEXT,
            "parameters": sum(weight.numel() for weight in final.values()), "opset": network.OPSET, "irVersion": network.IR,
        },
        "training": {
            "scripts": {name: digest(HERE / name) for name in ("train.py", "network.py", "corpus.py")},
            "seed": SEED, "steps": options.steps, "batch": BATCH, "optimiser": "AdamW (0.9, 0.98)", "learningRate": RATE,
            "schedule": f"{WARM_UP} steps of warm-up, linear to 0", "weightDecay": DECAY, "earlierCheckpoint": f"after {EARLIER:.0%} of the steps",
            "minutes": round(minutes, 1), "threads": 1,
        },
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__, "onnx": onnx.__version__},
        "bitsPerByte": {
            "lastTrainingSteps": round(float(np.mean(losses[-100:])), 4),
            "heldOutSample": round(bits_per_byte(final, sample), 4),
            "earlierCheckpointOnSample": round(bits_per_byte(earlier, sample), 4),
        },
        "files": {name: {"bytes": (options.out / name).stat().st_size, "sha256": digest(options.out / name)} for name in FILES},
    }
    (options.out / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts["bitsPerByte"], indent=2))


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
