"""graphfix compare --preview fp16 on the command line: exit codes, files, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.builders import text_model, write
from tests.conftest import PACKAGE

BAD = """g (float[N,4] x) => (float[N,4] y) {
    k = Constant<value = float {1e6}>()
    b = Mul(x, k)
    y = Div(b, k)
}"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name, body in (("bad", BAD), ("good", "g (float[4] x) => (float[4] y) { y = Tanh(x) }")):
        proto = text_model(body)
        for node in proto.graph.node:
            node.name = f"n_{node.output[0]}"
        write(proto, tmp_path / f"{name}.onnx")
    return tmp_path


def test_usable_and_not(main: Callable, models: Path) -> None:
    good = main("compare", "good.onnx", "--preview", "fp16", "--soc", "Ascend310P3")
    assert good.returncode == 0 and "Usable: 1 output in half" in good.stdout, good.stderr
    bad = main("compare", "bad.onnx", "--preview", "fp16", "--soc", "Ascend310P3")
    assert bad.returncode == 1 and "NOT USABLE" in bad.stdout
    assert "overflow  n_b (Mul): constant 1e+06 -> inf" in bad.stdout
    assert "--soc Ascend310P3 --keep-dtype-out keep_dtype.cfg" in " ".join(bad.stdout.split())
    assert all(len(line) <= 100 for line in bad.stdout.splitlines())
    strict = main("compare", "good.onnx", "--preview", "fp16", "--max-error", "1e-6")
    assert strict.returncode == 1 and "usable up to 1e-06" in strict.stdout


def test_files_that_atc_reads(main: Callable, models: Path) -> None:
    first = main("compare", "bad.onnx", "--preview", "fp16", "--keep-dtype-out", "keep.cfg",
                 "--format", "json", "--output", "r.json", "--shape", "x=3,4")  # fmt: skip
    assert first.returncode == 1 and first.stdout == ""
    document = json.loads((models / "r.json").read_text())
    schema = json.loads((PACKAGE / "schemas" / "preview-1.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema)
    assert document["inputs"] == {"x": "float32[3,4]"}
    assert (models / "keep.cfg").read_text() == "n_b\nn_y\n"
    again = main("compare", "bad.onnx", "--preview", "fp16", "--keep-dtype", "keep.cfg",
                 "--format", "json", "--shape", "x=3,4")  # fmt: skip
    assert again.returncode == 0
    predicted = document["keep_dtype"]["errors"]["y"]
    assert again.document["outputs"][0]["error"] == predicted
    mixed = main("compare", "bad.onnx", "--preview", "fp16", "--soc", "Ascend310P3",
                 "--precision-mode", "allow_mix_precision",
                 "--mixlist-out", "mix.json")  # fmt: skip
    # all grey behind an input in float32: nothing is lowered, so nothing is to be listed
    assert mixed.returncode == 0 and "not written" in mixed.stderr
    assert not (models / "mix.json").exists()
    assert sorted(p.name for p in models.iterdir()) == [
        "bad.onnx",
        "good.onnx",
        "keep.cfg",
        "r.json",
    ]


def test_mixlist_is_the_documented_json(main: Callable, tmp_path: Path) -> None:
    proto = text_model("""g (float[4,16] x, float[16,16] w) => (float[4,16] y) {
        k = Constant<value = float {1e6}>()
        m = MatMul(x, w)  b = Mul(m, k)  y = Div(b, k)
    }""")
    write(proto, tmp_path / "m.onnx")
    done = main("compare", "m.onnx", "--preview", "fp16", "--soc", "Ascend310P3",
                "--precision-mode", "allow_mix_precision",
                 "--mixlist-out", "mix.json")  # fmt: skip
    assert done.returncode == 1 and "on the black list" in done.stdout
    document = json.loads((tmp_path / "mix.json").read_text())
    assert list(document) == ["black-list"] and "Mul" in document["black-list"]["to-add"]


def test_markdown_and_config(main: Callable, models: Path) -> None:
    (models / "graphfix.toml").write_text(
        'soc = "Ascend310P3"\n[compare]\nmax-error = 1e-7\nsearch-runs = 0\natol = 1e-3\n'
    )
    done = main("compare", "good.onnx", "--preview", "fp16", "--format", "markdown")
    assert done.returncode == 1 and done.stdout.startswith("## good.onnx: half precision as Ascend")
    assert "--atol is not used by --preview" in done.stderr
    assert main("compare", "good.onnx", "good.onnx").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["good.onnx"], "against what?"),
        (["good.onnx", "bad.onnx", "--preview", "fp16"], "takes one model"),
        (["good.onnx", "bad.onnx", "--keep-dtype-out", "k.cfg"], "--keep-dtype-out: is of"),
        (["good.onnx", "--preview", "fp16", "--layers"], "--layers: is for two sides"),
        (["good.onnx", "--preview", "fp16", "--max-error", "-1"], "--max-error -1.0"),
        (["good.onnx", "--preview", "fp16", "--search-runs", "-1"], "--search-runs -1"),
        (["good.onnx", "--preview", "fp16", "--soc", "Ascend310P3,Ascend910B3"], "one chip"),
        (["good.onnx", "--preview", "fp16", "--soc", "Ascend310P"], "no such --soc_version"),
        (["good.onnx", "--preview", "fp16", "--mixlist-out", "m.json"], "needs a mixed mode"),
        (["good.onnx", "--preview", "fp16", "--keep-dtype", "none.cfg"], "cannot be read"),
        (["good.onnx", "--preview", "fp16", "--keep-dtype-out", "good.onnx"], "is an input"),
        (["good.onnx", "--preview", "fp16", "--shape", "x=3,3"], "does not fit"),
        (["none.onnx", "--preview", "fp16"], "none.onnx"),
        (["model.om", "--preview", "fp16"], "Give the .onnx file"),
    ],
)
def test_bad_input(main: Callable, models: Path, arguments: list[str], words: str) -> None:
    before = {p.name: p.read_bytes() for p in models.iterdir()}
    done = main("compare", *arguments)
    assert done.returncode == 2 and words in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr
    assert {p.name: p.read_bytes() for p in models.iterdir()} == before


def test_a_keep_file_of_nobody(main: Callable, models: Path) -> None:
    (models / "keep.cfg").write_text("n_b\nnobody\n")
    done = main("compare", "bad.onnx", "--preview", "fp16", "--keep-dtype", "keep.cfg")
    assert done.returncode == 2 and "'nobody' is no node" in done.stderr
