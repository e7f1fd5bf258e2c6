"""The text: Jane Austen's novels out of the Debian package r-cran-janeaustenr (see README.md).

The package holds them as an R lazy-load database: `Rdata.rdx`, an index, and `Rdata.rdb`, one compressed
serialised character vector a novel. Only that much of R's format (version 3, XDR) is read here.
"""
import gzip
import hashlib
import io
import lzma
import pathlib
import struct
import subprocess
import tarfile
import tempfile
import zlib

PACKAGE = "r-cran-janeaustenr"
VERSION = "1.0.0-1"
DEB_SHA256 = "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95"
DATA = "./usr/lib/R/site-library/janeaustenr/data/Rdata."
TRAIN = ("emma", "mansfieldpark", "northangerabbey", "prideprejudice", "sensesensibility")
HELD_OUT = "persuasion"

LOGICALS, INTEGERS, STRINGS, LIST, STRING, SYMBOL, PAIRS, NIL, SEEN = 10, 13, 16, 19, 9, 1, 2, 254, 255


def download() -> bytes:
    """The package as Debian's apt gives it; refused unless it is the one that the model was trained on."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", f"{PACKAGE}={VERSION}"], cwd=folder, check=True)
        (path,) = pathlib.Path(folder).glob("*.deb")
        return path.read_bytes()


def novels(deb: bytes) -> dict[str, bytes]:
    """Every novel as UTF-8, lines joined by newlines, in the package's order."""
    if hashlib.sha256(deb).hexdigest() != DEB_SHA256:
        raise SystemExit(f"the package is not {PACKAGE} {VERSION} with SHA-256 {DEB_SHA256}")
    files = data_files(deb)
    index = Reader(gzip.decompress(files["rdx"])).document()
    database = files["rdb"]
    places = index["variables"]
    texts = {}
    for name, (offset, length) in places.items():
        size, data = struct.unpack(">I", database[offset : offset + 4])[0], database[offset + 4 : offset + length]
        raw = zlib.decompress(data)
        assert len(raw) == size
        texts[name] = "\n".join(Reader(raw).document()).encode()
    return texts


def data_files(deb: bytes) -> dict[str, bytes]:
    """A .deb is an ar archive; its member data.tar.xz holds the files."""
    position, members = 8, {}
    while position < len(deb):
        name, size = deb[position : position + 16].decode().strip(" /"), int(deb[position + 48 : position + 58])
        members[name] = deb[position + 60 : position + 60 + size]
        position += 60 + size + size % 2
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(members["data.tar.xz"]))) as tar:
        return {end: tar.extractfile(DATA + end).read() for end in ("rdx", "rdb")}


class Reader:
    """Lists, pair lists, integer and character vectors of R's serialisation."""

    def __init__(self, raw: bytes):
        self.raw, self.at, self.symbols = raw, 0, []

    def take(self, count: int) -> bytes:
        self.at += count
        return self.raw[self.at - count : self.at]

    def integer(self) -> int:
        return struct.unpack(">i", self.take(4))[0]

    def document(self):
        assert self.take(2) == b"X\n" and self.integer() == 3
        self.take(8)
        self.take(self.integer())
        return self.item()

    def item(self):
        flags = self.integer()
        kind, has_attributes = flags & 255, flags & 512
        if kind == NIL:
            return None
        if kind == SEEN:
            return self.symbols[(flags >> 8) - 1]
        if kind == SYMBOL:
            self.symbols.append(self.item())
            return self.symbols[-1]
        if kind == STRING:
            length = self.integer()
            encoding = "latin-1" if flags >> 12 & 4 else "utf-8"
            return None if length < 0 else self.take(length).decode(encoding)
        if kind == PAIRS:
            tag = self.item() if flags & 1024 else None
            head = self.item()
            return {tag: head, **(self.item() or {})}
        count = self.integer()
        if kind in (LOGICALS, INTEGERS):
            values = [self.integer() for _ in range(count)]
        elif kind in (LIST, STRINGS):
            values = [self.item() for _ in range(count)]
        else:
            raise SystemExit(f"R objects of type {kind} are not read here")
        names = (self.item() or {}).get("names") if has_attributes else None
        return dict(zip(names, values)) if names else values
