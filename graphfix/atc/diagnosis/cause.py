"""Cause: one thing that went wrong in a run of ATC; Reading: what messages are read with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphfix.analysis import check
from graphfix.analysis.findings import Finding
from graphfix.atc.diagnosis.naming import NamedNode, Names
from graphfix.support import Tables, Target


@dataclass
class Cause:
    """One thing that went wrong.

    `code` is ATC's, or the name of an event (killed, disk-full ...) where ATC printed none.

    `severity`: error or warning. `also` are further codes of the same trouble, those that only
    follow it included. `facts` are what the message says: parameter, value, reason, file ...
    """

    code: str
    headline: str
    cause: str
    remedy: str
    stage: str
    severity: str
    run: int
    line: int
    source: str
    certainty: str
    evidence: str
    also: list[str] = field(default_factory=list)
    nodes: list[NamedNode] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    findings: tuple[str, ...] = ()
    text: str = ""
    follows: str | None = None
    count: int = 1
    role: str = "cause"

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the report."""
        return {
            "code": self.code, "also": list(self.also), "severity": self.severity,
            "stage": self.stage, "headline": self.headline, "cause": self.cause,
            "remedy": self.remedy, "commands": list(self.commands),
            "nodes": [n.to_json() for n in self.nodes], "facts": dict(self.facts),
            "findings": list(self.findings), "follows": self.follows, "run": self.run,
            "line": self.line, "source": self.source, "count": self.count, "text": self.text,
            "certainty": self.certainty, "evidence": self.evidence,
        }  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """With what messages are read: the model's names, the tables, the target, the model's path."""

    names: Names
    tables: Tables
    target: Target | None
    path: Path | None
    release: str
    _predicted: dict[str, list[Finding]] = field(default_factory=dict)

    def predicted(self, name: str | None = None) -> list[Finding]:
        """Return what check predicts that ATC would refuse, of one node or of all; the first first.

        Without a model or a target nothing is known.
        """
        if not self._predicted:
            self._predicted[""] = []
            if self.names.model is not None and self.target is not None:
                found = check(self.names.model, self.target, tables=self.tables).findings
                for entry in sorted(found, key=lambda f: f.order):
                    if entry.effect in ("rejected", "dynamic", "fallback"):
                        self._predicted.setdefault(entry.node or "", []).append(entry)
        if name is not None:
            return self._predicted.get(name, [])
        return [entry for entries in self._predicted.values() for entry in entries]
