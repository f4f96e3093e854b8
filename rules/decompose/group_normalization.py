"""Write GroupNormalization out, because CANN registers none at any opset.

Why       GroupNormalization starts at opset 18, and no plugin knows it (E13010, in 8.1 E19010).
Rewrites  Reshape to (N, G, -1); D = X - ReduceMean(X); D / Sqrt(ReduceMean(D * D) + epsilon);
          Reshape back; Mul scale, Add bias. Below opset 21 scale and bias hold one number for each
          group and are applied before the shape comes back; from 21 on one for each channel, and
          the normalization runs in the type that stash_type names (float32).
Leaves    X whose element type, rank or number of channels is not known; channels that do not divide
          into the groups; scale or bias of another length or type; a stash_type that is no float
          type.
Exact     rounding: float32 within 5e-4. ONNX's own function takes the variance as
          mean(X * X) - mean(X)^2, which cancels where the mean is far from zero; the centred form
          here does not, so the two differ by what that function loses.
Source    ONNX operator schemas GroupNormalization-18 and -21 and their function bodies; ops-nn
          norm, August 2026.
"""

from graphfix.graph import Graph, Node, Shape, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


def _shape_back(b: Builder, value: str, x: str, shape: Shape) -> str:
    """Give `value` the shape of x: constant dims where at most one is open, else Shape."""
    batch = shape[0] if isinstance(shape[0], int) else 0
    rest = [d if isinstance(d, int) else -1 for d in shape[1:]]
    if rest.count(-1) <= 1 and 0 not in (*rest, *shape[:1]):
        return b.reshape(value, [batch, *rest])
    return b.op("Reshape", value, b.op("Shape", x))


class DecomposeGroupNormalization(Rule):
    """GroupNormalization -> ReduceMean form on (N, G, -1)."""

    roots = ("GroupNormalization",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101", "GF102")
    is_local = True
    tolerance = 5e-4

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire when the element type and the number of channels are known."""
        x, scale, bias = node.input(0), node.input(1), node.input(2)
        if x is None or scale is None or bias is None or x.dtype is None or x.shape is None:
            return No("the element type or the rank is not known")
        if len(x.shape) < 2 or not isinstance(x.shape[1], int) or x.shape[1] == 0:
            return No("the number of channels is not known")
        attributes, rank, channels = node.attributes, len(x.shape), x.shape[1]
        groups = int(attributes["num_groups"].i) if "num_groups" in attributes else 0
        if groups <= 0 or channels % groups:
            return No("the channels do not divide into the groups")
        if scale.dtype != x.dtype or bias.dtype != x.dtype:
            return No("scale or bias has another element type")
        per_channel = (graph.model.opset or 0) >= 21
        length = channels if per_channel else groups
        if scale.shape != (length,) or bias.shape != (length,):
            return No("scale or bias has not the expected length")
        stash = x.dtype
        if per_channel:
            number = int(attributes["stash_type"].i) if "stash_type" in attributes else 1
            stash = dtypes.NAMES.get(number, "")
            if stash not in dtypes.FLOATS:
                return No("stash_type is no float type")
        epsilon = attributes["epsilon"].f if "epsilon" in attributes else 1e-5

        b = Builder(node, graph)
        value = b.reshape(x.name, [0, groups, -1])
        if stash != x.dtype:
            value = b.cast(value, stash)
        centred = b.op("Sub", value, b.reduce("ReduceMean", value, [2]))
        variance = b.reduce("ReduceMean", b.op("Mul", centred, centred), [2])
        value = b.op("Div", centred, b.op("Sqrt", b.op("Add", variance, b.scalar(epsilon, stash))))
        if stash != x.dtype:
            value = b.cast(value, x.dtype)
        if per_channel:
            value = _shape_back(b, value, x.name, x.shape)
        spread = range(1, rank - 1) if per_channel else range(1, 2)
        factor, shift = (
            b.unsqueeze(v.name, spread) if len(spread) else v.name for v in (scale, bias)
        )
        value = b.op("Add", b.op("Mul", value, factor), shift)
        if not per_channel:
            value = _shape_back(b, value, x.name, x.shape)
        return b.site(value)

    examples = (
        Example(
            "g (float[N,4,3,3] x, float[2] s, float[2] b) => (float[N,4,3,3] y)"
            " { y = GroupNormalization<num_groups = 2>(x, s, b) }",
            after=[
                "Reshape", "ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div",
                "Unsqueeze", "Unsqueeze", "Mul", "Add", "Reshape",
            ],
            opset=18,
        ),
        Example(
            "g (float[2,6,H,W] x) => (float[2,6,H,W] y)"
            " <float[6] s = {1.0, -0.5, 2.0, 0.1, 1.5, 0.7},"
            " float[6] b = {0.0, 1.0, -2.0, 0.5, 0.3, -0.2}>"
            " { y = GroupNormalization<num_groups = 3, epsilon = 0.001>(x, s, b) }",
            after=[
                "Reshape", "ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div",
                "Shape", "Reshape", "Unsqueeze", "Unsqueeze", "Mul", "Add",
            ],
            opset=21,
            target=18,
        ),
        Example(
            "g (float[2,8] x) => (float[2,8] y)"
            " <float[8] s = {1.0, -0.5, 2.0, 0.1, 1.5, 0.7, 1.0, 0.9},"
            " float[8] b = {0.0, 1.0, -2.0, 0.5, 0.3, -0.2, 0.0, 0.0}>"
            " { y = GroupNormalization<num_groups = 2>(x, s, b) }",
            after=[
                "Reshape", "ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div",
                "Reshape", "Mul", "Add",
            ],
            opset=21,
            target=18,
        ),
        NearMiss(
            "g (float[N,C,3,3] x, float[2] s, float[2] b) => (float[N,C,3,3] y)"
            " { y = GroupNormalization<num_groups = 2>(x, s, b) }",
            reason="the number of channels is not known",
            opset=18,
        ),
        NearMiss(
            "g (float[] x, float[2] s, float[2] b) => (float[] y)"
            " { y = GroupNormalization<num_groups = 2>(x, s, b) }",
            reason="the element type or the rank is not known",
            opset=18,
        ),
        NearMiss(
            "g (float[2,5,3] x, float[2] s, float[2] b) => (float[2,5,3] y)"
            " { y = GroupNormalization<num_groups = 2>(x, s, b) }",
            reason="the channels do not divide into the groups",
            opset=18,
        ),
        NearMiss(
            "g (float[2,4,3] x, float[4] s, float[4] b) => (float[2,4,3] y)"
            " { y = GroupNormalization<num_groups = 2>(x, s, b) }",
            reason="scale or bias has not the expected length",
            opset=18,
        ),
        NearMiss(
            "g (float[2,4,3] x, float[4] s, float[4] b) => (float[2,4,3] y)"
            " { y = GroupNormalization<num_groups = 2, stash_type = 7>(x, s, b) }",
            reason="stash_type is no float type",
            opset=21,
            target=17,
        ),
        NearMiss(
            "g (float16[2,4,3] x, float[2] s, float[2] b) => (float16[2,4,3] y)"
            " { y = GroupNormalization<num_groups = 2>(x, s, b) }",
            reason="scale or bias has another element type",
            opset=18,
        ),
    )  # fmt: skip
