"""Writes vectors/toploc.json from the published package. Run it in the environment of toploc-setup.sh:

    .venv/toploc/bin/python scripts/interop/make-toploc-vectors.py
"""
import json
import pathlib
import random
import struct

import torch
import toploc
from toploc_chunks import activations, prove, verify

OUT = pathlib.Path(__file__).parents[2] / "vectors/toploc.json"
#         seed, values, exponents, topk
CHUNKS = [
    (1, 128, 6, 128), (2, 200, 3, 128), (3, 4096, 12, 128), (4, 4096, 2, 128), (5, 8191, 4, 128), (6, 8192, 4, 128),
    (7, 24576, 8, 128), (8, 70000, 8, 128), (116, 131072, 12, 128), (158, 131072, 12, 128), (164, 131072, 12, 128),
    (12, 3, 4, 3), (13, 5, 1, 1), (14, 100, 2, 7), (15, 1000, 1, 16), (16, 200000, 5, 256), (17, 300000, 12, 600),
]


def rounding() -> list[list[int]]:
    random.seed(65497)
    words = [0, 0x80000000, 1, 0x3F808000, 0x3F818000, 0x3F807FFF, 0x3F808001, 0x3FFFFFFF, 0x7F7F7FFF, 0xFF7F0000]
    words += [random.getrandbits(31) % 0x7F000000 | random.getrandbits(1) << 31 for _ in range(40)]
    values = torch.tensor([struct.unpack("<f", struct.pack("<I", word))[0] for word in words])
    return [list(pair) for pair in zip(words, values.to(torch.bfloat16).view(torch.uint16).tolist())]


def chunk(seed: int, count: int, exponents: int, topk: int) -> dict:
    values = activations(seed, count, exponents)
    proof = prove(values, topk)
    # Another run of the same model, as far as the reader can tell: every value off by 1 %.
    other = (values.float() * 0.99).to(torch.bfloat16)
    return {
        "seed": seed, "count": count, "exponents": exponents, "topk": topk, "proof": proof.hex(),
        "same": verify(values, proof, topk), "scaled": verify(other, proof, topk),
    }


torch.set_num_threads(1)
vectors = {
    "about": "TOPLOC fingerprints of the published package; activations from a linear congruential generator",
    "provenance": {
        "package": f"toploc {toploc.__version__}", "torch": torch.__version__,
        "script": "scripts/interop/make-toploc-vectors.py",
    },
    "activations": "state = (state * 1664525 + 1013904223) mod 2^32, from seed; bits = sign (state >> 31) | exponent 127 - (state >> 23) mod exponents | mantissa (state >> 16) & 127",
    "rounding": {"about": "[float32 bits, bfloat16 bits]", "cases": rounding()},
    "chunks": {
        "about": "proof in hexadecimal; same and scaled (values times 0.99 in float32, rounded) are [exponent mismatches, mean, median of the mantissa errors] by the compiled reader",
        "cases": [chunk(*case) for case in CHUNKS],
    },
}
OUT.write_text(json.dumps(vectors, indent=1) + "\n")
