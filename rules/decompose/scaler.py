"""Write the Scaler of ai.onnx.ml out, because CANN registers nothing of that domain.

Why       scikit-learn's scalers in front of a network are exported as ai.onnx.ml.Scaler (E13010,
          in 8.1 E19010).
Rewrites  Scaler(x) -> (x - offset) * scale, in float32.
Leaves    More than two dims; inputs that are not float32; offset or scale of another length than 1
          or the number of features.
Exact     rounding: float32 within 2e-6.
Source    ONNX-ML operator schema Scaler-1; GE parser, registrations of August 2026.
"""

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeScaler(Rule):
    """Scaler -> Sub, Mul."""

    roots = ("ai.onnx.ml::Scaler",)
    exactness = Exactness.ROUNDING
    is_local = True

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the numbers fit the features."""
        x = node.input(0)
        if x is None or x.dtype != "float32":
            return No("the input is not float32")
        if x.shape is None or not 1 <= len(x.shape) <= 2:
            return No("it has not one or two dims")
        features = x.shape[-1]
        numbers = {}
        for name in ("offset", "scale"):
            written = list(node.attributes[name].floats) if name in node.attributes else []
            if not written or (len(written) > 1 and len(written) != features):
                return No(f"{name} does not fit the features")
            numbers[name] = np.array(written, np.float32)
        b = Builder(node, graph)
        centred = b.op("Sub", x.name, b.constant(numbers["offset"]))
        return b.site(b.op("Mul", centred, b.constant(numbers["scale"])))

    examples = (
        Example(
            "g (float[N,3] x) => (float[N,3] y) "
            "{ y = ai.onnx.ml.Scaler(x) <offset = [1.0, 2.0, 3.0], scale = [0.5, 0.25, 2.0]> }",
            after="g (float[N,3] x) => (float[N,3] y) <float[3] o = {1, 2, 3}, "
            "float[3] s = {0.5, 0.25, 2}> { c = Sub(x, o)  y = Mul(c, s) }",
        ),
        Example(
            "g (float[4,2] x) => (float[4,2] y) "
            "{ y = ai.onnx.ml.Scaler(x) <offset = [1.5], scale = [0.5, 0.25]> }",
            after=["Sub", "Mul"],
            opset=21,
            target=18,
        ),
        NearMiss(
            "g (int64[4,2] x) => (float[4,2] y) "
            "{ y = ai.onnx.ml.Scaler(x) <offset = [1.5], scale = [0.5]> }",
            reason="the input is not float32",
        ),
        NearMiss(
            "g (float[N,M] x) => (float[N,M] y) "
            "{ y = ai.onnx.ml.Scaler(x) <offset = [1.0, 2.0], scale = [0.5, 0.25]> }",
            reason="offset does not fit the features",
        ),
        NearMiss(
            "g (float[2,3,4] x) => (float[2,3,4] y) "
            "{ y = ai.onnx.ml.Scaler(x) <offset = [1.0], scale = [0.5]> }",
            reason="it has not one or two dims",
        ),
    )
