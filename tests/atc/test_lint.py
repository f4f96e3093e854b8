"""atc lint: known mistakes are named and mended, right commands stay without a finding."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphfix.atc.lint import Linted, lint
from graphfix.atc.options import atc_options, mistakes
from tests.atc.commands import GUIDE, KNOWN, RIGHT, WRITTEN
from tests.atc.standin import STANDIN
from tests.builders import text_model, write

# what follows from the same words, and notes that say more
_ALSO = {"deprecated-option", "placeholder"}


def one(text: str, folder: Path) -> Linted:
    found = lint(text, folder)
    assert len(found) == 1, [f.command.written for f in found]
    return found[0]


def ids(linted: Linted) -> list[str]:
    return [f.mistake.id for f in linted.findings]


def assert_mended(linted: Linted, folder: Path) -> None:
    """The corrected command has no mistake left, and correcting it changes nothing."""
    again = one(linted.corrected.text(), folder)
    assert not again.mistakes, (linted.corrected.text(), ids(again))
    assert again.corrected.text() == linted.corrected.text()


@pytest.mark.parametrize(("name", "text", "expected"), KNOWN, ids=[k[0] for k in KNOWN])
def test_known_mistakes(name: str, text: str, expected: list[str], tmp_path: Path) -> None:
    found = one(text, tmp_path)
    assert set(ids(found)) - _ALSO - set(expected) == set() and set(expected) <= set(ids(found))
    assert_mended(found, tmp_path)


def test_there_are_28_known_mistakes() -> None:
    assert len(KNOWN) == 28 and len({k[0] for k in KNOWN}) == 28


@pytest.mark.parametrize(("name", "text", "expected"), GUIDE, ids=[g[0] for g in GUIDE])
def test_commands_of_a_guide(name: str, text: str, expected: list[str], tmp_path: Path) -> None:
    found = one(text, tmp_path)
    assert set(ids(found)) - _ALSO == set(expected)
    assert_mended(found, tmp_path)


@pytest.mark.parametrize("text", RIGHT)
def test_right_commands_have_no_finding(text: str, tmp_path: Path) -> None:
    found = one(text, tmp_path)
    assert [f.says for f in found.findings] == []


@pytest.mark.parametrize(("text", "expected", "right"), WRITTEN, ids=[w[0][:60] for w in WRITTEN])
def test_commands_as_people_write_them(
    text: str, expected: list[str], right: str, tmp_path: Path
) -> None:
    found = one(text, tmp_path)
    assert sorted(set(ids(found))) == sorted(expected)
    assert right in found.corrected.text()
    assert_mended(found, tmp_path)


def test_every_kind_of_mistake_has_a_case(tmp_path: Path) -> None:
    """Each entry of mistakes.toml is found in its own example, with its code."""
    for mistake in mistakes().values():
        if not mistake.example:
            continue
        found = one(mistake.example, tmp_path)
        named = [f for f in found.findings if f.mistake is mistake]
        assert named, (mistake.id, ids(found))
        for finding in named:
            assert "{" not in finding.says + finding.right
            assert finding.code in (*mistake.codes, None)
        assert_mended(found, tmp_path)


def test_the_meant_command_comes_out(tmp_path: Path) -> None:
    shape = 'input_shape="input_ids:-1,512;attention_mask:-1,512"'
    batch = one(next(g[1] for g in GUIDE if g[0] == "dynamic batch"), tmp_path).corrected.text()
    assert f"--{shape}" in batch and "--dynamic_batch_size=1,2,4,8" in batch
    text = next(g[1] for g in GUIDE if g[0] == "dynamic sequence length")
    dims = one(text, tmp_path).corrected.text()
    assert '--input_shape="input_ids:1,-1;attention_mask:1,-1"' in dims
    assert '--dynamic_dims="16,16;32,32;64,64;128,128;256,256;512,512"' in dims
    assert "--input_format=ND" in dims
    both = one(next(k[1] for k in KNOWN if k[0] == "two kinds of profiles"), tmp_path)
    assert '--dynamic_dims="1,64,64;1,128,128;2,64,64;2,128,128"' in both.corrected.text()


def test_variables_are_left_alone(tmp_path: Path) -> None:
    text = 'atc --model="$M" --framework=5 --output=$OUT/m --soc_version=$SOC --precision_mode=fp16'
    found = one(text, tmp_path)
    assert ids(found) == ["bad-value"]
    for kept in ('"$M"', '"$OUT/m"', '"$SOC"'):
        assert kept in found.corrected.text()


def test_a_script_with_several_commands(tmp_path: Path) -> None:
    script = "\n".join(
        ["#!/bin/bash", "set -e", f"{RIGHT[0]} \\", "  --log=loud", "echo next",
         f"{RIGHT[0]} --precision_mode=fp32"]
    )  # fmt: skip
    first, second = lint(script, tmp_path)
    assert (first.command.line, ids(first)) == (3, ["bad-value"])
    assert first.findings[0].code == "E10010" and first.findings[0].line == 4
    assert (second.command.line, ids(second)) == (6, ["bad-value"])
    assert lint("echo 'no such command here'\nls atc\n", tmp_path) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"x:1,3"', None),
        ('"ids:1,3;mask:1,3"', None),
        ('"idz:1,3;mask:1,3"', "unknown-input"),
        ('"ids:1,3;Add_0:1,3"', "unknown-input"),
        ('"ids:1,3,4;mask:1,3"', "rank-differs"),
        ('"ids:1,7;mask:1,3"', "dim-against-model"),
        ('"ids:1,3"', "input-without-shape"),
    ],
)
def test_the_model_is_read_when_it_is_there(
    text: str, expected: str | None, tmp_path: Path
) -> None:
    if expected is None and "x:" in text:
        write(text_model("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }"), tmp_path / "m.onnx")
    else:
        body = "g (float[N,3] ids, float[N,3] mask) => (float[N,3] y) { y = Add(ids, mask) }"
        model = text_model(body)
        model.graph.node[0].name = "Add_0"
        write(model, tmp_path / "m.onnx")
    found = one(f"{RIGHT[0]} --input_shape={text}", tmp_path)
    assert found.model_read
    assert ids(found) == ([] if expected is None else [expected])
    if expected == "unknown-input":
        assert found.findings[0].code == ("E10017" if "Add_0" in text else "E10016")
    assert_mended(found, tmp_path)


def test_outputs_of_the_model(tmp_path: Path) -> None:
    model = text_model("g (float[1,3] x) => (float[1,3] y) { h = Relu(x) y = Relu(h) }")
    for at, node in enumerate(model.graph.node):
        node.name = f"Relu_{at}"
    write(model, tmp_path / "m.onnx")
    assert ids(one(f"{RIGHT[0]} --out_nodes=y", tmp_path)) == []
    assert ids(one(f"{RIGHT[0]} --out_nodes=Relu_0:0", tmp_path)) == []
    found = one(f"{RIGHT[0]} --out_nodes=Relu_0", tmp_path)
    assert ids(found) == ["output-name"] and "--out_nodes=Relu_0:0" in found.corrected.text()
    found = one(f"{RIGHT[0]} --out_nodes=Conv_7:0", tmp_path)
    assert ids(found) == ["output-name"] and found.findings[0].code == "E10016"


def test_aipp_files_are_looked_into(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text("aipp_op { aipp_mode: static }\n", encoding="utf-8")
    (tmp_path / "b.cfg").write_text("[CustomOp]\n", encoding="utf-8")
    assert ids(one(f"{RIGHT[0]} --insert_op_conf=a.cfg", tmp_path)) == []
    assert ids(one(f"{RIGHT[0]} --insert_op_conf=b.cfg", tmp_path)) == ["aipp-for-custom-op"]


def test_limits_of_profiles(tmp_path: Path) -> None:
    sizes = ",".join(map(str, range(1, 102)))
    text = f'{RIGHT[0]} --input_shape="x:-1,3,224,224" --dynamic_batch_size="{sizes}"'
    found = one(text, tmp_path)
    assert ids(found) == ["many-profiles"] and found.findings[0].code == "E10036"
    assert_mended(found, tmp_path)
    assert not one(text.replace("Ascend310P3", "Ascend910_95"), tmp_path).findings


def test_no_dynamic_shapes_on_310b(tmp_path: Path) -> None:
    text = f'{RIGHT[0]} --input_shape="x:-1,3,224,224"'.replace("Ascend310P3", "Ascend310B4")
    found = one(text, tmp_path)
    assert ids(found) == ["dynamic-shape-on-chip"]
    assert_mended(found, tmp_path)


def test_windows_line_ends_and_lost_backslashes(tmp_path: Path) -> None:
    lines = ["atc --model=m.onnx \\", " --framework=5 \\", " --output=m \\",
             " --soc_version=Ascend310P3"]  # fmt: skip
    assert not one("\n".join(lines), tmp_path).findings
    for broken in ("\r\n".join(lines), "\n".join(lines).replace("5 \\", "5 \\ "),
                   "\n".join(lines).replace("m \\", "m")):  # fmt: skip
        found = one(broken, tmp_path)
        assert "broken-continuation" in ids(found), broken
        assert found.corrected.text().split() == [w for w in " ".join(lines).split() if w != "\\"]


_WORDS = sorted(
    {f"--{o.name}={v}" for o in atc_options().values() for v in (*o.values, "odd", "", "1,2;3,4")}
    | {f"--{o.name}" for o in atc_options().values()}
    | {'--input_shape="x:-1,-1,3"', "--input_shape=x:0,-5", '--input_shape="a:1,3;b:"',
       '--input_shape="x:1~4"', '--input_shape_range="x:[1~3]"', "--soc_version=Ascend310B4",
       '--dynamic_dims="1,2,3"', '--dynamic_batch_size="1,2"', '--dynamic_image_size="1,2;3"',
       "$MORE", "stray", "=", "--", "-"}
)  # fmt: skip
_TEXTS = [*(k[1] for k in KNOWN), *(g[1] for g in GUIDE), *RIGHT, *(w[0] for w in WRITTEN)]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(_TEXTS), st.lists(st.sampled_from(_WORDS), max_size=4))
def test_whatever_is_added_the_correction_is_clean(text: str, words: list[str]) -> None:
    for found in lint(" ".join([text, *words]), Path("no such folder")):
        corrected = found.corrected.text()
        if found.command.lead or corrected:
            again = one(corrected, Path("no such folder"))
            assert not again.mistakes, (corrected, ids(again))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(_TEXTS), st.data())
def test_spoiled_texts_bring_no_error(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        sign = data.draw(st.sampled_from(["", *"\"';\\ \n-=,:$`[]~|<>#&(){}", "--", "“", "；"]))
        text = text[:at] + sign + text[at + data.draw(st.integers(0, 2)) :]
    for found in lint(text, Path("no such folder")):
        assert all(f.says and f.right for f in found.findings)


def _stand_in() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stand_in_for_atc", STANDIN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.check_model = lambda *_: None  # there is no model
    return module


def test_the_stand_in_for_atc_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    """What it refuses, lint refuses; what lint finds right, it takes. They share no code."""
    stand_in = _stand_in()

    def refusal(options: dict[str, str]) -> str | None:
        try:
            stand_in.check(stand_in.parse([f"--{n}={v}" for n, v in options.items()]))
        except stand_in.Refused as error:
            return error.code or "flag"
        return None

    asked = 0
    for text in [*_TEXTS, *(m.example for m in mistakes().values() if m.example)]:
        for found in lint(text, Path("no such folder")):
            command = found.command
            odd = command.extra or found.to_fill or {"help", "singleop"} & set(command.options)
            odd = odd or any(given.open for given in command.options.values())
            if command.mode != "0" or not command.lead or odd:
                continue
            asked += 1
            if refusal({n: g.value for n, g in command.options.items()}):
                assert any(f.effect == "rejected" for f in found.findings), text
            corrected = {n: g.value for n, g in found.corrected.options.items()}
            assert refusal(corrected) is None, (text, refusal(corrected))
    assert asked > 150


def test_option_tables_hold_together() -> None:
    assert len(atc_options()) == 90
    for option in atc_options().values():
        assert option.says and option.source and option.certainty in ("high", "medium", "low")
        assert all(re.fullmatch(r"E\d{5}|", c) for c in option.excludes.values())
        assert set(option.meant.values()) <= {*option.values, ""}
        for other in option.excludes:
            back = atc_options()[other].excludes
            assert option.name in back or other in ("singleop", "input_shape"), option.name
    for mistake in mistakes().values():
        assert set(mistake.options) <= set(atc_options()), mistake.id
        assert all(re.fullmatch(r"E\d{5}", c) for c in mistake.codes), mistake.id
