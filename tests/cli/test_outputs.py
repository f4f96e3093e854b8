"""What the commands write, and where: no device is replaced, no file is written twice."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from graphfix.cli.main import entry
from graphfix.graph.saving import write_atomically
from tests.builders import relu, write
from tests.cli.test_bad_input import assert_refused


def test_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, b"text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize(
    "arguments",
    [
        ["fix", "m.onnx", "-o", "out.onnx", "--report", "./sub/../out.onnx"],
        ["fix", "m.onnx", "-o", "out.onnx", "--report", "w", "--save-external", "w"],
        ["convert", "m.onnx", "--soc", "Ascend310P3", "--bundle", "b.tgz", "--report", "b.tgz"],
        ["compare", "m.onnx", "m.onnx", "--layers", "--output", "x", "--picture", "x"],
    ],
)
def test_two_outputs_in_one_file(main: Callable, tmp_path: Path, arguments: list[str]) -> None:
    write(relu(), tmp_path / "m.onnx")
    (tmp_path / "sub").mkdir()
    assert_refused(main, tmp_path, arguments, "give another file")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["check", "m.onnx", "--select", "GF9"], "GF9"),
        (["explain", "decompose/gelu", "--node", "x"], "Give --model too"),
        (["explain", "GF101", "--model", "m.onnx"], "tries a rule there"),
        (["explain", "decompose/nosuch"], "no such rule"),
        (["compare", "m.onnx", "m.onnx", "--aipp", "nofile"], "is for an .om"),
        (["compare", "m.onnx", "m.onnx", "--samples", "1000000000"], "at most 10,000"),
        (["diagnose", "m.onnx"], "a binary file"),
        (["convert", "m.onnx", "--soc", "Ascend310P3", "-o", "m.onnx"], "is a file"),
    ],
)
def test_mistaken_words(main: Callable, tmp_path: Path, arguments: list[str], word: str) -> None:
    write(relu(dims=(1,) * 40), tmp_path / "m.onnx")
    assert_refused(main, tmp_path, arguments, word)


def test_messages_of_the_parser_fit_the_screen(main: Callable) -> None:
    done = main("nosuch")
    assert done.returncode == 2 and max(map(len, done.stderr.splitlines())) <= 100


def test_interrupt_while_a_command_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []

    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphfix.cli.main.main", interrupted)
    monkeypatch.setattr("graphfix.cli.main.os._exit", codes.append)
    entry()
    assert codes == [130]


def test_file_name_that_is_no_text(cli: Callable, tmp_path: Path) -> None:
    name = os.fsdecode(b"m\xff.onnx")
    write(relu(), tmp_path / name)
    done = cli("fix", name, "-o", "out.onnx", "--report", "report.json")
    assert done.returncode == 0, done.stderr
    done = cli("convert", name, "--soc", "Ascend310P3", "--bundle", "b.tgz")
    assert done.returncode == 2 and "Rename the file" in " ".join(done.stderr.split())
    assert not (tmp_path / "b.tgz").exists()


def test_closed_and_full_streams(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "graphfix", "socs"]
    script = f"{shlex.join(command)} >&-"
    assert subprocess.run(["sh", "-c", script], capture_output=True).returncode == 0
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2 and done.stderr.startswith("graphfix: cannot write")
