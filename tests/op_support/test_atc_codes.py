"""The codes of ATC: every one has words and a remedy, and what it points at is there."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable

import pytest

from graphfix.analysis.codes import CODES
from graphfix.atc.codes import ROLES, atc_codes, atc_events, describe_unlisted, find_atc_code
from graphfix.cli.main import COMMANDS
from tests.atc.standin.stand_in_for_atc import MESSAGES
from tests.conftest import Run

ENTRIES = sorted(atc_codes().values(), key=lambda e: e.code)
STAGES = {"options", "options/graph", "singleop", "file", "load", "parse", "graph", "build",
          "environment", "api", "any"}  # fmt: skip


def test_every_documented_code_has_an_entry() -> None:
    with MESSAGES.open(encoding="utf-8", newline="") as file:
        documented = [row["code"] for row in csv.DictReader(file)]
    assert len(documented) >= 185
    assert [c for c in documented if find_atc_code(c.partition("-")[0]) is None] == []


@pytest.mark.parametrize("entry", [*ENTRIES, *atc_events().values()], ids=lambda e: e.code)
def test_a_user_who_meets_it_learns_what_to_do(entry: object) -> None:
    e = entry
    assert len(e.headline) > 8 and len(e.headline) <= 80 and not e.headline.endswith(".")
    assert len(e.remedy) >= 6 and not e.remedy.endswith("."), "the renderer ends the sentence"
    assert e.stage in STAGES and e.role in ROLES and e.source and e.cause.endswith(".")
    assert e.certainty in ("proved", "high", "medium", "low")
    assert [f for f in e.findings if f not in CODES] == []
    texts = [*e.helps, *re.findall(r"`(graphfix [^`]+)`", f"{e.remedy} {e.cause}")]
    named = {re.match(r"graphfix (\w+)", text)[1] for text in texts}
    assert named <= set(COMMANDS)


def test_two_numberings_say_the_same() -> None:
    old = [c for c in atc_codes() if c.startswith("E190") and c != "E19022"]
    assert len(old) > 15
    for code in old:
        entry = atc_codes()[code]
        assert entry.same_as == "E130" + code[4:] and entry.remedy
        assert entry.headline == atc_codes()[entry.canonical].headline
        assert entry.releases == ("8.1.RC1",)


def test_a_range_and_an_unlisted_code() -> None:
    assert find_atc_code("E60108").headline == atc_codes()["E60000-E62511"].headline
    assert find_atc_code("E60108").code == "E60108" and find_atc_code("E63000") is None
    assert "runtime" in describe_unlisted("EE1001").headline
    assert describe_unlisted("EE9999").is_catch_all and not describe_unlisted("EE1001").is_catch_all


@pytest.mark.parametrize("word", ["E19010", "ez3003", "W11001", "E60108"])
def test_explain_shows_a_code(word: str, main: Callable[..., Run]) -> None:
    done = main("explain", word)
    entry = find_atc_code(word.upper())
    said = " ".join(done.stdout.split())
    assert done.returncode == 0 and said.startswith(word.upper()) and entry.remedy in said
    assert entry.cause in said and all(h in said for h in entry.helps)
    assert all(len(line) <= 110 for line in done.stdout.splitlines())


def test_explain_suggests_near_codes(main: Callable[..., Run]) -> None:
    done = main("explain", "E19011")
    assert done.returncode == 2 and "E19010" in done.stderr and not done.stdout
