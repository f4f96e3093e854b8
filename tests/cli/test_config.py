"""graphfix.toml: found upwards, defaults for options, the command line wins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphfix.config import OF_COMMAND, SHARED, find_config
from tests.builders import relu, write
from tests.conftest import Run


def toml(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def checked(main: Callable[..., Run], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs check on a model in the test's folder and returns the JSON document."""
    write(relu(), tmp_path / "model.onnx")

    def run(*arguments: str) -> dict[str, Any]:
        done = main("check", "model.onnx", "--format", "json", "--fail-on", "never", *arguments)
        assert done.returncode == 0, done.stderr
        return done.document

    return run


def socs(document: dict[str, Any]) -> list[str]:
    return list(document["target"]["socs"])


def test_defaults_come_from_the_file_and_the_command_line_wins(
    checked: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    assert socs(checked()) == []
    toml(tmp_path / "graphfix.toml", 'soc = ["Ascend310P3"]\nprecision-mode = "force_fp32"\n')
    document = checked()
    assert socs(document) == ["Ascend310P3"]
    assert document["target"]["precision_mode"] == "force_fp32"
    assert socs(checked("--soc", "Ascend910B3")) == ["Ascend910B3"]
    assert socs(checked("--config", "none")) == []


def test_pyproject_and_a_named_file(checked: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    toml(tmp_path / "pyproject.toml", '[tool.graphfix]\nsoc = "Ascend310P3"\n')
    assert socs(checked()) == ["Ascend310P3"]
    toml(tmp_path / "other.toml", 'soc = "Ascend910B3"\n')
    assert socs(checked("--config", "other.toml")) == ["Ascend910B3"]
    assert socs(checked("--config=other.toml")) == ["Ascend910B3"]


def test_the_nearest_file_counts_and_a_foreign_pyproject_is_passed_over(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    toml(tmp_path / "graphfix.toml", 'soc = "Ascend310P3"\n')
    toml(inner / "pyproject.toml", "[tool.other]\nx = 1\n")
    found = find_config(None, inner)
    assert found is not None and found.path == tmp_path / "graphfix.toml"
    toml(tmp_path / "a" / "graphfix.toml", 'soc = "Ascend910B3"\n')
    found = find_config(None, inner)
    assert found is not None and found.table == {"soc": "Ascend910B3"}


def test_shapes_add_to_those_of_the_command_line(tmp_path: Path) -> None:
    toml(tmp_path / "graphfix.toml", "[shapes]\nx = [1, 3]\ns = []\n'a b' = [2]\n")
    config = find_config(None, tmp_path)
    assert config is not None
    words = config.arguments("check", ["--shape"])
    assert words == ["--shape=x=1,3", "--shape=s=", "--shape=a b=2"]
    assert config.arguments("explain", ["--model"]) == []


def test_tables_of_a_command_and_files_beside_the_file(tmp_path: Path) -> None:
    text = (
        'op-support = "my.toml"\nfail-on = "fallback"\n[fix]\nignore = ["clean/identity"]\n'
        "[compare]\natol = 1e-3\n"
    )
    toml(tmp_path / "graphfix.toml", text)
    config = find_config(str(tmp_path / "graphfix.toml"), Path("/"))
    assert config is not None
    mine = f"--op-support={tmp_path / 'my.toml'}"
    options = ["--op-support", "--fail-on", "--ignore", "--atol"]
    assert config.arguments("check", options) == ["--fail-on=fallback", mine]
    assert config.arguments("compare", ["--atol"]) == ["--atol=0.001"]
    assert config.arguments("fix", options)[2:] == ["--ignore=clean/identity"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sok = 'x'", "unknown key 'sok'. Did you mean soc"),
        ("atol = 1.0", "belongs into [compare]"),
        ("[compare]\natoll = 1.0", "unknown key 'atoll' in [compare]. Did you mean atol"),
        ("compare = 3", "[compare]"),
        ("soc = 3", "soc = 3: expected a text or a list"),
        ("opset = '17'", "opset = '17': expected a number"),
        ("opset = true", "expected a number"),
        ("shapes = { x = [1, 'n'] }", "expected a table such as"),
        ("fail-on = 'all'", "fail-on = 'all': expected one of rejected"),
        ("soc = 'Ascend310P3", "not TOML"),
        ("soc = 'Ascend999'", "--soc Ascend999: no such"),
        ("cann = 'x'", "--cann x"),
    ],
)
def test_what_is_wrong_is_one_paragraph(
    text: str, says: str, main: Callable[..., Run], tmp_path: Path
) -> None:
    write(relu(), tmp_path / "model.onnx")
    toml(tmp_path / "graphfix.toml", text)
    done = main("fix", "model.onnx", "--dry-run")
    said = " ".join(done.stderr.split())
    assert done.returncode == 2 and says in said and "Traceback" not in said
    assert not done.stdout


def test_a_named_file_that_is_not_there(main: Callable[..., Run], tmp_path: Path) -> None:
    done = main("socs", "--config", "gone.toml")
    assert done.returncode == 2 and "gone.toml: there is no such file" in done.stderr


def test_every_key_is_an_option_of_a_command() -> None:
    import argparse
    import importlib

    from graphfix.cli.main import COMMANDS

    options = {}
    for command in COMMANDS:
        parser = argparse.ArgumentParser()
        importlib.import_module(f"graphfix.cli.{command}").add_arguments(parser)
        options[command] = {s for a in parser._actions for s in a.option_strings}
    everything = set().union(*options.values())
    for key in SHARED:
        assert ("--shape" if key == "shapes" else f"--{key}") in everything
    for command, keys in OF_COMMAND.items():
        assert {f"--{key}" for key in keys} <= options[command]


def test_the_json_report_says_nothing_of_files_that_were_not_there(
    checked: Callable[..., dict[str, Any]],
) -> None:
    assert json.dumps(checked()) == json.dumps(checked("--config", "none"))


def test_pyproject_whose_tools_are_no_table_says_nothing(tmp_path: Path) -> None:
    path = toml(tmp_path / "pyproject.toml", "tool = 3\n# [tool.graphfix]\n")
    config = find_config(None, tmp_path)
    assert config is not None and config.path == path and config.table == {}


def test_error_names_the_file_that_said_the_option(main: Callable, tmp_path: Path) -> None:
    write(relu(), tmp_path / "m.onnx")
    path = toml(tmp_path / "graphfix.toml", "opset = 99\n")
    done = main("fix", "m.onnx", "--dry-run")
    assert done.returncode == 2 and str(path) in done.stderr.replace("\n", " ")
    assert "--opset 99" in done.stderr
    toml(path, "opset = 17\n")
    done = main("fix", "m.onnx", "--dry-run", "--shape", "x=oops")
    assert done.returncode == 2 and str(path) not in done.stderr
