"""TensorFlow and Paddle: thin ways to their converters, here with stand-ins for both."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import onnx
import pytest

from graphfix.frameworks import converters
from tests.builders import text_model, write
from tests.conftest import PACKAGE, Run

# a stand-in: plays the command lines of both converters back, and gives what `source.onnx` holds
_STANDIN = '''
"""A stand-in for tests: notes its command line and copies a model that the test wrote."""
import sys, onnx

def main():
    words = sys.argv[1:]
    value = lambda *names: next(words[words.index(n) + 1] for n in names if n in words)
    with open("commands.txt", "a") as file:
        file.write(" ".join(words) + "\\n")
    opset = int(value("--opset", "--opset_version"))
    print("noise")
    if opset == 18:
        print("ValueError: opset 18 is not supported", file=sys.stderr)
        return 1
    model = onnx.load("source.onnx")
    model.opset_import[0].version = opset
    if opset == 15:
        model.graph.node.extend(onnx.load("more.onnx").graph.node)
    onnx.save(model, value("--output", "--save_file"))
    return 0

if __name__ == "__main__":
    sys.exit(main())
'''


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for tf2onnx and paddle2onnx on the search path; returns where commands are kept."""
    packages = tmp_path / "packages"
    for name, module in (("tf2onnx", "convert"), ("paddle2onnx", "command")):
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").write_text("")
        (packages / name / f"{module}.py").write_text(_STANDIN)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    write(
        text_model("g (float[2,3] x) => (float[2,3] y) { y = Relu(x) }"), tmp_path / "source.onnx"
    )
    write(text_model("g (float[2,3] x) => (float[2,3] z) { z = Neg(x) }"), tmp_path / "more.onnx")
    return tmp_path / "commands.txt"


@pytest.fixture
def saved_model(tmp_path: Path) -> Path:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"\x08\x01")
    return tmp_path / "saved"


@pytest.fixture
def paddle(tmp_path: Path) -> Path:
    (tmp_path / "paddle").mkdir()
    (tmp_path / "paddle" / "inference.pdmodel").write_bytes(b"\x0a\x0b")
    (tmp_path / "paddle" / "inference.pdiparams").write_bytes(b"\0")
    return tmp_path / "paddle"


def test_without_the_converter_one_line_says_what_to_install(
    main: Callable[..., Run], saved_model: Path, paddle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converters, "find_spec", lambda name: None)
    for spec, extra in (("saved", "tensorflow"), ("saved/saved_model.pb", "tensorflow"),
                        ("paddle", "paddle"), ("paddle/inference.pdmodel", "paddle")):  # fmt: skip
        done = main("export", spec, "-o", "m.onnx")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
        assert f"pip install 'graphfix[{extra}]'" in done.stderr


def test_the_best_opset_of_a_saved_model(
    main: Callable[..., Run], standin: Path, saved_model: Path, tmp_path: Path
) -> None:
    done = main("export", "saved", "-o", "m.onnx", "--soc", "Ascend310P3", "--report", "r.json",
                "--input", "x:0=float32[2,3]")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "noise" not in done.stdout and "not proved: tensorflow was not run" in done.stdout
    document = json.loads((tmp_path / "r.json").read_text())
    schema = json.loads((PACKAGE / "schemas" / "export-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    by_opset = {c["opset"]: c for c in document["candidates"]}
    assert by_opset[18]["status"] == "failed"
    assert by_opset[18]["reason"] == "ValueError: opset 18 is not supported"
    assert by_opset[15]["status"] == "beaten" and by_opset[15]["nodes"] == 2
    chosen = document["candidates"][document["chosen"]]
    assert chosen["opset"] == 17 and chosen["nodes"] == 1 and chosen["proof"]["passed"] is None
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == 17
    first = standin.read_text().splitlines()[0]
    assert f"--saved-model {saved_model.name}" in first and "--inputs x:0[2,3]" in first
    assert not list(tmp_path.glob(".m.onnx*"))


def test_a_frozen_graph_needs_its_ends(
    main: Callable[..., Run], standin: Path, tmp_path: Path
) -> None:
    (tmp_path / "frozen.pb").write_bytes(b"\x0a\x0b")
    done = main("export", "frozen.pb", "-o", "m.onnx")
    assert done.returncode == 2 and "--output-names" in done.stderr
    done = main("export", "frozen.pb", "-o", "m.onnx", "--opset", "13", "--input",
                "x:0=float32[2,3]", "--output-names", "y:0")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "--graphdef frozen.pb --inputs x:0[2,3] --outputs y:0" in standin.read_text()


def test_paddle_models(
    main: Callable[..., Run], standin: Path, paddle: Path, tmp_path: Path
) -> None:
    done = main("export", "paddle", "-o", "m.onnx", "--opset", "16")
    assert done.returncode == 0, done.stderr
    words = standin.read_text()
    assert "--model_filename inference.pdmodel --params_filename inference.pdiparams" in words
    for extra in (("--dynamic", "x:0=n", "--input", "x=float32[1]"), ("--exporter", "dynamo")):
        done = main("export", "paddle", "-o", "other.onnx", *extra)
        assert done.returncode == 2 and extra[0] in done.stderr


def test_a_converter_that_always_fails(
    main: Callable[..., Run], standin: Path, saved_model: Path, tmp_path: Path
) -> None:
    done = main("export", "saved", "-o", "m.onnx", "--opset", "18")
    assert done.returncode == 1 and "opset 18 is not supported" in done.stderr
    assert not list(tmp_path.glob("*m.onnx*"))
