"""What belongs together: causes of one run, the root first, codes that only follow folded in."""

from __future__ import annotations

from graphfix.atc.codes import find_atc_code
from graphfix.atc.diagnosis.advice import advise
from graphfix.atc.diagnosis.cause import Cause, Reading
from graphfix.atc.diagnosis.decoding import (
    cause_of,
    event_of,
    is_twin,
    merged,
    unexplained,
)
from graphfix.atc.diagnosis.messages import Run

# numbers of one story: no parser met twice, no kernel told by library and by engine
_SAME_STORY = {"E16002": "E13010", "EZ3002": "EZ3003"}
# events that explain a failure only when no code does
_WEAK_EVENTS = frozenset({"denied", "interrupted", "module"})
# codes that say what broke off when the system stopped ATC, but not why
_BROKEN_OFF = frozenset({"E13004", "E22001", "E10042", "E10044", "E19022"})


def causes_of(run: Run, reading: Reading) -> list[Cause]:
    """Return the causes of one run: the root first, then the others, then warnings."""
    errors: list[Cause] = []
    for message in run.messages:
        cause = cause_of(message, run, reading)
        if cause is not None:
            _add(errors, cause)
    for cause in errors:
        cause.nodes = merged(cause.nodes)
    found = _ranked(_with_events(_folded(errors), run, reading))
    for cause in found:
        advise(cause, reading)
    return found


def _with_events(causes: list[Cause], run: Run, reading: Reading) -> list[Cause]:
    """Put what happened besides codes to the causes: as the root, or to the one it explains."""
    if run.outcome == "succeeded":
        return causes
    events = [event_of(name, what, line, run) for name, (what, line) in run.events.items()]
    errors = [c for c in causes if c.severity == "error"]
    if not errors:
        strong = [e for e in events if e.code not in _WEAK_EVENTS] or events
        if not strong and (run.outcome == "failed" or run.errors):
            strong = [unexplained(run, reading)]
        elif not strong and run.started and run.outcome is None:
            strong = [event_of("truncated", "", run.last, run)]
        return [*strong, *causes]
    system = [e for e in events if e.code in ("disk-full", "killed", "no-memory")]
    if not system:
        return causes
    if all(c.role == "catch-all" for c in errors):
        system[0].also += [code for c in errors for code in (c.code, *c.also)]
        return [*system, *(c for c in causes if c.severity != "error")]
    for cause in errors:
        entry = find_atc_code(cause.code)
        if entry is not None and entry.canonical in _BROKEN_OFF:
            cause.also += [e.code for e in system]
            cause.remedy, cause.commands = system[0].remedy, list(system[0].commands)
            cause.facts.setdefault("what", system[0].text)
            return causes
    return [*causes, *system]


def _ranked(causes: list[Cause]) -> list[Cause]:
    def rank(cause: Cause) -> tuple[bool, bool]:
        return (cause.severity == "warning", cause.role == "catch-all")

    return sorted(causes, key=rank)


def _add(causes: list[Cause], cause: Cause) -> None:
    """Add a cause, or put it to the one that says the same of other nodes."""
    for other in causes:
        if _is_same(other, cause):
            other.nodes += cause.nodes
            other.count += cause.count
            for code in (cause.code, *cause.also):
                if code != other.code and code not in other.also and not is_twin(code, other.code):
                    other.also.append(code)
            for key, value in cause.facts.items():
                other.facts.setdefault(key, value)
            return
    causes.append(cause)


def _is_same(one: Cause, other: Cause) -> bool:
    if one.severity != other.severity:
        return False
    a, b = find_atc_code(one.code), find_atc_code(other.code)
    first = _SAME_STORY.get(a.canonical, a.canonical) if a else one.code
    second = _SAME_STORY.get(b.canonical, b.canonical) if b else other.code
    if first == second and one.role != "cause":
        return True
    if first == second:
        return one.facts.get("parameter") == other.facts.get("parameter") and (
            one.facts.get("reason") == other.facts.get("reason")
            or one.facts.get("value") == other.facts.get("value")
        )
    # two codes about one node: the compiler's own and the envelope
    if one.role == other.role == "operator" and one.stage == other.stage:
        mine = {n.node or n.raw for n in one.nodes}
        return bool(mine & {n.node or n.raw for n in other.nodes})
    return False


def _folded(causes: list[Cause]) -> list[Cause]:
    """Put catch-alls that tell nothing of their own to the root that they follow."""
    root = next((c for c in causes if c.severity == "error" and c.role != "catch-all"), None)
    if root is None:
        return _folded_among_themselves(causes)
    kept = []
    for cause in causes:
        if cause.role == "catch-all" and cause.severity == "error":
            for code in (cause.code, *cause.also):
                if code != root.code and code not in root.also:
                    root.also.append(code)
            known = {n.node or n.raw for n in root.nodes}
            fresh = [n for n in cause.nodes if n.node is not None and n.node not in known]
            if root.role == "operator" and not root.nodes:
                root.nodes = cause.nodes
            if not fresh or root.role in ("operator", "names"):
                continue
            cause.follows = root.code
        kept.append(cause)
    return kept


def _folded_among_themselves(causes: list[Cause]) -> list[Cause]:
    """Of several catch-alls the one that says most is the cause; the others follow it."""
    errors = [c for c in causes if c.severity == "error"]
    if len(errors) < 2:
        return causes

    def says(cause: Cause) -> tuple[bool, bool]:
        return (any(n.node for n in cause.nodes) or bool(cause.nodes), "meaning" in cause.facts)

    root = max(errors, key=says)  # the first of equals
    for cause in errors:
        if cause is not root and cause.code != root.code and cause.code not in root.also:
            root.also.append(cause.code)
    return [root, *(c for c in causes if c.severity != "error")]
