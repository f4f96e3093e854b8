"""preview_fp16: what half precision on the target will do to a model's outputs, on any CPU."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from graphfix.analysis.check import check
from graphfix.analysis.findings import Namer
from graphfix.comparison.chunks import DEFAULT_MEMORY, megabytes, resident_bytes
from graphfix.comparison.compare import Inputs, arrays_of, described, folder_of
from graphfix.comparison.half.experiment import Errors, Experiment
from graphfix.comparison.half.forms import MIXED, Plan, Planner
from graphfix.comparison.half.interpreter import Interpreter, Rounded, Trace
from graphfix.comparison.half.rounding import INFINITE, SATURATING, Rounding
from graphfix.comparison.half.search import Attribution, KeepSearch, Kept, attribute
from graphfix.comparison.metrics import Metrics, Tolerance, finite, measure
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
_SMALL_CONSTANT = 16
_NAMED = 8


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
        report.assumptions = self._assumptions(plan)
        report.refused = self._refused()
        report.note = self._note(plan, report.outputs)
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
            self._keep(report, experiment, plan, traces, errors, attribution, kept)
        report.runs = experiment.runs
        return report

    # ------------------------------------------------------------------ running

    def _experiment(self, feeds: Sequence[Arrays]) -> Experiment:
        weights = sum(byte_size(t) for t in tensors_of(self.model.proto))
        # as they are, and rounded
        free = self.memory - resident_bytes() - 2 * weights
        if free <= 0:
            raise UsageError(
                f"--memory {megabytes(self.memory)}: does not hold the weights as they are and "
                f"rounded ({megabytes(2 * weights)}) beside the program. Give more."
            )
        family = self.planner.soc.family if self.planner.soc is not None else ""
        rounding = Rounding(
            clip_weights=self.target.release.weight_clip, saturate=family in SATURATING
        )
        folded = [k for k, forms in self.planner.forms.items() if forms.role == "folded"]
        return Experiment(Interpreter(self.model, rounding, free, folded), feeds)

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

    def _assumptions(self, plan: Plan) -> list[tuple[str, str]]:
        found = [
            ("Inside an operator the kernel computes in float32 and rounds its result once; the "
             "cube unit does, of vector kernels it depends on the implementation.", "medium"),
        ]  # fmt: skip
        soc = self.planner.soc
        if soc is None:
            found.append(("No --soc: every operator is taken to have a float16 and a float32 "
                          "kernel.", "low"))  # fmt: skip
            found.append(("What passes 65504 becomes infinite; Atlas training products (Ascend910) "
                          "saturate.", "medium"))  # fmt: skip
        elif soc.family in SATURATING:
            found.append(("What passes 65504 saturates there, as the documents say of Atlas "
                          "training products.", "high"))  # fmt: skip
        elif soc.family in INFINITE:
            found.append(("What passes 65504 becomes infinite, the default of Atlas A2 and A3.",
                          "high"))  # fmt: skip
        else:
            found.append(("What passes 65504 becomes infinite; whether the chip saturates instead "
                          "is not known.", "low"))  # fmt: skip
        if self.target.release.weight_clip:
            found.append(("Constants beyond float16 are clipped to 65504 (--is_weight_clip=1, the "
                          "default).", "high"))  # fmt: skip
        else:
            found.append((f"Constants beyond float16 become infinite: --is_weight_clip is not seen "
                          f"in {self.target.release.name}.", "medium"))  # fmt: skip
        if self.planner.mode in MIXED:
            found.append(("An operator on no list follows its first input that is no constant.",
                          "medium"))  # fmt: skip
        assumed = sum(
            self.planner.forms[id(n)].role == "unknown" for n in plan.half
        ) if soc is not None else 0  # fmt: skip
        if assumed:
            found.append((f"No table tells the kernels of {assumed} nodes: they are taken to be "
                          "half.", "low"))  # fmt: skip
        return found

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

    def _note(self, plan: Plan, outputs: Sequence[HalfOutput]) -> str | None:
        floats = {v.dtype for g in self.model.graph.graphs() for v in g.values.values()}
        if "float32" not in floats:
            if "float16" in floats:
                return "The model is float16 already: nothing is rounded that it does not round."
            return "The model holds no float32: half precision changes nothing."
        if self.planner.mode == "must_keep_origin_dtype":
            return "must_keep_origin_dtype keeps float32: nothing is rounded."
        if not plan.half:
            return "No node is held in half."
        broken = [o.name for o in outputs if o.metrics.nan[0]]
        if broken:
            return (
                f"The original itself gives NaN in {', '.join(broken[:3])}: errors are over the "
                "finite elements. Give real data (--input)."
            )
        return None

    # ------------------------------------------------------------------ culprits

    def _name(
        self, report: Preview, plan: Plan, traces: Sequence[Trace], attribution: Attribution
    ) -> None:
        """Name the nodes that overflow, underflow or bring most error, for each output."""
        nodes = {id(n): n for n in self.planner.nodes}
        events: list[tuple[Node, Culprit, float]] = []
        seen: set[tuple[int, str, str]] = set()
        for lost in (lost for trace in traces for lost in trace.losses):
            for kind, says, weight in self._losses(lost):
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

    def _losses(self, lost: Rounded) -> list[tuple[str, str, float]]:
        """Return (kind, words, how bad) of one rounding; small losses of small numbers are none."""
        loss = lost.loss
        what = "constant" if lost.is_weight else "input" if lost.is_input else "result"
        found = []
        if loss.overflow:
            ends = "inf"
            if self._saturates() or (lost.is_weight and self.target.release.weight_clip):
                ends = "65504"
            sign = "-" if loss.peak < 0 else ""
            share = "" if loss.size == 1 else f" ({loss.overflow:,} of {loss.size:,})"
            found.append(("overflow", f"{what} {loss.peak:.3g} -> {sign}{ends}{share}",
                          2.0 + loss.overflow / loss.size))  # fmt: skip
        if loss.underflow:
            part = loss.underflow / max(loss.nonzero, 1)
            is_scalar = lost.is_weight and loss.size <= _SMALL_CONSTANT
            if is_scalar or part >= 0.5:
                share = "" if loss.size == 1 else f" ({loss.underflow:,} of {loss.nonzero:,})"
                found.append(("underflow", f"{what} {loss.least:.3g} -> 0{share}",
                              1.0 + part + is_scalar * 0.5))  # fmt: skip
        return found

    def _saturates(self) -> bool:
        return self.planner.soc is not None and self.planner.soc.family in SATURATING

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
            experiment, self.planner, traces, max(8, self.runs - attribution.runs), kept
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
