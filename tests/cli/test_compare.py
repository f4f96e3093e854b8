"""graphfix compare on the command line: exit codes, formats, files, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from tests.builders import text_model, write
from tests.conftest import PACKAGE

RIGHT = "g (float[N,4] x) => (float[N,4] y) { a = Neg(x)  b = Exp(a)  y = Tanh(b) }"
WRONG = RIGHT.replace("Exp", "Abs")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write(text_model(RIGHT), tmp_path / "a.onnx")
    write(text_model(RIGHT), tmp_path / "same.onnx")
    write(text_model(WRONG), tmp_path / "wrong.onnx")
    return tmp_path


def test_same_and_different(main: Callable, models: Path) -> None:
    same = main("compare", "a.onnx", "same.onnx")
    assert same.returncode == 0 and "no element differs" in same.stdout
    wrong = main("compare", "a.onnx", "wrong.onnx")
    assert wrong.returncode == 1 and "DIFFERS" in wrong.stdout
    assert "graphfix compare a.onnx wrong.onnx --layers" in " ".join(wrong.stdout.split())
    assert all(len(line) <= 100 for line in wrong.stdout.splitlines())


@pytest.mark.parametrize("how", ["--layers", "--bisect"])
def test_the_first_diverging_node(main: Callable, models: Path, how: str) -> None:
    done = main("compare", "a.onnx", "wrong.onnx", how, "--shape", "x=64,4")
    assert done.returncode == 1 and "First divergence:\n  b (Exp): " in done.stdout
    assert "float32[64,4]" in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_json_and_files(main: Callable, models: Path) -> None:
    done = main("compare", "a.onnx", "wrong.onnx", "--layers", "--format", "json", "--output",
                "r.json", "--picture", "p.svg", "--save-inputs", "in", "--save-outputs", "out",
                "--cosine", "0.5", "--rtol", "0.1")  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    document = json.loads((models / "r.json").read_text())
    schema = json.loads((PACKAGE / "schemas" / "compare-1.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema)
    assert document["layers"]["first"]["node"] == "b"
    assert document["tolerance"] == {
        "*": {"atol": None, "rtol": 0.1, "cosine": 0.5, "euclidean": None}
    }
    assert (models / "p.svg").read_text().startswith("<svg")
    assert np.load(models / "in" / "x.npy").shape == (4, 4)
    back = main("compare", "a.onnx", "out/a", "--input", "in")
    assert back.returncode == 0, back.stderr
    one = main("compare", "a.onnx", "out/b/y.npy", "--input", "x=in/x.npy", "--format", "markdown")
    assert one.returncode == 1 and "| y " in one.stdout


def test_a_seed_is_a_promise(main: Callable, models: Path) -> None:
    runs = [
        main("compare", "a.onnx", "wrong.onnx", "--seed", seed, "--format", "json").document
        for seed in (5, 5, 6)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_optimizations_of_the_other_side(main: Callable, models: Path) -> None:
    done = main("compare", "a.onnx", "a.onnx", "--optimize", "on", "--samples", 2)
    assert done.returncode == 0
    assert "optimizations on" in done.stdout and "2 samples" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.onnx", "a.onnx"], "no such file"),
        (["a.onnx", "missing.npy"], "no such file or folder"),
        (["a.onnx", "."], "holds no .npy"),
        (["empty", "a.onnx"], "can be the second side only"),
        (["a.onnx", "same.onnx", "--samples", "0"], "--samples 0"),
        (["a.onnx", "same.onnx", "--memory", "lots"], "--memory lots"),
        (["a.onnx", "same.onnx", "--layers", "--memory", "1MiB"], "--memory 1 MiB: does not hold"),
        (["a.onnx", "same.onnx", "--shape", "x=4"], "does not fit the input"),
        (["a.onnx", "same.onnx", "--input", "z=a.npy"], "no input is called z"),
        (["a.onnx", "same.onnx", "--atol", "-1"], "--atol"),
        (["a.onnx", "same.onnx", "--cosine", "2"], "--cosine"),
        (["a.onnx", "same.onnx", "--provider", "Nothing"], "--provider Nothing"),
        (["a.onnx", "same.onnx", "--picture", "p.svg"], "--layers"),
        (["a.onnx", "same.onnx", "--output", "a.onnx"], "is an input"),
        (["a.onnx", "same.onnx", "--output", "no/r.txt"], "no such folder"),
        (["a.onnx", "same.onnx", "--save-inputs", "a.onnx"], "is a file"),
        (["a.onnx", "same.onnx", "--layers", "--bisect"], "not allowed with"),
    ],
)
def test_bad_input(main: Callable, models: Path, arguments: list[str], says: str) -> None:
    (models / "empty").mkdir()
    before = (models / "a.onnx").read_bytes()
    done = main("compare", *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert says in " ".join(done.stderr.split()) and "Traceback" not in done.stderr
    assert (models / "a.onnx").read_bytes() == before


def test_partial_results_end_with_2(main: Callable, models: Path) -> None:
    text = ("g (float[N,4] x) => (float[N,4] y) { s = Constant<value_ints = [8]>() "
            "t = Constant<value_ints = [2, 4]>() a = Reshape(x, s) r = Reshape(a, t) "
            "m = Neg(r) b = Exp(m) y = Tanh(b) }")  # fmt: skip
    write(text_model(text), models / "fixed.onnx")
    for i, rows in enumerate((2, 3)):
        (models / "in" / str(i)).mkdir(parents=True)
        np.save(models / "in" / str(i) / "x.npy", np.ones((rows, 4), np.float32))
    done = main("compare", "a.onnx", "fixed.onnx", "--input", "in")
    assert done.returncode == 2
    assert "Stopped:" in done.stdout and "The same" in done.stdout


def test_check_does_not_load_the_comparison(models: Path) -> None:
    import subprocess
    import sys

    code = "import sys, graphfix; print([m for m in sys.modules if 'comparison' in m])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"
