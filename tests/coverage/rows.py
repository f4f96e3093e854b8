"""The rows of this folder's CSV files, and the entries of op_support that answer them."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from graphfix.support.target import read_toml

HERE = Path(__file__).resolve().parent
OP_SUPPORT = HERE.parents[1] / "op_support"

# the harm that a fact does -> the effects of which an entry answering it must have one
NEEDED = {
    "parse_error": {"rejected"},
    "compile_error": {"rejected"},
    "miscompiles": {"miscompiled", "rejected"},  # a model that is refused is not computed wrongly
}


class Entry(NamedTuple):
    """A constraint or note of an operator's file. `effect` is "note" for a [[note]]."""

    operator: str
    effect: str
    finding: str
    id: str


def read(name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file of this folder."""
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def operator_tables() -> dict[str, dict[str, Any]]:
    """Return the files of op_support by operator."""
    paths = [*OP_SUPPORT.glob("standard/*.toml"), *OP_SUPPORT.glob("custom/*.toml")]
    tables = [read_toml(path) for path in sorted(paths)]
    return {table["name"]: table for table in tables}


def covering_entries() -> dict[tuple[str, str], list[Entry]]:
    """Return {(operator, "<kind>:<name>"): the entries that say they cover it}."""
    found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for name, table in operator_tables().items():
        for entry in table.get("constraint", []):
            for text in entry.get("covers", []):
                found[name, text].append(
                    Entry(name, entry["effect"], entry["finding"], entry["id"])
                )
        for entry in table.get("note", []):
            for text in entry.get("covers", []):
                found[name, text].append(Entry(name, "note", "", ""))
    return dict(found)


def fact_key(row: dict[str, str]) -> tuple[str, str]:
    """Return under which operator and text a row of facts.csv is covered."""
    operator = row["op_type"].partition(" ")[0]  # "addcmul (...)" names its registration key
    return operator, f"{row['kind']}:{row['name']}"
