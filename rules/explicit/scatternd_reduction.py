"""Combine old and new values before ScatterND, because CANN drops its reduction.

Why       reduction is never read: the updates overwrite the old values.
Rewrites  ScatterND<reduction = add>(data, i, u) -> ScatterND(data, i, Add(GatherND(data, i), u));
          mul, max and min likewise. That is the same while no index occurs twice.
Leaves    reduction none; indices that are not constant (one single index excepted) or that
          repeat: their updates add up in a way that a write cannot; element types without
          arithmetic.
Exact     exact.
Source    ops-math common/src/framework/similar_opp_onnx_plugin.cpp, August 2026; ONNX operator
          schemas ScatterND-16, ScatterND-18.
"""

import math

import numpy as np

from graphfix.graph import Graph, Node, Value
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_COMBINE = {b"add": "Add", b"mul": "Mul", b"max": "Max", b"min": "Min"}


class ScatterNDReduction(Rule):
    """ScatterND with reduction -> GatherND, the operator, ScatterND."""

    roots = ("ScatterND",)
    fixes = ("ScatterND/reduction",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a reduction over indices that are known to be distinct."""
        written = node.attributes.get("reduction")
        reduction = written.s if written is not None else b"none"
        if reduction == b"none":
            return No("reduction is none")
        if reduction not in _COMBINE:
            return No("the reduction is not known")
        data, indices, updates = (node.input(i) for i in range(3))
        if data is None or indices is None or updates is None:
            return No("an input is missing")
        if data.dtype is None or data.dtype in ("bool", "string") or "complex" in data.dtype:
            return No("the element type has no arithmetic or is not known")
        problem = _repeats(data, indices)
        if problem is not None:
            return No(problem)
        b = Builder(node, graph)
        old = b.op("GatherND", data.name, indices.name)
        new = b.op(_COMBINE[reduction], old, updates.name)
        return b.site(b.copy(node, [data.name, indices.name, new], reduction=None)[0])

    examples = (
        Example(
            "g (float[4,2] x, float[2,2] u) => (float[4,2] y) <int64[2,1] i = {3, 1}>"
            ' { y = ScatterND<reduction = "add">(x, i, u) }',
            after="g (float[4,2] x, float[2,2] u) => (float[4,2] y) <int64[2,1] i = {3, 1}>"
            " { o = GatherND(x, i) n = Add(o, u) y = ScatterND(x, i, n) }",
        ),
        Example(
            "g (float[4,N] x, float[2,N] u) => (float[4,N] y) <int64[2,1] i = {-1, 0}>"
            ' { y = ScatterND<reduction = "mul">(x, i, u) }',
            after=["GatherND", "Mul", "ScatterND"],
            opset=16,
        ),
        Example(
            "g (float[4] x, int64[1,1] i, float[1] u) => (float[4] y)"
            ' { y = ScatterND<reduction = "max">(x, i, u) }',
            after=["GatherND", "Max", "ScatterND"],
            opset=18,
        ),
        NearMiss(
            "g (float[4] x, float[1] u) => (float[4] y) <int64[1,1] i = {1}>"
            " { y = ScatterND(x, i, u) }",
            reason="reduction is none",
        ),
        NearMiss(
            "g (float[4] x, float[2] u) => (float[4] y) <int64[2,1] i = {3, -1}>"
            ' { y = ScatterND<reduction = "add">(x, i, u) }',
            reason="an index occurs twice",
        ),
        NearMiss(
            "g (float[4] x, int64[2,1] i, float[2] u) => (float[4] y)"
            ' { y = ScatterND<reduction = "add">(x, i, u) }',
            reason="the indices are not constant",
        ),
        NearMiss(
            "g (float[N] x, float[2] u) => (float[N] y) <int64[2,1] i = {3, -1}>"
            ' { y = ScatterND<reduction = "add">(x, i, u) }',
            reason="a negative index into a dim that is not known",
        ),
    )


def _repeats(data: Value, indices: Value) -> str | None:
    """Return why the indices are not known to be distinct, None when they are."""
    shape = indices.shape
    if shape is not None and shape:
        entries = [d for d in shape[:-1] if isinstance(d, int)]
        if len(entries) == len(shape) - 1 and math.prod(entries) <= 1:
            return None
    known = indices.known
    if known is None or not indices.is_constant:
        return "the indices are not constant"
    rows = np.array(known, np.int64).reshape(-1, known.shape[-1])
    if data.shape is None and (rows < 0).any():
        return "a negative index into a dim that is not known"
    for column in range(rows.shape[1]):
        negative = rows[:, column] < 0
        if not negative.any():
            continue
        size = data.shape[column] if data.shape is not None and column < len(data.shape) else None
        if not isinstance(size, int):
            return "a negative index into a dim that is not known"
        rows[negative, column] += size
    return "an index occurs twice" if len(np.unique(rows, axis=0)) < len(rows) else None
