"""
The other side of live.mjs: answers questions with the published Python package. One JSON object a line, in and
out. Arrays travel as base64 of their little-endian 8-byte elements, so that every double arrives as it left.
"""

import json
import sys
from base64 import b64decode
from hashlib import sha256
from importlib.metadata import version
from time import perf_counter

import numpy as np
from pydantic import BaseModel
from warden_spex.hashing.hash_array import hash_array
from warden_spex.hashing.hash_embedding import hash_embedding_m, jaccard_index
from warden_spex.hashing.hash_int import hash_int
from warden_spex.models import SolverProof, SolverRequest, SolverResponse, VerifierRequest, VerifierResponse
from warden_spex.spex import Blossom


def int64(text: str) -> np.ndarray:
    return np.frombuffer(b64decode(text), dtype="<i8")


def float64(text: str) -> np.ndarray:
    return np.frombuffer(b64decode(text), dtype="<f8")


def hashes(values: str) -> list:
    return [str(hash_int(v)) for v in int64(values)]


def prove(items: str, falsePositiveRate: float) -> str:
    array = int64(items)
    blossom = Blossom(expected_items=len(array), false_positive_rate=falsePositiveRate)
    blossom.add_items(array)
    return blossom.dump().decode()


def lookups(bloomFilter: str, countItems: int, items: str, others: str) -> dict:
    """Loads a proof as the package's verifiers do, and counts hits."""
    blossom = Blossom.load(SolverProof(bloomFilter=bloomFilter.encode(), countItems=countItems))
    return {
        "items": sum(blossom.is_hit(v) for v in int64(items)),
        "others": [int(blossom.is_hit(v)) for v in int64(others)],
    }


def array(values: str, epsilon: float) -> list:
    return [sorted(map(str, found)) for found in hash_array(float64(values), epsilon)]


def embedding(point: str, near: str, vantagePoints: list) -> dict:
    vantage = np.array([float64(v) for v in vantagePoints])
    hashed, other = hash_embedding_m(float64(point), vantage), hash_embedding_m(float64(near), vantage)
    return {"hashes": sorted(map(str, hashed)), "jaccard": float(jaccard_index(hashed, other))}


class Count(BaseModel):
    """Input of the task that both sides know: state i is (i + 1) cubed, the output is their sum."""

    count: int


class Sum(BaseModel):
    sum: int


def cube(index: int) -> np.int64:
    return np.int64((index + 1) ** 3)


def solve(request: dict) -> dict:
    parsed = SolverRequest[Count].model_validate(request)
    states = [cube(i) for i in range(parsed.solverInput.count)]
    blossom = Blossom(expected_items=len(states), false_positive_rate=parsed.falsePositiveRate)
    blossom.add_items(states)
    proof = SolverProof(bloomFilter=blossom.dump(), countItems=len(states))
    response = SolverResponse[Sum](solverOutput=Sum(sum=int(sum(states))), solverProof=proof)
    return response.model_dump(mode="json")


def verify(request: dict) -> dict:
    """The lazy verifier of the paper (Algorithm 2) over the package's parts."""
    parsed = VerifierRequest[Sum].model_validate({**request, "solverRequest": SolverRequest()})
    task = SolverRequest[Count].model_validate(request["solverRequest"])
    blossom = Blossom.load(parsed.solverProof)
    if not blossom.verify_false_positive_rate(task.falsePositiveRate):
        return VerifierResponse(countItems=0, evidence="false positive rate").model_dump()
    total = parsed.solverProof.countItems
    sample = np.random.default_rng().choice(total, size=int(np.ceil(total * parsed.verificationRatio)), replace=False)
    for done, index in enumerate(sample):
        if not blossom.is_hit(cube(int(index))):
            return VerifierResponse(countItems=done + 1, evidence=f"state {index}").model_dump()
    return VerifierResponse(countItems=len(sample), isVerified=True).model_dump()


# About as long as one of our runs, so that other load spoils as few of them.
SLICE = 50_000


class Bench:
    """What bench/bloom.mjs times: the arrays are ready before the clock starts."""

    items: np.ndarray
    looked: np.ndarray
    rate: float
    filled: Blossom
    proof: bytes


def timed(run, *arguments) -> float:
    """Milliseconds that the call takes."""
    started = perf_counter()
    run(*arguments)
    return 1000 * (perf_counter() - started)


def dump() -> None:
    Bench.proof = Bench.filled.dump()


def look_up(values: np.ndarray) -> None:
    hits = sum(Bench.filled.is_hit(v) for v in values)
    assert hits == len(values)


def slices(values: np.ndarray) -> list:
    return [values[i : i + SLICE] for i in range(0, len(values), SLICE)]


def bench_insert() -> list:
    """Inserts and serialises everything; times of slices, in order."""
    Bench.filled = Blossom(expected_items=len(Bench.items), false_positive_rate=Bench.rate)
    return [timed(Bench.filled.add_items, part) for part in slices(Bench.items)] + [timed(dump)]


def bench_lookups() -> list:
    return [timed(look_up, part) for part in slices(Bench.looked)]


def bench_prepare(items: str, lookups: int, rate: float) -> dict:
    Bench.items, Bench.rate = int64(items), rate
    Bench.looked = Bench.items[:lookups]
    bench_insert()
    return {"digest": sha256(Bench.proof).hexdigest()}


def versions() -> dict:
    return {name: version(name) for name in ("warden-spex", "rbloom", "numpy", "scipy")}


CALLS = {f.__name__: f for f in (versions, hashes, prove, lookups, array, embedding, solve, verify)}
CALLS |= {f.__name__: f for f in (bench_prepare, bench_insert, bench_lookups)}

for line in sys.stdin:
    question = json.loads(line)
    answer = CALLS[question["call"]](**question["arguments"])
    print(json.dumps(answer), flush=True)
