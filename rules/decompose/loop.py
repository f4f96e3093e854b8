"""Write a Loop of constant length out step by step, because CANN registers Loop at no opset.

Why       The parser of ATC has neither an adapter nor a plugin for Loop (E19010).
Rewrites  A copy of the body for each step, with the number of the step as a constant; Unsqueeze and
          Concat of the scanned outputs; up to 64 steps and 2048 nodes.
Leaves    A trip count that is not constant; a condition that the body computes; bodies whose nodes
          hold branches.
Exact     exact.
Source    ONNX operator schema Loop-16; GE parser, August 2026: no registration.
"""

import numpy as np
from graphfix_rules.decompose import _unroll as unroll

from graphfix.graph import Graph, Node, Value
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "Add", "Mul", "Add", "Mul", "Add", "Mul", "Unsqueeze", "Unsqueeze", "Unsqueeze", "Concat",
]  # fmt: skip


class UnrollLoop(Rule):
    """Loop -> its steps."""

    roots = ("Loop",)
    fixes = ("GF119",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the trip count is constant and no condition ends the loop before."""
        count, condition = node.input(0), node.input(1)
        if count is None or count.constant is None or count.known is None or count.known.size != 1:
            return No("the trip count is not constant")
        if condition is not None and not _is_true(condition):
            return No("the condition is not constantly true")
        steps = int(count.known.reshape(-1)[0])
        body = unroll.body_of(node, steps)
        if isinstance(body, No):
            return body
        formal = list(body.inputs)
        carried = len(node.inputs) - 2
        if len(formal) != len(node.inputs) or len(body.outputs) < 1 + carried:
            return No("the body takes or gives another number of values")
        if not _goes_on(body, formal[1]):
            return No("the body computes the condition")
        b = Builder(node, graph)
        writer = unroll.Body(b, body, body.outputs[1:])
        always = b.constant(np.array(True))
        states = node.inputs[2:]
        series: list[list[str]] = [[] for _ in body.outputs[1 + carried :]]
        for step in range(steps):
            number = b.constant(np.array(step, np.int64))
            made = writer.step(dict(zip(formal, [number, always, *states], strict=True)))
            states = made[:carried]
            for values, name in zip(series, made[carried:], strict=True):
                values.append(name)
        results = dict(zip(node.outputs[:carried], states, strict=False))
        for name, values in zip(node.outputs[carried:], series, strict=False):
            if name:
                results[name] = unroll.stacked(b, values, 0)
        return writer.site(results)

    examples = (
        Example(
            "g (float[2] x) => (float[2] y, float[3,2] z) <int64 n = {3}, bool t = {1}> {"
            " y, z = Loop <body = b (int64 i, bool c, float[2] a) => (bool d, float[2] e, float[2]"
            " f) { d = Identity(c)  e = Add(a, x)  f = Mul(e, e) }> (n, t, x) }",
            after=_EXAMPLE_1,
            opset=13,
        ),
        Example(
            "g (float[N] x) => (float[N] y) <int64 n = {2}> {"
            " y = Loop <body = b (int64 i, bool c, float[N] a) => (bool c, float[N] e)"
            " { f = Cast<to = 1>(i)  e = Add(a, f) }> (n, , x) }",
            after=["Cast", "Add", "Cast", "Add"],
        ),
        NearMiss(
            "g (float[2] x, int64 n) => (float[2] y) <bool t = {1}> {"
            " y = Loop <body = b (int64 i, bool c, float[2] a) => (bool d, float[2] e)"
            " { d = Identity(c)  e = Add(a, x) }> (n, t, x) }",
            reason="the trip count is not constant",
        ),
        NearMiss(
            "g (float[2] x, bool t) => (float[2] y) <int64 n = {3}> {"
            " y = Loop <body = b (int64 i, bool c, float[2] a) => (bool d, float[2] e)"
            " { d = Identity(c)  e = Add(a, x) }> (n, t, x) }",
            reason="the condition is not constantly true",
        ),
        NearMiss(
            "g (float[2] x) => (float[2] y) <int64 n = {3}, float k = {5.0}> {"
            " y = Loop <body = b (int64 i, bool c, float[2] a) => (bool d, float[2] e)"
            " { e = Add(a, x)  m = ReduceMax<keepdims = 0>(e)  d = Less(m, k) }> (n, , x) }",
            reason="the body computes the condition",
        ),
    )


def _is_true(value: Value) -> bool:
    return value.constant is not None and value.known is not None and bool(value.known.all())


def _goes_on(body: Graph, condition: str) -> bool:
    """Whether the body hands its condition on, or sets it to true."""
    name = body.outputs[0]
    while name != condition:
        value = body.values.get(name)
        if value is None:
            value = body.lookup(name)
        if value is None:
            return False
        if value.producer is None or value.producer.op_type != "Identity":
            return _is_true(value)
        name = value.producer.inputs[0]
    return True
