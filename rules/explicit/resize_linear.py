"""Write a linear Resize as multiplications by constant matrices where CANN ignores attributes.

Why       antialias is not read, extrapolation_value and keep_aspect_ratio_policy neither; Upsample
          and opset 10 mean asymmetric coordinates and get half_pixel; half_pixel_symmetric is not
          known.
Rewrites  Resize<mode = linear>(x), Upsample likewise -> for each resized axis a MatMul with its
          interpolation matrix (Transposes around it for axes before the last two).
Leaves    Resized axes of unknown length; scales, sizes or regions that are not constant; integers;
          matrices of more than 4 million entries.
Exact     rounding: float32 within 1e-5; inputs are finite.
Source    ops-nn common/src/framework/resize_onnx_plugin.cpp, August 2026; ONNX operator schema
          Resize-19.
"""

from graphfix_rules.explicit import _resize as resize

from graphfix.graph import Graph, Node
from graphfix.rewrite import Exactness, Example, NearMiss, No, Rule, Site


class ResizeLinear(Rule):
    """Resize linear -> MatMul for each axis."""

    roots = ("Resize", "Upsample")
    exactness = Exactness.ROUNDING
    fixes = (
        "Resize/antialias-linear",
        "Resize/extrapolation-value",
        "Resize/half-pixel-symmetric",
        "Resize/keep-aspect-ratio",
        "Resize/opset-10-linear",
        "Upsample/opset-9-linear",
    )
    tolerance = 1e-5

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a linear Resize of known geometry."""
        return resize.interpolate(node, graph, "linear")

    examples = (
        Example(
            "g (float[1,2,8,9] x) => (float[1,2,4,3] y) <int64[4] s = {1, 2, 4, 3}>"
            ' { y = Resize<mode = "linear", antialias = 1>(x, , , s) }',
            after=["MatMul", "MatMul"],
            opset=18,
        ),
        Example(
            "g (float[N,2,3,4] x) => (float[N,2,6,8] y) <float[4] s = {1.0, 1.0, 2.0, 2.0}>"
            ' { y = Resize<mode = "linear">(x, s) }',
            after=["MatMul", "MatMul"],
            opset=10,
        ),
        Example(
            "g (float[1,1,6,6] x) => (float[1,1,3,4] y)"
            " <float[4] r = {0.0, 0.25, 1.0, 1.5}, int64[2] s = {3, 4}, float[0] n = {}>"
            ' { y = Resize<mode = "linear", antialias = 1, axes = [2, 3],'
            " extrapolation_value = 5.0,"
            ' coordinate_transformation_mode = "tf_crop_and_resize">(x, r, n, s) }',
            after=["MatMul", "MatMul", "Add"],
            opset=18,
        ),
        Example(
            "g (float[1,2,3,4] x) => (float[1,2,6,8] y) <float[4] s = {1.0, 1.0, 2.0, 2.0}>"
            ' { y = Upsample<mode = "linear">(x, s) }',
            after=["MatMul", "MatMul"],
            opset=9,
        ),
        Example(
            "g (float[1,2,6,8] x) => (float[1,2,3,4] y) <int64[2] s = {3, 5}>"
            ' { y = Resize<mode = "linear", axes = [2, 3],'
            ' keep_aspect_ratio_policy = "not_larger">(x, , , s) }',
            after=["MatMul", "MatMul"],
            opset=18,
        ),
        NearMiss(
            "g (float[1,2,H,9] x) => (float[1,2,J,9] y) <float[4] s = {1.0, 1.0, 0.5, 1.0}>"
            ' { y = Resize<mode = "linear", antialias = 1>(x, , s) }',
            reason="the length of a resized axis is not known",
            opset=18,
        ),
        NearMiss(
            "g (float[1,2,4,9] x) => (float[1,2,2,9] y) <float[4] s = {1.0, 1.0, 0.5, 1.0}>"
            ' { y = Resize<mode = "nearest">(x, , s) }',
            reason="the mode is not linear",
        ),
        NearMiss(
            "g (float[1,2,4,9] x, float[4] s) => (float[1,2,H,W] y)"
            ' { y = Resize<mode = "linear">(x, , s) }',
            reason="scales and sizes are not constant",
        ),
    )
