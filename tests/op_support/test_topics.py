"""Topics: found by their words, and every command and option in them is real."""

from __future__ import annotations

import argparse
import csv
import importlib
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from graphfix.analysis.codes import CODES
from graphfix.cli.main import COMMANDS
from graphfix.errors import TableError
from graphfix.support.topics import HEADINGS, Topic, _parse, find_topic, topics

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ROOT / "op_support" / "atc" / "options.toml"
TOPICS = [pytest.param(topic, id=topic.name) for topic in topics().values()]
CODE = re.compile(r"`([^`]+)`")


def commands(topic: Topic) -> list[list[str]]:
    """The words of each `graphfix ...` in a topic; a backslash continues a line."""
    texts = [found.replace("\\\n", " ") for found in CODE.findall(topic.body)]
    return [shlex.split(text) for text in texts if text.startswith("graphfix ")]


class _Refused(Exception):
    pass


class _Strict(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise _Refused(f"{self.prog}: {message}")


def parsed(words: list[str]) -> argparse.Namespace:
    """What the real arguments of a command make of these words."""
    assert words[1] in COMMANDS, words
    parser = _Strict(prog=words[1], allow_abbrev=False)
    importlib.import_module(f"graphfix.cli.{words[1]}").add_arguments(parser)
    return parser.parse_args(words[2:])


@pytest.mark.parametrize("topic", TOPICS)
def test_form(topic: Topic) -> None:
    headings = re.findall(r"^## (.*)$", topic.body, re.MULTILINE)
    assert tuple(headings) == HEADINGS
    assert max(map(len, topic.page.splitlines())) <= 100
    assert topic.title and topic.words and topic.codes
    assert any(not word.isascii() for word in topic.words), "no Chinese word finds it"
    assert re.search(r"\((proved|high|medium|low|unknown)", topic.body)


@pytest.mark.parametrize("topic", TOPICS)
def test_every_command_is_real(topic: Topic) -> None:
    found = commands(topic)
    assert len(found) >= 4
    for words in found:
        if len(words) == 2:
            assert words[1] in COMMANDS  # the command itself is meant
            continue
        parsed(words)


def test_a_command_that_is_not_real_is_noticed() -> None:
    with pytest.raises(_Refused):
        parsed(["graphfix", "memory", "model.onnx", "--no-such-option"])
    with pytest.raises(AssertionError):
        parsed(["graphfix", "no-such-command"])


@pytest.mark.parametrize("topic", TOPICS)
def test_every_option_of_atc_is_real(topic: Topic) -> None:
    known = set(re.findall(r"[a-z0-9_]+", OPTIONS.read_text(encoding="utf-8")))
    own = {"--optimize_for_memory", "--dynamic_batch"}  # named as mistakes
    said = set(re.findall(r"--[a-z0-9]+(?:_[a-z0-9]+)+", topic.body)) - own
    said |= {f"--{setting.partition('=')[0]}" for words in commands(topic)
             for option, setting in itertools.pairwise(words)
             if option == "--set"}  # fmt: skip
    assert {name for name in said if name[2:] not in known} == set()


@pytest.mark.parametrize("topic", TOPICS)
def test_every_code_is_real(topic: Topic) -> None:
    table = ROOT / "tests" / "atc" / "standin" / "messages.csv"
    with table.open(encoding="utf-8", newline="") as file:
        known = {row["code"] for row in csv.DictReader(file)}
    assert set(topic.codes) - known == set()
    said = set(re.findall(r"\bE[A-Z0-9]\d{4}\b", topic.body))
    assert said - known == set()
    own = set(re.findall(r"\bGF\d{3}\b", topic.body))
    assert own - set(CODES) == set()


def test_no_word_and_no_code_belongs_to_two_topics() -> None:
    words = [w.lower() for t in topics().values() for w in {t.name, *t.words}]
    codes = [c for t in topics().values() for c in t.codes]
    assert len(words) == len(set(words)) and len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("oom", "memory"),
        ("OOM", "memory"),
        ("memory", "memory"),
        ("out-of-memory", "memory"),
        ("内存", "memory"),
        ("转换时内存溢出怎么办", "memory"),
        ("dynamic", "dynamic"),
        ("Input shape not fully specified", "dynamic"),
        ("动态", "dynamic"),
        ("e10031", "dynamic"),
        ("unsupported", "unsupported"),
        ("Not supported operator: Gelu", "unsupported"),
        ("不支持", "unsupported"),
        ("动态算子不支持", "dynamic"),
        ("EZ3003", "unsupported"),
        ("precision", "precision"),
        ("模型精度下降", "precision"),
        ("force_fp16", "precision"),
    ],
)
def test_found_by_the_symptom(query: str, name: str) -> None:
    topic = find_topic(query)
    assert topic is not None and topic.name == name


@pytest.mark.parametrize("query", ["", "memorable", "GF101", "x", "Resize"])
def test_not_found(query: str) -> None:
    assert find_topic(query) is None


@pytest.mark.parametrize("text", ["", "# no head", "+++\ntitle = 1 2\n+++\nbody", "+++\n+++\n"])
def test_a_topic_without_head_is_refused(text: str) -> None:
    with pytest.raises(TableError, match=r"topics/broken\.md"):
        _parse("broken", text)


# ---------------------------------------------------------------------- the command


@pytest.mark.parametrize("topic", TOPICS)
def test_the_page(main: Callable, topic: Topic) -> None:
    pages = [main("explain", *query.split()).stdout for query in (topic.name, *topic.words)]
    assert set(pages) == {topic.page + "\n"}
    assert topic.title in main("explain").stdout


def test_an_ascii_terminal_takes_the_page() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "graphfix", "explain", "oom"], env=environment,
                          capture_output=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0 and b"\\u5185\\u5b58" in done.stdout


def test_an_unknown_symptom(main: Callable) -> None:
    done = main("explain", "weather")
    assert done.returncode == 2 and "graphfix explain" in done.stderr
