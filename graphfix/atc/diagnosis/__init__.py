"""diagnose: what a log of ATC says, in causes, nodes of the user's model and things to do.

reading gives lines, messages finds codes and what belongs to them, forms tells names from words,
naming finds the nodes, decoding makes causes, grouping ranks them, advice says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from graphfix.atc.diagnosis.cause import Cause, Reading
from graphfix.atc.diagnosis.grouping import causes_of
from graphfix.atc.diagnosis.messages import Run, read_messages
from graphfix.atc.diagnosis.naming import NamedNode, Names
from graphfix.atc.diagnosis.reading import Line, log_files, read_lines
from graphfix.graph import Model
from graphfix.support import Tables, Target

__all__ = ["Cause", "Diagnosis", "NamedNode", "diagnose", "diagnose_lines"]


@dataclass
class Diagnosis:
    """What one or more logs say.

    `outcome` is that of the last run: failed, succeeded, or unknown. `numbering` tells which
    error numbers the log uses: 8.1 (E190xx), 2026 (E130xx), or None when none of them occurs.
    """

    logs: list[str]
    model: str | None
    outcome: str
    numbering: str | None
    runs: list[Run]
    causes: list[Cause] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether no run has an error."""
        return not any(c.severity == "error" for c in self.causes)

    def to_json(self) -> dict[str, Any]:
        """Return the document `graphfix.diagnose/1`."""
        return {
            "schema": "graphfix.diagnose/1",
            "logs": list(self.logs),
            "model": self.model,
            "outcome": self.outcome,
            "numbering": self.numbering,
            "runs": [
                {
                    "number": r.number, "source": r.source, "first_line": r.first,
                    "last_line": max(r.first, r.last), "outcome": r.outcome or "unknown",
                    "messages": len(r.messages), "seen": list(r.seen),
                }
                for r in self.runs
            ],
            "causes": [c.to_json() for c in self.causes],
        }  # fmt: skip


def diagnose(
    log: Path | Sequence[Path],
    model: Model | None = None,
    *,
    target: Target | None = None,
    fix_report: Mapping[str, Any] | None = None,
    tables: Tables | None = None,
    ended: tuple[str, str] | None = None,
) -> Diagnosis:
    """Read logs of ATC and say what went wrong and what to do.

    Args:
        log: ATC's output, plog files, or folders of plogs.
        model: what ATC read, or the model from which that was made; names nodes.
        target: release and SoC, for commands and for what the tables say.
        fix_report: the document graphfix.fix/1 of the fix that wrote what ATC read.
        tables: operator tables, for instance with a user's own file on top.
        ended: how the process ended, where the caller knows: an event of op_support/atc/events.toml
            and words.

    Raises:
        UsageError: a log that is not there or cannot be read.
    """
    files = log_files([log] if isinstance(log, Path) else list(log))
    lines = chain.from_iterable(read_lines(path) for path in files)
    return diagnose_lines(
        lines, model, target=target, fix_report=fix_report, tables=tables,
        logs=[str(f) for f in files], ended=ended,
    )  # fmt: skip


def diagnose_lines(
    lines: Iterable[Line],
    model: Model | None = None,
    *,
    target: Target | None = None,
    fix_report: Mapping[str, Any] | None = None,
    tables: Tables | None = None,
    logs: Sequence[str] = (),
    ended: tuple[str, str] | None = None,
) -> Diagnosis:
    """Do what `diagnose` does on lines that were read already."""
    runs = read_messages(lines)
    if ended is not None:
        runs[-1].events.setdefault(ended[0], (ended[1], runs[-1].last))
    tables = tables if tables is not None else Tables()
    numbering = _numbering(runs, target)
    reading = Reading(
        Names(model, fix_report, tables), tables, target,
        Path(model.path) if model is not None and model.path is not None else None,
        numbering or "8.1",
    )  # fmt: skip
    causes = [cause for run in runs for cause in causes_of(run, reading)]
    return Diagnosis(
        list(logs), str(reading.path) if reading.path is not None else None,
        runs[-1].outcome or "unknown", numbering, runs, causes,
    )  # fmt: skip


def _numbering(runs: Sequence[Run], target: Target | None) -> str | None:
    """Return whose numbers a log uses: E190xx until 8.1, E130xx since 8.5."""
    codes = [m.code for r in runs for m in r.messages if m.code]
    if any(c.startswith("E130") for c in codes):
        return "2026"
    if any(c.startswith("E190") for c in codes):
        return "8.1"
    if target is not None and target.release.codes.get("not_registered") == "E13010":
        return "2026"
    return None
