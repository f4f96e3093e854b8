"""Write QuantizeLinear out, because CANN registers it at no opset.

Why       Quantized ONNX models hold pairs of QuantizeLinear and DequantizeLinear; the parser of
          ATC knows neither (E19010).
Rewrites  Div by the scale in float32, Round (half to even), Add of the zero point, Clip to the
          range of the type, Cast; scales of an axis or of blocks are reshaped to broadcast.
Leaves    4-bit and float8 numbers, for which CANN has no type; unknown types; scales of blocks
          over an open shape; a precision other than float32.
Exact     the integers are equal; ONNX does not say what NaN or a scale of 0 become.
Source    ONNX operator schema QuantizeLinear-23; registrations of the ops-* plugins, August 2026.
"""

from graphfix_rules.decompose import _quantize as quantize

from graphfix.graph import Graph, Node, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeQuantizeLinear(Rule):
    """QuantizeLinear -> Div, Round, Add, Clip, Cast."""

    roots = ("QuantizeLinear",)
    exactness = Exactness.ROUNDING  # integers are compared as they are; NaN is left out
    fixes = ("GF101",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where types and the form of the scale are known."""
        x, scale, zero = node.input(0), node.input(1), node.input(2)
        if x is None or scale is None:
            return No("an input is missing")
        asked = dtypes.NAMES.get(quantize.number(node, "output_dtype", 0), "uint8")
        out = zero.dtype if zero is not None else asked
        for dtype in (x.dtype, scale.dtype, out):
            problem = quantize.known_type(dtype)
            if problem is not None:
                return No(problem)
        if out not in quantize.RANGES:
            return No(f"the result is {out}, no 8 or 16 bits wide integer")
        if quantize.number(node, "precision", 0) not in (0, dtypes.NUMBERS["float32"]):
            return No("it asks for another precision than float32")
        b = Builder(node, graph)
        if b.opset < 11:
            return No("below opset 11 there is no Round")
        axis, block = quantize.number(node, "axis", 1), quantize.number(node, "block_size", 0)
        spread = quantize.Spread(b, x, scale, axis, block)
        problem = spread.problem or spread.misfit(zero)
        if problem is not None:
            return No(problem)
        steps = b.op("Div", quantize.as_float(b, x), spread(quantize.as_float(b, scale)))
        added = ""
        if zero is not None and not quantize.is_zero(zero):
            added = b.cast(spread(zero.name, zero), "float32")
        return b.site(quantize.saturated(b, steps, added, out))

    examples = (
        Example(
            "g (float[2,3] x) => (uint8[2,3] y) <float s = {0.1}, uint8 z = {128}>"
            " { y = QuantizeLinear(x, s, z) }",
            after=["Div", "Cast", "Round", "Add", "Clip", "Cast"],
            opset=13,
        ),
        Example(
            "g (float[N,3,4] x) => (int8[N,3,4] y) <float[3] s = {0.1, 0.2, 0.5},"
            " int8[3] z = {0, 0, 0}> { y = QuantizeLinear(x, s, z) }",
            after=["Reshape", "Div", "Round", "Clip", "Cast"],
        ),
        Example(
            "g (float[4,5] x) => (int16[4,5] y) <float[2,5] s = {0.1, 0.2, 0.5, 1.0, 2.0,"
            " 0.25, 0.125, 3.0, 1.0, 0.5}>"
            " { y = QuantizeLinear<axis = 0, block_size = 2, output_dtype = 5>(x, s) }",
            after=["Unsqueeze", "Expand", "Reshape", "Div", "Round", "Clip", "Cast"],
            opset=21,
            target=17,
        ),
        Example(
            "g (float[2,3] x) => (uint8[2,3] y) <float[1] s = {0.1}, uint8 z = {128}>"
            " { y = QuantizeLinear(x, s, z) }",
            after=["Squeeze", "Div", "Cast", "Round", "Add", "Clip", "Cast"],
            opset=13,
        ),
        NearMiss(
            "g (float[2,3] x) => (int4[2,3] y) <float s = {0.5}>"
            " { y = QuantizeLinear<output_dtype = 22>(x, s) }",
            reason="CANN has no type for int4",
            opset=21,
            target=17,
        ),
        NearMiss(
            "g (float[2,3] x, float s) => (uint8[2,3] y) { y = QuantizeLinear(x, s) }",
            reason="below opset 11 there is no Round",
            opset=10,
        ),
        NearMiss(
            "g (float[2,3] x, float[] s) => (uint8[2,3] y) { y = QuantizeLinear(x, s) }",
            reason="the rank of the scale is not known",
        ),
    )
