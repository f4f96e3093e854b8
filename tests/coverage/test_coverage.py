"""Every publicly known fact about the parser is answered by a finding, or by a stated reason."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import pytest
from audit_models import OMITTED, build
from default_models import DEFAULTS
from rows import NEEDED, covering_entries, fact_key, operator_tables, read

import graphfix
from graphfix.analysis.codes import CODES
from graphfix.support.tables import Opsets

FACTS = read("facts.csv")
AUDIT = read("audit.csv")
GENERAL = read("general.csv")
REASONS = {row["id"]: row["reason"] for row in read("unseen.csv")}
ENTRIES = covering_entries()
TARGET = graphfix.Target.of(cann="2026.08")
TABLES = graphfix.Tables()
COVERS = {
    f"{name}/{entry['id']}": entry.get("covers", [])
    for name, table in operator_tables().items()
    for entry in table.get("constraint", [])
}


# ---------------------------------------------------------------------- the facts


def test_rows_are_all_there():
    assert (len(FACTS), len(AUDIT), len(read("defaults.csv"))) == (499, 346, 24)
    ids = [row["id"] for name in ("facts", "audit", "defaults") for row in read(f"{name}.csv")]
    assert max(Counter(ids).values()) == 1


@pytest.mark.parametrize("row", FACTS, ids=lambda row: row["id"])
def test_fact_is_answered(row):
    """By an entry whose effect fits the harm, or by a row of general.csv."""
    effects = {entry.effect for entry in ENTRIES.get(fact_key(row), [])}
    needed = NEEDED.get(row["effect"])
    in_general = any(general["id"] == row["id"] for general in GENERAL)
    if needed is not None:
        assert needed & effects or in_general
    elif row["effect"] in ("silently_ignored", "warning"):
        # a [[note]] alone would hide a difference that ONNX defines
        entries = ENTRIES.get(fact_key(row), [])
        assert any(entry.finding for entry in entries) or in_general
    else:
        assert effects or in_general


def test_general_rows_are_facts_with_an_answer():
    known = {row["id"] for row in FACTS}
    for row in GENERAL:
        codes = {row["code_2026_08"], row["code_8_1"]} - {""}
        assert row["id"] in known
        assert codes <= set(CODES)
        assert codes or row["reason"], row["id"]
        # one release alone shows it: the reason says why
        assert row["reason"] or all((row["code_2026_08"], row["code_8_1"])), row["id"]


def test_covers_name_facts():
    known = {fact_key(row) for row in FACTS}
    assert {key for key in ENTRIES if key not in known} == set()


# ---------------------------------------------------------------------- the audit


@cache
def findings(op: str, opset: int, base: str, attribute: str, value: str) -> list[tuple[str, str]]:
    """Return (message, constraint) of what check() calls miscompiled."""
    report = graphfix.check(build(op, opset, base, attribute, value), TARGET, tables=TABLES)
    # a model that the parser refuses would prove nothing about silence
    assert report.accepted
    return [(f.message, f.constraint or "") for f in report.findings if f.effect == "miscompiled"]


def concerns(found: list[tuple[str, str]], attribute: str) -> bool:
    return any(
        attribute in message or any(attribute in text for text in COVERS.get(constraint, []))
        for message, constraint in found
    )


def sides(row: dict[str, str]) -> tuple[str, list[int], list[tuple[str, str]]]:
    """Return the attribute at stake, the opsets, and (attribute, value) of the models to check."""
    if row["kind"] == "opset":
        match = re.fullmatch(r"opset(?: with attr:(\w+)=(.+))?", row["what"])
        # without a value the context's own axis stays
        return "axis", [12], [(match[1] or "", match[2] or OMITTED)]
    attribute = row["what"].removeprefix("attr:")
    values = (row["base_value"], row["variant_value"])
    return attribute, Opsets(row["opset"]).versions(), [(attribute, value) for value in values]


SILENT = [row for row in AUDIT if row["id"] not in REASONS]


@pytest.mark.parametrize("row", SILENT, ids=lambda row: f"{row['id']}-{row['op']}")
def test_silent_pair_is_found(row):
    """Two models with one GE graph and two meanings: one of them at least gets a finding."""
    attribute, opsets, models = sides(row)
    for opset in opsets:
        found = [
            findings(row["op"], opset, row["base"], name, value) for name, value in models
        ]  # fmt: skip
        assert any(concerns(one, attribute) for one in found), f"opset {opset}: {found}"


# what CANN computes is known there, so the model that asks for it stays without a finding
CLEAN = [
    ("MaxPool", 13, "2d_dil", "dilations", "<omitted>"),
    ("MaxPool", 13, "2d", "auto_pad", "SAME_UPPER"),
    ("MaxPool", 13, "2d_big5", "ceil_mode", "<omitted>"),
    ("AveragePool", 13, "2d", "auto_pad", "SAME_UPPER"),
    ("AveragePool", 13, "3d", "auto_pad", "NOTSET"),
    ("LpPool", 18, "2d_ceil", "ceil_mode", "0"),
    ("Gemm", 13, "no_c", "alpha", "<omitted>"),
    ("Gemm", 13, "no_c", "alpha", "1.0"),
    ("LSTM", 14, "", "clip", "<omitted>"),
    ("LSTM", 14, "layout", "layout", "0"),
    ("Hardmax", 12, "rank3", "axis", "2"),
    ("Hardmax", 13, "rank3", "axis", "<omitted>"),
    ("LogSoftmax", 12, "rank3", "axis", "-1"),
    ("Shape", 15, "", "end", "<omitted>"),
    ("Shape", 15, "", "start", "0"),
    ("ScatterND", 18, "", "reduction", "none"),
    ("RoiAlign", 16, "", "mode", "avg"),
    ("Unique", 11, "", "axis", "<omitted>"),
    ("EyeLike", 13, "int32_in", "dtype", "1"),
    ("SoftmaxCrossEntropyLoss", 13, "", "ignore_index", "0"),
    ("Resize", 13, "nearest_scales_asymmetric", "nearest_mode", "floor"),
    ("Resize", 13, "nearest_sizes", "nearest_mode", "round_prefer_ceil"),
    ("Resize", 18, "cubic_scales", "cubic_coeff_a", "-0.75"),
    ("Resize", 18, "linear_scales_down", "antialias", "0"),
    ("Resize", 18, "linear_sizes", "keep_aspect_ratio_policy", "stretch"),
]


@pytest.mark.parametrize("model", CLEAN, ids=lambda m: f"{m[0]}-{m[2]}-{m[3]}={m[4]}")
def test_agreeing_value_is_silent(model):
    assert findings(*model) == []


# ---------------------------------------------------------------------- the defaults


@pytest.mark.parametrize("row", read("defaults.csv"), ids=lambda row: f"{row['id']}-{row['op']}")
def test_differing_default_is_found(row):
    if row["id"] in REASONS:
        assert row["id"] not in DEFAULTS
        return
    make, constraint = DEFAULTS[row["id"]]
    for opset in Opsets(row["opset"]).versions():
        report = graphfix.check(make(opset), TARGET, tables=TABLES)
        found = [f.constraint or "" for f in report.findings]
        assert any(name.startswith(constraint) for name in found), f"opset {opset}: {found}"


def test_reasons_belong_to_rows():
    known = {row["id"] for row in AUDIT} | {row["id"] for row in read("defaults.csv")}
    assert set(REASONS) <= known
    assert all(REASONS.values())
