"""compare: two sides on the same inputs, output by output, and layer by layer when asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from graphfix.comparison.bisect import bisect_layers
from graphfix.comparison.chunks import DEFAULT_MEMORY
from graphfix.comparison.layers import LayerReport, compare_layers
from graphfix.comparison.metrics import DEFAULTS, ON_NPU, Metrics, Tolerance, measure
from graphfix.comparison.runtimes import Arrays, Runtime, RuntimeFailed
from graphfix.comparison.runtimes.layouts import Form
from graphfix.comparison.runtimes.onnxruntime import CPU, OnnxRuntime
from graphfix.comparison.runtimes.saved import Saved, write_arrays
from graphfix.comparison.sides import (
    Side,
    feeds_for,
    open_side,
    pair_inputs,
    pair_outputs,
    samples_for,
    user_inputs,
)
from graphfix.errors import UsageError
from graphfix.graph import infer

Inputs: TypeAlias = "Sequence[str] | Mapping[str, np.ndarray] | Sequence[Mapping[str, np.ndarray]]"


@dataclass(frozen=True)
class Output:
    """One output of the original against the other side's, on the worst of the samples."""

    name: str
    other: str
    sample: int
    metrics: Metrics


@dataclass
class Comparison:
    """What compare found. `stopped` says why not all was compared; what was stays.

    `notes` are things to know that change no verdict.
    """

    a: str
    b: str
    tolerance: Tolerance | None
    samples: int = 0
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    layers: LayerReport | None = None
    stopped: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether everything was compared and every output is within the tolerance."""
        compared = bool(self.outputs)  # of nothing nothing can be said
        return self.stopped is None and compared and all(o.metrics.passed for o in self.outputs)

    def to_json(self) -> dict[str, Any]:
        """Return the report as the JSON contract `graphfix.compare/1`."""
        return {
            "schema": "graphfix.compare/1",
            "a": self.a,
            "b": self.b,
            "passed": self.passed,
            "samples": self.samples,
            "inputs": self.inputs,
            "tolerance": _thresholds(self.tolerance),
            "stopped": self.stopped,
            "notes": self.notes,
            "outputs": [
                {
                    "name": o.name,
                    "other": o.other,
                    "sample": o.sample,
                    "metrics": o.metrics.to_json(),
                }
                for o in self.outputs
            ],
            "layers": self.layers.to_json() if self.layers is not None else None,
        }


def _thresholds(tolerance: Tolerance | None) -> dict[str, Any]:
    """Return the thresholds by dtype; `*` where the user's are for all."""
    by_dtype = DEFAULTS if tolerance is None else {"*": tolerance}
    return {
        name: {"atol": t.atol, "rtol": t.rtol, "cosine": t.cosine, "euclidean": t.euclidean}
        for name, t in by_dtype.items()
    }


def compare(
    a: Side,
    b: Side,
    *,
    inputs: Inputs = (),
    inputs_b: Inputs = (),
    samples: int = 1,
    seed: int = 0,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    layers: bool = False,
    bisect: bool = False,
    memory: int = DEFAULT_MEMORY,
    by_order: bool = False,
    optimize: bool = False,
    providers: Sequence[str] = (CPU,),
    tolerance: Tolerance | None = None,
    save_inputs: Path | None = None,
    save_outputs: Path | None = None,
    bins: Mapping[str, Form] | None = None,
    device: int = 0,
    aipp: Path | None = None,
) -> Comparison:
    """Run two sides on the same inputs and say how far they are apart.

    Args:
        a: the original: a path or model of ONNX, or a Runtime.
        b: the other side: also an .om, or a saved file or folder.
        inputs: arrays by input name, one dict per sample, or texts as --input takes them
            (`NAME=FILE`, a folder, an .npz); what is not given is made up.
        inputs_b: what `b` is fed as it is, where that is not to be derived from `inputs`.
        samples: how many inputs to run; `seed` decides the made-up data.
        shapes: static dims for inputs with open ones.
        layers: compare every intermediate value that has a match, in chunks under `memory` bytes.
        bisect: look for the first diverging node by halving, one value at a time.
        by_order: outputs (and inputs) pair by position instead of by name.
        optimize, providers: of ONNX Runtime for `b`; `a` is computed node by node on the CPU.
        tolerance: one for all dtypes; left out, metrics.DEFAULTS, or metrics.ON_NPU where a side
            comes from an NPU.
        save_inputs, save_outputs: folders to write .npy files into, one folder per sample.
        bins: numpy dtype and shape of saved .bin files, by the value that they hold; left out,
            those of the original.
        device: the NPU that runs an .om, by its number.
        aipp: settings of an OM's dynamic AIPP, an ATC --insert_op_conf file.

    Raises:
        UsageError for sides that do not fit each other, RuntimeFailed where nothing could be run.
    """
    with (
        open_side(a, device=device, aipp=aipp) as one,
        open_side(
            b, optimize=optimize, providers=providers, original=one, device=device, aipp=aipp
        ) as two,
    ):
        if isinstance(two, Saved):
            two.given = bins or {}
        on_npu = any(getattr(side, "on_npu", False) for side in (one, two))
        tolerance = ON_NPU if tolerance is None and on_npu else tolerance
        run = _Run(one, two, by_order, tolerance, save_outputs, memory, layers, bisect, bins or {})
        report = run.compare(inputs, inputs_b, samples, seed, shapes, save_inputs)
    for side in (one, two):
        report.notes += [f"{side.name}: {text}" for text in getattr(side, "not_released", ())]
    return report


@dataclass
class _Run:
    """Two open sides and what is asked of them."""

    a: Runtime
    b: Runtime
    by_order: bool
    tolerance: Tolerance | None
    save_outputs: Path | None
    memory: int
    layers: bool
    bisect: bool
    bins: Mapping[str, Form]

    def compare(
        self,
        inputs: Inputs,
        inputs_b: Inputs,
        count: int,
        seed: int,
        shapes: Mapping[str, tuple[int, ...]] | None,
        save_inputs: Path | None,
    ) -> Comparison:
        a, b = self.a, self.b
        self.outputs = pair_outputs(a, b, self.by_order)
        self.names = pair_inputs(a, b, self.by_order)
        given = arrays_of(inputs, a, self.bins)
        if isinstance(b, Saved):
            self._check_saved(b, given, count)
            count = b.count
        other = arrays_of(inputs_b, b, self.bins, "--input-b")
        feeds = samples_for(
            a, b, self.names, given=given, count=count, seed=seed, shapes=shapes, other=other
        )
        for sample in feeds:
            feeds_for(b, sample, self.names)
        if save_inputs is not None:
            for index, arrays in enumerate(feeds):
                write_arrays(folder_of(save_inputs, index, len(feeds)), arrays)
        report = Comparison(a.name, b.name, self.tolerance, len(feeds), described(feeds[0]))
        report.notes += [
            f"input {port.name}: both sides get what the OM's AIPP makes of whole pixels"
            for port in b.inputs
            if port.encoding is not None and port.name not in feeds[0].other
        ]
        if (self.layers or self.bisect) and not isinstance(b, OnnxRuntime | Saved):
            report.notes.append(
                "An OM gives its outputs only. For inner values dump a run (ais_bench --dump 1 "
                "--dump-npy 1, msit debug compare --convert True), and compare the folder."
            )
        if self.layers or self.bisect:
            self._infer(feeds[0])
            report.layers = self._layers(feeds)
            report.stopped = report.layers.stopped
        self._outputs(feeds, report)
        return report

    def _check_saved(self, b: Saved, given: list[Arrays], count: int) -> None:
        if count not in (1, b.count) or (given and len(given) != b.count):
            raise UsageError(
                f"{b.path}: holds {b.count} samples, but {max(count, len(given))} are asked for."
            )
        if not given and self.a.inputs:
            raise UsageError(
                f"{b.path}: saved outputs need the inputs that they were made from. Give them with "
                "--input (a folder, or NAME=FILE)."
            )

    def _infer(self, feeds: Mapping[str, np.ndarray]) -> None:
        """Tell the models the shapes, which chunks and matches go by."""
        for side, names in ((self.a, None), (self.b, self.names)):
            if isinstance(side, OnnxRuntime):
                arrays = feeds if names is None else {n: feeds[o] for n, o in names.items()}
                infer(side.model, {n: tuple(v.shape) for n, v in arrays.items()})

    def _run_b(self, feeds: Mapping[str, np.ndarray], fetch: Sequence[str] | None = None) -> Arrays:
        return self.b.run(feeds_for(self.b, feeds, self.names), fetch)

    def _layers(self, feeds: Sequence[Arrays]) -> LayerReport:
        if self.bisect:
            return bisect_layers(self.a, self.b, feeds[0], self._run_b, tolerance=self.tolerance)
        return compare_layers(
            self.a, self.b, feeds, self._run_b, memory=self.memory, tolerance=self.tolerance
        )

    def _outputs(self, feeds: Sequence[Arrays], report: Comparison) -> None:
        """Compare the outputs sample by sample and keep the worst; stops where a side does."""
        worst: dict[str, Output] = {}
        for index, sample in enumerate(feeds):
            try:
                want = self.a.run(sample)
                if isinstance(self.b, Saved):
                    self.b.expect(index, want)
                have = self._run_b(sample)
            except RuntimeFailed as error:
                if not worst and (report.layers is None or not report.layers.layers):
                    raise
                report.stopped = f"{error} Sample {index} of {len(feeds)} was not compared."
                break
            if self.save_outputs is not None:
                for side, arrays in (("a", want), ("b", have)):
                    write_arrays(folder_of(self.save_outputs / side, index, len(feeds)), arrays)
            for name, array in want.items():
                other = self.outputs.get(name, name)
                output = Output(name, other, index, _measured(array, have, other, self.tolerance))
                if name not in worst or _badness(output) > _badness(worst[name]):
                    worst[name] = output
        report.outputs = list(worst.values())


def _measured(want: np.ndarray, have: Arrays, other: str, tolerance: Tolerance | None) -> Metrics:
    if other in have:
        return measure(want, have[other], tolerance)
    # a sequence of another length
    return Metrics(want.dtype.name, want.shape, want.size, beyond=1.0, problem="is not there")


def _badness(output: Output) -> tuple[bool, float, float]:
    m = output.metrics
    return (not m.passed, m.beyond, m.max_abs or 0.0)


def arrays_of(
    inputs: Inputs, a: Runtime, bins: Mapping[str, Form], option: str = "--input"
) -> list[Arrays]:
    """Return the user's inputs as arrays, one dict per sample; `bins` as `compare` takes them."""
    if isinstance(inputs, Mapping):
        return [{n: np.asarray(v) for n, v in inputs.items()}]
    texts = [i for i in inputs if isinstance(i, str)]
    if texts:
        return user_inputs(texts, a, bins, option)
    return [{n: np.asarray(v) for n, v in i.items()} for i in inputs if isinstance(i, Mapping)]


def folder_of(folder: Path, index: int, count: int) -> Path:
    """Return the folder of a sample."""
    return folder if count == 1 else folder / str(index)


def described(feeds: Arrays) -> dict[str, str]:
    """Return dtype and dims of what is fed, by input."""
    return {n: f"{v.dtype.name}[{','.join(map(str, v.shape))}]" for n, v in feeds.items()}
