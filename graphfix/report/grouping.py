"""Equal findings become one line: 48 LayerNormalizations are one trouble, not 48."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from graphfix.analysis import EFFECT_ORDER, Finding


@dataclass
class Group:
    """Findings that a table shows as one line; `first` speaks for all of them."""

    findings: list[Finding]

    @property
    def first(self) -> Finding:
        """The finding whose words stand in the line."""
        return self.findings[0]

    @property
    def effect(self) -> str:
        """The common effect."""
        return self.first.effect

    def what(self) -> str:
        """Return what CANN does, in one sentence."""
        first = self.first
        if first.constraint is not None:
            messages = {f.message for f in self.findings}
            text = first.message if len(messages) == 1 else first.headline.split(": ", 1)[-1]
            return (
                f"{first.op_type}: {_first_sentence(text if len(messages) == 1 else first.message)}"
            )
        code = first.error_code
        return first.headline + (f" ({code})" if code and first.effect == "rejected" else "")

    def names(self, limit: int = 3) -> str:
        """Return the first node names."""
        names = [f.node for f in self.findings if f.node]
        shown = ", ".join(names[:limit])
        return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")

    def remedy(self) -> str:
        """Return what to do."""
        first = self.first
        if first.fix is None:
            return first.remedy
        words = {"opset": "graphfix fix (opset planner)", "inline": "graphfix fix (inlines them)"}
        return words.get(first.fix, f"graphfix fix: {first.fix}")


def _first_sentence(text: str) -> str:
    end = text.find(". ")
    return text if end < 0 else text[: end + 1].rstrip(".")


def group(findings: Iterable[Finding]) -> list[Group]:
    """Group findings by what they say, the worst first, then the most frequent."""
    groups: dict[tuple[object, ...], Group] = {}
    for f in findings:
        key = (
            f.effect,
            f.code,
            f.constraint or f.headline,
            f.socs,
            f.op_type if f.constraint else None,
        )
        groups.setdefault(key, Group([])).findings.append(f)
    return sorted(
        groups.values(),
        key=lambda g: (EFFECT_ORDER.index(g.effect), g.first.code, -len(g.findings)),
    )
