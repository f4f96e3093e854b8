"""check: everything that ATC would do with one model, as a Report."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import onnx

from graphfix.analysis.context import Context
from graphfix.analysis.files import check_files
from graphfix.analysis.findings import EFFECT_ORDER, Finding
from graphfix.analysis.kernels import check_kernels
from graphfix.analysis.parser import check_parser
from graphfix.analysis.parser.driver import first_refusal
from graphfix.analysis.precision import check_precision
from graphfix.analysis.shapes import check_shapes, show_shape
from graphfix.analysis.silent import check_silent
from graphfix.errors import UnreadableModel
from graphfix.graph import Model, infer, load
from graphfix.support import Soc, Tables, Target, socs
from graphfix.support.paths import data_folder
from graphfix.support.target import CURRENT_SOCS

VERDICTS = ("refused", "not compiled", "miscompiled", "degraded", "taken", "unreadable")


@dataclass
class Report:
    """What a check found. Everything in it is predicted; no ATC was run.

    `accepted`: would the parser of the target's release take the file. `error_code`: the code that
    it prints first, "CRASH" when it would crash, None when it takes it. `engines` counts nodes by
    engine for each SoC. `error` is set when the file could not be read, and then nothing else is.
    """

    path: str
    target: Target
    accepted: bool = False
    error_code: str | None = None
    verdict: str = "unreadable"
    findings: list[Finding] = field(default_factory=list)
    opset: int | None = None
    nodes: int = 0
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    engines: dict[str, Counter[str]] = field(default_factory=dict)
    matrix: dict[str, Counter[str]] = field(default_factory=dict)
    error: str | None = None

    def count(self, effect: str) -> int:
        """Return how many findings have this effect."""
        return sum(1 for f in self.findings if f.effect == effect)

    def worst(self) -> str | None:
        """Return the worst effect among the findings, None when there are none."""
        found = {f.effect for f in self.findings}
        return next((e for e in EFFECT_ORDER if e in found), None)

    def to_json(self) -> dict[str, Any]:
        """Return this model's entry of the JSON contract `graphfix.check/1`."""
        entry: dict[str, Any] = {
            "path": self.path,
            "accepted": self.accepted,
            "error_code": self.error_code,
            "verdict": self.verdict,
            "opset": self.opset,
            "nodes": self.nodes,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "engines": {soc: dict(sorted(c.items())) for soc, c in self.engines.items()},
            "findings": [f.to_json() for f in self.findings],
        }
        if self.error is not None:
            entry["error"] = self.error
        return entry


def check(
    model: str | os.PathLike[str] | onnx.ModelProto | Model,
    target: Target | None = None,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    tables: Tables | None = None,
    custom_ops: Iterable[str] = (),
    weights: bool = False,
) -> Report:
    """Tell what ATC will do with a model, node by node.

    Args:
        model: a path, a ModelProto, or a loaded Model. Weights are not needed.
        target: SoCs, CANN release and precision mode; by default the default release without SoC.
        shapes: static dims for graph inputs by name.
        tables: operator tables, for instance with a user's own file on top.
        custom_ops: `Domain::Type` or `Domain::Type@opset` that a plugin of the user's takes.
        weights: read all constants for the precision checks, not only small ones.

    Raises:
        UnreadableModel: the path holds no ONNX model.
        UsageError: a shape that does not fit its input.
    """
    if isinstance(model, onnx.ModelProto):
        loaded = Model(model)
    elif isinstance(model, Model):
        loaded = model
    else:
        loaded = load(model)
    target = target or Target.of()
    tables = tables if tables is not None else Tables()
    if custom_ops:
        tables = replace(tables, custom_ops=tables.custom_ops | set(custom_ops))
    context = Context(loaded, target, tables, shipped_rules())
    inferred = infer(loaded, shapes)
    check_parser(context)
    report = _report_of(loaded, target)
    refusal = first_refusal(context.findings)
    report.accepted = refusal is None
    report.error_code = refusal.error_code if refusal is not None else None
    if not inferred and loaded.proto.HasField("graph"):
        context.add(
            "shapes-unknown",
            "ONNX's shape inference does not take the model: checks that need "
            "ranks or dtypes are silent.",
            evidence="onnx.shape_inference",
            certainty="proved",
            stage="run",
        )
    if loaded.proto.HasField("graph"):
        _check_graph(context, loaded, report, shapes, weights)
    context.findings.sort(key=lambda f: (EFFECT_ORDER.index(f.effect), f.code))
    report.findings = context.findings
    report.verdict = _verdict(report)
    return report


@cache
def shipped_rules() -> frozenset[str]:
    """Return the names of the rewrite rules that remedies may point to, without loading them."""
    folder = data_folder("rules")
    return frozenset(
        path.relative_to(folder).with_suffix("").as_posix()
        for path in folder.glob("*/*")
        if path.suffix in (".py", ".toml") and path.name[0] not in "_."
    )


def _check_graph(
    context: Context, loaded: Model, report: Report,
    shapes: Mapping[str, tuple[int, ...]] | None, weights: bool,
) -> None:  # fmt: skip
    """Run the checks behind the parser, on the model with its functions inlined."""
    inner = context
    if loaded.proto.functions:
        inlined = _inlined(loaded)
        if inlined is not None:
            infer(inlined, shapes)
            inner = Context(
                inlined,
                context.target,
                context.tables,
                context.known_rules,
                context.findings,
            )
    target = context.target
    check_files(context)
    check_silent(inner)
    report.engines = check_kernels(inner, target.socs)
    if not target.socs:
        report.matrix = _matrix(inner)
    check_shapes(inner, target.socs, bound=bool(shapes))
    check_precision(inner, weights)


def _inlined(model: Model) -> Model | None:
    try:
        return model.inlined()
    except (
        Exception
    ):  # the inliner refuses invalid models in many ways; the parser's findings stand
        return None


def _matrix(context: Context) -> dict[str, Counter[str]]:
    """Return engines by SoC for the families in sale, without adding findings."""
    findings = context.findings
    context.findings = []
    try:
        return check_kernels(context, tuple(_current_socs()))
    finally:
        context.findings = findings


def _current_socs() -> list[Soc]:
    return [socs()[name] for name in CURRENT_SOCS]


def _report_of(model: Model, target: Target) -> Report:
    graph = model.graph

    def signature(name: str) -> str:
        value = graph.values.get(name)
        if value is None:
            return name
        return f"{name}: {value.dtype or '?'}[{show_shape(value.shape)}]"

    return Report(
        str(model.path) if model.path is not None else "<model>",
        target,
        opset=model.opset,
        nodes=sum(1 for _ in graph.walk()),
        inputs=[signature(n) for n in graph.inputs if n not in graph.initializers],
        outputs=[signature(n) for n in graph.outputs],
    )


def _verdict(report: Report) -> str:
    if not report.accepted:
        return "refused"
    effects = {f.effect for f in report.findings}
    if "rejected" in effects:
        return "not compiled"
    if "miscompiled" in effects:
        return "miscompiled"
    if effects & {"fallback", "precision", "dynamic"}:
        return "degraded"
    return "taken"


def unreadable(path: str | Path, target: Target, error: UnreadableModel) -> Report:
    """Return the report of a file that holds no model."""
    code = target.release.code(error.atc_cause) if error.atc_cause else None
    return Report(str(path), target, error_code=code, error=str(error))
