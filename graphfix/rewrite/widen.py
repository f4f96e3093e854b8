"""Opening a traced batch: the rule comes before all others, and whole models are compared.

First, because what other rules fold from the traced size would close it again. As a whole, because
a size that stays in some other constant would be broadcast at a batch of 1.
"""

from __future__ import annotations

import numpy as np

from graphfix.comparison.inputs import bind, meanings, sample
from graphfix.comparison.runtimes import Arrays, Port, RuntimeFailed
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.graph import Model, infer, refresh, settle
from graphfix.rewrite.engine import Engine
from graphfix.rewrite.proof import difference
from graphfix.rewrite.rule import Exactness

WIDENS = "explicit/reshape_batch"


def open_batch(engine: Engine) -> None:
    """Run an engine that has the widening rule alone until nothing changes any more."""
    model, changes = engine.model, -1
    while len(engine.changes) > changes:
        changes = len(engine.changes)
        engine.run()
        if len(engine.changes) > changes:
            settle(model)
            # what the file states of inner values and outputs holds at the traced size alone
            del model.proto.graph.value_info[:]
            for info in model.proto.graph.output:
                info.type.tensor_type.ClearField("shape")
            refresh(model)
            infer(model)


def batch_problem(
    before: Model, after: Model, sizes: set[tuple[str, int]], tolerance: float
) -> str | None:
    """Return how the opened model differs from the original, None when it does not.

    At twice the traced size it must give what the original gives for each half, at 1 the first row
    of that. `sizes`: (symbol, traced size) of the sites.
    """
    ports = Model(before.proto, before.path)
    infer(ports)
    with OnnxRuntime(ports) as original, OnnxRuntime(after) as opened:
        leading = {p.name: p.shape[0] for p in original.inputs if p.shape}
        traced = {size for symbol, size in sizes if symbol and symbol in leading.values()}
        if len(traced) != 1:
            return "the inputs do not tell one traced size"
        size = traced.pop()
        split = {n for n, dim in leading.items() if (dim, size) in sizes}
        means = meanings(ports)
        fixed = [
            Port(p.name, p.dtype, (size, *p.shape[1:]) if p.name in split and p.shape else p.shape)
            for p in original.inputs
        ]
        try:
            halves = [sample(fixed, bind(fixed, {}, size), seed, means) for seed in (0, 1)]
        except RuntimeFailed as error:
            return str(error)
        for name in halves[0]:
            if name not in split:
                halves[1][name] = halves[0][name]
        try:
            wanted = [original.run(half) for half in halves]
        except RuntimeFailed as error:
            return f"the original: {error}"
        double = {n: np.concatenate([h[n] for h in halves]) if n in split else a
                  for n, a in halves[0].items()}  # fmt: skip
        single = {n: a[:1] if n in split else a for n, a in halves[0].items()}
        try:
            found, first = opened.run(double), opened.run(single)
        except RuntimeFailed as error:
            return f"the result: {error}"
    for name in found:
        problem = _difference(wanted, found, first, name, tolerance)
        if problem is not None:
            return f"{name}: {problem}"
    return None


def _difference(
    wanted: list[Arrays], found: Arrays, first: Arrays, name: str, tolerance: float
) -> str | None:
    parts = [outputs[name] for outputs in wanted]
    if not all(part.ndim for part in parts):
        return "it has no batch"
    problem, _ = difference(np.concatenate(parts), found[name], Exactness.ROUNDING, tolerance)
    if problem is not None:
        return problem
    return difference(parts[0][: len(first[name])], first[name], Exactness.ROUNDING, tolerance)[0]
