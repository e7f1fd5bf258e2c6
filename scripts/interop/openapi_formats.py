"""The bytes inside of messages, from docs/guides/submitter.md ("In another language") and the standard library alone."""
import base64
import hashlib
import struct


def content_address(content: bytes) -> str:
    """CIDv1, raw, sha2-256."""
    digest = hashlib.sha256(content).digest()
    return "b" + base64.b32encode(b"\x01\x55\x12\x20" + digest).decode().rstrip("=").lower()


def encode_rows(rows: list[bytes]) -> bytes:
    return struct.pack(">I", len(rows)) + b"".join(struct.pack(">I", len(row)) + row for row in rows)


def decode_rows(data: bytes) -> list[bytes]:
    (count,) = struct.unpack_from(">I", data)
    rows, at = [], 4
    for _ in range(count):
        (length,) = struct.unpack_from(">I", data, at)
        rows.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    assert at == len(data), "bytes behind the last row"
    assert encode_rows(rows) == data, "a row that is cut short"
    return rows


def decode_wasm_row(row: bytes) -> tuple[bytes, list[bytes]]:
    """What the module returned, and what it emitted on its way."""
    value, end = decode_cbor(row, 0)
    assert end == len(row), "bytes behind the row"
    assert set(value) == {"type", "v", "body"} and set(value["body"]) == {"output", "emitted"}
    assert (value["type"], value["v"]) == ("assay/wasm-row", 1)
    return value["body"]["output"], value["body"]["emitted"]


def decode_cbor(data: bytes, at: int):
    """The part of RFC 8949 that rows use: numbers, byte strings, texts, lists and maps."""
    major, minor = data[at] >> 5, data[at] & 31
    at += 1
    if minor >= 24:
        size = 1 << (minor - 24)
        argument = int.from_bytes(data[at : at + size], "big")
        at += size
    else:
        argument = minor
    if major == 0:
        return argument, at
    if major in (2, 3):
        piece = data[at : at + argument]
        assert len(piece) == argument, "a string that is cut short"
        return (piece if major == 2 else piece.decode()), at + argument
    assert major in (4, 5), f"major type {major} in a row"
    items = []
    for _ in range(argument * (2 if major == 5 else 1)):
        item, at = decode_cbor(data, at)
        items.append(item)
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at


def events_of(stream: str) -> list[tuple[str | None, str, str]]:
    """Id, name and data of server-sent events (WHATWG HTML, section 9.2.6)."""
    found = []
    for frame in stream.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("id"), fields.get("event", "message"), fields["data"]))
    return found
