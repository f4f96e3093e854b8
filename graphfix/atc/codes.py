"""CANN's error codes, read from op_support/atc/codes: what each means and what to do.

A code that was renumbered (E13010 was E19010 in 8.1) has one entry with all the words; the other
number points at it and answers with the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from graphfix.support.paths import data_folder
from graphfix.support.target import read_toml

# what the letters and digits behind the E tell where no entry does (CANN error code reference)
_FAMILIES = {
    "EC": "the Python side of the operator compiler", "EB": "the kernel compiler (TBE, Ascend C)",
    "EE": "the runtime, which drives the device", "EF": "the data preprocessing of the device",
    "EH": "AscendCL, the interface of programs", "EI": "HCCL, which links several devices",
    "EJ": "HCCP, the network of the devices", "EK": "the profiler", "EL": "the driver",
    "EP": "the process manager", "ES": "the system", "EZ": "an operator library",
    "E1": "GE, the graph engine",
    "E2": "FE, the fusion engine", "E3": "the AI CPU engine", "E4": "the operator compiler",
    "E5": "a matrix operator", "E6": "a convolution operator", "E7": "an operator plugin",
    "E8": "a vector operator", "E9": "a vector operator",
}  # fmt: skip
ROLES = ("cause", "operator", "names", "memory", "pass", "python", "catch-all")


@dataclass(frozen=True)
class AtcCode:
    """One code.

    `headline` is its line in a table; `template` the shape of ATC's message in our words;
    `helps` are commands with MODEL, FIXED, SOC, OP and PASS to fill in; `findings` those of
    graphfix that predict it. `role` tells what the message carries: an operator, names, a fusion
    pass, or nothing certain (catch-all, which mostly follows another code).
    """

    code: str
    title: str
    headline: str
    template: str
    cause: str
    remedy: str
    stage: str
    releases: tuple[str, ...]
    source: str
    certainty: str
    helps: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    role: str = "cause"
    same_as: str | None = None

    @property
    def canonical(self) -> str:
        """The code that holds the words: itself, or the one of the other numbering."""
        return self.same_as or self.code

    @property
    def is_warning(self) -> bool:
        """Whether ATC goes on after it."""
        return self.code.startswith("W")

    @property
    def is_catch_all(self) -> bool:
        """Whether the number says nothing by itself and mostly follows another."""
        return self.role == "catch-all"


@cache
def atc_codes() -> Mapping[str, AtcCode]:
    """Return the entries of op_support/atc/codes by code; ranges under `E50000-E50060`."""
    raw: dict[str, dict[str, Any]] = {}
    for path in sorted((data_folder("op_support") / "atc" / "codes").glob("*.toml")):
        table = read_toml(path)
        defaults = table.pop("defaults")
        for code, entry in table.items():
            raw[code] = {**defaults, **entry}
    found = {code: _entry(code, e) for code, e in raw.items() if "same_as" not in e}
    for code, entry in raw.items():
        if "same_as" in entry:
            other = found[entry["same_as"]]
            found[code] = replace(
                other, code=code, title=entry["title"], same_as=other.code,
                releases=tuple(entry["releases"]), source=entry["source"],
                certainty=entry["certainty"],
            )  # fmt: skip
    return found


def _entry(code: str, entry: Mapping[str, Any]) -> AtcCode:
    words = {k: " ".join(v.split()) if isinstance(v, str) else tuple(v) for k, v in entry.items()}
    return AtcCode(code=code, **words)  # type: ignore[arg-type]


@cache
def find_atc_code(code: str) -> AtcCode | None:
    """Return what is known of a code, from its range if need be; None when nothing is."""
    known = atc_codes()
    if code in known:
        return known[code]
    for name, entry in known.items():
        first, dash, last = name.partition("-")
        if dash and code[:2] == first[:2] and first <= code <= last:
            return replace(entry, code=code)
    return None


def is_shaped_like_a_code(word: str) -> bool:
    """Whether a word has the form of a code of ATC: E or W, a digit or letter, four digits."""
    return re.fullmatch(r"[EW][0-9A-Z]\d{4}", word) is not None


def describe_unlisted(code: str) -> AtcCode:
    """Return what the form of an unlisted code tells: whose it is, and if it is a catch-all."""
    owner = _FAMILIES.get(code[:2], "a part of CANN that the tables do not list")
    return AtcCode(
        code, "(unlisted)",
        f"{'an internal error' if code.endswith('9999') else 'an error'} of {owner}",
        "<text>",
        f"The tables have no entry for {code}. Its form says that it comes from {owner}; the "
        "message itself says more.",
        "Read the text of the message, and the first error above it",
        "any", (), "the form of the code (CANN error code reference)", "low",
        role="catch-all" if code.endswith("9999") else "cause",
    )  # fmt: skip


@cache
def atc_events() -> Mapping[str, AtcCode]:
    """Return what a log tells besides codes (killed, disk-full ...), in the form of a code."""
    table = read_toml(data_folder("op_support") / "atc" / "events.toml")
    return {
        name: AtcCode(
            name, "", entry["headline"], "",
            f"{entry['headline'][0].upper()}{entry['headline'][1:]}.",
            " ".join(entry["remedy"].split()), "environment", (), "the words of the log", "high",
            helps=tuple(entry.get("helps", ())),
        )
        for name, entry in table.items()
    }  # fmt: skip


def nearest_codes(word: str) -> str:
    """Return a sentence with the known codes nearest to a word: few digits apart, then near."""

    def distance(code: str) -> tuple[int, int]:
        apart = sum(a != b for a, b in zip(code, word, strict=False)) + abs(len(code) - len(word))
        same = code[:2] == word[:2] and word[2:].isdigit()
        return apart, abs(int(code[2:]) - int(word[2:])) if same else 10**6

    word = word.upper()
    near = sorted((c for c in atc_codes() if "-" not in c), key=distance)
    return "Did you mean " + " or ".join(near[:3]) + "?"
