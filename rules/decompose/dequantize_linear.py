"""Write DequantizeLinear out, because CANN registers it at no opset.

Why       Quantized ONNX models hold pairs of QuantizeLinear and DequantizeLinear; the parser of
          ATC knows neither (E19010).
Rewrites  Cast to float32, Sub of the zero point, Mul by the scale, Cast where the result is no
          float32; scales of an axis or of blocks are reshaped to broadcast.
Leaves    4-bit and float8 numbers, for which CANN has no type; unknown types; scales of blocks
          over an open shape.
Exact     rounding: float32 within 2e-6. The integers are exact in float32.
Source    ONNX operator schema DequantizeLinear-23; registrations of the ops-* plugins, August 2026.
"""

from graphfix_rules.decompose import _quantize as quantize

from graphfix.graph import Graph, Node, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeDequantizeLinear(Rule):
    """DequantizeLinear -> Cast, Sub, Mul."""

    roots = ("DequantizeLinear",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where types and the form of the scale are known."""
        x, scale, zero = node.input(0), node.input(1), node.input(2)
        if x is None or scale is None:
            return No("an input is missing")
        out = dtypes.NAMES.get(quantize.number(node, "output_dtype", 0), scale.dtype)
        for dtype in (x.dtype, scale.dtype, out):
            problem = quantize.known_type(dtype)
            if problem is not None:
                return No(problem)
        b = Builder(node, graph)
        axis, block = quantize.number(node, "axis", 1), quantize.number(node, "block_size", 0)
        spread = quantize.Spread(b, x, scale, axis, block)
        problem = spread.problem or spread.misfit(zero)
        if problem is not None:
            return No(problem)
        assert out is not None
        factor = spread(quantize.as_float(b, scale))
        if zero is None or quantize.is_zero(zero):
            steps = b.cast(x.name, "float32")
        elif x.dtype == "int32":  # beyond 2^24 only the difference may be rounded
            steps = b.cast(b.op("Sub", x.name, spread(zero.name, zero)), "float32")
        else:
            steps = quantize.centred(b, x, zero, spread(zero.name, zero))
        y = b.op("Mul", steps, factor)
        return b.site(y if out == "float32" else b.cast(y, out))

    examples = (
        Example(
            "g (uint8[2,3] x) => (float[2,3] y) <float s = {0.1}, uint8 z = {128}>"
            " { y = DequantizeLinear(x, s, z) }",
            after=["Cast", "Cast", "Sub", "Mul"],
            opset=13,
        ),
        Example(
            "g (int8[N,3,4] x) => (float[N,3,4] y) <float[3] s = {0.1, 0.2, 0.5},"
            " int8[3] z = {1, -2, 3}> { y = DequantizeLinear(x, s, z) }",
            after=["Reshape", "Reshape", "Cast", "Cast", "Sub", "Mul"],
            opset=13,
        ),
        Example(
            "g (int32[2,3] x, float s) => (float[2,3] y) { y = DequantizeLinear(x, s) }",
            after=["Cast", "Mul"],
            opset=10,
        ),
        Example(
            "g (int8[2,5] x, float16[2,3] s) => (float16[2,5] y)"
            " { y = DequantizeLinear<axis = 1, block_size = 2>(x, s) }",
            after=["Cast", "Unsqueeze", "Expand", "Reshape", "Slice", "Cast", "Mul", "Cast"],
            opset=21,
            target=17,
        ),
        NearMiss(
            "g (uint4[2,3] x, float s) => (float[2,3] y) { y = DequantizeLinear(x, s) }",
            reason="CANN has no type for uint4",
            opset=21,
            target=17,
        ),
        NearMiss(
            "g (int8[N,4] x, float[N,2] s) => (float[N,4] y)"
            " { y = DequantizeLinear<block_size = 2>(x, s) }",
            reason="blocks of an open shape",
            opset=21,
            target=17,
        ),
        NearMiss(
            "g (int8[3,4] x, float[] s) => (float[3,4] y) { y = DequantizeLinear(x, s) }",
            reason="the rank of the scale is not known",
        ),
    )
