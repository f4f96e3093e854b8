"""What the preview of half precision found, and its JSON contract."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from graphfix.comparison.half.experiment import Errors
from graphfix.comparison.metrics import Metrics, finite


@dataclass(frozen=True)
class Culprit:
    """A node that loses something by half precision.

    `kind`: overflow, underflow, epsilon (an attribute; what the kernel makes of it is not known) or
    error. `value` is the tensor that loses it. `error` is what the output's error would be if this
    node alone rounded, None where it was not measured. `can_keep`: whether its kernel has float32,
    so that --keep_dtype can help.
    """

    node: str
    op_type: str
    kind: str
    says: str
    value: str | None
    error: float | None
    can_keep: bool

    def to_json(self) -> dict[str, Any]:
        """Return the culprit as the report has it."""
        return {
            "node": self.node, "op_type": self.op_type, "kind": self.kind, "says": self.says,
            "value": self.value, "error": json_error(self.error), "can_keep": self.can_keep,
        }  # fmt: skip


def json_error(error: float | None) -> float | str | None:
    """Return an error as reports have it: `inf` in words, None where it was not measured."""
    return "inf" if error is not None and math.isinf(error) else error


@dataclass
class HalfOutput:
    """One output: its error in half, and with the keep list; `sample` is the worst one."""

    name: str
    error: float
    passed: bool
    problem: str | None
    sample: int
    metrics: Metrics
    culprits: list[Culprit] = field(default_factory=list)
    kept: float | None = None


@dataclass
class KeepList:
    """What --keep_dtype would be: lines, the nodes that they mean, the errors predicted with it."""

    lines: list[str]
    nodes: list[str]
    errors: Errors
    reaches: bool
    complete: bool

    @property
    def text(self) -> str:
        """The file's content."""
        return "".join(f"{line}\n" for line in self.lines)


@dataclass
class MixList:
    """What --modify_mixlist would be: GE operators for the black list, and the errors with it."""

    black: list[str]
    errors: Errors
    reaches: bool

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document that ATC reads.

        An operator enters the black list from the white or the grey one by `to-add` alone
        (ATC's page of --modify_mixlist).
        """
        return {"black-list": {"to-add": self.black}}


@dataclass
class Preview:
    """What the preview found. Everything in it is predicted; no NPU was used.

    `counts`: nodes by how the target holds them: half, float32 (by choice of the mode), no_float16
    (the kernel has none), no_float32 (half, and cannot be kept), other (nothing of float32 to
    round), assumed (no table tells). `keep_all`: the errors when all that can be is kept in
    float32; no list can do better.
    """

    model: str
    soc: str | None
    cann: str
    mode: str
    max_error: float
    samples: int = 0
    inputs: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    outputs: list[HalfOutput] = field(default_factory=list)
    losses: list[Culprit] = field(default_factory=list)
    keep: KeepList | None = None
    keep_all: Errors | None = None
    mixlist: MixList | None = None
    note: str | None = None
    refused: str | None = None
    assumptions: list[tuple[str, str]] = field(default_factory=list)
    runs: int = 0

    @property
    def passed(self) -> bool:
        """Whether every output stays within the threshold without any help."""
        return all(o.passed for o in self.outputs)

    def to_json(self) -> dict[str, Any]:
        """Return the report as the JSON contract `graphfix.preview/1`."""
        return {
            "schema": "graphfix.preview/1",
            "model": self.model,
            "soc": self.soc,
            "cann": self.cann,
            "precision_mode": self.mode,
            "max_error": self.max_error,
            "passed": self.passed,
            "samples": self.samples,
            "inputs": self.inputs,
            "counts": self.counts,
            "outputs": [
                {
                    "name": o.name,
                    "error": json_error(o.error),
                    "error_kept": json_error(o.kept),
                    "passed": o.passed,
                    "problem": o.problem,
                    "sample": o.sample,
                    "cosine": o.metrics.cosine,
                    "max_abs": None if o.metrics.max_abs is None else finite(o.metrics.max_abs),
                    "max_rel": None if o.metrics.max_rel is None else finite(o.metrics.max_rel),
                    "nan": list(o.metrics.nan),
                    "inf": list(o.metrics.inf),
                    "nodes": [c.to_json() for c in o.culprits],
                }
                for o in self.outputs
            ],
            "losses": [c.to_json() for c in self.losses],
            "keep_dtype": None if self.keep is None else {
                "lines": self.keep.lines,
                "nodes": self.keep.nodes,
                "errors": {n: json_error(e) for n, e in self.keep.errors.items()},
                "reaches": self.keep.reaches,
                "complete": self.keep.complete,
            },
            "keep_all": None if self.keep_all is None else {
                n: json_error(e) for n, e in self.keep_all.items()
            },
            "modify_mixlist": None if self.mixlist is None else {
                "document": self.mixlist.document,
                "errors": {n: json_error(e) for n, e in self.mixlist.errors.items()},
                "reaches": self.mixlist.reaches,
            },
            "note": self.note,
            "refused": self.refused,
            "assumptions": [{"says": s, "certainty": c} for s, c in self.assumptions],
            "runs": self.runs,
        }  # fmt: skip
