"""Activations that both sides can make, and the published package's answers about them."""
import math

import torch
from toploc import build_proofs_bytes, verify_proofs_bytes


def activations(seed: int, count: int, exponents: int) -> torch.Tensor:
    """bfloat16 from a linear congruential generator: few exponents mean many equal magnitudes."""
    bits, state = [], seed
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        exponent = 127 - (state >> 23) % exponents
        bits.append((state >> 31) << 15 | exponent << 7 | (state >> 16) & 0x7F)
    return torch.tensor(bits, dtype=torch.uint16).view(torch.bfloat16)


def prove(chunk: torch.Tensor, topk: int) -> bytes:
    (proof,) = build_proofs_bytes([chunk], decode_batching_size=32, topk=topk)
    return proof


def verify(chunk: torch.Tensor, proof: bytes, topk: int) -> list:
    """By the compiled reader, which evaluates at the index modulo m."""
    (result,) = verify_proofs_bytes(chunk.view(1, -1), [proof], 1, topk, skip_prefill=True)
    return described(result, topk)


def verify_by_list(chunk: torch.Tensor, proof: bytes, topk: int) -> list:
    """By the reader in Python, which evaluates at the index itself."""
    (result,) = verify_proofs_bytes([chunk], [proof], 32, topk)
    return described(result, topk)


def described(result, topk: int) -> list:
    if result.exp_mismatches == topk:
        return [topk, None, None]
    mean, median = float(result.mant_err_mean), float(result.mant_err_median)
    assert math.isfinite(mean) and math.isfinite(median)
    return [result.exp_mismatches, mean, median]
