"""Makes vectors/audit.json from the description in packages/protocol/src/method/redundancy/audit.ts alone.

The test beside audit.ts compares the library with it. Run: python3 scripts/vectors/audit.py
"""

import hashlib
import json
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "vectors" / "audit.json"
RATES = [0.0, 2.0**-53, 0.01, 0.1, 0.5, 0.999, 1.0]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def fraction(seed: bytes, commitment: bytes) -> float:
    tag = sha256(b"assay/audit/v1")
    length = (32).to_bytes(8, "big")
    digest = sha256(tag + tag + length + seed + length + commitment)
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def case(seed: bytes, commitment: bytes) -> str:
    value = fraction(seed, commitment)
    return json.dumps(
        {
            "seed": seed.hex(),
            "commitment": commitment.hex(),
            # repr of a double in Python and its text in JSON are the same shortest form.
            "fraction": value,
            "audited": {repr(rate): value < rate for rate in RATES},
        },
        separators=(",", ":"),
    )


SEEDS = [bytes(32), b"\xff" * 32, bytes(range(32))]
COMMITMENTS = [bytes(32), b"\xff" * 32] + [sha256(b"commitment %d" % i) for i in range(6)]
CASES = ",\n".join(f"    {case(seed, commitment)}" for seed in SEEDS for commitment in COMMITMENTS)
FILE.write_text(
    '{\n  "description": "audit v1: which results run again; the algorithm is in '
    'packages/protocol/src/method/redundancy/audit.ts",\n'
    f'  "madeBy": "scripts/vectors/audit.py",\n  "cases": [\n{CASES}\n  ]\n}}\n'
)
