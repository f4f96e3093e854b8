"""The process that runs the user's code: load, export each candidate, check it, prove the best.

Started by `graphfix.frameworks.export`, which stays alive whatever happens here. Everything that is
found out goes as one JSON line each into a file of events, before the next thing is tried; so a
crash costs the one candidate that crashed. Needs torch.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graphfix.errors import GraphfixError, UsageError
from graphfix.frameworks.outcome import COUNTED, Candidate, Proof
from graphfix.frameworks.request import DYNAMO, TORCHSCRIPT, Request
from graphfix.frameworks.source import EXPORTED_PROGRAM, TORCHSCRIPT_FILE

JOB, EVENTS, MODEL = "job.json", "events.jsonl", "model.onnx"

# Tried when nothing is asked for. CANN registers no opset above 18. The dynamo exporter works at 18
# and converts down, to 17 at most times and hardly ever further; the TorchScript exporter writes
# every opset itself, and what it writes changes at these.
AUTO = {DYNAMO: (18, 17), TORCHSCRIPT: (17, 18, 16, 14, 13, 11)}
AUTO_LARGE = {DYNAMO: (18, 17), TORCHSCRIPT: (17, 14)}
LARGE_BYTES = 128 << 20

Emit = Callable[[dict[str, Any]], None]


def plan(
    kind: str, exporter: str | None, opset: int | None, weight_bytes: int
) -> list[tuple[str, int]]:
    """Return what to try with a source of this kind, the likely best first.

    Raises UsageError for the exporter that does not take such a source.
    """
    table = AUTO_LARGE if weight_bytes > LARGE_BYTES else AUTO
    only = {TORCHSCRIPT_FILE: TORCHSCRIPT, EXPORTED_PROGRAM: DYNAMO}.get(kind)
    if only is not None and exporter not in (None, only):
        raise UsageError(
            f"--exporter {exporter}: does not take this kind of file; leave it out, or give {only}."
        )
    exporter = exporter or only
    exporters = table if exporter is None else (exporter,)
    return [(e, o) for e in exporters for o in (table[e] if opset is None else (opset,))]


def work(folder: Path) -> None:
    """Do the job that lies in `folder`, and note every step among its events."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    with (folder / EVENTS).open("a", encoding="utf-8") as events:

        def emit(event: dict[str, Any]) -> None:
            events.write(json.dumps(event) + "\n")
            events.flush()

        try:
            _Work(folder, job, emit).run()
        except GraphfixError as error:
            emit({"event": "refused", "message": str(error), "exit_code": error.exit_code})
        emit({"event": "end", "peak_bytes": _peak()})


class _Work:
    def __init__(self, folder: Path, job: dict[str, Any], emit: Emit) -> None:
        from graphfix.support import Tables, Target

        self.folder = folder
        self.emit = emit
        self.request = Request.from_json(job["request"])
        self.target = Target.of(job["soc"], job["cann"], job["precision_mode"])
        self.tables = Tables.with_files([Path(p) for p in job["op_support"]])
        self.done = {(exporter, opset) for exporter, opset in job["done"]}
        self.best = None if job["best"] is None else Candidate.from_json(job["best"])

    def run(self) -> None:
        from graphfix.frameworks.loading import load_source
        from graphfix.frameworks.samples import samples_for, with_ranges
        from graphfix.frameworks.source import identify

        source = identify(self.request.spec)
        self.loaded = load_source(source, self.request)
        self.loaded = with_ranges(source.spec, self.loaded)
        self.samples = samples_for(source.spec, self.loaded)
        self.outputs = self._output_names()
        self._emit_loaded()
        tries = plan(
            source.kind, self.request.exporter, self.request.opset, self.loaded.weight_bytes
        )
        for exporter, opset in tries:
            if (exporter, opset) in self.done:
                continue
            self.emit({"event": "started", "exporter": exporter, "opset": opset})
            start = time.monotonic()
            candidate = self._try(exporter, opset)
            candidate.seconds = round(time.monotonic() - start, 2)
            self.emit({"event": "candidate", **asdict(candidate)})

    def _emit_loaded(self) -> None:
        import onnx
        import torch

        notes = []
        given = {i.name: i.dims for i in self.loaded.inputs}
        for symbol, size in self.samples[0].sizes.items():
            ones = [n for n, a, s in self.loaded.dynamic if s == symbol and given[n][a] == 1]
            if ones:
                notes.append(
                    f"traced with {symbol}={size}: exporters take a size of 1 for a constant; the "
                    "result is proved at 1 as well"
                )
        for i in self.loaded.inputs:
            asked = next((r for r in self.request.inputs if r.name == i.name), None)
            if i.high is not None and (asked is None or asked.high is None):
                notes.append(f"{i.name}: values 0 to {i.high:.0f}, the rows of its nn.Embedding")
        versions = {"torch": torch.__version__, "onnx": onnx.__version__}
        self.emit({
            "event": "loaded",
            "weight_bytes": self.loaded.weight_bytes,
            "notes": [*self.loaded.notes, *notes],
            "versions": versions,
        })  # fmt: skip

    def _output_names(self) -> list[str]:
        found = list(self.samples[0].expected)
        wanted = list(self.request.output_names)
        if wanted and len(wanted) != len(found):
            raise UsageError(
                f"--output-names {','.join(wanted)}: the model has {len(found)} output"
                f"{'s' * (len(found) != 1)} ({', '.join(found)}); give as many names."
            )
        taken = {i.name for i in self.loaded.inputs}
        taken |= {name for name, _ in self.loaded.module.named_parameters()}
        taken |= {name for name, _ in self.loaded.module.named_buffers()}
        for i in self.loaded.inputs:
            if i.name in taken - {other.name for other in self.loaded.inputs} or i.name in wanted:
                raise UsageError(f"--input {i.name}: a weight or output has this name already.")
        names: list[str] = []
        for name in wanted or found:
            free = name
            while free in taken or free in names:
                if wanted:
                    raise UsageError(
                        f"--output-names {','.join(wanted)}: {name} is a weight's or an input's "
                        "name already; names are unique in ONNX."
                    )
                free = f"{free}_out"
            names.append(free)
        return names

    def _try(self, exporter: str, opset: int) -> Candidate:
        """Export, check, and prove what is better than the best so far; keep the better file."""
        from graphfix.analysis import check
        from graphfix.frameworks.exporters import ExporterFailed, constant_axes, export_with
        from graphfix.graph import load

        candidate = Candidate(exporter, opset, "failed")
        folder = self.folder / f"{exporter}-{opset}"
        folder.mkdir()
        path = folder / MODEL
        try:
            proto = export_with(exporter, self.loaded, opset, path, self.samples[0], self.outputs)
        except ExporterFailed as error:
            candidate.reason = str(error)
            _remove(folder)
            return candidate
        constant = constant_axes(proto, self.loaded)
        del proto
        report = check(load(path), self.target, tables=self.tables)
        candidate.verdict, candidate.nodes = report.verdict, report.nodes
        candidate.findings = {e: report.count(e) for e in COUNTED}
        candidate.bytes = sum(f.stat().st_size for f in folder.iterdir())
        more = candidate.bytes - self.loaded.weight_bytes
        if more > max(1 << 20, self.loaded.weight_bytes // 10):
            candidate.doubled_bytes = more
        if constant:
            candidate.status = "baked"
            candidate.reason = f"{', '.join(constant)} declared dynamic, written as a constant"
        elif self.best is not None and candidate.rank >= self.best.rank:
            candidate.status = "beaten"
        else:
            candidate.status, candidate.proof = self._prove(path)
            if candidate.status != "chosen":
                candidate.reason = candidate.proof.reason
        if candidate.status == "chosen":
            if self.best is not None:
                _remove(self.folder / f"{self.best.exporter}-{self.best.opset}")
            self.best = candidate
        else:
            _remove(folder)
        return candidate

    def _prove(self, path: Path) -> tuple[str, Proof]:
        """Run the file in ONNX Runtime on every sample; returns the status and the proof."""
        from graphfix.comparison.runtimes import RuntimeFailed
        from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
        from graphfix.graph import load

        proof = Proof(True, "equal")
        traced = self.samples[0].sizes
        with OnnxRuntime(load(path)) as runtime:
            names = {port.name for port in runtime.inputs}
            dropped = [i.name for i in self.loaded.inputs if i.name not in names]
            for sample in self.samples:
                other = sample.sizes != traced
                at = ", ".join(f"{s}={n}" for s, n in sample.sizes.items())
                try:
                    found = runtime.run(sample.feeds)
                except RuntimeFailed as error:
                    reason = _runtime_words(error)
                    if other:
                        reason = f"baked sizes: does not run at {at}: {reason}"
                    elif self._has_bfloat16():
                        reason += (
                            ". It has few kernels for bfloat16: export the module as .float(), ATC "
                            "rounds by --precision_mode"
                        )
                    return ("baked" if other else "failed"), Proof(False, reason, proof.runs)
                run, problem = self._compare(sample.expected, found)
                proof.runs.append({"sizes": dict(sample.sizes), "outputs": run})
                if problem is None:
                    continue
                if other:
                    return "baked", Proof(False, f"baked sizes: at {at}: {problem}", proof.runs)
                self._check_repeats()
                return "wrong", Proof(False, problem, proof.runs)
        if dropped:
            proof.reason = f"equal; without {', '.join(dropped)}, which the module does not use"
        return "chosen", proof

    def _compare(
        self, expected: dict[str, Any], found: dict[str, Any]
    ) -> tuple[dict[str, Any], str | None]:
        figures: dict[str, Any] = {}
        problem = None
        for name, want in zip(self.outputs, expected.values(), strict=True):
            if name not in found:
                return figures, f"output {name} is missing"
            metrics = _distance(want, found[name])
            figures[name] = metrics
            if metrics["problem"] is not None and problem is None:
                problem = f"{name}: {metrics['problem']}"
        return figures, problem

    def _has_bfloat16(self) -> bool:
        tensors = [*self.loaded.module.parameters(), *self.loaded.module.buffers()]
        return any(str(t.dtype) == "torch.bfloat16" for t in tensors)

    def _check_repeats(self) -> None:
        """Refuse a module that gives other outputs at every run: nothing proves its export.

        Raises ModuleFailed.
        """
        from graphfix.frameworks.samples import ModuleFailed, call, outputs_of, tensors

        first = self.samples[0]
        again = outputs_of(
            self.request.spec, call(self.loaded, tensors(first.feeds, self.loaded.inputs))
        )
        for name, want in first.expected.items():
            if _distance(want, again[name])["problem"] is not None:
                raise ModuleFailed(
                    f"{self.request.spec}: gives another {name} at every run for the same inputs, "
                    "in evaluation mode too: forward uses random numbers (F.dropout without "
                    "training=self.training?) or keeps a state. No export can be proved; make it "
                    "deterministic."
                )


def _runtime_words(error: GraphfixError) -> str:
    """Return why ONNX Runtime stopped: the node where it tells one."""
    text = str(error.__cause__ or error)
    node = re.search(r"running (\w+) node\. Name:'([^']*)'", text)
    if node is not None:
        return f"ONNX Runtime stops at {node[2]} ({node[1]})"
    return f"ONNX Runtime: {text.rpartition(' : ')[2].splitlines()[0][:160]}"


def _distance(want: Any, have: Any) -> dict[str, Any]:
    """Return the figures of one output, measured in pieces that stay small in memory."""
    from graphfix.comparison.metrics import Tolerance, finite, measure

    # exporters reorder sums: some more roundings than the default allows
    loose = {"float32": Tolerance(1e-4, 1e-3), "float64": Tolerance(1e-7, 1e-6)}
    tolerance = loose.get(want.dtype.name)
    if want.shape != have.shape or want.size <= _PIECE or want.ndim == 0:
        pieces = [(want, have)]
    else:
        flat, other = want.reshape(-1), have.reshape(-1)
        starts = range(0, flat.size, _PIECE)
        pieces = [(flat[s : s + _PIECE], other[s : s + _PIECE]) for s in starts]
    all_metrics = [measure(w, h, tolerance) for w, h in pieces]
    problem = next((m.problem for m in all_metrics if m.problem is not None), None)
    return {
        "dtype": want.dtype.name,
        "shape": list(want.shape),
        "max_abs": finite(max((m.max_abs or 0.0 for m in all_metrics), default=0.0)),
        "max_rel": finite(max((m.max_rel or 0.0 for m in all_metrics), default=0.0)),
        "problem": problem,
    }


_PIECE = 1 << 21  # elements


def _remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def _peak() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def main(arguments: Sequence[str]) -> None:
    """Run the worker; its argument is the folder of the job."""
    work(Path(arguments[0]))
