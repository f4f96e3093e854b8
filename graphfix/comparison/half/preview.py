"""preview_fp16: what half precision on the target will do to a model's outputs, on any CPU."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from graphfix.analysis.check import check
from graphfix.analysis.findings import Namer
from graphfix.comparison.chunks import (
    DEFAULT_MEMORY,
    MEASURED_BYTES,
    megabytes,
    resident_bytes,
    value_size,
)
from graphfix.comparison.compare import Inputs, arrays_of, described, folder_of
from graphfix.comparison.half.experiment import Errors, Experiment
from graphfix.comparison.half.forms import MIXED, Plan, Planner
from graphfix.comparison.half.interpreter import Interpreter, Trace
from graphfix.comparison.half.result import Culprit, HalfOutput, KeepList, MixList, Preview
from graphfix.comparison.half.rounding import SATURATING, Rounding
from graphfix.comparison.half.search import Attribution, KeepSearch, Kept, attribute
from graphfix.comparison.half.words import assumptions, losses_of, note_of
from graphfix.comparison.metrics import Metrics, Tolerance, measure
from graphfix.comparison.runtimes import Arrays
from graphfix.comparison.runtimes.layouts import Form
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.comparison.runtimes.saved import write_arrays
from graphfix.comparison.sides import Side, open_side, samples_for
from graphfix.errors import UsageError
from graphfix.graph import Graph, Node, infer
from graphfix.graph.tensors import byte_size, tensors_of
from graphfix.support import Tables, Target

# relative Euclidean: a cosine of about 0.99995. Half's own rounding is 0.0003 each time, and sound
# networks of a hundred layers stay below 0.005
DEFAULT_MAX_ERROR = 0.01
DEFAULT_RUNS = 200
# below this a float32 becomes 0 in half
_TINY = 2.0**-25
_NAMED = 8
# what ONNX Runtime takes by itself, in bytes
_RUNTIME = 48 << 20


def preview_fp16(
    model: Side,
    target: Target | None = None,
    *,
    inputs: Inputs = (),
    samples: int = 1,
    seed: int = 0,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    max_error: float = DEFAULT_MAX_ERROR,
    keep: Iterable[str] = (),
    black: Iterable[str] = (),
    search_runs: int = DEFAULT_RUNS,
    memory: int = DEFAULT_MEMORY,
    tables: Tables | None = None,
    save_inputs: Path | None = None,
    bins: Mapping[str, Form] | None = None,
) -> Preview:
    """Compute a model with every tensor that the target holds in half rounded to half.

    Args:
        model: a path or a model of ONNX.
        target: one SoC at most, the CANN release, and the precision mode (default force_fp16).
            Without a SoC every operator is taken to have both a float16 and a float32 kernel.
        inputs, samples, seed, shapes, save_inputs, bins: as `compare` takes them.
        max_error: the relative Euclidean error up to which an output counts as usable; of integers
            the share that differs.
        keep: lines as --keep_dtype has them (`name`, `OpType::Type`) that are kept in float32.
        black: GE operators that --modify_mixlist adds to the black list.
        search_runs: the most runs for naming nodes and for the keep list; 0 looks for neither.
        memory: what values may take at one time, in bytes, the program and weights included.
        tables: operator tables, for instance with a user's own file on top.

    Raises:
        UsageError for options that make no sense, RuntimeFailed where the model does not run.
    """
    target = target or Target.of()
    if isinstance(model, str | os.PathLike) and Path(model).suffix == ".om":
        raise UsageError(f"{model}: the preview computes an ONNX model. Give the .onnx file.")
    side = open_side(model)
    if not isinstance(side, OnnxRuntime):
        raise UsageError(f"{side.name}: the preview computes an ONNX model. Give the .onnx file.")
    with side:
        work = _Preview(side, target, tables or Tables(), max_error, search_runs, memory)
        given = arrays_of(inputs, side, bins or {})
        names = {port.name: port.name for port in side.inputs}
        feeds = samples_for(side, side, names, given=given, count=samples, seed=seed, shapes=shapes)
        side.close()
        if save_inputs is not None:
            for index, arrays in enumerate(feeds):
                write_arrays(folder_of(save_inputs, index, len(feeds)), arrays)
        return work.run(feeds, list(keep), list(black))


class _Preview:
    """One preview: the model, its plans, and what came out."""

    def __init__(
        self, side: OnnxRuntime, target: Target, tables: Tables, max_error: float, runs: int,
        memory: int,
    ) -> None:  # fmt: skip
        model = side.model.inlined()
        self.name = side.name.split(" (ONNX Runtime")[0]
        self.model, self.target, self.tables = model, target, tables
        self.max_error, self.runs, self.memory = max_error, runs, memory
        self.namer = Namer(model.graph)

    def run(self, feeds: Sequence[Arrays], keep: list[str], black: list[str]) -> Preview:
        infer(self.model, {n: tuple(a.shape) for n, a in feeds[0].items() if a.dtype != object})
        planner = self.planner = Planner(self.model, self.target, self.tables)
        soc = planner.soc
        report = Preview(
            self.name, soc.name if soc is not None else None,
            self.target.release.name, planner.mode, self.max_error, len(feeds), described(feeds[0]),
        )  # fmt: skip
        experiment = self._experiment(feeds)
        kept = self._named(keep)
        plan = planner.plan(keep=kept, black=black)
        traces = experiment.run(plan, record=True)
        errors = experiment.errors_of(traces)
        self._outputs(report, experiment, traces, errors)
        report.counts = self._counts(plan)
        report.assumptions = assumptions(planner, plan, experiment.interpreter.opaque)
        report.refused = self._refused()
        report.note = note_of(planner, plan, report.outputs)
        attribution = Attribution()
        active = traces[0].active
        for trace in traces[1:]:
            for key, form in trace.active.items():
                active.setdefault(key, form)
        if self.runs > 0:
            nodes = [n for n in planner.nodes if id(n) in active]
            attribution = attribute(experiment, nodes, active, errors, self.runs // 4)
        self._name(report, plan, traces, attribution)
        if self.runs > 0 and not report.passed:
            self._keep(report, experiment, plan, traces, errors, attribution, kept, black)
        report.runs = experiment.runs
        return report

    # ------------------------------------------------------------------ running

    def _experiment(self, feeds: Sequence[Arrays]) -> Experiment:
        weights = sum(byte_size(t) for t in tensors_of(self.model.proto))
        values = self.model.graph.values
        sizes = [value_size(values[n]) for n in self.model.graph.outputs]
        largest = max((elements for elements, _ in sizes), default=0)
        # what each sample holds: inputs as they are and rounded, outputs of both
        fed = 2 * sum(array.nbytes for sample in feeds for array in sample.values())
        fed += 2 * len(feeds) * sum(size for _, size in sizes)
        # weights as they are and rounded, and the copies that measuring an output makes
        needed = 2 * weights + MEASURED_BYTES * largest + fed + _RUNTIME
        free = self.memory - resident_bytes() - needed  # of which ONNX Runtime is not yet a part
        if free <= 0:
            raise UsageError(
                f"--memory {megabytes(self.memory)}: does not hold the weights, inputs and "
                "outputs, as they are and rounded, and what measuring them takes "
                f"({megabytes(needed)}) beside the program. Give more, or smaller shapes (--shape)."
            )
        family = self.planner.soc.family if self.planner.soc is not None else ""
        self.rounding = Rounding(
            clip_weights=self.target.release.weight_clip, saturate=family in SATURATING
        )
        folded = [k for k, forms in self.planner.forms.items() if forms.role == "folded"]
        return Experiment(Interpreter(self.model, self.rounding, free, folded), feeds)

    def _outputs(
        self, report: Preview, experiment: Experiment, traces: Sequence[Trace], errors: Errors
    ) -> None:
        for name, error in errors.items():
            best: tuple[float, int, Metrics] | None = None
            for index, (own, wanted, have) in enumerate(experiment.pairs(traces)):
                if name not in wanted:
                    continue
                if name not in have:
                    w = wanted[name]
                    m = Metrics(w.dtype.name, w.shape, w.size, problem="is not there")
                else:
                    m = measure(wanted[name], have[name], Tolerance(atol=math.inf))
                if best is None or own[name] > best[0]:
                    best = (own[name], index, m)
            assert best is not None
            _, sample, metrics = best
            is_float = metrics.dtype.startswith("float")
            problem = metrics.problem if is_float or math.isinf(error) else None
            passed = error <= self.max_error and problem is None
            report.outputs.append(HalfOutput(name, error, passed, problem, sample, metrics))

    def _named(self, lines: Sequence[str]) -> list[Node]:
        """Return the nodes that lines of a --keep_dtype file mean. Raises UsageError."""
        found: list[Node] = []
        for line in (text.strip() for text in lines):
            if not line:
                continue
            kind = line.removeprefix("OpType::") if line.startswith("OpType::") else None
            nodes = [
                n for n in self.planner.nodes
                if (self.planner.forms[id(n)].ge_op == kind if kind else self.atc_name(n) == line)
            ]  # fmt: skip
            if not nodes:
                raise UsageError(
                    f"--keep-dtype: {line!r} is no node of the model and no GE operator in it. "
                    "Names are those of the nodes as ATC knows them."
                )
            found += nodes
        return found

    # ------------------------------------------------------------------ words

    def atc_name(self, node: Node) -> str:
        """Return the name under which GE knows a node: in a branch, that of the branch leads."""
        return _prefix(node.graph, self.namer) + self.namer.name(node)

    def _counts(self, plan: Plan) -> dict[str, int]:
        counts = dict.fromkeys(
            ("half", "float32", "no_float16", "no_float32", "other", "assumed"), 0
        )
        for node in self.planner.nodes:
            forms = self.planner.forms[id(node)]
            if forms.role not in ("kernel", "unknown"):
                counts["other"] += 1
                continue
            counts["assumed"] += forms.role == "unknown"
            if plan.of(node).is_half:
                counts["half"] += 1
                counts["no_float32"] += forms.single is None
            else:
                counts["float32"] += 1
                counts["no_float16"] += forms.half is None
        return counts

    def _refused(self) -> str | None:
        report = check(self.model, self.target, tables=self.tables)
        refusing = [f for f in report.findings if f.effect == "rejected"]
        if not refusing:
            return None
        return (
            f"ATC would refuse this file ({report.error_code or 'compile'}, {len(refusing)} "
            f"finding{'s' * (len(refusing) != 1)}): run `graphfix fix` first and preview its "
            "result; node names and errors may change."
        )

    # ------------------------------------------------------------------ culprits

    def _name(
        self, report: Preview, plan: Plan, traces: Sequence[Trace], attribution: Attribution
    ) -> None:
        """Name the nodes that overflow, underflow or bring most error, for each output."""
        nodes = {id(n): n for n in self.planner.nodes}
        events: list[tuple[Node, Culprit, float]] = []
        seen: set[tuple[int, str, str]] = set()
        for lost in (lost for trace in traces for lost in trace.losses):
            for kind, says, weight in losses_of(lost, self.rounding):
                value = lost.value
                place = (id(lost.node), kind, lost.value)
                if place not in seen:
                    seen.add(place)
                    events.append((lost.node, self._culprit(lost.node, kind, says, value), weight))
        for node in plan.half:
            epsilon = node.attributes["epsilon"].f if "epsilon" in node.attributes else 0.0
            if 0 < epsilon < _TINY:
                says = (
                    f"epsilon {epsilon:.3g} is 0 in half; whether the kernel adds it in float32 "
                    "is not known"
                )
                events.append((node, self._culprit(node, "epsilon", says), 0.5))
        events.sort(key=lambda e: -e[2])
        self.lossy = [n for n, _, _ in events]
        report.losses = [culprit for _, culprit, _ in events]
        for output in report.outputs:
            inside = self._ancestors(output.name)
            measured = sorted(
                ((errors.get(output.name, 0.0), key) for key, errors in
                 attribution.measured.items()),
                reverse=True,
            )  # fmt: skip
            by_node = {key: error for error, key in measured}
            output.culprits = [
                replace(c, error=by_node.get(id(n)))
                for n, c, _ in events if id(n) in inside
            ][: 4 * _NAMED]  # fmt: skip
            named = {c.node for c in output.culprits}
            for error, key in measured[:_NAMED]:
                node = nodes[key]
                if error > 0 and error >= 0.1 * min(output.error, 1e9) and (
                    self.atc_name(node) not in named
                ):  # fmt: skip
                    says = f"alone brings an error of {_number(error)}"
                    output.culprits.append(self._culprit(node, "error", says, None, error))

    def _culprit(
        self, node: Node, kind: str, says: str, value: str | None = None,
        error: float | None = None,
    ) -> Culprit:  # fmt: skip
        return Culprit(
            self.atc_name(node), node.op_type, kind, says, value, error,
            self.planner.forms[id(node)].is_choice,
        )  # fmt: skip

    def _ancestors(self, output: str) -> set[int]:
        """Return the nodes that an output comes from, those inside subgraphs included."""
        graph = self.model.graph
        value = graph.values.get(output.split("[")[0]) or graph.values.get(output)
        stack = [value.producer] if value is not None and value.producer is not None else []
        found: set[int] = set()
        while stack:
            node = stack.pop()
            if id(node) in found:
                continue
            found.add(id(node))
            stack += graph.predecessors(node)
            for _, inner in node.subgraphs:
                found.update(id(n) for n in inner.walk())
        return found

    # ------------------------------------------------------------------ what to keep

    def _keep(
        self, report: Preview, experiment: Experiment, plan: Plan, traces: Sequence[Trace],
        errors: Errors, attribution: Attribution, kept: Sequence[Node],
        black: Sequence[str],
    ) -> None:  # fmt: skip
        failing = [o for o in report.outputs if o.error > self.max_error]
        if not failing:
            return
        inside: set[int] = set()
        for output in failing:
            inside |= self._ancestors(output.name)
        forms = self.planner.forms
        candidates = [n for n in plan.half if id(n) in inside and forms[id(n)].is_choice]
        if not candidates:
            return
        lossy = {id(n): 1e6 - i for i, n in enumerate(self.lossy)}

        def rank(node: Node) -> float:
            key = id(node)
            return lossy.get(key, 0.0) + attribution.estimate.get(key, 0.0)

        goal = {o.name: o.error for o in failing}
        seeds = [n for n in self.lossy if id(n) in inside]
        seeds += sorted(
            (n for n in candidates if id(n) in attribution.measured and id(n) not in lossy),
            key=rank, reverse=True,
        )[:_NAMED]  # fmt: skip
        search = KeepSearch(
            experiment, self.planner, traces, max(8, self.runs - attribution.runs), kept, black
        )
        found = search.search(candidates, rank, seeds, goal, self.max_error)
        report.keep_all = search.everything
        if found is None:
            return
        report.keep = self._keep_list(search, found, plan)
        for output in failing:
            output.kept = report.keep.errors[output.name]
        if self.planner.mode in MIXED:
            report.mixlist = self._mix_list(search, candidates, found)

    def _keep_list(self, search: KeepSearch, found: Kept, plan: Plan) -> KeepList:
        """Return lines for nodes; a node that the parser expands is named by its operator."""
        forms = self.planner.forms
        lines: list[str] = []
        nodes = list(found.nodes)
        expanded = {forms[id(n)].ge_op for n in found.nodes if forms[id(n)].is_expanded}
        chosen = {id(n) for n in nodes}
        more = [
            n for n in plan.half
            if forms[id(n)].ge_op in expanded and id(n) not in chosen and forms[id(n)].is_choice
        ]  # fmt: skip
        errors = found.errors
        if more:
            nodes += more
            errors = search.errors(nodes)
        for node in nodes:
            ge_op = forms[id(node)].ge_op
            line = f"OpType::{ge_op}" if ge_op in expanded else self.atc_name(node)
            if line not in lines:
                lines.append(line)
        reaches = all(errors[name] <= self.max_error for name in found.goals)
        return KeepList(lines, [self.atc_name(n) for n in nodes], errors, reaches, found.complete)

    def _mix_list(
        self, search: KeepSearch, candidates: Sequence[Node], found: Kept
    ) -> MixList | None:
        names = search.types(candidates, {o: found.errors[o] for o in found.goals}, self.max_error)
        if not names:
            return None
        errors = search.errors(black=names)
        reaches = all(errors[name] <= self.max_error for name in found.goals)
        return MixList(sorted(names), errors, reaches)


def _prefix(graph: Graph, namer: Namer) -> str:
    """Return what GE puts before the names of a branch's nodes: `<node>_<index>_<branch>/`."""
    owner = graph.owner
    if owner is None:
        return ""
    index, name = next((i, n) for i, (n, g) in enumerate(owner.subgraphs) if g is graph)
    if owner.op_type == "If":
        index = int(name == "else_branch")
    return f"{_prefix(owner.graph, namer)}{namer.name(owner)}_{index}_{name}/"


def _number(value: float) -> str:
    return "infinity" if math.isinf(value) else f"{value:.1e}"
