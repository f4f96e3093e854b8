"""Write a Scan out step by step, because CANN registers Scan at no opset.

Why       The parser of ATC has neither an adapter nor a plugin for Scan (E19010).
Rewrites  Split and Squeeze of the scanned inputs, a copy of the body for each step, Unsqueeze and
          Concat of the scanned outputs; up to 64 steps and 2048 nodes.
Leaves    A length that is not known; bodies whose nodes hold branches; Scan of opset 8, which has
          a batch.
Exact     exact.
Source    ONNX operator schema Scan-16; GE parser, August 2026: no registration.
"""

from graphfix_rules.decompose import _unroll as unroll

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "Split", "Squeeze", "Add", "Identity", "Squeeze", "Add", "Identity", "Squeeze", "Add",
    "Identity", "Unsqueeze", "Unsqueeze", "Unsqueeze", "Concat",
]  # fmt: skip
_EXAMPLE_2 = [
    "Split", "Squeeze", "Mul", "Add", "Sub", "Squeeze", "Mul", "Add", "Sub", "Unsqueeze",
    "Unsqueeze", "Concat",
]  # fmt: skip


class UnrollScan(Rule):
    """Scan -> its steps."""

    roots = ("Scan",)
    fixes = ("GF119",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the number of steps is known."""
        if (graph.model.opset or 0) < 9:
            return No("below opset 9 Scan has a batch")
        count = int(node.attributes["num_scan_inputs"].i)
        first = len(node.inputs) - count
        lists = {key: list(node.attributes[key].ints) if key in node.attributes else []
                 for key in ("scan_input_axes", "scan_input_directions",
                             "scan_output_axes", "scan_output_directions")}  # fmt: skip
        axes = lists["scan_input_axes"] or [0] * count
        turned = lists["scan_input_directions"] or [0] * count
        sizes, scanned = set(), []
        for i, axis in enumerate(axes):
            value = node.input(first + i)
            if (
                value is None
                or value.shape is None
                or not -len(value.shape) <= axis < len(value.shape)
            ):
                return No("the rank of a scanned input is not known")
            scanned.append(value)
            sizes.add(value.shape[axis])
        known = {size for size in sizes if isinstance(size, int)}
        if len(known) != 1:
            return No("the number of steps is not known")
        steps = int(known.pop())
        body = unroll.body_of(node, steps)
        if isinstance(body, No):
            return body
        formal = list(body.inputs)
        if len(formal) != len(node.inputs) or len(body.outputs) != len(node.outputs):
            return No("the body takes or gives another number of values")
        b = Builder(node, graph)
        axes = [axis % len(value.shape or ()) for axis, value in zip(axes, scanned, strict=True)]
        if b.opset < 11 and min(lists["scan_output_axes"], default=0) < 0:
            return No("below opset 11 Unsqueeze takes no negative axes")
        pieces = []
        for i, axis in enumerate(axes):
            name = node.inputs[first + i]
            parts = [name] if steps == 1 else b.split(name, [1] * steps, axis)
            pieces.append(parts[::-1] if turned[i] else parts)
        writer = unroll.Body(b, body, body.outputs)
        states = node.inputs[:first]
        series: list[list[str]] = [[] for _ in node.outputs[first:]]
        for step in range(steps):
            slices = [b.squeeze(parts[step], [axis])
                      for parts, axis in zip(pieces, axes, strict=True)]  # fmt: skip
            made = writer.step(dict(zip(formal, [*states, *slices], strict=True)))
            states = made[:first]
            for values, name in zip(series, made[first:], strict=True):
                values.append(name)
        out_axes = lists["scan_output_axes"] or [0] * len(series)
        backwards = lists["scan_output_directions"] or [0] * len(series)
        results = dict(zip(node.outputs[:first], states, strict=True))
        for i, values in enumerate(series):
            if node.outputs[first + i]:
                ordered = values[::-1] if backwards[i] else values
                results[node.outputs[first + i]] = unroll.stacked(b, ordered, out_axes[i])
        return writer.site(results)

    examples = (
        Example(
            "g (float[2] s, float[3,2] x) => (float[2] y, float[3,2] z) {"
            " y, z = Scan <num_scan_inputs = 1, body = b (float[2] a, float[2] c) =>"
            " (float[2] d, float[2] e) { d = Add(a, c)  e = Identity(d) }> (s, x) }",
            after=_EXAMPLE_1,
            opset=11,
        ),
        Example(
            "g (float[N] s, float[N,2] x, float[N] o) => (float[N] y, float[N,2] z)"
            " <float k = {2.0}> {"
            " y, z = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1],"
            " scan_input_directions = [1], body = b (float[N] a, float[N] c) =>"
            " (float[N] d, float[N] e) { d = Mul(a, k)  f = Add(c, o)  e = Sub(f, a) }> (s, x) }",
            after=_EXAMPLE_2,
            opset=16,
        ),
        NearMiss(
            "g (float[2] s, float[T,2] x) => (float[2] y, float[T,2] z) {"
            " y, z = Scan <num_scan_inputs = 1, body = b (float[2] a, float[2] c) =>"
            " (float[2] d, float[2] e) { d = Add(a, c)  e = Identity(d) }> (s, x) }",
            reason="the number of steps is not known",
        ),
        NearMiss(
            "g (float[2] s, float[65,2] x) => (float[2] y, float[65,2] z) {"
            " y, z = Scan <num_scan_inputs = 1, body = b (float[2] a, float[2] c) =>"
            " (float[2] d, float[2] e) { d = Add(a, c)  e = Identity(d) }> (s, x) }",
            reason="it runs 65 times",
        ),
    )
