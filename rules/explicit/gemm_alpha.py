"""Take alpha out of a Gemm that has no C, because CANN drops it there.

Why       Without C the plugin makes a plain MatMulV2 and the product comes out unscaled; a C that
          is listed with an empty name stays unconnected (E19999).
Rewrites  Gemm<alpha>(A, B) -> Mul(Gemm(A, B), alpha); a power of two goes into a small constant B.
          beta goes, for there is nothing that it scales.
Leaves    A Gemm with C, where CANN scales both sides; integers.
Exact     rounding: float32 within 1e-5; results beyond the range of the type before alpha brings
          them back are infinite.
Source    ops-nn common/src/framework/gemm_onnx_plugin.cpp, August 2026.
"""

import math

import numpy as np

from graphfix.graph import Graph, Node, Value, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class GemmAlpha(Rule):
    """Gemm without C but with alpha -> Gemm and Mul."""

    roots = ("Gemm",)
    exactness = Exactness.ROUNDING
    fixes = ("Gemm/alpha-without-c",)
    tolerance = 1e-5

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a Gemm without C whose alpha is not 1, or whose C is listed but empty."""
        x, weight = node.input(0), node.input(1)
        b = Builder(node, graph)
        if b.given(2):
            return No("it has a C")
        if x is None or weight is None:
            return No("an input is missing")
        alpha = float(node.attributes["alpha"].f) if "alpha" in node.attributes else 1.0
        if alpha == 1.0 and len(node.inputs) == 2:
            return No("alpha is 1")
        if x.dtype not in dtypes.FLOATS:
            return No("the element type is not a known float")
        scaled = _scaled(weight, alpha)
        inputs = [x.name, weight.name if scaled is None else b.constant(scaled)]
        product = b.copy(node, inputs, alpha=None, beta=None)[0]
        if scaled is None and alpha != 1.0:
            product = b.op("Mul", product, b.scalar(alpha, x))
        return b.site(product)

    examples = (
        Example(
            "g (float[N,3] x, float[4,3] w) => (float[N,4] y) "
            "{ y = Gemm<alpha = 0.3, transB = 1>(x, w) }",
            after="g (float[N,3] x, float[4,3] w) => (float[N,4] y) <float a = {0.3}> "
            "{ h = Gemm<transB = 1>(x, w)  y = Mul(h, a) }",
        ),
        Example(
            "g (float[2,3] x) => (float[2,2] y) "
            "<float[3,2] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}> "
            "{ y = Gemm<alpha = 0.5, beta = 2.0>(x, w) }",
            after="g (float[2,3] x) => (float[2,2] y) "
            "<float[3,2] w = {0.5, 1.0, 1.5, 2.0, 2.5, 3.0}> { y = Gemm(x, w) }",
            opset=11,
        ),
        Example(
            "g (float[3,2] x, float[3,2] w) => (float[2,2] y) "
            '{ y = Gemm<alpha = -2.5, transA = 1>(x, w, "") }',
            after=["Gemm", "Mul"],
            opset=13,
        ),
        NearMiss(
            "g (float[2,3] x, float[3,2] w, float[2] c) => (float[2,2] y) "
            "{ y = Gemm<alpha = 0.5>(x, w, c) }",
            reason="it has a C",
        ),
        NearMiss(
            "g (float[2,3] x, float[3,2] w) => (float[2,2] y) { y = Gemm<beta = 0.5>(x, w) }",
            reason="alpha is 1",
        ),
        NearMiss(
            "g (int32[2,3] x, int32[3,2] w) => (int32[2,2] y) { y = Gemm<alpha = 2.0>(x, w) }",
            reason="the element type is not a known float",
        ),
    )


def _scaled(weight: Value, alpha: float) -> np.ndarray | None:
    """Return a small constant weight times alpha where that rounds nothing, else None."""
    if alpha == 1.0 or abs(math.frexp(alpha)[0]) != 0.5 or weight.constant is None:
        return None
    array = weight.known
    if array is None or array.dtype not in (np.float32, np.float64):
        return None
    with np.errstate(all="ignore"):
        scaled: np.ndarray = (array * array.dtype.type(alpha)).astype(array.dtype)
        back = scaled / array.dtype.type(alpha)
    return scaled if np.isfinite(scaled).all() and (back == array).all() else None
