"""Writes vectors/numpy-files.json: files as NumPy itself writes them, and what they hold.

    pip install numpy && python scripts/vectors/numpy-files.py
"""

import hashlib
import io
import json
import pathlib

import numpy as np


def npy(array, version=None, allow_pickle=False):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=allow_pickle)
    return file.getvalue().hex()


def case(name, array, dtype, **options):
    data = [str(x) if dtype in ("int64", "uint64") else x for x in array.flatten().tolist()]
    return {"name": name, "file": npy(array, **options), "dtype": dtype, "shape": list(array.shape), "data": data}


def archive(save, *args, **named):
    file = io.BytesIO()
    save(file, *args, **named)
    return file.getvalue().hex()


halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype("<f8")
finite = np.nan_to_num(halves, nan=-1, posinf=1e9, neginf=-1e9)
rng = np.random.default_rng(1)
doubles = np.concatenate(
    [
        rng.uniform(-70000, 70000, 60),
        rng.uniform(-1e-4, 1e-4, 60),
        10.0 ** rng.uniform(-9, 5, 60),
        [0.0, -0.0, 65504, 65519.99, 65520, -65520, 2**-24, 2**-25, 2**-25 * 1.0001, 2**-14, 1 + 2**-11, 1 + 3 * 2**-11],
    ]
)
vectors = {
    "provenance": f"numpy {np.__version__}; scripts/vectors/numpy-files.py",
    "npy": [
        case("float32", np.array([[1.5, -2, 0], [3, 4, 5]], dtype="<f4"), "float32"),
        case("scalar", np.array(2.5, dtype="<f8"), "float64"),
        case("one dimension", np.array([-1, 2**62], dtype="<i8"), "int64"),
        case("bool", np.array([True, False]), "bool"),
        case("text", np.array(["a", "h\u00e9", "\U0001f600x"]), "string"),
        case("empty", np.zeros((0, 3), dtype="<u2"), "uint16"),
        case("bytes", np.arange(-3, 3, dtype="i1").reshape(1, 3, 2), "int8"),
    ],
    "converted": [
        case("Fortran order, 2 dimensions", np.asfortranarray(np.arange(6, dtype="<i2").reshape(2, 3)), "int16"),
        case("Fortran order, 3 dimensions", np.asfortranarray(np.arange(24, dtype="u1").reshape(2, 3, 4)), "uint8"),
        case("Fortran order, text", np.asfortranarray(np.array([["a", "b"], ["c", "d"]])), "string"),
        case("big-endian", np.array([1, -2], dtype=">i8"), "int64"),
        case("big-endian floats", np.array([0.1, -7e200], dtype=">f8"), "float64"),
        case("big-endian text", np.array(["ab", "\u20ac"], dtype=">U2"), "string"),
        case("version 2.0", np.array([7], dtype="<u4"), "uint32", version=(2, 0)),
        case("version 3.0", np.array([7], dtype="<u4"), "uint32", version=(3, 0)),
    ],
    "refused": {
        "objects": npy(np.array([None], dtype=object), allow_pickle=True),
        "structured": npy(np.zeros(1, dtype=[("a", "<i4"), ("b", "<f4")])),
        "dates": npy(np.array(["2020-01-01"], dtype="M8[D]")),
        "byte strings": npy(np.array([b"ab"])),
        "complex": npy(np.array([1j])),
    },
    "npz": {
        "stored": archive(np.savez, x=np.array([1, 2], dtype="<f4"), y=np.array([3], dtype="<i8")),
        "deflated": archive(np.savez_compressed, np.zeros(100, dtype="<f4")),
    },
    "half": {
        "allAsDoublesSha256": hashlib.sha256(finite.astype("<f8").tobytes()).hexdigest(),
        "rounding": [[x, int(np.float64(x).astype(np.float16).view(np.uint16))] for x in doubles.tolist()],
    },
}
path = pathlib.Path(__file__).parents[2] / "vectors" / "numpy-files.json"
path.parent.mkdir(exist_ok=True)
path.write_text(json.dumps(vectors, indent=1) + "\n")
