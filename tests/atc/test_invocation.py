"""ATC's options for a model: what is derived, what is refused, and that the stand-in agrees."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from graphfix.atc.invocation import Profiles, invocation
from graphfix.atc.lint import lint
from graphfix.errors import UsageError
from graphfix.graph import Model
from graphfix.support import Target
from tests.atc.standin import STANDIN, environment
from tests.builders import text_model, write

TARGET = Target.of(["Ascend310P3"])


def image(n: str = "N", h: str = "H", w: str = "W") -> onnx.ModelProto:
    body = f"g (float[{n},3,{h},{w}] x, float[{n},4] s) => (float[{n},3,{h},{w}] y, float[{n},4] z)"
    return text_model(body + " { y = Relu(x) z = Relu(s) }")


def standin(tmp_path: Path, proto: onnx.ModelProto, words: list[str]) -> tuple[int, str]:
    write(proto, tmp_path / "m.onnx")
    done = subprocess.run(
        [sys.executable, STANDIN, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=environment(GRAPHFIX_STANDIN="success"),
    )  # fmt: skip
    return done.returncode, done.stdout


def options(proto: onnx.ModelProto, profiles: Profiles, **settings: str) -> dict[str, str]:
    return dict(invocation(Model(proto), TARGET, profiles, settings).options)


def test_a_static_model(tmp_path: Path) -> None:
    proto = image("1", "8", "8")
    found = invocation(Model(proto), TARGET, Profiles())
    assert found.options["input_shape"] == "x:1,3,8,8;s:1,4"
    assert found.options["soc_version"] == "Ascend310P3" and found.options["framework"] == "5"
    assert standin(tmp_path, proto, found.words([], "m.onnx", "m"))[0] == 0


@pytest.mark.parametrize(
    ("profiles", "expected", "first"),
    [
        (
            Profiles({"x": (-1, 3, 8, 8)}, batch=(1, 2, 4)),
            {"input_shape": "x:-1,3,8,8;s:-1,4", "dynamic_batch_size": "1,2,4"},
            {"x": (1, 3, 8, 8), "s": (1, 4)},
        ),
        (
            Profiles({"x": (1, 3, -1, -1), "s": (1, 4)}, image_size=((4, 6), (8, 8))),
            {"dynamic_image_size": "4,6;8,8", "input_format": "NCHW"},
            {"x": (1, 3, 4, 6), "s": (1, 4)},
        ),
        (
            Profiles(dims=((1, 4, 6, 1), (2, 8, 8, 2))),
            {"dynamic_dims": "1,4,6,1;2,8,8,2", "input_format": "ND"},
            {"x": (1, 3, 4, 6), "s": (1, 4)},
        ),
    ],
)
def test_profiles_are_spelled_so_that_the_limits_hold(
    profiles: Profiles, expected: dict[str, str], first: dict[str, Any], tmp_path: Path
) -> None:
    found = invocation(Model(image()), TARGET, profiles)
    assert expected.items() <= found.options.items() and found.first == first
    code, said = standin(tmp_path, image(), found.words([], "m.onnx", "m"))
    assert code == 0, said


@pytest.mark.parametrize(
    ("profiles", "says"),
    [
        (Profiles(), "E10001.*--shape x=N,3,N,N"),
        (Profiles({"q": (1,)}), "no such input .E10016"),
        (Profiles({"x": (1, 3)}), "E10049"),
        (Profiles({"x": (1, 4, 8, 8)}), "the model fixes it"),
        (Profiles(batch=(1, 2)), "E10018.*--shape x=-1,3,N,N"),
        (Profiles(image_size=((4, 4), (8, 8))), "E10019"),
        (Profiles(dims=((4,), (8,))), "4 dims are open.*E10045"),
        (Profiles(batch=(8,)), "at least two profiles .E10035"),
        (Profiles(batch=(1, 1)), "E10039"),
        (Profiles(batch=(0, 1)), "E10038"),
        (Profiles(batch=tuple(range(1, 102))), "E10036"),
        (Profiles(batch=(1, 2), dims=((1,), (2,))), "E10009"),
        (Profiles({"x": (1, 3, -1, -1), "s": (1, 4)}, image_size=((4,), (8,))), "E10020"),
    ],
)
def test_contradictions_are_refused_with_atcs_own_code(profiles: Profiles, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        options(image(), profiles)


def test_profiles_over_a_fixed_model_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no input has an open dim .E10031.*Export"):
        options(image("1", "8", "8"), Profiles(batch=(1, 2)))


def test_settings_win_but_not_over_what_the_model_says() -> None:
    found = options(image("1", "8", "8"), Profiles(), log="info", precision_mode_v2="origin")
    assert found["log"] == "info" and found["precision_mode_v2"] == "origin"
    assert "precision_mode" not in found
    with pytest.raises(UsageError, match="use --shape"):
        options(image("1", "8", "8"), Profiles(), input_shape="x:1")
    with pytest.raises(UsageError, match="use --soc"):
        options(image("1", "8", "8"), Profiles(), soc_version="Ascend910")


def test_precision_mode_is_passed_on() -> None:
    target = Target.of(["Ascend310P3"], precision_mode="force_fp32")
    found = invocation(Model(image("1", "8", "8")), target, Profiles())
    assert found.options["precision_mode"] == "force_fp32"
    with pytest.raises(UsageError, match="one SoC"):
        invocation(Model(image("1", "8", "8")), Target.of(), Profiles())


def test_a_scalar_is_listed_and_stops_batch_profiles(tmp_path: Path) -> None:
    proto = text_model("g (float[N] x, float s) => (float[N] y) { y = Add(x, s) }")
    assert "x:4;s:" in options(proto, Profiles({"x": (4,)}))["input_shape"]
    with pytest.raises(UsageError, match=r"scalar .E10012"):
        options(proto, Profiles(batch=(1, 2)))
    found = invocation(Model(proto), TARGET, Profiles(dims=((1,), (2,))))
    assert standin(tmp_path, proto, found.words([], "m.onnx", "m"))[0] == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--input_shape=x:[1,3,8,8]"], "E10014"),
        (["--precision_mode=fp16"], "E10001"),
        (["--framework=2"], "E10007"),
        (["--log=loud"], "E10010"),
        (["--dynamic_batch=1,2", "--input_shape=x:1,3,8,8;s:1,4"], "E10031"),
        (["--dynamic_batch_size=8", "--input_shape=x:-1,3,8,8;s:-1,4"], "E10035"),
        (["--dynamic_dims=1;2", "--dynamic_batch_size=1,2"], "E10009"),
        (["--precision_mode=force_fp16", "--precision_mode_v2=fp16"], "E10056"),
        (["--model="], "E10054"),
        (["--customop_dynamic_batch_strategy=1"], "unknown command line flag"),
        (["--input_shape=q:1"], "E10016"),
        (["--input_shape=x:1,3"], "E10049"),
    ],
)
def test_the_stand_in_refuses_by_the_documented_limits(
    words: list[str], code: str, tmp_path: Path
) -> None:
    base = ["--model=m.onnx", "--output=m", "--framework=5", "--soc_version=Ascend310P3"]
    result, said = standin(tmp_path, image("1", "8", "8"), [*base, *words])
    assert result != 0 and code in said and "ATC run failed" in said


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"precision_mode": "fp16"}, "--set precision_mode=fp16: .*E10001.*force_fp16"),
        ({"precision_mode_v2": "origin", "precision_mode": "force_fp32"}, "E10056"),
        ({"log": "loud"}, "E10010"),
        ({"insert_op_conf": "a.cfg"}, "E10001.*AIPP"),
        ({"modify_mixlist": "m.json"}, "E10001.*allow_mix_precision"),
        ({"dynamic_batch": "1,2"}, "no such option.*--dynamic_batch_size"),
        ({"auto_tune_mode": "RL"}, "was removed"),
        ({"out_nodes": "nothing:0"}, "E10016"),
        ({"deterministic": "yes"}, "E10006"),
    ],
)
def test_settings_are_checked_as_lint_checks_a_command(settings: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        options(image(), Profiles(dims=((1, 4, 6, 1), (2, 8, 8, 2))), **settings)


@pytest.mark.parametrize(
    "profiles",
    [
        Profiles({"x": (1, 3, 8, 8), "s": (1, 4)}),
        Profiles({"x": (-1, 3, 8, 8)}, batch=(1, 2, 4)),
        Profiles({"x": (1, 3, -1, -1), "s": (1, 4)}, image_size=((4, 6), (8, 8))),
        Profiles(dims=((1, 4, 6, 1), (2, 8, 8, 2))),
    ],
)
@pytest.mark.parametrize("soc", ["Ascend310P3", "Ascend310B4", "Ascend910B3"])
@pytest.mark.parametrize("settings", [{}, {"precision_mode_v2": "origin", "external_weight": "1"}])
def test_what_convert_writes_has_no_finding(
    profiles: Profiles, soc: str, settings: dict[str, str], tmp_path: Path
) -> None:
    write(image(), tmp_path / "m.onnx")
    found = invocation(Model(image()), Target.of([soc]), profiles, settings)
    words = found.words(["atc"], "m.onnx", "m")
    (linted,) = lint(shlex.join(words), tmp_path)
    assert linted.model_read and [f.says for f in linted.findings] == []
