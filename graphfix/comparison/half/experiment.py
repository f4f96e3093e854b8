"""Runs of one model under many plans on the same inputs, and the errors that they bring."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from graphfix.comparison.half.forms import Plan
from graphfix.comparison.half.interpreter import Interpreter, Trace
from graphfix.comparison.runtimes import Arrays
from graphfix.comparison.runtimes.onnxruntime import flatten

Errors = dict[str, float]


class Experiment:
    """The reference and any number of plans against it, over all samples.

    Where the values of the reference and of one plan fit in memory they are kept, and later runs
    compute only what changes. `runs` counts runs of all samples beside the reference.
    """

    def __init__(self, interpreter: Interpreter, feeds: Sequence[Arrays]) -> None:
        self.interpreter = interpreter
        self.feeds = feeds
        self.runs = 0
        first = interpreter.run(feeds[0], Plan({}))
        # reference, one plan, and what the plan under test has of its own
        self.keeps = 3 * interpreter.total_bytes * len(feeds) <= interpreter.memory
        self.reference = [first, *(self._plain(f) for f in feeds[1:])]
        if self.keeps:
            self.reference[0] = self._plain(feeds[0])
        self.wanted = [_flat(trace) for trace in self.reference]

    def _plain(self, feeds: Arrays) -> Trace:
        return self.interpreter.run(feeds, Plan({}), keep=self.keeps)

    def run(self, plan: Plan, *, record: bool = False) -> list[Trace]:
        """Run all samples under a plan, in full."""
        self.runs += 1
        return [self.interpreter.run(f, plan, record=record, keep=self.keeps) for f in self.feeds]

    def errors(self, plan: Plan, base: Sequence[Trace]) -> Errors:
        """Return the error of each output under a plan, the worst over all samples.

        `base` are runs under a plan that is not far from it.
        """
        self.runs += 1
        found = []
        for feeds, near, wanted in zip(self.feeds, base, self.wanted, strict=True):
            trace = self.interpreter.run(feeds, plan, base=near if self.keeps else None)
            found.append(errors_of(wanted, _flat(trace)))
        return worst(found)

    def errors_of(self, traces: Sequence[Trace]) -> Errors:
        """Return the errors of runs that were made before."""
        return worst([errors for errors, _, _ in self.pairs(traces)])

    def pairs(self, traces: Sequence[Trace]) -> list[tuple[Errors, Arrays, Arrays]]:
        """Return the errors, the reference's outputs and a plan's, for each sample."""
        found = []
        for wanted, trace in zip(self.wanted, traces, strict=True):
            have = _flat(trace)
            found.append((errors_of(wanted, have), wanted, have))
        return found


def _flat(trace: Trace) -> Arrays:
    result: Arrays = {}
    for name, value in trace.outputs.items():
        flatten(name, value, result)
    return result


def worst(found: Sequence[Errors]) -> Errors:
    """Return the largest error of each output."""
    result: Errors = {}
    for errors in found:
        for name, error in errors.items():
            result[name] = max(result.get(name, 0.0), error)
    return result


def errors_of(wanted: Mapping[str, np.ndarray], have: Mapping[str, np.ndarray]) -> Errors:
    """Return the error of every output."""
    return {
        name: output_error(array, have[name]) if name in have else math.inf
        for name, array in wanted.items()
    }


def output_error(want: np.ndarray, have: np.ndarray) -> float:
    """Return the relative Euclidean error, over the positions where the reference is finite.

    Infinite where the other side is not finite there, or of another shape. Against a reference of
    zeros: the root mean square of what is there instead. Of integers, bools and strings: the share
    that differs.
    """
    if want.shape != have.shape:
        return math.inf
    if want.size == 0:
        return 0.0
    if want.dtype.kind != "f":
        return float(np.count_nonzero(np.asarray(want != have))) / want.size
    w, h = want.astype(np.float64).reshape(-1), have.astype(np.float64).reshape(-1)
    finite = np.isfinite(w)
    if not finite.all():
        w, h = w[finite], h[finite]
    if w.size == 0:
        return 0.0
    if not np.isfinite(h).all():
        return math.inf
    top = float(np.abs(w).max())
    if top == 0:
        return float(np.sqrt(np.mean(h * h)))
    with np.errstate(over="ignore"):
        lost = float(np.linalg.norm((h - w) / top))
    return lost / float(np.linalg.norm(w / top))
