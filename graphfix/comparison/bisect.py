"""--bisect: the first diverging node by halving, for models whose dumps do not fit in memory.

Cut the graph after some node, in topological order: whatever reaches the output later passes
through the values that are alive at the cut. When none of them carries the error, it comes in
later; when one does, earlier. So a few values at a time, and as many runs as the node count has
bits, lead to the node that brings the error in. A value carries it when it fails, or when it has a
fair share of the output's error, which may be what a tolerance still excuses there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from graphfix.comparison.layers import Layer, LayerReport, error_path, layer_of, pair_values
from graphfix.comparison.metrics import Tolerance
from graphfix.comparison.runtimes import Arrays, Runtime, RuntimeFailed
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.comparison.runtimes.saved import Saved
from graphfix.graph import Model, Node

# of the error of the failing output
_SHARE = 0.03
# relative errors that rounding alone may leave
_ROUNDING = 2e-6


def bisect_layers(
    a: Runtime,
    b: Runtime,
    feeds: Mapping[str, np.ndarray],
    run_b: Callable[[Mapping[str, np.ndarray], Sequence[str]], Arrays],
    *,
    tolerance: Tolerance | None = None,
) -> LayerReport:
    """Search the first diverging value; the report holds the values that were looked at."""
    pairs, unmatched = pair_values(a, b)
    assert isinstance(a, OnnxRuntime)
    report = LayerReport(unmatched=unmatched, method="bisect")
    by_name = {pair.value.name: pair for pair in pairs}
    looked: dict[str, Layer] = {}

    def probe(names: Sequence[str]) -> list[Layer]:
        new = [n for n in names if n in by_name and n not in looked]
        if new:
            report.chunks += 1
            want = a.run(feeds, new)
            if isinstance(b, Saved):
                b.expect(0, want)
            have = run_b(feeds, [by_name[n].other for n in new])
            for name in new:
                other = by_name[name].other
                if name in want and other in have:
                    looked[name] = layer_of(by_name[name], want[name], have[other], tolerance)
        return [looked[n] for n in names if n in looked]

    try:
        failing = [la for la in probe(a.model.graph.outputs) if not la.metrics.passed]
        if failing:
            worst = max(failing, key=lambda layer: layer.error)
            report.first = _search(a.model, worst, probe)
            # a small error that grew on its way: search again for where it was small
            while earlier := _grown_from(a.model, report.first, probe):
                report.first = _search(a.model, earlier, probe)
    except RuntimeFailed as error:
        report.stopped = str(error)
    report.layers = [looked[pair.value.name] for pair in pairs if pair.value.name in looked]
    if report.first is not None:
        report.path = error_path(a.model, report)
    return report


def _search(model: Model, output: Layer, probe: Callable[[Sequence[str]], list[Layer]]) -> Layer:
    def carries(layer: Layer) -> bool:
        return not layer.metrics.passed or layer.error > _SHARE * output.error

    nodes = _before(model, output.value)
    last_use = _last_uses(model, nodes, output.value)
    position = {id(node): i for i, node in enumerate(nodes)}
    alive = [(name, i) for i, node in enumerate(nodes) for name in node.outputs if name in last_use]
    low, high, first = -1, len(nodes) - 1, output  # the cut after `low` is clean, after `high` not
    while high - low > 1:
        middle = (low + high) // 2
        cut = [name for name, start in alive if start <= middle < last_use[name]]
        dirty = [layer for layer in probe(cut) if carries(layer)]
        if dirty:
            high = middle
            # the latest that is born is where the error came in, if the cut before is clean
            first = max(dirty, key=lambda la: position[id(model.graph.values[la.value].producer)])
        else:
            low = middle
    return first


def _grown_from(
    model: Model, layer: Layer, probe: Callable[[Sequence[str]], list[Layer]]
) -> Layer | None:
    """Return the input of a layer's node that differs most, by more than rounding."""
    producer = model.graph.values[layer.value].producer
    sources = [name for name in producer.inputs if name] if producer is not None else []
    found = max(probe(sources), key=lambda source: source.error, default=None)
    return found if found is not None and found.error > _ROUNDING else None


def _before(model: Model, value: str) -> list[Node]:
    """Return the nodes that `value` comes from, in topological order."""
    producer = model.graph.values[value].producer
    stack: list[Node] = [producer] if producer is not None else []
    seen: set[Node] = set(stack)
    while stack:
        for node in model.graph.predecessors(stack.pop()):
            if node not in seen:
                seen.add(node)
                stack.append(node)
    return [node for node in model.graph.ordered() if node in seen]


def _last_uses(model: Model, nodes: Sequence[Node], output: str) -> dict[str, int]:
    """Return the position of the last node that uses each value; the output is never used up."""
    last: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in node.inputs:
            last[name] = i
        for _, inner in node.subgraphs:
            last.update(dict.fromkeys(inner.captured(), i))
    last[output] = len(nodes)
    return last
