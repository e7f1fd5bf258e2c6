"""Work to submit, and what must come of it: examples/wasm/c/orders.c and square.c, written again in Python."""
import random
import re
import struct
from collections import defaultdict

ORDER = re.compile(rb"([^,]+),(\d{1,9}),(\d{1,9})(?:\.(\d{1,2}))?")
PROGRESS_LINES = 1000
PRODUCTS = [b"apples", b"pears", b"quinces", b"nuts", b"figs", b"Bananen", "Äpfel".encode()]
SPOILT = [b"", b"apples,1", b"apples,x,1.00", b"apples,1,1.005", b",1,2", b"figs,1,2,3", b"nuts,1,2.", b"nuts,-1,2"]


def orders(records: int, generator: random.Random) -> list[bytes]:
    """Files of orders, some lines of which are none; few are long enough for a module to tell its progress."""
    return [
        b"".join(order(generator) + b"\n" for _ in range(generator.choice([0, 1, 40, 500, 999, 1000, 2500])))
        for _ in range(records)
    ]


def order(generator: random.Random) -> bytes:
    if generator.random() < 0.02:
        return generator.choice(SPOILT)
    price = f"{generator.randrange(1000)}" + generator.choice(["", ".5", f".{generator.randrange(100):02}"])
    return generator.choice(PRODUCTS) + f",{generator.randrange(100)},{price}".encode()


def added_up(record: bytes) -> tuple[bytes, list[bytes]]:
    """The table of a file, and what orders.c emits after each thousand lines."""
    lines = record.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    table = defaultdict(lambda: [0, 0, 0])
    refused = 0
    for line in lines:
        match = ORDER.fullmatch(line)
        if match is None:
            refused += 1
            continue
        name, quantity, units, part = match.groups()
        cents = int(units) * 100 + int((part or b"0").ljust(2, b"0"))
        row = table[name]
        row[0] += 1
        row[1] += int(quantity)
        row[2] += int(quantity) * cents
    rows = [b"%s,%d,%d,%d\n" % (name, *table[name]) for name in sorted(table)]
    if refused > 0:
        rows.append(b"!,%d,0,0\n" % refused)
    told = range(PROGRESS_LINES, len(lines) + 1, PROGRESS_LINES)
    return b"".join(rows), [struct.pack("<Q", count) for count in told]


def squared(record: bytes) -> tuple[bytes, list[bytes]]:
    (value,) = struct.unpack("<Q", record)
    return struct.pack("<Q", value * value % 2**64), []
