"""graphfix ops, explain and socs: what the tables say, without a model."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from graphfix.analysis.codes import CODES
from graphfix.support import socs


def test_socs(main: Callable) -> None:
    done = main("socs")
    assert done.returncode == 0
    assert all(name in done.stdout for name in socs())
    rows = json.loads(main("socs", "--format", "json").stdout)["socs"]
    assert [r["soc_version"] for r in rows] == list(socs())


def test_every_code_has_a_page(main: Callable) -> None:
    listed = main("explain").stdout
    for code in CODES.values():
        page = main("explain", code.code)
        assert page.returncode == 0 and code.name in page.stdout and code.code in listed
        assert main("explain", code.name).stdout == page.stdout
        assert max(map(len, page.stdout.splitlines())) <= 100


def test_page_of_a_constraint(main: Callable) -> None:
    done = main("explain", "Dropout/mask-output")
    assert done.returncode == 0 and "mask" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "GF999"],
        ["explain", "Dropout/nothing"],
        ["explain", "Nothing/at-all"],
        ["ops", "Reluu"],
        ["ops", "../releases/8.1.RC1"],
        ["ops", "Relu", "--soc", "Ascend310P4"],
        ["ops", "Relu", "--cann", "1.0"],
    ],
)
def test_unknown_words(main: Callable, arguments: list[str]) -> None:
    done = main(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("graphfix: ") and arguments[-1].split("/")[-1] in done.stderr


def test_operator(main: Callable) -> None:
    text = main("ops", "Relu").stdout
    assert "8-18" in text
    assert main("ops", "relu").stdout == text
    facts = json.loads(main("ops", "Relu", "--format", "json").stdout)
    assert facts["schema"] == "graphfix.ops/1"


def test_operator_that_no_plugin_registers(main: Callable) -> None:
    done = main("ops", "Gelu")
    assert done.returncode == 0 and "Erf" in done.stdout


def test_list_of_operators(main: Callable) -> None:
    done = main("ops")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("Relu", "Resize", "NonMaxSuppression"))
