"""Answers toploc-live.mjs: a JSON question a line on stdin, a JSON answer a line on stdout."""
import base64
import json
import sys

import torch
import toploc
from toploc_chunks import prove, verify, verify_by_list


def tensor(text: str) -> torch.Tensor:
    """float32, little-endian, to bfloat16."""
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.float32).to(torch.bfloat16)


def versions():
    return {"toploc": toploc.__version__, "torch": torch.__version__}


def rounded(values: str) -> list[int]:
    return tensor(values).view(torch.uint16).tolist()


def proof(values: str, topk: int) -> str:
    return prove(tensor(values), topk).hex()


def compare(values: str, proof: str, topk: int):
    return verify(tensor(values), bytes.fromhex(proof), topk)


def compare_by_list(values: str, proof: str, topk: int):
    return verify_by_list(tensor(values), bytes.fromhex(proof), topk)


CALLS = {call.__name__: call for call in (versions, rounded, proof, compare, compare_by_list)}

torch.set_num_threads(1)
for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps(CALLS[question["call"]](**question["arguments"])), flush=True)
