"""Write mode and padding_mode of GridSample out, in the words that CANN knows.

Why       Left out, CANN sets empty names instead of bilinear and zeros; opset 20 renamed bilinear
          and bicubic to linear and cubic, and registrations end at 18.
Rewrites  GridSample(x, grid) -> GridSample<mode = bilinear, padding_mode = zeros>(x, grid);
          from opset 20 down: linear -> bilinear, cubic -> bicubic.
Leaves    A node that has both; from opset 20 down, inputs that are not known to be 4-D.
Exact     exact.
Source    ops-cv image/grid_sample/framework/grid_sample_onnx_plugin.cpp, August 2026; ONNX
          operator schemas GridSample-16, GridSample-20.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_OLD_NAMES = {"linear": "bilinear", "cubic": "bicubic"}


class GridSampleAttributes(Rule):
    """GridSample -> with mode and padding_mode of opset 16."""

    roots = ("GridSample",)
    fixes = (
        "GridSample/mode-omitted",
        "GridSample/padding-mode-omitted",
        "GridSample/mode-names",
    )

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on omitted attributes, and on the names of opset 20 where an older one is due."""
        b = Builder(node, graph)
        source = graph.model.opset or 0
        is_lowered = source >= 20 > b.opset
        mode, padding = node.attributes.get("mode"), node.attributes.get("padding_mode")
        if mode is not None and padding is not None and not is_lowered:
            return No("mode and padding_mode are written out")
        x = node.input(0)
        if is_lowered and (x is None or x.shape is None or len(x.shape) != 4):
            return No("below opset 20 only 4-D inputs are sampled")
        name = mode.s.decode() if mode is not None else "linear" if source >= 20 else "bilinear"
        if is_lowered:
            name = _OLD_NAMES.get(name, name)
        border = padding.s.decode() if padding is not None else "zeros"
        return b.site(b.copy(node, mode=name, padding_mode=border)[0])

    examples = (
        Example(
            "g (float[1,2,3,4] x, float[1,5,6,2] g) => (float[1,2,5,6] y)"
            " { y = GridSample<align_corners = 1>(x, g) }",
            after="g (float[1,2,3,4] x, float[1,5,6,2] g) => (float[1,2,5,6] y)"
            ' { y = GridSample<align_corners = 1, mode = "bilinear", padding_mode = "zeros">(x, g)'
            " }",
        ),
        Example(
            "g (float[N,2,3,4] x, float[N,5,6,2] g) => (float[N,2,5,6] y)"
            ' { y = GridSample<mode = "bicubic">(x, g) }',
            after="g (float[N,2,3,4] x, float[N,5,6,2] g) => (float[N,2,5,6] y)"
            ' { y = GridSample<mode = "bicubic", padding_mode = "zeros">(x, g) }',
            opset=16,
        ),
        NearMiss(
            "g (float[1,2,3,4] x, float[1,5,6,2] g) => (float[1,2,5,6] y)"
            ' { y = GridSample<mode = "nearest", padding_mode = "zeros">(x, g) }',
            reason="mode and padding_mode are written out",
        ),
        NearMiss(
            "g (float[1,2,3,4] x, float[1,5,6,2] g) => (float[1,2,5,6] y)"
            ' { y = GridSample<align_corners = 1, mode = "bilinear", padding_mode = "border">(x, g)'
            " }",
            reason="mode and padding_mode are written out",
            opset=18,
        ),
    )
