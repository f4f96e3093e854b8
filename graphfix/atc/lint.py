"""What is wrong with atc commands, in words, and the commands as they should be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graphfix.atc.checks import check
from graphfix.atc.checks.view import ModelFacts, is_placeholder
from graphfix.atc.command import AtcCommand, Fault, read
from graphfix.atc.options import EFFECTS, Mistake, mistakes

_ROUNDS = 60  # more than any command has mistakes


@dataclass(frozen=True)
class Finding:
    """A mistake in a command, in words."""

    mistake: Mistake
    option: str | None
    says: str
    right: str
    code: str | None
    line: int

    @property
    def effect(self) -> str:
        """rejected, misread, undocumented or note."""
        return self.mistake.effect

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the report."""
        return {
            "id": self.mistake.id,
            "effect": self.effect,
            "option": self.option,
            "error_code": self.code,
            "line": self.line or None,
            "says": self.says,
            "right": self.right,
            "source": self.mistake.source,
            "certainty": self.mistake.certainty,
        }


@dataclass(frozen=True)
class Linted:
    """A command, what is wrong with it, and the command as it should be.

    `to_fill` are options of the corrected command that only the user can fill in.
    """

    command: AtcCommand
    findings: tuple[Finding, ...]
    corrected: AtcCommand
    to_fill: tuple[str, ...]
    model_read: bool

    @property
    def mistakes(self) -> list[Finding]:
        """The findings that are more than a note."""
        return [f for f in self.findings if f.effect != "note"]


def lint(text: str, folder: Path) -> list[Linted]:
    """Check every atc command of a shell text.

    Args:
        text: a command, a script, or the options of a command alone.
        folder: where its relative paths begin; a model that lies there is read.
    """
    return [lint_command(command, folder) for command in read(text)]


def lint_command(command: AtcCommand, folder: Path | None = None) -> Linted:
    """Check one command, mend it, and check again until nothing is left to mend."""
    facts = None
    found: dict[tuple[str, str | None, str], Finding] = {}
    current = command
    for round_ in range(_ROUNDS):
        if round_ == 0 or current.value("model") != command.value("model"):
            facts = model_facts(current, folder)
        faults = [*current.faults, *check(current, facts, folder)]
        for fault in faults:
            finding = describe(fault)
            # a later round only adds what an earlier one hid, not the same in other words
            same = [k for k in found if k[:2] == (fault.id, fault.option)]
            if round_ == 0 or not (same or finding.effect == "note"):
                found.setdefault((fault.id, fault.option, finding.says), finding)
        current = replace(current, faults=tuple(f for f in current.faults if f.edits))
        mend = next((f for f in faults if f.edits), None)
        if mend is None:
            break
        current = replace(current.edited(mend.edits),
                          faults=tuple(f for f in current.faults if f is not mend))  # fmt: skip
    ordered = sorted(found.values(), key=lambda f: (EFFECTS.index(f.effect), f.line))
    ordered = [f for f in ordered if f.mistake.id != "placeholder" or f.option in command.options]
    to_fill = tuple(n for n, g in current.options.items() if is_placeholder(g.value))
    return Linted(command, tuple(ordered), current, to_fill, facts is not None)


def describe(fault: Fault) -> Finding:
    """Return a fault in words."""
    mistake = mistakes()[fault.id]
    code = fault.code or (mistake.codes[0] if len(mistake.codes) == 1 else None)
    return Finding(
        mistake,
        fault.option,
        mistake.says.format_map(fault.words),
        mistake.right.format_map(fault.words),
        code,
        fault.line,
    )


def model_facts(command: AtcCommand, folder: Path | None) -> ModelFacts | None:
    """Return what the model of a command says, None when it is no ONNX file that can be read."""
    name = command.value("model")
    if folder is None or not name or command.framework not in ("onnx", None):
        return None
    path = folder / name
    if path.suffix != ".onnx" or not path.is_file():
        return None
    from graphfix.comparison.runtimes import ports_of
    from graphfix.errors import GraphfixError
    from graphfix.graph import load

    try:
        model = load(path)
    except GraphfixError:
        return None
    return ModelFacts(
        ports_of(model),
        frozenset(o.name for o in model.proto.graph.output),
        frozenset(n.name for n in model.graph.ordered() if n.name),
    )
