"""How much device memory a model needs: weights, and activations by liveness. An estimate.

The weights are what nodes read and what follows from constants alone, in the element type in which
the precision mode holds them. The activations are counted in the order of the graph: a tensor lives
from the node that gives it to the last one that reads it. Three figures bracket what ATC does,
whose own plan is not known: `least`, what the hungriest node needs for itself; `peak`, what lives
at once; `no_reuse`, all tensors together, as with --disable_reuse_memory=1. None of them counts
workspace of kernels, padding of formats such as NC1HWC0, or what fusion saves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphfix.analysis.liveness import measure, size_of
from graphfix.graph import Graph, Model, Value, infer
from graphfix.graph.tensors import byte_size
from graphfix.graph.value import declared_shape
from graphfix.support import Target

Dims = tuple[int, ...]

_TIGHT = 0.8  # the share of the device from which on other programs and the runtime matter

_FLOATS = ("float32", "bfloat16", "float16")
_HALF = dict.fromkeys(_FLOATS, 16)
_RAISED = dict.fromkeys(_FLOATS, 32)
# bits per element, at least and at most, where the mode changes them (CANN's atc guide,
# "--precision_mode", 2026); mixed modes decide operator by operator
_HELD: dict[str, tuple[Mapping[str, int], Mapping[str, int]]] = {
    "force_fp16": (_HALF, _HALF),
    "must_keep_origin_dtype": ({}, {}),
    "force_fp32": (_HALF, _RAISED),
    "cube_fp16in_fp32out": (_HALF, _RAISED),
}
_MIXED: tuple[Mapping[str, int], Mapping[str, int]] = (_HALF, {})


@dataclass(frozen=True)
class Range:
    """Bytes: at least and at most, where the precision mode leaves both open."""

    low: int = 0
    high: int = 0

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def to_json(self) -> dict[str, int]:
        """Return both ends."""
        return {"low": self.low, "high": self.high}


@dataclass(frozen=True)
class Held:
    """A tensor and how many bytes it is held in.

    `kind`: weight, input, or activation; `node` gives it, or reads it first if it is no activation;
    `live`: it is one of those at the peak, as weights always are.
    """

    name: str
    kind: str
    node: str
    op_type: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    live: bool

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the report."""
        return {
            "tensor": self.name,
            "kind": self.kind,
            "node": self.node,
            "op_type": self.op_type,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "bytes": self.bytes,
            "live_at_peak": self.live,
        }


@dataclass(frozen=True)
class Profile:
    """What one set of input shapes needs. `at` is the node at which most is live.

    `ports` are the inputs and outputs in the model's own types, which the caller allocates.
    `unknown` counts tensors whose size cannot be told: then every figure is at least that.
    """

    label: str
    shapes: Mapping[str, Dims]
    weights: Range
    least: Range
    peak: Range
    no_reuse: Range
    ports: int
    at: str
    largest: tuple[Held, ...]
    unknown: int

    @property
    def total(self) -> Range:
        """Weights, peak, inputs and outputs."""
        return self.weights + self.peak + Range(self.ports, self.ports)

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the report."""
        return {
            "profile": self.label,
            "shapes": {name: list(dims) for name, dims in self.shapes.items()},
            "weights": self.weights.to_json(),
            "activations": {
                "least": self.least.to_json(),
                "peak": self.peak.to_json(),
                "no_reuse": self.no_reuse.to_json(),
                "at": self.at,
            },
            "inputs_and_outputs": self.ports,
            "total": self.total.to_json(),
            "unknown_tensors": self.unknown,
            "largest": [t.to_json() for t in self.largest],
        }


@dataclass
class Memory:
    """The estimate for a model and all profiles. `device` is the SoC's memory, None if unknown."""

    path: str
    target: Target
    file_weights: int
    device: int | None
    profiles: list[Profile] = field(default_factory=list)

    @property
    def worst(self) -> Profile:
        """The profile that needs most; an .om with profiles needs as much as it does."""
        return max(self.profiles, key=lambda p: p.total.high)

    @property
    def verdict(self) -> str:
        """`fits`, `tight`, `too large`, or `unknown` where the device's memory is."""
        if self.device is None:
            return "unknown"
        total = self.worst.total
        if total.low > self.device:
            return "too large"
        return "tight" if total.high > _TIGHT * self.device else "fits"

    def to_json(self) -> dict[str, Any]:
        """Return the document `graphfix.memory/1`."""
        soc = self.target.socs[0].name if self.target.socs else None
        return {
            "schema": "graphfix.memory/1",
            "estimate": True,
            "model": self.path,
            "soc": soc,
            "device_bytes": self.device,
            "precision_mode": self.target.precision_mode,
            "file_weights": self.file_weights,
            "worst": self.worst.label,
            "verdict": self.verdict,
            "profiles": [p.to_json() for p in self.profiles],
        }


def memory(
    model: Model, target: Target, profiles: Mapping[str, Mapping[str, Dims]], *, largest: int = 5
) -> Memory:
    """Estimate the device memory that a model needs, for each set of input shapes.

    What the index knows of the model's types is told anew for every profile.

    Args:
        model: the model; nothing of its protobuf is changed, and no weights are read.
        target: the SoC whose memory is compared, if there is one, and the precision mode.
        profiles: static dims of the inputs by the profile's name.
        largest: how many tensors to name.

    Raises:
        UsageError: a shape that does not fit its input.
    """
    with contextlib.suppress(Exception):  # the inliner refuses invalid models in many ways
        model = model.inlined()
    device = target.socs[0].memory_bytes if target.socs else None
    file_weights = sum(byte_size(t) for t in model.proto.graph.initializer)
    found = Memory(str(model.path or "<model>"), target, file_weights, device)
    declared = {i.name: declared_shape(i.type) for i in model.proto.graph.input}
    low, high = _HELD.get(target.precision_mode, _MIXED)
    for label, shapes in profiles.items():
        bound = {n: d for n, d in shapes.items() if declared.get(n) != d}
        if bound or not model.is_inferred:
            _forget(model)
        infer(model, bound)
        most = measure(model.graph, high)
        least = most if low == high else measure(model.graph, low)
        found.profiles.append(
            Profile(
                label,
                shapes,
                Range(least.weights, most.weights),
                Range(least.least, most.least),
                Range(least.peak, most.peak),
                Range(least.no_reuse, most.no_reuse),
                sum(_own_bytes(v) for v in _ports(model.graph)),
                most.at,
                tuple(_held(v, size, v in most.live) for size, v in most.sizes(largest)),
                len(most.unknown),
            )
        )
        if bound:
            _forget(model)
    return found


def _forget(model: Model) -> None:
    """Drop what was inferred: computed values of one profile would be constants of the next."""
    for graph in model.graph.graphs():
        for value in graph.values.values():
            value.forget()


def _ports(graph: Graph) -> Iterator[Value]:
    for name in [n for n in graph.inputs if n not in graph.initializers] + graph.outputs:
        value = graph.lookup(name)
        if value is not None:
            yield value


def _own_bytes(value: Value) -> int:
    return size_of(value, {}) or 0


def _held(value: Value, size: int, live: bool) -> Held:
    kind = "weight" if value.is_constant else "activation" if value.producer else "input"
    node = value.producer
    if kind != "activation":
        node = value.uses[0][0] if value.uses else None
    return Held(
        value.name,
        kind,
        (node.name or node.op_type) if node is not None else "",
        node.op_type if node is not None else "",
        value.dtype or "?",
        tuple(d for d in value.shape or () if isinstance(d, int)),
        size,
        live or kind == "weight",
    )
