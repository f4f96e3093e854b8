"""A `fix` in op_support promises a rewrite: there is a rule of that name, and it starts there."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphfix.rewrite import tidy
from graphfix.rewrite.registry import own_rules
from graphfix.support.target import read_toml

FOLDER = Path(__file__).resolve().parents[2] / "op_support"
ROOTS = {rule.name: rule.roots for rule in own_rules()}
ENTRIES = [
    pytest.param(table["name"], entry["fix"], id=f"{path.stem}/{entry.get('id', '')}")
    for path in sorted(FOLDER.glob("*/*.toml"))
    for table in [read_toml(path)]
    for entry in [table, *table.get("constraint", ())]
    if "fix" in entry
]


def test_some_entries_name_a_rule() -> None:
    assert len(ENTRIES) > 50


@pytest.mark.parametrize(("op_type", "fix"), ENTRIES)
def test_fix_names_a_rule_that_starts_at_the_operator(op_type: str, fix: str) -> None:
    if fix in tidy.RULES:
        return
    assert fix in ROOTS, f"there is no rule {fix}"
    starts = {root.rpartition("::")[2] for root in ROOTS[fix]}
    assert op_type in starts, f"{fix} does not start at {op_type}"
