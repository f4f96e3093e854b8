"""Give LayerNormalization a bias of its own type, because CANN puts a float32 zero in its place.

Why       Without a bias the plugin makes one of float32, also where the input is float16.
Rewrites  LayerNormalization(x, scale) -> LayerNormalization(x, scale, zeros like scale).
Leaves    A bias that is given; float32; a scale of unknown shape; a used Mean or InvStdDev.
Exact     exact.
Source    ops-nn common/src/framework/layer_normalization_onnx_plugin.cpp, August 2026; ONNX
          operator schema LayerNormalization-17.
"""

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class LayerNormalizationBias(Rule):
    """LayerNormalization without bias -> with one of zeros."""

    roots = ("LayerNormalization",)
    fixes = ("LayerNormalization/bias-type",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on half types without a bias."""
        x, scale = node.input(0), node.input(1)
        if node.input(2) is not None:
            return No("the bias is given")
        if x is None or scale is None or x.dtype not in ("float16", "bfloat16"):
            return No("the input is not known to be of a half type")
        if scale.shape is None or not all(isinstance(d, int) for d in scale.shape):
            return No("the shape of the scale is not known")
        if len([name for name in node.outputs if name]) > 1:
            return No("further outputs are asked for")
        b = Builder(node, graph)
        zeros = b.constant(np.zeros([int(str(d)) for d in scale.shape]), x.dtype)
        return b.site(b.copy(node, [*node.inputs[:2], zeros])[0])

    examples = (
        Example(
            "g (float16[2,3,4] x, float16[4] s) => (float16[2,3,4] y)"
            " { y = LayerNormalization(x, s) }",
            after=["LayerNormalization"],
        ),
        Example(
            "g (float16[N,3,4] x, float16[3,4] s) => (float16[N,3,4] y)"
            " { y = LayerNormalization<axis = 1>(x, s) }",
            after=["LayerNormalization"],
        ),
        NearMiss(
            "g (float[2,3,4] x, float[4] s) => (float[2,3,4] y) { y = LayerNormalization(x, s) }",
            reason="not known to be of a half type",
        ),
        NearMiss(
            "g (float16[2,3,4] x, float16[4] s, float16[4] b) => (float16[2,3,4] y)"
            " { y = LayerNormalization(x, s, b) }",
            reason="the bias is given",
        ),
        NearMiss(
            "g (float16[2,3,C] x, float16[C] s) => (float16[2,3,C] y)"
            " { y = LayerNormalization(x, s) }",
            reason="the shape of the scale is not known",
        ),
    )
