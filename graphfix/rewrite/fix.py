"""fix: rewrite a model until ATC takes it, and prove that it computes the same."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx

from graphfix.analysis import Report, check
from graphfix.errors import UsageError
from graphfix.graph import Model, contradiction, infer, load, refresh, settle
from graphfix.rewrite.engine import VERIFY, Change, Engine, Statistics
from graphfix.rewrite.opset import Plan, convert, plan
from graphfix.rewrite.registry import own_rules
from graphfix.rewrite.remains import Remains, what_remains
from graphfix.rewrite.rule import Exactness, Rule
from graphfix.rewrite.tidy import densify, sparse_count, tidy
from graphfix.rewrite.whole import WholeProof, compare_models
from graphfix.rewrite.widen import WIDENS, batch_problem, open_batch
from graphfix.support import Tables, Target


@dataclass
class FixReport:
    """What fix did: check before and after, the opset plan, the changes, what remains."""

    model: Model
    before: Report
    after: Report
    plan: Plan
    changes: list[Change]
    statistics: dict[str, Statistics]
    failed_proofs: list[tuple[str, str, Any]] = field(default_factory=list)
    verify: str = "site"
    whole: WholeProof | None = None
    remaining: list[Remains] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fired(self) -> Counter[str]:
        """Return how often each rule fired."""
        return Counter(change.rule for change in self.changes)

    def to_json(self) -> dict[str, Any]:
        """Return the report as the JSON contract `graphfix.fix/1`."""
        return {
            "schema": "graphfix.fix/1",
            "predicted": True,
            "verify": self.verify,
            "target": {
                "cann": self.before.target.release.name,
                "socs": [s.name for s in self.before.target.socs],
                "precision_mode": self.before.target.precision_mode,
            },
            "opset": {
                "before": self.plan.source,
                "after": self.after.opset,
                "why": self.plan.sentence(),
                "relabelled": self.plan.relabelled,
                "adapted": self.plan.adapted,
                "costs": {str(o): c for o, c in self.plan.costs.items()},
                "losses": [{"node": n, "op_type": t, "reason": r}
                           for n, t, r in self.plan.losses],
            },
            "changes": [c.to_json() for c in self.changes],
            "rules": {
                name: {"tried": s.tried, "fired": s.fired, "missed": dict(s.missed),
                       "refused": dict(s.refused)}
                for name, s in sorted(self.statistics.items()) if s.tried or s.fired
            },
            "failed_proofs": [{"rule": r, "node": n, "reason": p.reason}
                              for r, n, p in self.failed_proofs],
            "remaining": [r.to_json() for r in self.remaining],
            "notes": self.notes,
            "whole_model": self.whole.to_json() if self.whole is not None else None,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
        }  # fmt: skip


def fix(
    model: str | os.PathLike[str] | onnx.ModelProto | Model,
    target: Target | None = None,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    opset: int | None = None,
    rules: Sequence[Rule] | None = None,
    tables: Tables | None = None,
    verify: str = "site",
    approximate: bool = False,
    in_place: bool = False,
) -> FixReport:
    """Rewrite a model until ATC takes it; the input is never changed unless `in_place` allows it.

    Args:
        model: a path, a ModelProto, or a loaded Model.
        target: what to write for; by default the default release without SoC.
        shapes: static dims for graph inputs, written into the result.
        opset: force this opset (11 to 18); left out, the one with the fewest rewrites.
        rules: the rules to use; by default all of graphfix's own but the optional ones.
        tables: operator tables, for instance with a user's own file on top.
        verify: `site` proves every distinct site, `model` compares whole outputs too, `off`
            proves nothing, which the report says.
        approximate: let rules fire that change results or the contract.
        in_place: a Model that is given may be rewritten itself, which saves time and memory.

    Raises:
        UnreadableModel, UsageError.
    """
    if verify not in VERIFY:
        raise UsageError(f"--verify {verify}: known are {', '.join(VERIFY)}.")
    target = target or Target.of()
    tables = tables if tables is not None else Tables()
    loaded = _loaded(model)
    before = check(loaded, target, shapes=shapes, tables=tables)
    chosen = list(rules if rules is not None else (r for r in own_rules() if not r.optional))
    may_edit = in_place or not isinstance(model, (Model, onnx.ModelProto))
    is_plain = not loaded.proto.functions and not sparse_count(loaded.proto)
    if may_edit and not shapes and is_plain:
        original = _Original(_copy(loaded.proto), loaded.path)
        work = loaded
        work.proto.ir_version = _ir_version(work.proto)
    else:
        original = _Original(loaded.proto, loaded.path)
        work = original.to_edit(shapes)
    settings = _Settings(target, tables, chosen, shapes, opset, verify, approximate)
    done = _rewrite(original, work, settings)
    notes = []
    if work.graph.owners and (problem := contradiction(done.result)) is not None:
        # a branch that is never taken at these shapes need not fit them, as long as nobody looks
        settings = replace(settings, rules=[r for r in chosen if not r.name.startswith("fold/")])
        careful = _rewrite(original, original.to_edit(shapes), settings)
        if contradiction(careful.result) is None:
            done = careful
            notes.append(
                f"Constants were left as they are: a branch does not fit them ({problem})."
            )
    if done.engine.batches:
        problem = batch_problem(
            Model(original.proto, original.path), done.result, done.engine.batches,
            _tolerance(chosen, done.engine),
        )  # fmt: skip
        if problem is not None:
            settings = replace(settings, rules=[r for r in settings.rules if r.name != WIDENS])
            done = _rewrite(original, original.to_edit(shapes), settings)
            notes.append(f"The batch stays as it was traced: {problem}")
    result, engine, the_plan = done.result, done.engine, done.plan
    after = check(result, target, tables=tables)
    remaining = what_remains(after, engine, settings.rules, the_plan)
    whole = None
    if verify == "model":
        whole = compare_models(
            Model(original.proto, original.path), result, _tolerance(chosen, engine)
        )
    return FixReport(
        result,
        before,
        after,
        the_plan,
        engine.changes,
        engine.statistics,
        engine.gate.failed_proofs,
        verify,
        whole,
        remaining,
        notes,
    )


@dataclass(frozen=True)
class _Settings:
    """What a rewrite is to do."""

    target: Target
    tables: Tables
    rules: Sequence[Rule]
    shapes: Mapping[str, tuple[int, ...]] | None
    opset: int | None
    verify: str
    approximate: bool

    def engine(self, model: Model) -> Engine:
        return Engine(
            model, self.target, self.tables, self.rules,
            verify=self.verify, approximate=self.approximate,
        )  # fmt: skip


@dataclass(frozen=True)
class _Done:
    """A rewritten model, and what rewrote it."""

    result: Model
    engine: Engine
    plan: Plan


def _rewrite(original: _Original, work: Model, settings: _Settings) -> _Done:
    opened = _opened(work, settings)
    the_plan = plan(work, settings.target, settings.tables, settings.opset)
    others = replace(settings, rules=[rule for rule in settings.rules if rule.name != WIDENS])
    engine = others.engine(work)
    convert(work, the_plan, engine)
    if the_plan.losses:
        # half of it is written for another opset by now: start again and keep the opset
        work = original.to_edit(settings.shapes)
        opened = _opened(work, settings)
        engine = others.engine(work)
    if opened is not None:
        engine.take_over(opened)
    changes = -1
    while len(engine.changes) > changes:
        changes = len(engine.changes)
        engine.run()
        if not _is_vague(work):
            break
        settle(work)
        infer(work)  # what was folded may tell shapes, and they let more be folded
    tidied = tidy(work)
    tidied["tidy/dense_constants"] = sparse_count(original.proto) - sparse_count(work.proto)
    settle(work)
    _state_output_shapes(work)
    refresh(work)
    engine.changes += [
        Change(rule, "exact", [], [], "", None)
        for rule, count in sorted(tidied.items())
        for _ in range(count)
    ]
    return _Done(work, engine, the_plan)


def _opened(work: Model, settings: _Settings) -> Engine | None:
    """Infer the types; open a traced batch where the rule for that was chosen."""
    infer(work)
    chosen = [rule for rule in settings.rules if rule.name == WIDENS]
    if not chosen:
        return None
    engine = replace(settings, rules=chosen).engine(work)
    open_batch(engine)
    return engine


def _forget_shapes(proto: onnx.ModelProto) -> None:
    """Drop what the file states of inner values and outputs: it holds at other sizes."""
    del proto.graph.value_info[:]
    for info in proto.graph.output:
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.ClearField("shape")


def _is_vague(model: Model) -> bool:
    """Whether the rank or a dim of some value is not known, not even as a symbol."""
    return any(
        value.shape is None or None in value.shape
        for graph in model.graph.graphs()
        for value in graph.values.values()
    )


def _state_output_shapes(model: Model) -> None:
    """Write the inferred shapes of outputs that lost theirs."""
    for info in model.proto.graph.output:
        value = model.graph.values.get(info.name)
        tensor = info.type.tensor_type
        if info.type.HasField("tensor_type") and not tensor.HasField("shape") and value is not None:
            for dim in value.shape or ():
                if isinstance(dim, int):
                    tensor.shape.dim.add(dim_value=dim)
                else:
                    tensor.shape.dim.add(dim_param=dim or "")
            if value.shape == ():
                tensor.shape.SetInParent()


def _tolerance(rules: Sequence[Rule], engine: Engine) -> float:
    """Return the error that the rounding rules that fired excuse in the outputs of the model."""
    fired = {change.rule for change in engine.changes}
    rounding = [rule.tolerance for rule in rules
                if rule.exactness is not Exactness.EXACT and rule.name in fired]  # fmt: skip
    return max([1e-5, *(10 * tolerance for tolerance in rounding)])


def _loaded(model: str | os.PathLike[str] | onnx.ModelProto | Model) -> Model:
    if isinstance(model, Model):
        return model
    if isinstance(model, onnx.ModelProto):
        return Model(model)
    return load(model)


@dataclass(frozen=True)
class _Original:
    """The model as it was given: never edited."""

    proto: onnx.ModelProto
    path: Path | None

    def to_edit(self, shapes: Mapping[str, tuple[int, ...]] | None) -> Model:
        """Return a copy to work on: functions inlined, constants dense, bound shapes written."""
        proto = _copy(self.proto)
        if proto.functions:
            proto = onnx.inliner.inline_local_functions(proto)
        densify(proto)
        for info in proto.graph.input:
            if shapes and info.name in shapes:
                dims = info.type.tensor_type.shape
                del dims.dim[:]
                for dim in shapes[info.name]:
                    dims.dim.add(dim_value=dim)
        if shapes:
            _forget_shapes(proto)
        proto.ir_version = _ir_version(proto)
        return Model(proto, self.path)


def _copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def _ir_version(proto: onnx.ModelProto) -> int:
    # before IR version 4 every initializer had to be listed as an input: new ones are not
    return max(int(proto.ir_version), 4)
