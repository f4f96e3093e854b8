"""Write LayerNormalization out for targets and opsets that do not register it.

Why       LayerNormalization is registered at opset 17 and 18 only, and not in every release; a
          model that goes below 17 has to spell it out (GF101, GF102).
Rewrites  D = X - ReduceMean(X); Y = D / Sqrt(ReduceMean(D * D) + epsilon) * Scale + B, up to the
          division in the type that stash_type names (float32). Mean and InvStdDev come along when
          something uses them.
Leaves    X whose element type or rank is not known; an axis outside the rank; a stash_type that is
          no float type; Scale or B of another element type than X.
Exact     rounding: float32 within 1e-5, as variances of large numbers cancel.
Source    ONNX operator schema LayerNormalization-17; ops-nn common/src/framework/
          layer_normalization_onnx_plugin.cpp, August 2026.
"""

from graphfix.graph import Graph, Node, Value, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


def _used(value: Value | None) -> bool:
    return value is not None and (value.is_output or bool(value.uses))


class DecomposeLayerNormalization(Rule):
    """LayerNormalization -> ReduceMean form."""

    roots = ("LayerNormalization",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101", "GF102", "LayerNormalization/bias-type")
    is_local = True
    tolerance = 1e-5

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire when type and rank are known."""
        x, scale, bias = node.input(0), node.input(1), node.input(2)
        if x is None or scale is None or x.dtype is None or x.shape is None:
            return No("the element type or the rank is not known")
        if any(v is not None and v.dtype != x.dtype for v in (scale, bias)):
            return No("scale or bias has another element type")
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
        axes = range(axis % rank, rank)
        source = x.name if x.dtype == stash else b.cast(x.name, stash)
        mean = b.reduce("ReduceMean", source, axes)
        centred = b.op("Sub", source, mean)
        variance = b.reduce("ReduceMean", b.op("Mul", centred, centred), axes)
        deviation = b.op("Sqrt", b.op("Add", variance, b.scalar(epsilon, stash)))
        replace = {}
        if _used(node.output(2)):
            inverse = b.op("Reciprocal", deviation)
            replace[node.outputs[2]] = inverse
            normal = b.op("Mul", centred, inverse)
        else:
            normal = b.op("Div", centred, deviation)
        if _used(node.output(1)):
            replace[node.outputs[1]] = mean
        if x.dtype != stash:
            normal = b.cast(normal, x.dtype)
        result = b.op("Mul", normal, scale.name)
        if bias is not None:
            result = b.op("Add", result, bias.name)
        if node.outputs[0]:
            replace[node.outputs[0]] = result
        return b.site(replace)

    examples = (
        Example(
            "g (float[2,3,4] x) => (float[2,3,4] y)"
            " <float[4] s = {1.0, -0.5, 2.0, 0.1}, float[4] b = {0.0, 1.0, -2.0, 0.5}>"
            " { y = LayerNormalization(x, s, b) }",
            after=["ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Add"],
            opset=17,
            target=13,
        ),
        Example(
            "g (float[N,3,4] x, float[3,4] s) => (float[N,3,4] y)"
            " { y = LayerNormalization<axis = 1, epsilon = 0.001>(x, s) }",
            after=["ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul"],
            opset=17,
            target=16,
        ),
        Example(
            "g (float16[2,N,4] x, float16[4] s, float16[4] b)"
            " => (float16[2,N,4] y, float[2,1,1] m, float[2,1,1] i)"
            " { y, m, i = LayerNormalization<axis = -2, stash_type = 1>(x, s, b) }",
            after=[
                "Cast", "ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Reciprocal",
                "Mul", "Cast", "Mul", "Add",
            ],
            opset=18,
            target=16,
        ),
        Example(
            "g (float[2,4] x, float[4] s, float[4] b) => (float[2,4] y, float[2,1] i)"
            ' { y, "", i = LayerNormalization(x, s, b) }',
            after=[
                "ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Reciprocal", "Mul",
                "Mul", "Add",
            ],
            opset=17,
            target=11,
        ),
        Example(
            "g (float16[2,4] x, float16[4] s) => (float16[2,4] y) { y = LayerNormalization(x, s) }",
            after=[
                "Cast", "ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Cast",
                "Mul",
            ],
            opset=17,
        ),
        NearMiss(
            "g (float[2,4] x, float[4] s, float[4] b) => (float[2,4] y)"
            " { y = LayerNormalization(x, s, b) }",
            reason="it would not lower the potential",
            opset=17,
        ),
        NearMiss(
            "g (float[] x, float[4] s, float[4] b) => (float[] y)"
            " { y = LayerNormalization(x, s, b) }",
            reason="the element type or the rank is not known",
            opset=17,
            target=16,
        ),
        NearMiss(
            "g (float[2,4] x, float[4] s) => (float[2,4] y)"
            " { y = LayerNormalization<stash_type = 7>(x, s) }",
            reason="stash_type is no float type",
            opset=17,
            target=16,
        ),
        NearMiss(
            "g (float[2,4] x, float[4] s) => (float[2,4] y)"
            " { y = LayerNormalization<axis = 2>(x, s) }",
            reason="the axis lies outside the rank",
            opset=17,
            target=16,
        ),
        NearMiss(
            "g (float[2,4] x, float16[4] s) => (float[2,4] y) { y = LayerNormalization(x, s) }",
            reason="scale or bias has another element type",
            opset=17,
            target=16,
        ),
    )  # fmt: skip
