"""graphfix atc: lint and options on the command line."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from graphfix.atc.options import atc_options
from graphfix.cli.atc import SUBCOMMANDS
from tests.atc.commands import GUIDE, KNOWN, RIGHT
from tests.builders import text_model, write
from tests.conftest import PACKAGE

SCHEMA = json.loads((PACKAGE / "schemas" / "atc-lint-1.json").read_text(encoding="utf-8"))


def test_every_subcommand_has_a_module_and_help(main: Callable) -> None:
    listed = main("atc", "--help").stdout
    for name, summary in SUBCOMMANDS.items():
        module = importlib.import_module(f"graphfix.cli.atc.{name.replace('-', '_')}")
        assert callable(module.add_arguments) and callable(module.run)
        assert name in listed and summary.split()[0] in listed
        done = main("atc", name, "--help")
        assert done.returncode == 0 and f"graphfix atc {name}" in done.stdout
    assert main("atc").returncode == 2
    assert "lint" in main("atc", "lnit").stderr


@pytest.mark.parametrize("text", [RIGHT[0], RIGHT[3], "atc --help"])
def test_a_right_command_is_clean(main: Callable, text: str) -> None:
    done = main("atc", "lint", text)
    assert done.returncode == 0 and "no mistakes" in done.stdout


@pytest.mark.parametrize("entry", [*KNOWN, *GUIDE], ids=lambda entry: entry[0])
def test_texts_and_json(main: Callable, entry: tuple[str, str, list[str]]) -> None:
    _, text, expected = entry
    done = main("atc", "lint", "--", text)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100 and len(lines) <= 50
    document = json.loads(main("atc", "lint", "--format", "json", "--", text).stdout)
    jsonschema.validate(document, SCHEMA)
    found = [f["id"] for f in document["commands"][0]["findings"]]
    assert set(expected) <= set(found)
    assert done.returncode == (1 if document["mistakes"] else 0)
    if document["mistakes"]:
        corrected = document["commands"][0]["corrected"]
        assert all(line.strip() in done.stdout for line in corrected.splitlines())
        assert main("atc", "lint", "--", corrected).returncode == 0


def test_a_command_comes_as_words_a_file_or_stdin(
    main: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main("atc", "lint", "--", *RIGHT[0].split()).returncode == 0
    assert main("atc", "lint", *RIGHT[0].split()).returncode == 0
    done = main("atc", "lint", "--format", "json", *RIGHT[0].split(), "--precision_mode=fp16")
    assert done.returncode == 1 and json.loads(done.stdout)["mistakes"] == 1
    done = main("atc", "lint", "--precision_mode=fp16")
    assert done.returncode == 1 and "--precision_mode=force_fp16" in done.stdout
    assert main("atc", "lint", RIGHT[0], "--format", "json").stdout.startswith("{")
    script = tmp_path / "convert.sh"
    script.write_text(f"#!/bin/sh\n# 转换\n{RIGHT[0]} --log=loud\n", encoding="gb18030")
    done = main("atc", "lint", script)
    assert done.returncode == 1 and "E10010" in done.stdout

    class Stdin:
        buffer = io.BytesIO(RIGHT[0].encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert main("atc", "lint", "-").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lint", "nothing.sh"], "no such file"),
        (["lint", "echo hello"], "holds no atc command"),
        (["lint", ""], "holds no atc command"),
        (["options", "precision"], "--precision_mode"),
        (["options", "nonsense"], "graphfix atc options"),
    ],
)
def test_bad_input_is_one_paragraph(main: Callable, arguments: list[str], says: str) -> None:
    done = main("atc", *arguments)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_a_model_is_no_script(main: Callable, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x08\x07\x00\x01")
    done = main("atc", "lint", "m.onnx")
    assert done.returncode == 2 and "is no text" in done.stderr


def test_pages_of_the_options(main: Callable) -> None:
    listed = main("atc", "options").stdout
    for name, option in atc_options().items():
        assert f"--{name}" in listed
        done = main("atc", "options", name)
        assert done.returncode == 0 and option.says.split()[0] in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 100
        assert "source" in done.stdout and option.certainty in done.stdout
    assert main("atc", "options", "--", "--soc-version").returncode == 0
    entry = json.loads(main("atc", "options", "precision_mode", "--format", "json").stdout)
    assert entry["options"][0]["excludes"] == {"precision_mode_v2": "E10056"}
    assert "fp16-for-fp32" in entry["options"][0]["mistakes"]


def test_dry_runs_of_convert_are_clean(main: Callable, tmp_path: Path) -> None:
    body = "g (float[N,3,8,8] x) => (float[N,3,8,8] y) { y = Relu(x) }"
    write(text_model(body), tmp_path / "m.onnx")
    for words in (["--shape", "x=1,3,8,8"], ["--batch", "1,2,4"], ["--dims", "1;8"]):
        done = main("convert", "m.onnx", "--soc", "Ascend310P3", "--dry-run", *words)
        command = next(x for x in done.stdout.split("\n") if x.startswith("command")).split(None, 1)
        rest = done.stdout.split(command[1], 1)[1].split("(dry run")[0]
        done = main("atc", "lint", "--", " ".join(f"{command[1]} {rest}".split()))
        assert done.returncode == 0 and "no mistakes" in done.stdout, done.stdout
