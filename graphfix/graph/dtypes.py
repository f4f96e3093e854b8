"""ONNX element types by number and by the names that this product uses."""

from __future__ import annotations

import numpy as np

# names as in op_support: numpy's, except `double`, as ONNX and the kernel tables say
NAMES: dict[int, str] = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "double",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
    24: "float8e8m0",
    25: "uint2",
    26: "int2",
    27: "float6e2m3",
    28: "float6e3m2",
}
NUMBERS: dict[str, int] = {name: number for number, name in NAMES.items()}

FLOATS = frozenset({"float32", "float16", "bfloat16", "double"})

# bits of one element, for the element types whose raw bytes can be measured
BITS: dict[int, int] = {
    1: 32,
    2: 8,
    3: 8,
    4: 16,
    5: 16,
    6: 32,
    7: 64,
    9: 8,
    10: 16,
    11: 64,
    12: 32,
    13: 64,
    14: 64,
    15: 128,
    16: 16,
    17: 8,
    18: 8,
    19: 8,
    20: 8,
    21: 4,
    22: 4,
    23: 4,
    24: 8,
    25: 2,
    26: 2,
}

# the types whose raw bytes numpy reads without help
NUMPY: dict[int, str] = {
    1: "<f4",
    2: "u1",
    3: "i1",
    4: "<u2",
    5: "<i2",
    6: "<i4",
    7: "<i8",
    9: "?",
    10: "<f2",
    11: "<f8",
    12: "<u4",
    13: "<u8",
}


def name(number: int) -> str:
    """Return the name of element type `number`; `type77` for one that ONNX does not know."""
    return NAMES.get(number, f"type{number}")


def numpy_dtype(number: int) -> np.dtype[np.generic] | None:
    """Return the numpy dtype of element type `number`, None where numpy has none."""
    code = NUMPY.get(number)
    return np.dtype(code) if code else None
