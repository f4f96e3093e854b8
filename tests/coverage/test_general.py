"""Rows about the parser in general: for each a minimal model, and what check() says of it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from general_models import MODELS, single
from rows import read

import graphfix
from graphfix.analysis.check import unreadable
from tests.builders import relu

ROWS = read("general.csv")
FACTS = {row["id"]: row for row in read("facts.csv")}
SEEN = [row for row in ROWS if row["code_2026_08"] or row["code_8_1"]]
RELEASES = {"2026.08": "2026_08", "8.1.RC1": "8_1"}


def model_of_row(row: dict[str, str]) -> onnx.ModelProto:
    if (row["id"], row["case"]) in MODELS:
        return MODELS[row["id"], row["case"]]()
    word, _, opset = row["case"].partition(" ")
    assert word == "opset", f"no model for {row['id']} {row['case']!r}"
    return single(FACTS[row["id"]]["op_type"].partition(" ")[0], int(opset))


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("row", SEEN, ids=lambda row: f"{row['id']}-{row['case']}".rstrip("-"))
def test_row_is_found(row, release):
    report = graphfix.check(model_of_row(row), graphfix.Target.of(cann=release))
    found = {finding.code for finding in report.findings}
    code, error = row[f"code_{RELEASES[release]}"], row[f"error_{RELEASES[release]}"]
    if code:
        assert code in found
    else:
        assert row[f"code_{'8_1' if release == '2026.08' else '2026_08'}"] not in found
    assert report.error_code == (error or None)
    assert report.accepted is not bool(error)


def test_every_model_belongs_to_a_row():
    assert set(MODELS) <= {(row["id"], row["case"]) for row in ROWS}


def test_input_shape_of_another_rank():
    """c025: the rank in --input_shape differs from the model's."""
    with pytest.raises(graphfix.UsageError, match="x"):
        graphfix.check(relu(dims=["n", 3]), shapes={"x": (1, 3, 8, 8)})


@pytest.mark.parametrize(("release", "code"), [("2026.08", "E13015"), ("8.1.RC1", "E19015")])
@pytest.mark.parametrize("size", [0, 2**31])
def test_file_size(tmp_path: Path, size: int, release: str, code: str):
    """c037: an empty file, and one beyond 2^31 - 1 bytes (sparse on disk)."""
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(size)
    with pytest.raises(graphfix.UnreadableModel) as caught:
        graphfix.load(path)
    assert unreadable(path, graphfix.Target.of(cann=release), caught.value).error_code == code
