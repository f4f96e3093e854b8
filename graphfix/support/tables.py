"""The operator tables: what op_support says of an operator, read when it is asked for.

An operator's file is opened the first time that a model uses it; a user's own file lies on top.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphfix.errors import TableError
from graphfix.support.conditions import Condition, compile_condition
from graphfix.support.paths import data_folder
from graphfix.support.predicates import PREDICATES
from graphfix.support.target import read_toml

EFFECTS = ("rejected", "miscompiled", "fallback", "precision", "dynamic", "note")
CERTAINTIES = ("proved", "high", "medium", "low")
FOLDERS = ("standard", "custom")


class Opsets:
    """A set of opset versions, written as in the tables: `8-12,14`, `all`."""

    __slots__ = ("_ranges", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._ranges: list[tuple[int, int]] = []
        if text != "all":
            for part in text.split(","):
                match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
                if match is None:
                    raise ValueError(f"{text!r} is no list of opsets")
                self._ranges.append((int(match[1]), int(match[2] or match[1])))

    def __contains__(self, version: int) -> bool:
        return not self._ranges or any(low <= version <= high for low, high in self._ranges)

    def __str__(self) -> str:
        return self.text

    def versions(self) -> list[int]:
        """Return the versions one by one; empty for `all`."""
        return [v for low, high in self._ranges for v in range(low, high + 1)]


@dataclass(frozen=True)
class Registration:
    """A parser that a plugin registers: the exact opsets, and the GE node that comes out.

    `inputs` and `outputs` are how many the GE node has, None where any number fits. `connected` are
    the input positions that the plugin's expansion needs, `connected_if_listed` those that it needs
    as soon as the node lists them, even with an empty name; None means every listed position.
    """

    domain: str
    opsets: Opsets
    ge_op: str
    form: str
    becomes: tuple[str, ...]
    inputs: int | None
    outputs: int | None
    connected: tuple[int, ...] | None
    connected_if_listed: tuple[int, ...]
    source: str
    certainty: str
    releases: tuple[str, ...]


@dataclass(frozen=True)
class KernelChoice:
    """Which GE operator's kernel decides for a node, and which ONNX inputs stand behind it.

    `inputs` maps GE inputs to ONNX positions (-1: made by the plugin); None means one to one.
    """

    opsets: Opsets
    ge_op: str
    when: Condition | None
    inputs: tuple[int, ...] | None
    outputs: tuple[int, ...] | None
    engine: str | None
    note: str
    certainty: str


@dataclass(frozen=True)
class Constraint:
    """Something that CANN refuses or computes differently, and when."""

    operator: str
    id: str
    opsets: Opsets
    domain: str | None
    when: Condition | None
    effect: str
    finding: str
    says: str
    advice: str
    fix: str | None
    no_fix: str
    source: str
    certainty: str
    releases: tuple[str, ...]
    code: str | None
    stage: str
    covers: tuple[str, ...]

    @property
    def key(self) -> str:
        """The name under which `graphfix explain` knows it: operator/id."""
        return f"{self.operator}/{self.id}"


@dataclass(frozen=True)
class Note:
    """A fact without harm."""

    opsets: Opsets
    says: str
    source: str
    certainty: str
    covers: tuple[str, ...]


@dataclass(frozen=True)
class Operator:
    """All that the tables say of one operator."""

    name: str
    summary: str
    instead: str
    fix: str
    registrations: tuple[Registration, ...]
    kernels: tuple[KernelChoice, ...]
    constraints: tuple[Constraint, ...]
    notes: tuple[Note, ...]
    documented: Mapping[str, str]
    standard: bool = True

    def registration(self, domain: str, opset: int, release: str) -> Registration | None:
        """Return the registration for exactly this domain, opset and release."""
        for entry in self.registrations:
            if (
                entry.domain == domain
                and opset in entry.opsets
                and (not entry.releases or release in entry.releases)
            ):
                return entry
        return None

    def opsets(self, domain: str, release: str) -> list[int]:
        """Return all opsets at which the operator is registered in `domain`."""
        found: set[int] = set()
        for entry in self.registrations:
            if entry.domain == domain and (not entry.releases or release in entry.releases):
                found.update(entry.opsets.versions())
        return sorted(found)

    def constraints_at(self, domain: str, opset: int, release: str) -> list[Constraint]:
        """Return the constraints that may hold for a node of this domain and opset."""
        return [
            c
            for c in self.constraints
            if opset in c.opsets
            and (c.domain or domain) == domain
            and (not c.releases or release in c.releases)
        ]


@dataclass
class Tables:
    """The operator tables with any user files on top.

    `custom_ops` are operators that a plugin of the user's takes, as `Domain::Type`, or
    `Domain::Type@opset` for one opset only.
    """

    overlays: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    custom_ops: frozenset[str] = frozenset()
    _operators: dict[str, Operator | None] = field(default_factory=dict)

    @staticmethod
    def with_files(paths: Iterable[Path]) -> Tables:
        """Return the tables with these user files laid on top, the last one uppermost."""
        overlays = []
        for path in paths:
            try:
                table = read_toml(path)
            except OSError as error:
                raise TableError(
                    f"--op-support {path}: cannot be read ({error.strerror})."
                ) from None
            except ValueError as error:
                raise TableError(f"--op-support {path}: not TOML: {error}.") from None
            if set(table) - {"operator"} or not isinstance(table.get("operator"), dict):
                raise TableError(
                    f"--op-support {path}: expected [operator.<Name>] tables. "
                    "op_support/README.md shows the format."
                )
            overlays.append((str(path), table["operator"]))
        tables = Tables(overlays)
        for _, operators in overlays:
            for name in operators:
                tables.operator(name)  # a wrong line is told now, not when a model uses it
        return tables

    def takes_custom(self, domain: str, op_type: str, opset: int | None) -> bool:
        """Whether the user says that a plugin takes an operator; ONNX's domain is `ai.onnx`."""
        kind = f"{domain}::{op_type}"
        return bool(self.custom_ops) and not self.custom_ops.isdisjoint((kind, f"{kind}@{opset}"))

    def operator(self, name: str) -> Operator | None:
        """Return what is known of an operator; None when no file speaks of it."""
        if name not in self._operators:
            self._operators[name] = self._read(name)
        return self._operators[name]

    def _read(self, name: str) -> Operator | None:
        table, where, standard = None, "", True
        if name.isidentifier() and len(name) < 100:
            for folder in FOLDERS:
                path = data_folder("op_support") / folder / f"{name}.toml"
                # a case-insensitive file system would answer for Col2im with Col2Im
                if path.is_file() and (found := read_toml(path))["name"] == name:
                    table, where, standard = found, str(path), folder == "standard"
                    break
        for overlay, operators in self.overlays:
            if name in operators:
                if not isinstance(operators[name], dict):
                    raise TableError(f"{overlay}: [operator.{name}] must be a table.")
                _check_types(operators[name], "operator", f"{overlay}: {name}")
                table = _overlay(table or {"name": name}, operators[name], f"{overlay}: {name}")
                where = overlay
        return None if table is None else parse_operator(table, where, standard)

    def names(self) -> list[str]:
        """Return all operators that the tables know, sorted."""
        found = {
            path.stem
            for folder in FOLDERS
            for path in (data_folder("op_support") / folder).glob("*.toml")
        }
        for _, operators in self.overlays:
            found.update(operators)
        return sorted(found)


def _overlay(base: dict[str, Any], top: dict[str, Any], where: str) -> dict[str, Any]:
    merged = dict(base)
    for key, entry in top.items():
        if key == "constraint":
            ids = {c.get("id") for c in entry}
            kept = [c for c in base.get("constraint", []) if c["id"] not in ids]
            known = {c["id"] for c in base.get("constraint", [])}
            for c in entry:
                if c.get("drop") and c.get("id") not in known:
                    raise TableError(f"{where}: there is no constraint {c.get('id')!r} to drop.")
            merged[key] = kept + [c for c in entry if not c.get("drop")]
        elif key in ("registration", "kernel", "note"):
            merged[key] = list(entry) + list(base.get(key, []))
        else:
            merged[key] = entry
    return merged


_KEYS = {
    "operator": {"name", "summary", "instead", "fix", "registration", "kernel", "constraint",
                 "note", "documented"},
    "registration": {"opsets", "domain", "form", "ge_op", "becomes", "inputs", "outputs",
                     "connected", "connected_if_listed", "source", "certainty", "releases"},
    "kernel": {"opsets", "ge_op", "when", "inputs", "outputs", "engine", "note", "certainty"},
    "constraint": {"id", "opsets", "domain", "when", "effect", "finding", "says", "advice", "fix",
                   "no_fix", "source", "certainty", "covers", "releases", "code", "stage"},
    "note": {"opsets", "domain", "says", "source", "certainty", "covers"},
    "documented": {"opsets", "evidence", "source"},
}  # fmt: skip


def parse_operator(table: Mapping[str, Any], where: str, standard: bool = True) -> Operator:
    """Turn an operator's table into objects; raises TableError that says which entry is wrong."""
    _check_keys(table, "operator", where)
    name = str(table["name"])
    try:
        return Operator(
            name=name,
            summary=table.get("summary", ""),
            instead=table.get("instead", ""),
            fix=table.get("fix", ""),
            registrations=tuple(_registration(r, where) for r in table.get("registration", ())),
            kernels=tuple(_kernel(k, where) for k in table.get("kernel", ())),
            constraints=tuple(_constraint(name, c, where) for c in table.get("constraint", ())),
            notes=tuple(_note(n, where) for n in table.get("note", ())),
            documented=table.get("documented", {}),
            standard=standard,
        )
    except KeyError as error:
        raise TableError(f"{where}: an entry lacks {error.args[0]!r}.") from None
    except ValueError as error:
        raise TableError(f"{where}: {error}.") from None


_STRINGS = {
    "name",
    "summary",
    "instead",
    "opsets",
    "domain",
    "form",
    "ge_op",
    "source",
    "certainty",
    "engine",
    "note",
    "id",
    "effect",
    "finding",
    "says",
    "advice",
    "fix",
    "no_fix",
    "code",
    "stage",
    "evidence",
}
_NUMBERS = {"inputs", "outputs"}
STAGES = ("parse", "expansion", "compile")


def _check_keys(table: Mapping[str, Any], kind: str, where: str) -> None:
    if not isinstance(table, dict):
        raise TableError(f"{where}: a {kind} must be a table, found {table!r}.")
    unknown = set(table) - _KEYS[kind]
    if unknown:
        raise TableError(
            f"{where}: a {kind} has no {', '.join(sorted(unknown))}. "
            f"Known: {', '.join(sorted(_KEYS[kind]))}."
        )
    _check_types(table, kind, where)


def _check_types(table: Mapping[str, Any], kind: str, where: str) -> None:
    for key, value in table.items():
        nested = kind == "operator" and key in _KEYS and key != "documented"
        if nested and not isinstance(value, list):
            raise TableError(f"{where}: {key} must be written [[...{key}]], a list of tables.")
        if key in _STRINGS and not nested and not isinstance(value, str):
            raise TableError(f"{where}: {key} of a {kind} must be a text, found {value!r}.")
        if kind == "registration" and key in _NUMBERS and not isinstance(value, int):
            raise TableError(f"{where}: {key} of a {kind} must be a number, found {value!r}.")
        listed = {"becomes", "covers", "releases"} | (
            {"inputs", "outputs"} if kind == "kernel" else set()
        )
        if key in listed and not isinstance(value, list):
            raise TableError(f"{where}: {key} of a {kind} must be a list, found {value!r}.")
        if key in ("connected", "connected_if_listed") and not (
            isinstance(value, list) or value == "all"
        ):
            raise TableError(f"{where}: {key} must be a list of positions, found {value!r}.")
        if key == "when" and not isinstance(value, dict):
            raise TableError(f"{where}: when must be a table of conditions, found {value!r}.")


def _registration(t: Mapping[str, Any], where: str) -> Registration:
    _check_keys(t, "registration", where)
    expanded = t.get("form", "direct") == "subgraph"
    connected: tuple[int, ...] | None = ()
    if expanded:
        listed = t.get("connected", ())
        connected = None if listed == "all" else tuple(listed)
    return Registration(
        t.get("domain", "ai.onnx"),
        Opsets(t["opsets"]),
        t["ge_op"],
        t.get("form", "direct"),
        tuple(t.get("becomes", ())),
        t.get("inputs"),
        t.get("outputs"),
        connected,
        tuple(t.get("connected_if_listed", ())),
        t["source"],
        t["certainty"],
        tuple(t.get("releases", ())),
    )


def _kernel(t: Mapping[str, Any], where: str) -> KernelChoice:
    _check_keys(t, "kernel", where)
    when = compile_condition(t.get("when", {}), PREDICATES, f"{where}, kernel {t['ge_op']}")
    inputs, outputs = t.get("inputs"), t.get("outputs")
    return KernelChoice(
        Opsets(t["opsets"]),
        t["ge_op"],
        when,
        None if inputs is None else tuple(inputs),
        None if outputs is None else tuple(outputs),
        t.get("engine"),
        t.get("note", ""),
        t.get("certainty", "high"),
    )


def _constraint(operator: str, t: Mapping[str, Any], where: str) -> Constraint:
    _check_keys(t, "constraint", where)
    place = f"{where}, constraint {t.get('id')!r}"
    if t["effect"] not in EFFECTS:
        raise TableError(f"{place}: effect {t['effect']!r} is none of {', '.join(EFFECTS)}.")
    if t["certainty"] not in CERTAINTIES:
        raise TableError(
            f"{place}: certainty {t['certainty']!r} is none of {', '.join(CERTAINTIES)}."
        )
    if t.get("stage", "parse") not in STAGES:
        raise TableError(f"{place}: stage {t['stage']!r} is none of {', '.join(STAGES)}.")
    return Constraint(
        operator,
        t["id"],
        Opsets(t["opsets"]),
        t.get("domain"),
        compile_condition(t.get("when", {}), PREDICATES, place),
        t["effect"],
        t["finding"],
        t["says"],
        t["advice"],
        t.get("fix"),
        t.get("no_fix", ""),
        t["source"],
        t["certainty"],
        tuple(t.get("releases", ())),
        t.get("code"),
        t.get("stage", "parse"),
        tuple(t.get("covers", ())),
    )


def _note(t: Mapping[str, Any], where: str) -> Note:
    _check_keys(t, "note", where)
    return Note(
        Opsets(t["opsets"]), t["says"], t["source"], t["certainty"], tuple(t.get("covers", ()))
    )
