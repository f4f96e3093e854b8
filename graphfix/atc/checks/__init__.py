"""Every mistake of a command that can be seen without running atc."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from graphfix.atc.checks import shapes, target, values
from graphfix.atc.checks.view import ModelFacts, View
from graphfix.atc.command import AtcCommand, Fault

_PARTS: tuple[Callable[[View], Iterator[Fault]], ...] = (
    values.names, values.values, values.required, target.framework_and_files, target.chip,
    target.exclusions, values.needs, target.claims, shapes.shapes, shapes.outputs,
)  # fmt: skip


def check(
    command: AtcCommand, facts: ModelFacts | None = None, folder: Path | None = None
) -> Iterator[Fault]:
    """Yield the mistakes of a command: names and values first, then what contradicts what."""
    view = View(command, facts, folder)
    for part in _PARTS:
        for fault in part(view):
            given = command.options.get(fault.option or "")
            line = given.line if given is not None else command.line
            yield replace(fault, line=fault.line or line)
