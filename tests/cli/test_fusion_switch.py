"""graphfix atc fusion-switch: the file for --fusion_switch_file, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

# the format that the page "--fusion_switch_file" of CANN's atc guide shows
FORMAT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["Switch"],
    "properties": {
        "Switch": {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                kind: {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": {"enum": ["on", "off"]},
                }
                for kind in ("GraphFusion", "UBFusion")
            },
        }
    },
}


def test_passes_are_off_in_both_kinds(main: Callable, tmp_path: Path) -> None:
    done = main("atc", "fusion-switch", "--off", "APass, BPass", "-o", "fusion_switch.cfg")
    assert done.returncode == 0 and f"fusion_switch_file={tmp_path}" in done.stdout
    document = json.loads((tmp_path / "fusion_switch.cfg").read_text())
    jsonschema.validate(document, FORMAT)
    off = {"APass": "off", "BPass": "off"}
    assert document == {"Switch": {"GraphFusion": off, "UBFusion": off}}


def test_all_but_one_of_one_kind(main: Callable) -> None:
    done = main("atc", "fusion-switch", "--off", "ALL", "--on", "SoftmaxFusionPass", "--kind", "ub")
    document = json.loads(done.stdout)
    jsonschema.validate(document, FORMAT)
    assert document == {"Switch": {"UBFusion": {"ALL": "off", "SoftmaxFusionPass": "on"}}}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--off", ","], "at least one"),
        (["--off", "A Pass"], "no name"),
        (["--off", "APass=off"], "no name"),
        (["--off", "all"], "--off ALL"),
        (["--off", "ALL", "--on", "ALL"], "--off ALL"),
        (["--off", "APass", "--on", "BPass"], "needs --off ALL"),
        (["--off", "ALL,APass", "--on", "APass"], "APass: is in --off and in --on"),
        (["--off", "APass", "-o", "no/such/folder.cfg"], "no such folder"),
        (["--off", "APass", "--result", "missing.json"], "cannot be read"),
    ],
)
def test_refused(main: Callable, tmp_path: Path, arguments: list[str], says: str) -> None:
    done = main("atc", "fusion-switch", *arguments)
    assert done.returncode == 2 and says in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_the_earlier_run_does_not_know(main: Callable, tmp_path: Path) -> None:
    counts = {"effect_times": "1", "match_times": "2"}
    ran = [{"session_and_graph_id_0_0": {"graph_fusion": {"ConvBnFusionPass": counts}}}]
    (tmp_path / "fusion_result.json").write_text(json.dumps(ran))
    words = ["atc", "fusion-switch", "--result", "fusion_result.json", "--off"]
    wrong = main(*words, "ConvBNFusionPass,ALL")
    assert wrong.returncode == 0 and "Did you mean ConvBnFusionPass?" in wrong.stderr
    right = main(*words, "ConvBnFusionPass")
    assert right.stderr == "" and "ConvBnFusionPass" in right.stdout
