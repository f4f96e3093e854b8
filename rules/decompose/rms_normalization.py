"""Write RMSNormalization out, because CANN registers no such operator at any opset.

Why       RMSNormalization starts at opset 23; registrations end at 18 (E13010, in 8.1 E19010).
Rewrites  Y = X / Sqrt(ReduceMean(X * X) + epsilon) * scale, up to the division in the type that
          stash_type names (float32).
Leaves    X whose element type or rank is not known; an axis outside the rank; a stash_type that is
          no float type; a scale of another element type than X.
Exact     rounding: float32 within 3e-6.
Source    ONNX operator schema RMSNormalization-23; registrations of the ops-* plugins, August 2026.
"""

from graphfix.graph import Graph, Node, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeRMSNormalization(Rule):
    """RMSNormalization -> ReduceMean form."""

    roots = ("RMSNormalization",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101", "GF102")
    is_local = True
    tolerance = 3e-6

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire when type and rank are known."""
        x, scale = node.input(0), node.input(1)
        if x is None or scale is None or x.dtype is None or x.shape is None:
            return No("the element type or the rank is not known")
        if scale.dtype != x.dtype:
            return No("the scale has another element type")
        attributes, rank = node.attributes, len(x.shape)
        axis = int(attributes["axis"].i) if "axis" in attributes else -1
        if not -rank <= axis < rank:
            return No("the axis lies outside the rank")
        epsilon = attributes["epsilon"].f if "epsilon" in attributes else 1e-5
        number = int(attributes["stash_type"].i) if "stash_type" in attributes else 1
        stash = dtypes.NAMES.get(number, "")
        if stash not in dtypes.FLOATS:
            return No("stash_type is no float type")

        b = Builder(node, graph)
        source = x.name if x.dtype == stash else b.cast(x.name, stash)
        square = b.op("Mul", source, source)
        mean = b.reduce("ReduceMean", square, range(axis % rank, rank))
        root = b.op("Sqrt", b.op("Add", mean, b.scalar(epsilon, stash)))
        normal = b.op("Div", source, root)
        if x.dtype != stash:
            normal = b.cast(normal, x.dtype)
        return b.site(b.op("Mul", normal, scale.name))

    examples = (
        Example(
            "g (float[2,3,4] x, float[4] s) => (float[2,3,4] y) { y = RMSNormalization(x, s) }",
            after=["Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul"],
            opset=23,
            target=18,
        ),
        Example(
            "g (float[N,3,4] x, float[3,4] s) => (float[N,3,4] y)"
            " { y = RMSNormalization<axis = 1, epsilon = 0.01>(x, s) }",
            after=["Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul"],
            opset=23,
            target=18,
        ),
        Example(
            "g (float16[2,N,4] x, float16[4] s) => (float16[2,N,4] y)"
            " { y = RMSNormalization<axis = -1, stash_type = 1>(x, s) }",
            after=["Cast", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Cast", "Mul"],
            opset=24,
            target=18,
        ),
        NearMiss(
            "g (float[] x, float[4] s) => (float[] y) { y = RMSNormalization(x, s) }",
            reason="the element type or the rank is not known",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float16[2,4] x, float[4] s) => (float[2,4] y) { y = RMSNormalization(x, s) }",
            reason="the scale has another element type",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,4] x, float[4] s) => (float[2,4] y)"
            " { y = RMSNormalization<stash_type = 6>(x, s) }",
            reason="stash_type is no float type",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,4] x, float[4] s) => (float[2,4] y)"
            " { y = RMSNormalization<axis = -3>(x, s) }",
            reason="the axis lies outside the rank",
            opset=23,
            target=17,
        ),
    )
