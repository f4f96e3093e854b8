"""The stand-in plays every documented code, so that no test rests on a silent one."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.atc.standin import STANDIN, environment
from tests.atc.standin.stand_in_for_atc import MESSAGES, message
from tests.builders import relu, write


def codes() -> list[str]:
    with MESSAGES.open(encoding="utf-8", newline="") as file:
        return [row["code"] for row in csv.DictReader(file)]


def play(tmp_path: Path, scenario: str) -> subprocess.CompletedProcess[str]:
    write(relu(), tmp_path / "m.onnx")
    words = ["--model=m.onnx", "--output=m", "--framework=5", "--soc_version=Ascend310P3"]
    settings = environment(GRAPHFIX_STANDIN=scenario, GRAPHFIX_STANDIN_STATE=str(tmp_path))
    return subprocess.run([sys.executable, STANDIN, *words], cwd=tmp_path, env=settings, text=True,
                          capture_output=True, timeout=60)  # fmt: skip


def test_every_code_has_a_message_with_all_blanks_filled() -> None:
    assert len(codes()) == len(set(codes())) > 180
    for code in codes():
        text = message(code, {"opname": "/a/b", "optype": "Gelu"})
        assert text.startswith(f"{code}: [PID: ") and "<" not in text, text
    assert "[/a/b]" in message("E19010", {"opname": "/a/b"})


@pytest.mark.parametrize("code", ["E10001", "E19010", "E13010", "EZ3003", "E40021", "E20007"])
def test_a_code_ends_the_run_as_atc_does(code: str, tmp_path: Path) -> None:
    done = play(tmp_path, f"code:{code}")
    assert done.returncode == 255 and f"{code}: [PID: " in done.stdout
    assert "ATC run failed" in done.stdout and not (tmp_path / "m.om").exists()


def test_help_says_what_it_is() -> None:
    done = subprocess.run([sys.executable, STANDIN, "--help"], capture_output=True, text=True,
                          timeout=60)  # fmt: skip
    assert done.returncode == 0 and "stand-in" in done.stdout.splitlines()[0]


def test_slow_and_flood_end_well(tmp_path: Path) -> None:
    slow = play(tmp_path, "slow:0.4")
    assert slow.returncode == 0 and slow.stdout.count("\n.") >= 3
    flood = play(tmp_path, "flood:2000")
    assert flood.returncode == 0 and len(flood.stdout.splitlines()) > 2000
