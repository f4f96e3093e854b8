"""ATC's options and the mistakes that people make with them, as op_support/atc tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from graphfix.errors import TableError, UsageError, nearest
from graphfix.support.paths import data_folder
from graphfix.support.target import read_toml

KINDS = ("flag", "choice", "switch", "bool", "bools", "int", "text", "path")
STATUSES = ("active", "deprecated", "debug", "removed", "undocumented", "unsupported")
FRAMEWORKS = {"0": "caffe", "1": "mindspore", "3": "tensorflow", "5": "onnx"}
FRAMEWORK_NAMES = {
    "caffe": "Caffe", "mindspore": "MindSpore", "tensorflow": "TensorFlow", "onnx": "ONNX",
}  # fmt: skip
# the worst first; `undocumented` works by accident of a release, `note` is no mistake
EFFECTS = ("rejected", "misread", "undocumented", "note")
_CODES = {"choice": "E10001", "switch": "E10006", "bool": "E10005", "bools": "E10005",
          "int": "E10001", "text": "E10001"}  # fmt: skip
_PLAIN_VALUES = {"switch": ("0", "1"), "bool": ("true", "false"), "bools": ("true", "false")}


@dataclass(frozen=True)
class AtcOption:
    """An option of atc.

    `values` maps a value to its meaning, which may be empty; an empty map means any. `excludes`
    maps another option to the code that ATC prints. `needs` and `required` map another option to
    the values with which this one works, or must be there. `form` is a regular expression of a
    free value; `meant` maps a wrong value to the right one, or to nothing.
    """

    name: str
    group: str
    kind: str
    says: str
    values: Mapping[str, str]
    values_for: Mapping[str, tuple[str, ...]]
    default: str | None
    code: str | None
    frameworks: tuple[str, ...]
    excludes: Mapping[str, str]
    needs: Mapping[str, tuple[str, ...]]
    needs_code: str | None
    required: Mapping[str, tuple[str, ...]]
    required_code: str | None
    not_on: tuple[str, ...]
    bounds: tuple[int, int] | None
    form: str | None
    meant: Mapping[str, str]
    status: str
    instead: str | None
    notes: tuple[str, ...]
    first_seen: str | None
    source: str
    certainty: str


@dataclass(frozen=True)
class Mistake:
    """A kind of mistake: how it is recognised, what it does, what is right.

    `says` and `right` have fields in braces. `codes` are what ATC may print. `options` are those
    with which it is common.
    """

    id: str
    effect: str
    recognised: str
    says: str
    right: str
    codes: tuple[str, ...]
    source: str
    certainty: str
    options: tuple[str, ...]
    example: str = field(default="", repr=False)


@cache
def atc_options() -> dict[str, AtcOption]:
    """Return the options of atc by name, in the order of their groups."""
    path = data_folder("op_support") / "atc" / "options.toml"
    table = read_toml(path)
    found = {name: _option(name, entry, table) for name, entry in table["option"].items()}
    for option in found.values():
        for other in (*option.excludes, *option.needs, *option.required):
            if other not in found:
                raise TableError(f"{path}: {option.name}: no option is called {other!r}.")
    return found


def _option(name: str, entry: Mapping[str, Any], table: Mapping[str, Any]) -> AtcOption:
    kind, status = entry["kind"], entry.get("status", "active")
    if kind not in KINDS or status not in STATUSES:
        raise TableError(f"op_support/atc/options.toml: {name}: unknown kind or status.")
    values = entry.get("values", _PLAIN_VALUES.get(kind, ()))
    bounds = entry.get("range")
    return AtcOption(
        name=name,
        group=entry["group"],
        kind=kind,
        says=entry["says"],
        values=dict(values) if isinstance(values, dict) else dict.fromkeys(values, ""),
        values_for={k: tuple(v) for k, v in entry.get("values_for", {}).items()},
        default=entry.get("default"),
        code=entry.get("code", _CODES.get(kind)),
        frameworks=tuple(entry.get("frameworks", FRAMEWORK_NAMES)),
        excludes=entry.get("excludes", {}),
        needs={k: tuple(v) for k, v in entry.get("needs", {}).items()},
        needs_code=entry.get("needs_code"),
        required={k: tuple(v) for k, v in entry.get("required", {}).items()},
        required_code=entry.get("required_code"),
        not_on=tuple(entry.get("not_on", ())),
        bounds=(bounds[0], bounds[1]) if bounds else None,
        form=entry.get("form"),
        meant=entry.get("meant", {}),
        status=status,
        instead=entry.get("instead"),
        notes=tuple(entry.get("notes", ())),
        first_seen=entry.get("first_seen"),
        source=table[entry.get("source", "page")],
        certainty=entry.get("certainty", "high"),
    )


@cache
def mistakes() -> dict[str, Mistake]:
    """Return the kinds of mistakes by id."""
    path = data_folder("op_support") / "atc" / "mistakes.toml"
    table = read_toml(path)
    found = {}
    for entry in table["mistake"]:
        source = entry.get("source", "page")
        found[entry["id"]] = Mistake(
            id=entry["id"],
            effect=entry["effect"],
            recognised=entry["recognised"],
            says=entry["says"],
            right=entry["right"],
            codes=tuple(entry["code"].split("/")) if "code" in entry else (),
            source=table.get(source, source),
            certainty=entry.get("certainty", "high"),
            options=tuple(entry.get("options", ())),
            example=entry["example"],
        )
        if entry["effect"] not in EFFECTS:
            raise TableError(f"{path}: {entry['id']}: unknown effect {entry['effect']!r}.")
    return found


def find_option(word: str) -> AtcOption:
    """Return the option that a word names, dashes or not. Raises UsageError with near names."""
    name = word.strip().lstrip("-").replace("-", "_").partition("=")[0]
    option = atc_options().get(name)
    if option is None:
        close = near_options(name)
        hint = f"Did you mean {' or '.join('--' + n for n in close)}? " if close else ""
        raise UsageError(
            f"{word}: atc has no such option. {hint}`graphfix atc options` lists them all."
        )
    return option


def begun_by(name: str) -> list[str]:
    """Return the options whose names begin so; getopt_long takes the beginning of exactly one."""
    return [known for known in atc_options() if known.startswith(name)]


def near_options(name: str, count: int = 3) -> list[str]:
    """Return the names of options that look or begin like a word, the nearest first."""
    import difflib

    known = list(atc_options())
    begun = [k for k in known if len(name) > 3 and (k.startswith(name) or name.startswith(k))]
    close = difflib.get_close_matches(name, known, n=count, cutoff=0.72)
    return list(dict.fromkeys([*begun, *close]))[:count]


def near_values(option: AtcOption, value: str) -> str:
    """Return a sentence about the values that are near to a wrong one."""
    return nearest(value, option.values) if option.values else ""
