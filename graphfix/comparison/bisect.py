"""--bisect: the first diverging node by halving, for models whose dumps do not fit in memory.

One value is dumped at a time. A value that fails confines the search to the nodes it comes from,
which is certain; one that passes clears the nodes it comes from, which is a good guess: an error
may vanish on one branch (in a Relu, say) and live on in another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from graphfix.comparison.layers import Layer, LayerReport, layer_of, pair_values
from graphfix.comparison.matching import Pair
from graphfix.comparison.metrics import Tolerance, measure
from graphfix.comparison.runtimes import Arrays, Runtime
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.graph import Model, Node


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
    order = {pair.value.name: i for i, pair in enumerate(pairs)}
    looked: dict[str, Layer] = {}

    def probe(pair: Pair) -> Layer | None:
        name = pair.value.name
        if name not in looked:
            report.chunks += 1
            want, have = a.run(feeds, [name]), run_b(feeds, [pair.other])
            if name not in want or pair.other not in have:
                return None
            looked[name] = layer_of(pair, measure(want[name], have[pair.other], tolerance))
        return looked[name]

    by_name = {pair.value.name: pair for pair in pairs}
    for output in a.model.graph.outputs:
        layer = probe(by_name[output]) if output in by_name else None
        if layer is None or layer.metrics.passed:
            continue
        report.first = layer
        open_ = _before(a.model, output, order) - {output}
        while open_:
            ordered = sorted(open_, key=order.__getitem__)
            middle = ordered[len(ordered) // 2]
            layer = probe(by_name[middle])
            if layer is None:
                open_.discard(middle)
            elif layer.metrics.passed:
                open_ -= _before(a.model, middle, order)
            else:
                report.first = layer
                open_ &= _before(a.model, middle, order) - {middle}
        break
    report.layers = sorted(looked.values(), key=lambda layer: order[layer.value])
    report.path = [layer for layer in report.layers if not layer.metrics.passed]
    return report


def _before(model: Model, value: str, matched: Mapping[str, int]) -> set[str]:
    """Return the matched values that `value` comes from, itself included."""
    producer = model.graph.values[value].producer
    stack: list[Node] = [producer] if producer is not None else []
    seen: set[Node] = set(stack)
    while stack:
        for node in model.graph.predecessors(stack.pop()):
            if node not in seen:
                seen.add(node)
                stack.append(node)
    found = {name for node in seen for name in node.outputs if name in matched}
    return found | ({value} if value in matched else set())
