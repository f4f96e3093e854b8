"""Write a cubic Resize as multiplications by constant matrices where CANN ignores attributes.

Why       cubic_coeff_a, exclude_outside, antialias and extrapolation_value are never read; the
          graph always holds -0.75, 0 and no filter.
Rewrites  Resize<mode = cubic>(x) -> for each resized axis a MatMul with its interpolation matrix
          (Transposes around it for axes before the last two).
Leaves    Resized axes of unknown length; scales, sizes or regions that are not constant; integers;
          a kept aspect ratio; matrices of more than 4 million entries.
Exact     rounding: float32 within 2e-5; inputs are finite.
Source    ops-nn common/src/framework/resize_onnx_plugin.cpp, August 2026; ONNX operator schema
          Resize-19.
"""

from graphfix_rules.explicit import _resize as resize

from graphfix.graph import Graph, Node
from graphfix.rewrite import Exactness, Example, NearMiss, No, Rule, Site


class ResizeCubic(Rule):
    """Resize cubic -> MatMul for each axis."""

    roots = ("Resize",)
    exactness = Exactness.ROUNDING
    fixes = ("Resize/cubic-coefficient", "Resize/exclude-outside", "Resize/antialias-cubic")
    tolerance = 2e-5

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a cubic Resize of known geometry."""
        return resize.interpolate(node, graph, "cubic")

    examples = (
        Example(
            "g (float[1,2,5,6] x) => (float[1,2,10,9] y) <float[4] s = {1.0, 1.0, 2.0, 1.5}>"
            ' { y = Resize<mode = "cubic", cubic_coeff_a = -0.5>(x, , s) }',
            after=["MatMul", "MatMul"],
        ),
        Example(
            "g (float[N,2,6,5] x) => (float[N,2,4,7] y)"
            " <float[4] s = {1.0, 1.0, 0.7, 1.5}>"
            ' { y = Resize<mode = "cubic", exclude_outside = 1,'
            ' coordinate_transformation_mode = "align_corners">(x, , s) }',
            after=["MatMul", "MatMul"],
            opset=13,
        ),
        Example(
            "g (float[1,1,9,8] x) => (float[1,1,4,8] y) <int64[4] s = {1, 1, 4, 8}>"
            ' { y = Resize<mode = "cubic", antialias = 1>(x, , , s) }',
            after=["MatMul"],
            opset=18,
        ),
        NearMiss(
            "g (float[1,2,H,9] x) => (float[1,2,J,9] y) <float[4] s = {1.0, 1.0, 0.5, 1.0}>"
            ' { y = Resize<mode = "cubic", exclude_outside = 1>(x, , s) }',
            reason="the length of a resized axis is not known",
        ),
        NearMiss(
            "g (float[1,2,4,9] x) => (float[1,2,4,9] y) <float[4] s = {1.0, 1.0, 1.0, 1.0}>"
            ' { y = Resize<mode = "cubic", exclude_outside = 1>(x, , s) }',
            reason="nothing is resized",
        ),
        NearMiss(
            "g (float[1,2,4,9] x) => (float[1,2,2,9] y) <float[4] s = {1.0, 1.0, 0.5, 1.0}>"
            ' { y = Resize<mode = "linear">(x, , s) }',
            reason="the mode is not cubic",
        ),
    )
