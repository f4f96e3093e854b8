"""The fidelity goals: predictions against the verdicts of the real parser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def score(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    folder = os.environ.get("GRAPHFIX_ORACLE")
    if not folder:
        pytest.fail("GRAPHFIX_ORACLE is not set; run `make oracle`, which fetches the models")
    out = tmp_path_factory.mktemp("oracle")
    run = [sys.executable, str(HERE / "predict.py"), folder, str(out / "predictions.jsonl")]
    subprocess.run(run, check=True)
    run = [sys.executable, str(HERE / "score.py"), str(HERE / "verdicts.csv.gz"),
           str(out / "predictions.jsonl"), "--json", str(out / "score.json")]  # fmt: skip
    subprocess.run(run, check=True)
    return json.loads((out / "score.json").read_text())


def share(total: dict[str, int], part: str, whole: str) -> float:
    assert total[whole] > 0
    return total[part] / total[whole]


def test_all_public_models_are_predicted(score):
    # the 37 exports are made by scripts and have no file here
    assert score["all"]["n"] >= 5225


def test_accept_or_refuse(score):
    assert share(score["all"], "accept", "n") >= 0.995


def test_first_code(score):
    assert share(score["all"], "code", "both") >= 0.99


def test_refused_nodes(score):
    assert share(score["all"], "set", "sets") >= 0.98
