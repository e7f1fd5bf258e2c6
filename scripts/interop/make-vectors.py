"""
Makes vectors/spex.json from the published Python package (see setup.sh for the environment):

    scripts/interop/setup.sh && .venv/bin/python scripts/interop/make-vectors.py

The same package versions and seed give the same file. Integers beyond 2^53 are decimal strings; doubles are
written so that they read back as the same double. Items of a filter are not listed but made by `splitmix64`.
"""

import json
import platform
import random
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rbloom import Bloom
from warden_spex.hashing.hash_array import hash_array
from warden_spex.hashing.hash_embedding import hash_embedding_m, jaccard_index
from warden_spex.hashing.hash_int import hash_int
from warden_spex.spex import Blossom

SEED = 20250325
TARGET = Path(__file__).resolve().parents[2] / "vectors" / "spex.json"
MASK = 2**64 - 1


def splitmix64(seed: int, index: int) -> int:
    """Item `index` of the stream `seed`, as a signed 64-bit integer."""
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    z ^= z >> 31
    return z - 2**64 if z >= 2**63 else z


def stream(seed: int, count: int) -> np.ndarray:
    return np.array([splitmix64(seed, i) for i in range(count)], dtype=np.int64)


def integers() -> list:
    values = [0, 1, -1, 2, 3, 123, -123, 2**31, -(2**31), 2**32, 2**53, -(2**53)]
    values += [2**62, 2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1]
    values += [splitmix64(SEED, i) for i in range(80)]
    return [[str(v), str(hash_int(np.int64(v)))] for v in values]


def sums() -> list:
    """An array hashes as its wrapping sum, whatever its order."""
    arrays = [[1, 2, 3], [6], [3, 2, 1], [2**63 - 1, 1], [-(2**63), -1], [-5, 5]]
    return [
        {"values": [str(v) for v in a], "hash": str(hash_int(np.array(a, dtype=np.int64)))} for a in arrays
    ]


def sizes(rng: random.Random) -> list:
    """Rows of [n, p, k, bits], where p is a double."""
    cases = [(n, 2.0**-j) for n in (1, 3, 7, 1000, 99_991) for j in range(1, 31)]
    cases += [(n, p) for n in (1, 2, 10, 1000) for p in (0.01, 0.1, 0.3, 0.49, 0.51, 0.6, 0.9, 0.999)]
    cases += [(int(10 ** rng.uniform(0, 6)), 10 ** rng.uniform(-12, -0.302)) for _ in range(320)]
    rows = []
    for n, p in cases:
        bloom = Bloom(n, p, hash_func=hash_int)
        hashes = int.from_bytes(bloom.save_bytes()[:8], "little")
        rows.append([n, p, hashes, bloom.size_in_bits])
    return rows


def filter_of(count: int, rate: float, items: np.ndarray) -> Blossom:
    blossom = Blossom(expected_items=count, false_positive_rate=rate)
    blossom.add_items(items)
    return blossom


def listed_filters() -> list:
    lists = [([2, 3, 5, 7, 11, 13, 17, 19, 23, 29], 0.01), ([2, 3, 5], 0.01), ([-1, 0, 1], 0.001)]
    return [
        {
            "items": items,
            "falsePositiveRate": rate,
            "bloomFilter": filter_of(len(items), rate, np.array(items, dtype=np.int64)).dump().decode(),
        }
        for items, rate in lists
    ]


def filters(rng: random.Random) -> list:
    """Each with the number of hits that the package finds among 200 items that were not inserted."""
    cases = [(n, p) for n in (1, 2, 10, 100, 1000) for p in (0.4, 0.1, 0.01, 1e-3, 1e-6, 1e-9)]
    cases += [(int(10 ** rng.uniform(0, 3)), 10 ** rng.uniform(-10, -0.302)) for _ in range(50)]
    made = []
    for index, (count, rate) in enumerate(cases):
        blossom = filter_of(count, rate, stream(index, count))
        hits = sum(blossom.is_hit(v) for v in stream(index + 2**40, 200))
        made.append(
            {
                "count": count,
                "falsePositiveRate": rate,
                "seed": index,
                "bloomFilter": blossom.dump().decode(),
                "hitsOfOthers": hits,
                "approximateItems": blossom.bloom.approx_items,
            }
        )
    return made


def arrays(rng: np.random.Generator) -> list:
    cases = [([1.0, -0.00005], 1e-4), ([0.3], 0.1), ([0.0, -0.0, 1e-9], 1e-4), ([1234.5678], 0.5)]
    for epsilon in (1e-4, 1e-3, 0.05, 0.1, 2e-4):
        for scale in (1, 100):
            cases.append((list(rng.normal(size=4) * scale), epsilon))
    return [
        {
            "values": [float(v) for v in values],
            "epsilon": epsilon,
            "sets": [sorted(map(str, s)) for s in hash_array(np.array(values, dtype=np.float64), epsilon)],
        }
        for values, epsilon in cases
    ]


def embeddings(rng: np.random.Generator) -> list:
    """Pairs of near points. The dimensions cross the seams of numpy's pairwise sum: 8, 128, and beyond."""
    made = []
    for dimension, points in [(1, 3), (5, 6), (7, 6), (8, 6), (9, 6), (64, 6), (130, 4), (300, 3)]:
        point = rng.normal(size=dimension)
        near = point + rng.normal(size=dimension) * 0.3
        vantage = rng.normal(size=(points, dimension))
        hashes, others = hash_embedding_m(point, vantage), hash_embedding_m(near, vantage)
        made.append(
            {
                "point": point.tolist(),
                "near": near.tolist(),
                "vantagePoints": vantage.tolist(),
                "hashes": sorted(map(str, hashes)),
                "jaccard": float(jaccard_index(hashes, others)),
            }
        )
    return made


def main() -> None:
    rng, nrng = random.Random(SEED), np.random.default_rng(SEED)
    vectors = {
        "provenance": {
            "package": "warden-spex",
            "versions": {name: version(name) for name in ("warden-spex", "rbloom", "numpy", "scipy")},
            "python": platform.python_version(),
            "script": "scripts/interop/make-vectors.py",
            "seed": SEED,
            "licence": "made by running the package; it contains none of its code",
        },
        "integers": integers(),
        "sums": sums(),
        "sizes": sizes(rng),
        "listedFilters": listed_filters(),
        "filters": filters(rng),
        "arrays": arrays(nrng),
        "embeddings": embeddings(nrng),
    }
    sections = [f"{json.dumps(name)}: {rows(value)}" for name, value in vectors.items()]
    TARGET.write_text("{\n" + ",\n".join(sections) + "\n}\n")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


def rows(value: object) -> str:
    """Lists one entry a line, so that a change shows in a diff."""
    if not isinstance(value, list):
        return json.dumps(value)
    return "[\n" + ",\n".join("  " + json.dumps(entry) for entry in value) + "\n]"


if __name__ == "__main__":
    main()
