"""The worker as a process of its own: whatever happens in it, the command says so and goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from graphfix.frameworks import export as export_module
from tests.conftest import Run

WORDS = ("-o", "m.onnx", "--report", "r.json", "--opset", "17")


def test_what_the_model_prints_stays_away(main: Callable[..., Run], models: Path) -> None:
    done = main("export", "my_models:noisy", *WORDS, "--input", "input_ids=int64[1,6]",
                "--exporter", "torchscript")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "NOISE" not in done.stdout + done.stderr and done.stderr == ""
    assert (models.parent / "m.onnx").is_file()


def test_a_factory_that_ends_the_process(main: Callable[..., Run], models: Path) -> None:
    done = main("export", "my_models.py:vanishes", *WORDS, "--input", "input_ids=int64[1,6]")
    assert done.returncode == 2
    assert "exit code 7" in done.stderr and "last words" in done.stderr
    assert [p.name for p in models.parent.iterdir() if p.suffix != ".py"] in ([], ["__pycache__"])


def test_a_crash_costs_the_candidate_that_crashed(main: Callable[..., Run], models: Path) -> None:
    done = main("export", "my_models.py:Crash", *WORDS, "--input", "x=float32[2,6]")
    assert done.returncode == 0, done.stderr
    document = json.loads((models.parent / "r.json").read_text())
    dynamo, torchscript = document["candidates"]
    assert dynamo["status"] == "failed" and "exit code 134" in dynamo["reason"]
    assert torchscript["status"] == "chosen" and document["chosen"] == 1


def test_a_cancelled_export_leaves_nothing(
    main: Callable[..., Run], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path, on_tick: object) -> None:
        (folder / "half.onnx").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, "start_worker", interrupted)
    done = main("export", "my_models.py:Tiny", *WORDS, "--input", "input_ids=int64[1,6]")
    assert done.returncode == 130
    assert [p.name for p in models.parent.iterdir()] == ["my_models.py"]


def test_without_torch_one_line_says_what_to_install(
    main: Callable[..., Run], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "find_spec", lambda name: None)
    done = main("export", "my_models.py:Tiny", *WORDS, "--input", "input_ids=int64[1,6]")
    assert done.returncode == 2 and "pip install 'graphfix[export]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
