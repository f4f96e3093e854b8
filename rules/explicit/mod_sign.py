"""Spell the remainder out, because CANN's Mod does not say whose sign it takes.

Why       fmod is never read, and integer remainders of CANN may follow the dividend where ONNX
          follows the divisor.
Rewrites  integers over a constant divisor c: with n = a or, for a < 0, -1 - a (never negative) and
          r = n - n / |c| * |c|, the remainder is r or |c| - 1 - r (fmod: -(r + 1)), moved to the
          divisor's sign;
          floats with fmod 1 over a constant power of two: x - trunc(x / c) * c.
Leaves    Divisors that are not constant or hold 0; float divisors that are no power of two from 1
          up, whose quotient is rounded; unsigned integers and floats without fmod.
Exact     exact.
Source    ops-math math/mod/framework/mod_onnx_plugin.cpp, August 2026; ONNX operator schema
          Mod-10.
"""

import numpy as np

from graphfix.graph import Graph, Node, Value
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_SIGNED = ("int8", "int16", "int32", "int64")
_FLOATS = ("float16", "float32", "double")


class ModSign(Rule):
    """Mod over a constant divisor -> Div, Mul, Sub."""

    roots = ("Mod",)
    fixes = ("Mod/fmod", "Mod/sign")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a Mod over a constant divisor whose sign could matter."""
        fmod = "fmod" in node.attributes and node.attributes["fmod"].i != 0
        a, divisor = node.input(0), node.input(1)
        if a is None or divisor is None or a.dtype is None:
            return No("the element type is not known")
        if a.dtype not in _SIGNED and not (fmod and a.dtype in _FLOATS):
            return No(f"no sign is at stake with {a.dtype}")
        known = divisor.known
        if known is None or divisor.constant is None:
            return No("the divisor is no small constant")
        if (known == 0).any():
            return No("the divisor holds 0")
        b = Builder(node, graph)
        if a.dtype in _FLOATS:
            return self._float(b, a, known)
        return self._integer(b, a, known, fmod)

    @staticmethod
    def _float(b: Builder, a: Value, divisor: np.ndarray) -> Site | No:
        size = np.abs(divisor).astype(np.float64)
        if not (np.isfinite(size) & (size >= 1) & (np.frexp(size)[0] == 0.5)).all():
            return No("the divisor is no power of two from 1 up")
        quotient = b.op("Floor", b.op("Div", b.op("Abs", a.name), b.constant(size, a.dtype)))
        whole = b.op("Mul", b.op("Mul", quotient, b.constant(size, a.dtype)), b.op("Sign", a.name))
        return b.site(b.op("Sub", a.name, whole))

    @staticmethod
    def _integer(b: Builder, a: Value, divisor: np.ndarray, fmod: bool) -> Site | No:
        assert a.dtype is not None
        work = "int32" if a.dtype in ("int8", "int16") else a.dtype
        limits = np.iinfo(work)
        divisor = divisor.astype(np.int64)
        if (divisor == limits.min).any():
            return No("the divisor has no absolute value")
        size = b.constant(np.abs(divisor), work)
        x = b.cast(a.name, work) if work != a.dtype else a.name
        is_negative = b.op("Less", x, b.scalar(0, work))
        # a number that is never negative and has no overflow: a, or -1 - a below 0
        folded = b.op("Abs", b.op("Where", is_negative, b.op("Sub", b.scalar(-1, work), x), x))
        rest = b.op("Sub", folded, b.op("Mul", b.op("Div", folded, size), size))
        # of a < 0, the floored remainder by |c| is |c| - 1 - rest
        mirrored = b.op("Sub", b.constant(np.abs(divisor) - 1, work), rest)
        if fmod:
            # towards 0 instead: |c| away from the floored one, except where that is 0
            is_zero = b.op("Equal", mirrored, b.scalar(0, work))
            lower = b.op("Sub", mirrored, size)
            result = b.op("Where", is_negative, b.op("Where", is_zero, mirrored, lower), rest)
        else:
            result = b.op("Where", is_negative, mirrored, rest)
            if (divisor < 0).any():
                # of c < 0: c above the floored remainder by |c|, except where that is 0
                is_zero = b.op("Equal", result, b.scalar(0, work))
                step = b.constant(np.minimum(divisor, 0), work)
                result = b.op("Where", is_zero, result, b.op("Add", result, step))
        return b.site(b.cast(result, a.dtype) if work != a.dtype else result)

    examples = (
        Example(
            "g (int32[6] x) => (int32[6] y) <int32 c = {-3}> { y = Mod<fmod = 1>(x, c) }",
            after=[
                "Less",
                "Sub",
                "Where",
                "Abs",
                "Div",
                "Mul",
                "Sub",
                "Sub",
                "Equal",
                "Sub",
                "Where",
                "Where",
            ],
            opset=13,
        ),
        Example(
            "g (int64[N,1] x) => (int64[N,3] y) <int64[3] c = {3, -2, 7}>"
            " { y = Mod<fmod = 1>(x, c) }",
            after=[
                "Less",
                "Sub",
                "Where",
                "Abs",
                "Div",
                "Mul",
                "Sub",
                "Sub",
                "Equal",
                "Sub",
                "Where",
                "Where",
            ],
        ),
        Example(
            "g (int8[6] x) => (int8[6] y) <int8 c = {3}> { y = Mod<fmod = 1>(x, c) }",
            after=[
                "Cast",
                "Less",
                "Sub",
                "Where",
                "Abs",
                "Div",
                "Mul",
                "Sub",
                "Sub",
                "Equal",
                "Sub",
                "Where",
                "Where",
                "Cast",
            ],
        ),
        Example(
            "g (float[2,3] x) => (float[2,3] y) <float c = {1.0}> { y = Mod<fmod = 1>(x, c) }",
            after=["Abs", "Div", "Floor", "Mul", "Sign", "Mul", "Sub"],
        ),
        NearMiss(
            "g (int32[2,3] x) => (int32[2,3] y) <int32 c = {-3}> { y = Mod(x, c) }",
            reason="it would not lower the potential",  # a suspicion alone is not counted
        ),
        NearMiss(
            "g (int32[2] x, int32[2] c) => (int32[2] y) { y = Mod(x, c) }",
            reason="the divisor is no small constant",
        ),
        NearMiss(
            "g (int32[2] x) => (int32[2] y) <int32[2] c = {1, 0}> { y = Mod(x, c) }",
            reason="the divisor holds 0",
        ),
        NearMiss(
            "g (float[2] x) => (float[2] y) <float c = {0.1}> { y = Mod<fmod = 1>(x, c) }",
            reason="the divisor is no power of two",
        ),
        NearMiss(
            "g (uint8[2] x) => (uint8[2] y) <uint8 c = {3}> { y = Mod(x, c) }",
            reason="no sign is at stake",
        ),
    )
