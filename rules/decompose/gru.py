"""Unroll a GRU, because CANN does not read which of the two forms is asked for.

Why       linear_before_reset never reaches CANN, nor do activations, clip and layout; which form it
          computes is not known.
Rewrites  up to 64 steps of known number: MatMul, Split, the activations and Mul, Add for each step
          and direction; a state that starts at zero takes no part in the first step.
Leaves    Sequences of unknown or greater length; sequence_lens other than the full length;
          activations whose constants are missing.
Exact     rounding: float32 within 2e-5.
Source    ops-nn common/src/framework/gru_onnx_plugin.cpp, August 2026; ONNX operator schema GRU-14.
"""

from graphfix_rules.decompose import _recurrent as recurrent

from graphfix.graph import Graph, Node
from graphfix.rewrite import Exactness, Example, NearMiss, No, Rule, Site

_DEFAULTS = ("Sigmoid", "Tanh")

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "Squeeze", "Split", "Squeeze", "Transpose", "Squeeze", "Transpose", "MatMul", "Add",
    "Split", "Squeeze", "Split", "Split", "Add", "Sigmoid", "Split", "Mul", "Add", "Tanh",
    "Sub", "Mul", "Squeeze", "Split", "MatMul", "Add", "Split", "Add", "Sigmoid", "Split",
    "Mul", "Add", "Tanh", "Sub", "Mul", "Mul", "Add", "Unsqueeze", "Unsqueeze", "Concat",
]  # fmt: skip
_EXAMPLE_2 = [
    "Slice", "Squeeze", "Split", "Add", "Slice", "Squeeze", "Transpose", "Split", "Slice",
    "Squeeze", "Slice", "Squeeze", "Transpose", "MatMul", "Add", "Squeeze", "Split", "MatMul",
    "Add", "Clip", "Sigmoid", "Split", "Mul", "MatMul", "Add", "Clip", "Tanh", "Sub", "Mul",
    "Mul", "Add", "Slice", "Squeeze", "Split", "Add", "Slice", "Squeeze", "Transpose", "Split",
    "Slice", "Squeeze", "Slice", "Squeeze", "Transpose", "MatMul", "Add", "Squeeze", "Split",
    "MatMul", "Add", "Clip", "Sigmoid", "Split", "Mul", "MatMul", "Add", "Clip", "Tanh", "Sub",
    "Mul", "Mul", "Add", "Unsqueeze", "Unsqueeze", "Concat", "Unsqueeze", "Unsqueeze", "Concat",
]  # fmt: skip
_EXAMPLE_3 = [
    "Transpose", "Squeeze", "Transpose", "Split", "Squeeze", "Transpose", "MatMul", "Split",
    "Squeeze", "Split", "Sigmoid", "Split", "Tanh", "Sub", "Mul", "Squeeze", "Split", "MatMul",
    "Add", "Sigmoid", "Split", "Mul", "MatMul", "Add", "Tanh", "Sub", "Mul", "Mul", "Add",
    "Unsqueeze", "Unsqueeze", "Concat", "Transpose", "Unsqueeze",
]  # fmt: skip


class DecomposeGru(Rule):
    """GRU -> its steps."""

    roots = ("GRU",)
    exactness = Exactness.ROUNDING
    fixes = ("GRU/activations", "GRU/clip", "GRU/linear-before-reset", "GRU/layout")
    tolerance = 2e-5

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a GRU whose steps can be written out."""
        used = {
            i for i in range(2) if (v := node.output(i)) is not None and (v.uses or v.is_output)
        }
        if not used:
            return No("no output is used")
        layer = recurrent.read_layer(node, graph, _DEFAULTS)
        if isinstance(layer, No):
            return layer
        states, last = [], []
        for direction in range(len(layer.is_reversed)):
            by_time, h = _unroll(layer, direction)
            states.append(by_time)
            last.append(h)
        results = {}
        for i in sorted(used):
            results[node.outputs[i]] = layer.final(last) if i else layer.sequence(states)
        return layer.b.site(results)

    examples = (
        Example(
            "g (float[2,3,4] x, float[1,6,4] w, float[1,6,2] r, float[1,12] b)"
            " => (float[2,1,3,2] y) { y = GRU<hidden_size = 2, linear_before_reset = 1>"
            "(x, w, r, b) }",
            after=_EXAMPLE_1,
        ),
        Example(
            "g (float[1,N,4] x, float[2,6,4] w, float[2,6,2] r, float[2,12] b, float[2,N,2] h)"
            " => (float[1,2,N,2] y, float[2,N,2] z)"
            ' { y, z = GRU<hidden_size = 2, direction = "bidirectional", clip = 0.7>'
            "(x, w, r, b, , h) }",
            after=_EXAMPLE_2,
            opset=13,
        ),
        Example(
            "g (float[3,2,4] x, float[1,6,4] w, float[1,6,2] r)"
            " => (float[3,2,1,2] y, float[3,1,2] z)"
            " { y, z = GRU<hidden_size = 2, layout = 1>(x, w, r) }",
            after=_EXAMPLE_3,
        ),
        NearMiss(
            "g (float[T,3,4] x, float[1,6,4] w, float[1,6,2] r) => (float[T,1,3,2] y)"
            " { y = GRU<hidden_size = 2>(x, w, r) }",
            reason="the length of the sequence is not known",
        ),
        NearMiss(
            "g (float[65,3,4] x, float[1,6,4] w, float[1,6,2] r) => (float[65,1,3,2] y)"
            " { y = GRU<hidden_size = 2>(x, w, r) }",
            reason="the sequence has 65 steps",
        ),
        NearMiss(
            "g (float[2,3,4] x, float[1,6,4] w, float[1,6,2] r) => (float[2,1,3,2] y)"
            " <int32[3] n = {2, 1, 2}> { y = GRU<hidden_size = 2>(x, w, r, , n) }",
            reason="sequence_lens is not the full length",
        ),
    )


def _unroll(layer: "recurrent.Layer", direction: int) -> tuple[dict[int, str], str]:
    """Write the steps of one direction; return the states by time, and the last one."""
    b, size, node = layer.b, layer.hidden, layer.b.node
    written = node.attributes.get("linear_before_reset")
    linear = written is not None and written.i != 0
    input_bias, state_bias = layer.biases(direction, 3)
    if input_bias and not linear:
        input_bias = b.op("Add", input_bias, state_bias)
    weight = b.op("Transpose", layer.per_direction(2, direction), perm=[1, 0])
    gates, candidate = weight, ""
    if not linear:
        gates, candidate = b.split(weight, [2 * size, size], 1)
    h = layer.initial(5, direction)

    by_time: dict[int, str] = {}
    for time, x in layer.projected(direction, input_bias):
        zr, n = b.split(x, [2 * size, size], 1)
        recalled = ""  # what the state adds to the candidate, before the reset
        if linear:
            # [batch, 3 * hidden], or the bias alone [3 * hidden]
            state = b.op("MatMul", h, gates) if h else ""
            if state_bias:
                state = b.op("Add", state, state_bias) if state else state_bias
            if state:
                part, recalled = b.split(state, [2 * size, size], 1 if h else 0)
                zr = b.op("Add", zr, part)
        elif h:
            zr = b.op("Add", zr, b.op("MatMul", h, gates))
        z, r = b.split(layer.activate(direction, 0, zr), [size, size], 1)
        if recalled:
            n = b.op("Add", n, b.op("Mul", r, recalled))
        elif h and not linear:
            n = b.op("Add", n, b.op("MatMul", b.op("Mul", r, h), candidate))
        n = layer.activate(direction, 1, n)
        fresh = b.op("Mul", b.op("Sub", b.scalar(1.0, layer.dtype), z), n)
        h = by_time[time] = b.op("Add", fresh, b.op("Mul", z, h)) if h else fresh
    return by_time, h
