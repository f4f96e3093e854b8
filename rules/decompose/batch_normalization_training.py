"""Write BatchNormalization of training mode out, because CANN never reads its momentum.

Why       The running mean and variance come out with a fixed factor.
Rewrites  Mean and variance of the batch by ReduceMean, the normalized result by Sub, Div, Mul and
          Add; running = input * momentum + batch * (1 - momentum).
Leaves    Inference; opsets before 14, which tell training by the outputs alone; unknown ranks.
Exact     rounding: float32 within 1e-5.
Source    ops-nn norm/batch_norm/framework/batch_normalization_onnx_plugin.cpp, August 2026; ONNX
          operator schema BatchNormalization-15.
"""

from graphfix.graph import Graph, Node, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Reshape", "Mul", "Reshape",
    "Add", "Mul", "Squeeze", "Mul", "Add", "Mul", "Squeeze", "Mul", "Add",
]  # fmt: skip
_EXAMPLE_2 = [
    "ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Reshape", "Mul", "Reshape",
    "Add", "Mul", "Squeeze", "Mul", "Add", "Mul", "Squeeze", "Mul", "Add",
]  # fmt: skip


class BatchNormalizationTraining(Rule):
    """BatchNormalization<training_mode = 1> -> ReduceMean, Sub, Mul, Add."""

    roots = ("BatchNormalization",)
    exactness = Exactness.ROUNDING
    fixes = ("BatchNormalization/momentum",)
    tolerance = 1e-5

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on training mode."""
        if (graph.model.opset or 0) < 14:
            return No("before opset 14 the outputs tell training mode")
        if "training_mode" not in node.attributes or node.attributes["training_mode"].i == 0:
            return No("training_mode is 0")
        x, scale, bias, mean, variance = (node.input(i) for i in range(5))
        if x is None or scale is None or bias is None or mean is None or variance is None:
            return No("an input is missing")
        if x.shape is None or len(x.shape) < 2:
            return No("the rank is not known")
        if x.dtype not in dtypes.FLOATS or {x.dtype} != {
            v.dtype for v in (scale, bias, mean, variance)
        }:
            return No("the inputs are not known to have one element type")
        momentum, epsilon = (
            node.attributes[k].f if k in node.attributes else d
            for k, d in (("momentum", 0.9), ("epsilon", 1e-5))
        )
        b = Builder(node, graph)
        rank = len(x.shape)
        axes = [0, *range(2, rank)]
        batch_mean = b.reduce("ReduceMean", x.name, axes)
        centred = b.op("Sub", x.name, batch_mean)
        batch_variance = b.reduce("ReduceMean", b.op("Mul", centred, centred), axes)
        spread = b.op("Sqrt", b.op("Add", batch_variance, b.scalar(epsilon, x)))
        around = [-1] + [1] * (rank - 2)
        y = b.op("Mul", b.op("Div", centred, spread), b.reshape(scale.name, around))
        results = {node.outputs[0]: b.op("Add", y, b.reshape(bias.name, around))}
        for i, (old, new) in enumerate(((mean, batch_mean), (variance, batch_variance)), start=1):
            output = node.output(i)
            if output is None or not (output.uses or output.is_output):
                continue
            kept = b.op("Mul", old.name, b.scalar(momentum, x))
            fresh = b.op("Mul", b.squeeze(new, axes), b.scalar(1 - momentum, x))
            results[node.outputs[i]] = b.op("Add", kept, fresh)
        return b.site(results)

    examples = (
        Example(
            "g (float[2,3,4,5] x, float[3] s, float[3] b, float[3] m, float[3] v)"
            " => (float[2,3,4,5] y, float[3] rm, float[3] rv)"
            " { y, rm, rv = BatchNormalization<training_mode = 1, momentum = 0.7>"
            "(x, s, b, m, v) }",
            after=_EXAMPLE_1,
        ),
        Example(
            "g (float[N,3] x, float[3] s, float[3] b, float[3] m, float[3] v)"
            " => (float[N,3] y, float[3] rm, float[3] rv)"
            " { y, rm, rv = BatchNormalization<training_mode = 1>(x, s, b, m, v) }",
            after=_EXAMPLE_2,
            opset=15,
        ),
        NearMiss(
            "g (float[2,3,4,5] x, float[3] s, float[3] b, float[3] m, float[3] v)"
            " => (float[2,3,4,5] y) { y = BatchNormalization(x, s, b, m, v) }",
            reason="training_mode is 0",
        ),
        NearMiss(
            "g (float[] x, float[3] s, float[3] b, float[3] m, float[3] v)"
            " => (float[] y, float[3] rm, float[3] rv)"
            " { y, rm, rv = BatchNormalization<training_mode = 1>(x, s, b, m, v) }",
            reason="the rank is not known",
        ),
    )
