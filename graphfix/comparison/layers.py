"""Layer by layer: every intermediate value of the original against its match.

Values are dumped in chunks, so that what lies in memory at one time stays under a budget. The first
diverging node is the first in topological order whose output fails, everything that it takes having
passed or having no match, and whose error goes on: where all that follows agrees again, the other
side holds another value under that name (a Conv with the BatchNormalization folded in, say).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphfix.comparison.chunks import DEFAULT_MEMORY, available_bytes, chunks
from graphfix.comparison.matching import Pair, inner_values, match
from graphfix.comparison.metrics import Metrics, Tolerance, finite, measure
from graphfix.comparison.runtimes import Arrays, Runtime, RuntimeFailed
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.comparison.runtimes.saved import Saved
from graphfix.comparison.sides import values_of
from graphfix.errors import UsageError
from graphfix.graph import Model, Node, Value

# more than this share of an error is still the error, if within the tolerance
_LEFT = 0.1


@dataclass(frozen=True)
class Layer:
    """One value of the original and how far its match is from it."""

    value: str
    node: str
    op_type: str
    other: str
    by: str
    metrics: Metrics

    @property
    def error(self) -> float:
        """The error in one number: relative Euclidean, infinite for what cannot be measured."""
        m = self.metrics
        if m.relative_euclidean is not None and not any(m.nan) and m.inf[0] == m.inf[1]:
            return m.relative_euclidean
        if m.passed:
            return m.max_abs or 0.0
        # no norm to relate it to, or no number at all
        return m.max_abs if m.max_abs and not any(m.nan) and m.inf[0] == m.inf[1] else math.inf

    def to_json(self) -> dict[str, Any]:
        """Return the layer as reports have it."""
        return {
            "value": self.value,
            "node": self.node,
            "op_type": self.op_type,
            "other": self.other,
            "matched_by": self.by,
            "error": finite(self.error),
            "metrics": self.metrics.to_json(),
        }


@dataclass
class LayerReport:
    """All layers that were compared, in topological order of the original.

    `path` leads from the first diverging node to the output with the greatest error. `begins` is
    where the first divergence comes from, if a value before it differs within the tolerance.
    `stopped` says why not all was compared; what was stays. `healed` are values that differ without
    effect.
    """

    layers: list[Layer] = field(default_factory=list)
    unmatched: int = 0
    chunks: int = 0
    first: Layer | None = None
    begins: Layer | None = None
    path: list[Layer] = field(default_factory=list)
    healed: list[Layer] = field(default_factory=list)
    method: str = "layers"
    stopped: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the layers as the report has them."""
        return {
            "method": self.method,
            "chunks": self.chunks,
            "unmatched": self.unmatched,
            "first": self.first.to_json() if self.first is not None else None,
            "begins": self.begins.to_json() if self.begins is not None else None,
            "path": [layer.value for layer in self.path],
            "healed": [layer.value for layer in self.healed],
            "stopped": self.stopped,
            "layers": [layer.to_json() for layer in self.layers],
        }


def pair_values(a: Runtime, b: Runtime) -> tuple[list[Pair], int]:
    """Return the pairs of values that both sides can give, and how many have no match.

    Raises UsageError where the original is no ONNX model.
    """
    if not isinstance(a, OnnxRuntime):
        raise UsageError(
            f"--layers: {a.name} has no graph to walk along. Give the ONNX model as the first side."
        )
    values = inner_values(a.model)
    if isinstance(b, OnnxRuntime):
        pairs = match(a.model, b.model)
    else:
        available = getattr(b, "values", None)
        names = values_of(available() if available is not None else b.outputs, a)
        pairs = [Pair(v, names[v.name], "name") for v in values if v.name in names]
    # ONNX Runtime for Python hands out no bfloat16, and would refuse the whole dump
    pairs = [pair for pair in pairs if pair.value.dtype != "bfloat16"]
    return pairs, len(values) - len(pairs)


def compare_layers(
    a: Runtime,
    b: Runtime,
    samples: Sequence[Mapping[str, np.ndarray]],
    run_b: Callable[[Mapping[str, np.ndarray], Sequence[str]], Arrays],
    *,
    memory: int = DEFAULT_MEMORY,
    tolerance: Tolerance | None = None,
) -> LayerReport:
    """Compare every matched value over all samples, keeping the worst of each.

    `run_b` runs the other side on the original's feeds. Raises UsageError where the budget cannot
    hold the largest value.
    """
    pairs, unmatched = pair_values(a, b)
    report = LayerReport(unmatched=unmatched)
    worst: dict[str, Layer] = {}
    parts = list(chunks(pairs, available_bytes(memory, a, b), memory))
    try:
        for chunk in parts:
            report.chunks += 1
            for index, feeds in enumerate(samples):
                want = a.run(feeds, [p.value.name for p in chunk])
                if isinstance(b, Saved):
                    b.expect(index, want)
                have = run_b(feeds, [p.other for p in chunk])
                _keep_worst(chunk, want, have, tolerance, worst)
                del want, have
    except RuntimeFailed as error:
        report.stopped = str(error)
    report.layers = [worst[p.value.name] for p in pairs if p.value.name in worst]
    assert isinstance(a, OnnxRuntime)
    failing = [layer for layer in report.layers if not layer.metrics.passed]
    gone: set[str] = set()
    for layer in reversed(failing):  # whether one heals depends on those that follow
        if _heals(a.model, layer, worst, gone):
            gone.add(layer.value)
    report.healed = [layer for layer in failing if layer.value in gone]
    report.first = next((layer for layer in failing if layer.value not in gone), None)
    if report.first is not None:
        report.path = error_path(a.model, report)
        if tolerance is not None and not tolerance.of_elements:
            return report  # under half precision all values differ from the first on
        rest = [layer for layer in report.layers if layer.value not in gone]
        report.begins = _beginning(a.model, report.first, rest)
    return report


def _beginning(model: Model, first: Layer, layers: Sequence[Layer]) -> Layer | None:
    """Return the first layer of all that `first` comes from that differs at all."""
    producer = model.graph.values[first.value].producer
    stack = [producer] if producer is not None else []
    seen = set(stack)
    while stack:
        for node in model.graph.predecessors(stack.pop()):
            if node not in seen:
                seen.add(node)
                stack.append(node)
    for layer in layers:
        if layer.value != first.value and not layer.metrics.equal:
            maker = model.graph.values[layer.value].producer
            if maker in seen:
                return layer
    return None


def _keep_worst(
    chunk: Sequence[Pair],
    want: Arrays,
    have: Arrays,
    tolerance: Tolerance | None,
    worst: dict[str, Layer],
) -> None:
    for pair in chunk:
        name = pair.value.name
        if name not in want or pair.other not in have:
            continue  # no tensor, or nothing that was saved
        layer = layer_of(pair, want.pop(name), have[pair.other], tolerance)
        if name not in worst or _is_worse(layer, worst[name]):
            worst[name] = layer


def _heals(model: Model, layer: Layer, layers: Mapping[str, Layer], gone: set[str]) -> bool:
    """Whether the other side has another value under this name: the error is gone further on.

    It must be gone in all nearest compared values that follow, and some of them must lie behind a
    value that the other side does not have, as where a node was folded into the one before. One
    that follows behind such a value and differs, but heals itself, is of the set `gone`.
    """
    found = False
    stack, seen = [(model.graph.values[layer.value], False)], {layer.value}
    while stack:
        value, behind = stack.pop()
        if value.is_output and value.name not in layers:
            return False
        for name in _following(value, model):
            if name in seen:
                continue
            seen.add(name)
            if name not in layers:
                stack.append((model.graph.values[name], True))
            elif layers[name].metrics.passed and layers[name].error <= _LEFT * layer.error:
                found = found or behind
            elif behind and name in gone:
                found = True
            else:
                return False
    return found and not model.graph.values[layer.value].is_output


def layer_of(pair: Pair, want: np.ndarray, have: np.ndarray, tolerance: Tolerance | None) -> Layer:
    """Measure a pair; a nameless node is called by its value.

    Inner values that differ in neighbouring dims joined into one, or in dims of size 1, have the
    same elements in the same order; that is no difference.
    """
    if want.shape != have.shape and (
        _joins(want.shape, have.shape) or _joins(have.shape, want.shape)
    ):
        have = have.reshape(want.shape)
    metrics = measure(want, have, tolerance)
    name = pair.node.name or pair.value.name
    return Layer(pair.value.name, name, pair.node.key, pair.other, pair.by, metrics)


def _joins(fine: Sequence[int], coarse: Sequence[int]) -> bool:
    """Whether joining neighbouring dims of `fine` gives `coarse`, not counting dims of size 1."""
    dims = iter([d for d in fine if d != 1])
    for wanted in (d for d in coarse if d != 1):
        product = next(dims, 0)
        while 0 < product < wanted:
            product *= next(dims, 0)
        if product != wanted:
            return False
    return next(dims, None) is None


def _is_worse(one: Layer, two: Layer) -> bool:
    return (not one.metrics.passed, one.error) > (not two.metrics.passed, two.error)


# ---------------------------------------------------------------------- the way of the error


def error_path(model: Model, report: LayerReport) -> list[Layer]:
    """Return the layers from the first diverging one to the worst output.

    Backwards from the failing output with the greatest error, over the input with the greatest
    error each time; without a failing output it is the first layer alone.
    """
    first = report.first
    assert first is not None
    by_value = {layer.value: layer for layer in report.layers}
    outputs = [by_value[o] for o in model.graph.outputs if o in by_value]
    failing = [layer for layer in outputs if not layer.metrics.passed]
    if not failing:
        return [first]
    reached = _reached_from(model, first.value)
    current = max(failing, key=lambda layer: (layer.value in reached, layer.error))
    path = [current]
    seen = {current.value}
    while current.value != first.value:
        following = _worst_input(model, current.value, by_value, reached, seen)
        if following is None:
            break
        seen.add(following.value)
        path.append(following)
        current = following
    return path[::-1]


def _reached_from(model: Model, start: str) -> set[str]:
    reached = {start}
    stack = [model.graph.values[start]]
    while stack:
        for name in _following(stack.pop(), model):
            if name not in reached:
                reached.add(name)
                stack.append(model.graph.values[name])
    return reached


def _following(value: Value, model: Model) -> Iterator[str]:
    """Yield the values of the main graph that are computed from a value directly."""
    for node, _ in value.uses:
        outer = _in_main_graph(node, model)
        yield from (name for name in (outer.outputs if outer is not None else ()) if name)


def _in_main_graph(node: Node, model: Model) -> Node | None:
    """Return the node, or for one inside a branch the node of the main graph that holds it."""
    current: Node | None = node
    while current is not None and current.graph is not model.graph:
        current = current.graph.owner
    return current


def _worst_input(
    model: Model, name: str, layers: Mapping[str, Layer], reached: set[str], seen: set[str]
) -> Layer | None:
    """Return the layer with the greatest error that a value comes from, past unmatched ones."""
    stack, looked = [name], {name}
    best: Layer | None = None
    while stack:
        producer = model.graph.values[stack.pop()].producer
        if producer is None:
            continue
        sources = [n for n in producer.inputs if n]
        for _, inner in producer.subgraphs:
            sources += inner.captured()
        for source in sources:
            if source in looked or source not in model.graph.values or source in seen:
                continue
            looked.add(source)
            layer = layers.get(source)
            if layer is None:
                stack.append(source)
                continue
            rank = (source in reached, layer.error)
            if best is None or rank > (best.value in reached, best.error):
                best = layer
    return best
