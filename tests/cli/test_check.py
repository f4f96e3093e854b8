"""graphfix check: verdicts, exit codes, and the three formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import graphfix
from tests.builders import INT64, external, model_of, relu, text_model, write

EFFECTS = ("rejected", "miscompiled", "fallback", "precision", "dynamic", "note")


def entry(main: Callable, tmp_path: Path, proto: onnx.ModelProto, *options: str) -> dict[str, Any]:
    """The model's entry of the JSON report."""
    write(proto, tmp_path / "model.onnx")
    done = main("check", "model.onnx", "--format", "json", *options)
    assert done.returncode in (0, 1), done.stderr
    return done.document["models"][0]


def found(report: dict[str, Any], code: str) -> list[dict[str, Any]]:
    return [f for f in report["findings"] if f["code"] == code]


# ---------------------------------------------------------------------- tiny models of one effect


def gelu() -> onnx.ModelProto:
    """Rejected: the opset is not registered."""
    return text_model("g (float[2, 8] x) => (float[2, 8] y) { y = Gelu(x) }", 20)


def nearest() -> onnx.ModelProto:
    """Miscompiled: nearest_mode is not read."""
    node = helper.make_node(
        "Resize", ["x", "", "scales"], ["y"], name="up", mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="ceil",
    )  # fmt: skip
    shapes = {"x": [1, 3, 4, 4]}, {"y": [1, 3, 8, 8]}
    return model_of([node], *shapes, {"scales": np.float32([1, 1, 2, 2])})


def overflow() -> onnx.ModelProto:
    """Precision: the mask of an attention, beyond float16."""
    node = helper.make_node("Add", ["x", "mask"], ["y"], name="add_mask")
    return model_of([node], {"x": [2, 4]}, {"y": [2, 4]}, {"mask": np.float32([0, 0, -3.4e38, 0])})


def dynamic() -> onnx.ModelProto:
    """Dynamic: the batch is open."""
    return relu(dims=["batch", 3])


def fallback() -> onnx.ModelProto:
    """Fallback on Ascend310P3: doubles."""
    node = helper.make_node("GatherElements", ["x", "i"], ["y"], name="gather")
    return model_of([node], {"x": (TensorProto.DOUBLE, [4, 4]), "i": (INT64, [4, 4])},
                    {"y": (TensorProto.DOUBLE, [4, 4])})  # fmt: skip


MODELS = {
    "rejected": gelu,
    "miscompiled": nearest,
    "fallback": fallback,
    "precision": overflow,
    "dynamic": dynamic,
}


# ---------------------------------------------------------------------- exit codes


@pytest.mark.parametrize("effect", list(MODELS))
def test_fail_on(main: Callable, tmp_path: Path, effect: str) -> None:
    write(MODELS[effect](), tmp_path / "model.onnx")
    report = entry(main, tmp_path, MODELS[effect](), "--soc", "Ascend310P3")
    worst = next(e for e in EFFECTS if any(f["effect"] == e for f in report["findings"]))
    assert worst == effect
    for limit in (*EFFECTS, "never"):
        done = main("check", "model.onnx", "--soc", "Ascend310P3", "--fail-on", limit)
        fails = limit != "never" and EFFECTS.index(effect) <= EFFECTS.index(limit)
        assert done.returncode == int(fails), limit


def test_default_fails_on_rejected_only(main: Callable, tmp_path: Path) -> None:
    write(gelu(), tmp_path / "gelu.onnx")
    write(nearest(), tmp_path / "nearest.onnx")
    write(relu(), tmp_path / "relu.onnx")
    assert main("check", "relu.onnx").returncode == 0
    assert main("check", "nearest.onnx").returncode == 0
    assert main("check", "gelu.onnx").returncode == 1
    assert main("check", "relu.onnx", "gelu.onnx").returncode == 1


def test_select_and_ignore(main: Callable, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gelu", ["x"], ["a"], name="gelu_0"),
        helper.make_node("Add", ["a", "mask"], ["y"], name="add_0"),
    ]
    proto = model_of(nodes, {"x": ["n", 2]}, {"y": ["n", 2]}, {"mask": np.float32([-3e38, 0])}, 20)

    def codes(*options: str) -> set[str]:
        return {f["code"] for f in entry(main, tmp_path, proto, *options)["findings"]}

    every = codes()
    assert {"GF102", "GF101", "GF401", "GF501"} <= every
    assert codes("--select", "GF501") == {"GF501"}
    assert codes("--select", "unbound-dim,gf501") == {"GF401", "GF501"}
    assert codes("--select", "GF1") == {c for c in every if c.startswith("GF1")}
    assert codes("--ignore", "GF1") == {c for c in every if not c.startswith("GF1")}
    assert codes("--select", "GF1,GF4", "--ignore", "op-not-registered") == {"GF101", "GF401"}


def test_verdict_does_not_depend_on_what_is_shown(main: Callable, tmp_path: Path) -> None:
    report = entry(main, tmp_path, gelu(), "--ignore", "GF1")
    assert report["verdict"] == "refused" and report["accepted"] is False
    assert report["error_code"] == "E19010" and not found(report, "GF102")
    assert main("check", "model.onnx", "--ignore", "GF1").returncode == 0


# ---------------------------------------------------------------------- several models


def test_models_in_the_order_given(main: Callable, tmp_path: Path, check_schema) -> None:
    write(relu(), tmp_path / "z.onnx")
    write(gelu(), tmp_path / "a.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x08garbage")
    done = main("check", "z.onnx", "broken.onnx", "a.onnx", "z.onnx", "--format", "json")
    assert done.returncode == 2
    check_schema.validate(done.document)
    models = done.document["models"]
    assert [m["path"] for m in models] == ["z.onnx", "broken.onnx", "a.onnx", "z.onnx"]
    assert [m["verdict"] for m in models] == ["taken", "unreadable", "refused", "taken"]
    assert ["error" in m for m in models] == [False, True, False, False]
    assert "truncated or damaged" in models[1]["error"]


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_unreadable_model_among_others(main: Callable, tmp_path: Path, form: str) -> None:
    write(relu(), tmp_path / "good.onnx")
    done = main("check", "good.onnx", "nowhere.onnx", "--format", form)
    assert done.returncode == 2
    assert (
        "ATC would take it" in done.stdout and "nowhere.onnx: there is no such file" in done.stdout
    )


# ---------------------------------------------------------------------- JSON


def test_json_of_one_refused_model(main: Callable, tmp_path: Path, check_schema) -> None:
    write(gelu(), tmp_path / "model.onnx")
    done = main(
        "check", "model.onnx", "--format", "json", "--soc", "ascend310p3", "--cann", "2026.08"
    )
    document = done.document
    check_schema.validate(document)
    assert document["schema"] == "graphfix.check/1"
    assert document["target"]["cann"] == "2026.08" and document["target"]["socs"] == ["Ascend310P3"]
    (model,) = document["models"]
    assert (model["accepted"], model["error_code"], model["opset"], model["nodes"]) == (
        False, "E13010", 20, 1,
    )  # fmt: skip
    assert model["inputs"] == ["x: float32[2,8]"]
    (finding,) = found(model, "GF102")
    assert finding["name"] == "op-not-registered" and finding["effect"] == "rejected"
    assert finding["op_type"] == "Gelu" and finding["error_code"] == "E13010"
    assert finding["remedy"] and finding["evidence"] and finding["scope"] == ""


@pytest.mark.parametrize("soc", [(), ("Ascend310P3",), ("Ascend310P3", "Ascend910B3")])
@pytest.mark.parametrize("effect", list(MODELS))
def test_json_follows_the_schema(
    main: Callable, tmp_path: Path, check_schema, effect: str, soc: Sequence[str]
) -> None:
    write(MODELS[effect](), tmp_path / "model.onnx")
    done = main("check", "model.onnx", "--format", "json", "--soc", ",".join(soc))
    check_schema.validate(done.document)
    engines = done.document["models"][0]["engines"]
    assert list(engines) == list(soc)
    assert all(sum(counts.values()) == 1 for counts in engines.values())


def test_schema_refuses_what_is_not_the_contract(
    main: Callable, tmp_path: Path, check_schema
) -> None:
    write(gelu(), tmp_path / "model.onnx")
    document = main("check", "model.onnx", "--format", "json").document
    assert check_schema.is_valid(document)
    model, finding = document["models"][0], document["models"][0]["findings"][0]
    for place, key, value in (
        (document, "schema", "graphfix.check/2"),
        (document, "more", 1),
        (model, "verdict", "fine"),
        (model, "accepted", True),
        (model, "error", "unreadable"),
        (finding, "effect", "terrible"),
        (finding, "code", "XY1"),
        (finding, "error_code", "no code"),
        (finding, "message", ""),
    ):
        missing = object()
        old = place.get(key, missing)
        place[key] = value
        assert not check_schema.is_valid(document), (key, value)
        if old is missing:
            del place[key]
        else:
            place[key] = old
    assert check_schema.is_valid(document)
    del finding["remedy"]
    assert not check_schema.is_valid(document)


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_two_runs_are_equal(cli: Callable, tmp_path: Path, form: str) -> None:
    nodes = [
        helper.make_node(op, ["x", "w"], [f"{op}_{i}"], name=f"{op}_{i}")
        for i in range(3)
        for op in ("Add", "Mul", "Mystery", "BitShift", "Gelu")
    ]
    proto = model_of(nodes, {"x": ["n", 4]}, {"Add_0": None}, {"w": np.float32([9e9] * 4)}, 20)
    write(proto, tmp_path / "model.onnx")
    options = ["--format", form, "--soc", "Ascend310P3,Ascend910B3", "--verbose"]
    first, second = (cli("check", "model.onnx", *options) for _ in range(2))
    assert first.stdout == second.stdout and first.stdout
    assert first.returncode == second.returncode == 1


def test_output_file_holds_what_stdout_would(main: Callable, tmp_path: Path) -> None:
    write(gelu(), tmp_path / "model.onnx")
    for form in ("text", "markdown", "json"):
        plain = main("check", "model.onnx", "--format", form)
        done = main("check", "model.onnx", "--format", form, "--output", f"report.{form}")
        assert done.stdout == "" and done.returncode == plain.returncode == 1
        assert (tmp_path / f"report.{form}").read_text() == plain.stdout


def test_names_that_are_not_ascii(main: Callable, tmp_path: Path, check_schema) -> None:
    node = helper.make_node("Gelu", ["größe"], ["出力"], name="節点|<1>\n\x1b[31m")
    proto = model_of([node], {"größe": [2]}, {"出力": [2]}, opset=20)
    report = entry(main, tmp_path, proto)
    assert report["inputs"] == ["größe: float32[2]"]
    assert found(report, "GF102")[0]["node"] == "節点|<1>\n\x1b[31m"
    text = main("check", "model.onnx", "--verbose").stdout
    assert "\x1b" not in text and "größe" in text
    table = main("check", "model.onnx", "--format", "markdown").stdout
    (row,) = [line for line in table.splitlines() if "GF102" in line]
    assert "節点\\|&lt;1>" in row


# ---------------------------------------------------------------------- text


def test_equal_nodes_are_one_line_with_their_count(main: Callable, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gelu", [f"v{i}"], [f"v{i + 1}"], name=f"block.{i}/gelu")
        for i in range(48)
    ]
    write(model_of(nodes, {"v0": [2]}, {"v48": [2]}, opset=20), tmp_path / "model.onnx")
    done = main("check", "model.onnx")
    lines = [line for line in done.stdout.splitlines() if "GF102" in line and "rejected" in line]
    assert len(lines) == 1 and " 48 " in lines[0]
    verbose = main("check", "model.onnx", "--verbose").stdout
    assert "block.47/gelu" in verbose and "block.47/gelu" not in done.stdout


def test_worst_effect_comes_first(main: Callable, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["x", "mask"], ["a"], name="add_0"),
        helper.make_node("Gelu", ["a"], ["y"], name="gelu_0"),
    ]
    proto = model_of(nodes, {"x": ["n", 2]}, {"y": None}, {"mask": np.float32([-3e38, 0])}, 20)
    write(proto, tmp_path / "model.onnx")
    lines = main("check", "model.onnx").stdout.splitlines()
    effects = [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in EFFECTS]
    assert effects == sorted(effects, key=EFFECTS.index)
    assert effects[0] == "rejected" and effects[-1] == "dynamic"


def crowded() -> onnx.ModelProto:
    """Findings of most effects and long names, on most engines."""
    long = "module.encoder.layers." * 6 + "self_attention"
    double = TensorProto.DOUBLE
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name=long),
        helper.make_node("Mystery", ["a"], ["b"], name=f"{long}_1"),
        helper.make_node("NonZero", ["b"], ["c"], name="nonzero"),
        helper.make_node("GatherElements", ["p", "i"], ["d"], name="gather"),
        helper.make_node("Shape", ["k"], ["e"], name="shape"),
        helper.make_node("Identity", ["x"], ["h"], name="identity"),
        helper.make_node("Dropout", ["h", "half"], ["j"], name="dropout"),
        helper.make_node("Add", ["j", "mask"], ["m"], name="add"),
        helper.make_node("Det", ["s"], ["n"], name="det"),
    ]  # fmt: skip
    inputs = {
        "x": ["batch", 4], long: ["batch", 4], "p": (double, [4, 4]), "i": (INT64, [4, 4]),
        "s": [2, 2], "k": [2, 3],
    }  # fmt: skip
    outputs = dict.fromkeys("cdemn")
    constants = {"half": np.float32(0.5), "mask": np.float32([-3e38, 0, 0, 0])}
    return model_of(nodes, inputs, outputs, constants)


@pytest.mark.parametrize("verbose", [[], ["--verbose"]])
@pytest.mark.parametrize("soc", ["", "Ascend310P3,Ascend310B1,Ascend910B3"])
@pytest.mark.parametrize("make", [crowded, gelu, nearest, fallback, overflow, dynamic, relu])
def test_text_has_at_most_100_columns(
    main: Callable, tmp_path: Path, make: Callable, soc: str, verbose: list[str]
) -> None:
    write(make(), tmp_path / "model.onnx")
    text = main("check", "model.onnx", "--soc", soc, *verbose).stdout
    wide = [line for line in text.splitlines() if len(line) > 100]
    assert wide == []
    assert all(line == line.rstrip() for line in text.splitlines())


def test_no_colour_when_piped(
    cli: Callable, main: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(gelu(), tmp_path / "model.onnx")
    assert "\x1b" not in cli("check", "model.onnx").stdout
    from graphfix.report import text

    monkeypatch.setattr(text, "wants_colour", lambda stream: True)
    coloured = main("check", "model.onnx").stdout
    assert "\x1b[31mrejected" in coloured
    assert "\x1b" not in main("check", "model.onnx", "--format", "markdown").stdout


def test_no_color_variable_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphfix.report.text import wants_colour

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert wants_colour(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (relu, "ATC would take it (predicted)."),
        (gelu, "Refused by ATC (predicted): 1 finding; it would print E19010 first."),
        (nearest, "ATC would take it and compute something else (predicted)."),
        (overflow, "ATC would take it (predicted)."),
    ],
)
def test_verdict_stands_at_the_end(
    main: Callable, tmp_path: Path, make: Callable, words: str
) -> None:
    write(make(), tmp_path / "model.onnx")
    done = main("check", "model.onnx", "--soc", "Ascend310P3")
    lines = [line for line in done.stdout.splitlines() if line]
    (place,) = [i for i, line in enumerate(lines) if line.startswith(words)]
    # behind it only the engines and where to read on
    assert all(line.startswith(("Ascend310P3:", "More:")) or "notes" in line
               for line in lines[place + 1 :])  # fmt: skip
    assert "Predicted from tables; no ATC was run." in done.stdout


def test_matrix_without_soc(main: Callable, tmp_path: Path) -> None:
    write(relu(), tmp_path / "model.onnx")
    text = main("check", "model.onnx").stdout
    for soc in ("Ascend310P3", "Ascend310B1", "Ascend910B3", "Ascend910_9391"):
        assert any(line.split() == [soc, "1"] for line in text.splitlines()), text
    assert "Ascend310B1" not in main("check", "model.onnx", "--soc", "Ascend310P3").stdout


def test_nodes_of_branches_are_told_with_their_place(main: Callable, tmp_path: Path) -> None:
    proto = text_model("""
        g (bool c, float[2] x) => (float[2] y) {
            [choice] y = If (c) <
                then_branch = t () => (float[2] t) { [inner] t = Gelu(x) },
                else_branch = e () => (float[2] e) { e = Abs(x) }
            >
        }""")
    (finding,) = found(entry(main, tmp_path, proto, "--cann", "2026.08"), "GF102")
    assert finding["scope"] == "choice/then_branch" and finding["node"] == "inner"
    assert "choice/then_branch" in main("check", "model.onnx", "--verbose").stdout


# ---------------------------------------------------------------------- markdown


def test_markdown(main: Callable, tmp_path: Path) -> None:
    write(gelu(), tmp_path / "model.onnx")
    text = main("check", "model.onnx", "--format", "markdown").stdout
    lines = text.splitlines()
    assert lines[0] == "## model.onnx"
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 3 and "GF102" in rows[2] and "rejected" in rows[2]
    assert len({line.count("|") for line in rows}) == 1
    assert any(line.startswith("Refused by ATC (predicted)") for line in lines)


# ---------------------------------------------------------------------- what ATC does, by release


def test_codes_of_the_releases(main: Callable, tmp_path: Path) -> None:
    assert entry(main, tmp_path, gelu())["error_code"] == "E19010"
    assert entry(main, tmp_path, gelu(), "--cann", "8.1.rc1")["error_code"] == "E19010"
    assert entry(main, tmp_path, gelu(), "--cann", "2026.08")["error_code"] == "E13010"


def test_opset_beyond_the_registered_ones(main: Callable, tmp_path: Path) -> None:
    report = entry(main, tmp_path, relu(opset=19))
    (finding,) = found(report, "GF101")
    assert finding["op_type"] == "Relu" and "8-18" in finding["message"]
    assert entry(main, tmp_path, relu(opset=18))["accepted"] is True
    assert entry(main, tmp_path, relu(opset=7))["accepted"] is False


def test_custom_op(main: Callable, tmp_path: Path) -> None:
    node = helper.make_node("Fancy", ["x"], ["y"], name="fancy_0", domain="my.domain")
    proto = model_of([node], {"x": [2]}, {"y": [2]}, imports={"my.domain": 3})

    def accepted(*options: str) -> bool:
        return entry(main, tmp_path, proto, "--cann", "2026.08", *options)["accepted"]

    assert not accepted()
    assert accepted("--custom-op", "my.domain::Fancy")
    assert accepted("--custom-op", "my.domain::Fancy@3")
    assert not accepted("--custom-op", "my.domain::Fancy@2")
    assert not accepted("--custom-op", "my.domain::Other")
    assert accepted("--custom-op", "my.domain::Other", "--custom-op", "my.domain::Fancy")


def test_op_support_of_the_user(main: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("""
        [[operator.Gelu.registration]]
        opsets = "20"
        ge_op  = "Gelu"
        source = "our plugin"
        certainty = "proved"
        [[operator.Resize.constraint]]
        id = "nearest-mode-asymmetric"
        drop = true
        """)
    assert entry(main, tmp_path, gelu(), "--op-support", "mine.toml")["accepted"] is True
    assert found(entry(main, tmp_path, nearest()), "GF201")
    assert not found(entry(main, tmp_path, nearest(), "--op-support", "mine.toml"), "GF201")


def test_several_imports(main: Callable, tmp_path: Path) -> None:
    proto = relu()
    proto.opset_import.add(domain="com.microsoft", version=1)
    report = entry(main, tmp_path, proto)
    assert report["error_code"] == "E16005"
    (finding,) = found(report, "GF105")
    assert "com.microsoft" in finding["remedy"]
    assert entry(main, tmp_path, proto, "--cann", "2026.08")["accepted"] is True


def test_ratio_of_dropout(main: Callable, tmp_path: Path) -> None:
    node = helper.make_node("Dropout", ["x", "ratio"], ["y"], name="drop_0")
    proto = model_of([node], {"x": [2]}, {"y": [2]}, {"ratio": np.float32(0.5)})
    report = entry(main, tmp_path, proto, "--cann", "2026.08")
    assert report["error_code"] == "E19999" and found(report, "GF109")
    report = entry(main, tmp_path, proto)
    assert report["accepted"] is True and report["error_code"] is None
    (finding,) = found(report, "GF290")
    assert finding["effect"] == "note" and "ratio" in finding["message"]


def test_if_with_nodes_and_duplicate_names(main: Callable, tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"], name="twin"),
             helper.make_node("Neg", ["a"], ["y"], name="twin")]  # fmt: skip
    report = entry(main, tmp_path, model_of(nodes, {"x": [2]}, {"y": [2]}), "--cann", "2026.08")
    assert report["error_code"] == "E13009"
    assert found(report, "GF106")[0]["node"] == "twin"


# ---------------------------------------------------------------------- silently different


def test_nearest_mode_is_not_read(main: Callable, tmp_path: Path) -> None:
    report = entry(main, tmp_path, nearest())
    assert report["verdict"] == "miscompiled" and report["accepted"] is True
    (finding,) = found(report, "GF201")
    assert (
        finding["constraint"] == "Resize/nearest-mode-asymmetric" and "ceil" in finding["message"]
    )


def test_value_floats_of_a_constant_are_lost(main: Callable, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["k"], name="const_0", value_floats=[1.0, 2.0]),
        helper.make_node("Add", ["x", "k"], ["y"], name="add_0"),
    ]
    report = entry(main, tmp_path, model_of(nodes, {"x": [2]}, {"y": [2]}))
    assert [f["node"] for f in found(report, "GF205")] == ["const_0"]
    assert report["verdict"] == "miscompiled"


# ---------------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    ("dims", "option"),
    [
        (["n", 3, 4, 4], "--dynamic_batch_size"),
        ([1, 3, "h", "w"], "--dynamic_image_size"),
        ([1, 3, 4, "w"], "--dynamic_image_size"),
        (["n", 3, "h", "w"], "--dynamic_dims"),
        ([1, "tokens"], "--dynamic_dims"),
        (None, "--input_shape"),
    ],
)
def test_unbound_dims(main: Callable, tmp_path: Path, dims: Any, option: str) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], name="relu_0")
    proto = model_of([node], {"x": dims}, {"y": dims})
    report = entry(main, tmp_path, proto)
    (finding,) = found(report, "GF401")
    assert option in finding["message"] and "--shape x=" in finding["remedy"]
    assert finding["node"] == "x" and report["verdict"] == "degraded"
    if dims is not None:
        bound = "x=" + ",".join(str(d) if isinstance(d, int) else "2" for d in dims)
        assert not found(entry(main, tmp_path, proto, "--shape", bound), "GF401")


def attention(length: Any = "tokens") -> onnx.ModelProto:
    """How nn.MultiheadAttention was traced at 16 tokens of batch 1: [16, 1*8, 64]."""
    nodes = [helper.make_node("Reshape", ["x", "heads"], ["y"], name="view_0")]
    shape = {"heads": np.int64([16, 8, 64])}
    return model_of(nodes, {"x": [length, 1, 512]}, {"y": None}, shape)


def test_baked_reshape(main: Callable, tmp_path: Path) -> None:
    (finding,) = found(entry(main, tmp_path, attention()), "GF402")
    assert finding["node"] == "view_0" and "16,8,64" in finding["message"]
    assert "tokens" in finding["message"] and finding["effect"] == "dynamic"
    assert not found(entry(main, tmp_path, attention(16)), "GF402")


def test_baked_reshape_at_bound_shapes(main: Callable, tmp_path: Path) -> None:
    same = entry(main, tmp_path, attention(), "--shape", "x=16,1,512")
    other = entry(main, tmp_path, attention(), "--shape", "x=32,1,512")
    assert not found(same, "GF402")
    assert "does not fit" in found(other, "GF402")[0]["message"]


def test_reshape_with_an_open_dim_is_not_baked(main: Callable, tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"], name="view_0")]
    for target in ([-1, 8, 64], [0, 8, 64], [0, -1]):
        proto = model_of(nodes, {"x": ["n", 1, 512]}, {"y": None}, {"shape": np.int64(target)})
        assert found(entry(main, tmp_path, proto), "GF402") == [], target


def test_data_dependent_shape(main: Callable, tmp_path: Path) -> None:
    node = helper.make_node("NonZero", ["x"], ["y"], name="nonzero_0")
    proto = model_of([node], {"x": [2, 3]}, {"y": (INT64, [2, None])})
    (finding,) = found(entry(main, tmp_path, proto), "GF403")
    assert finding["node"] == "nonzero_0" and finding["effect"] == "dynamic"


# ---------------------------------------------------------------------- precision


def test_mask_overflows_half_precision(main: Callable, tmp_path: Path) -> None:
    (finding,) = found(entry(main, tmp_path, overflow()), "GF501")
    assert "-3.4e+38" in finding["message"] and finding["node"] == "add_mask"
    for mode in ("force_fp32", "must_keep_origin_dtype"):
        assert not found(entry(main, tmp_path, overflow(), "--precision-mode", mode), "GF501")


@pytest.mark.parametrize("value", [65504.0, -65504.0, 0.0, 1e-6])
def test_what_half_precision_holds_is_no_finding(
    main: Callable, tmp_path: Path, value: float
) -> None:
    node = helper.make_node("Mul", ["x", "k"], ["y"], name="mul_0")
    report = entry(
        main, tmp_path, model_of([node], {"x": [2]}, {"y": [2]}, {"k": np.float32(value)})
    )
    assert report["findings"] == [] and report["verdict"] == "taken"


def test_epsilon_vanishes(main: Callable, tmp_path: Path) -> None:
    node = helper.make_node("LayerNormalization", ["x", "w"], ["y"], name="norm_0", epsilon=1e-12)
    proto = model_of([node], {"x": [2, 4]}, {"y": [2, 4]}, {"w": np.ones(4, np.float32)})
    (finding,) = found(entry(main, tmp_path, proto), "GF502")
    assert finding["node"] == "norm_0" and "1e-12" in finding["message"]
    node = helper.make_node("Add", ["x", "eps"], ["y"], name="add_eps")
    proto = model_of([node], {"x": [2]}, {"y": [2]}, {"eps": np.float32(1e-12)})
    assert found(entry(main, tmp_path, proto), "GF502")[0]["node"] == "add_eps"
    proto = model_of([node], {"x": [2]}, {"y": [2]}, {"eps": np.float32(1e-5)})
    assert not found(entry(main, tmp_path, proto), "GF502")


def test_large_constants_are_read_only_when_asked(main: Callable, tmp_path: Path) -> None:
    weights = np.zeros(5000, np.float32)
    weights[4321] = 1e6
    node = helper.make_node("Add", ["x", "w"], ["y"], name="add_0")
    proto = model_of([node], {"x": [5000]}, {"y": [5000]}, {"w": weights})
    assert not found(entry(main, tmp_path, proto), "GF501")
    assert found(entry(main, tmp_path, proto, "--weights"), "GF501")


def test_external_constants_are_read_only_when_asked(main: Callable, tmp_path: Path) -> None:
    proto = external(tmp_path, "w.bin")
    (tmp_path / "w.bin").write_bytes(np.float32([0, -1e38, 0, 0]).tobytes())
    assert not found(entry(main, tmp_path, proto), "GF501")
    assert found(entry(main, tmp_path, proto, "--weights"), "GF501")


def test_infinite_constant(main: Callable, tmp_path: Path) -> None:
    node = helper.make_node("Add", ["x", "k"], ["y"], name="add_0")
    for value, word in ((np.inf, "infinity"), (np.nan, "NaN")):
        proto = model_of([node], {"x": [2]}, {"y": [2]}, {"k": np.float32([value, 1])})
        (finding,) = found(entry(main, tmp_path, proto), "GF503")
        assert word in finding["message"]


# ---------------------------------------------------------------------- kernels


def engines(report: dict[str, Any], soc: str) -> dict[str, int]:
    return report["engines"][soc]


def test_only_an_ai_cpu_kernel(main: Callable, tmp_path: Path) -> None:
    node = helper.make_node("ReverseSequence", ["x", "n"], ["y"], name="reverse_0")
    proto = model_of([node], {"x": [4, 2], "n": (INT64, [2])}, {"y": [4, 2]})
    report = entry(main, tmp_path, proto, "--soc", "Ascend310P3,Ascend310B1")
    (finding,) = found(report, "GF301")
    assert finding["node"] == "reverse_0" and finding["effect"] == "fallback"
    assert finding["socs"] == ["Ascend310B1"] and report["verdict"] == "degraded"
    assert engines(report, "Ascend310B1") == {"AI CPU": 1}
    assert engines(report, "Ascend310P3") == {"AI Core": 1}


def test_dtype_that_falls_back(main: Callable, tmp_path: Path) -> None:
    node = helper.make_node("Mul", ["x", "x"], ["y"], name="mul_0")
    double = (TensorProto.DOUBLE, [4])
    report = entry(main, tmp_path, model_of([node], {"x": double}, {"y": double}),
                   "--soc", "Ascend310P3")  # fmt: skip
    (finding,) = found(report, "GF302")
    assert "double" in finding["message"] and engines(report, "Ascend310P3") == {"AI CPU": 1}
    plain = model_of([node], {"x": [4]}, {"y": [4]})
    report = entry(main, tmp_path, plain, "--soc", "Ascend310P3")
    assert report["findings"] == [] and engines(report, "Ascend310P3") == {"AI Core": 1}


def test_bfloat16_on_a_chip_without_it(main: Callable, tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], name="relu_0")
    kind = (TensorProto.BFLOAT16, [4])
    proto = model_of([node], {"x": kind}, {"y": kind})
    report = entry(main, tmp_path, proto, "--soc", "Ascend310P3,Ascend910B3")
    (finding,) = found(report, "GF306")
    assert finding["socs"] == ["Ascend310P3"] and finding["effect"] == "rejected"
    assert report["accepted"] is True and report["verdict"] == "not compiled"
    assert found(entry(main, tmp_path, proto, "--soc", "Ascend910B3"), "GF306") == []


def test_shape_arithmetic_is_folded(main: Callable, tmp_path: Path) -> None:
    proto = text_model("""
        g (float[2, 3, 4] x) => (float[2, 12] y) {
            dims = Shape(x)
            first = Gather <axis = 0> (dims, zero)
            target = Concat <axis = 0> (first, rest)
            y = Reshape(x, target)
        }""")
    for name, array in {"zero": np.int64([0]), "rest": np.int64([-1])}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    report = entry(main, tmp_path, proto, "--soc", "Ascend310P3")
    assert engines(report, "Ascend310P3")["folded"] == 3
    assert report["verdict"] == "taken"


# ---------------------------------------------------------------------- the function behind it


def test_python_function_says_the_same(main: Callable, tmp_path: Path) -> None:
    report = entry(main, tmp_path, overflow(), "--soc", "Ascend310P3", "--shape", "x=2,4")
    target = graphfix.Target.of(["Ascend310P3"])
    direct = graphfix.check(tmp_path / "model.onnx", target, shapes={"x": (2, 4)}).to_json()
    assert {**direct, "path": "model.onnx"} == report


def test_model_in_memory_is_not_changed() -> None:
    proto = overflow()
    before = proto.SerializeToString()
    assert graphfix.check(proto).verdict == "degraded"
    assert proto.SerializeToString() == before


def test_functions_are_refused_and_looked_into(main: Callable, tmp_path: Path) -> None:
    proto = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "my" : 1]>
        g (float[2] x) => (float[2] y) { [call] y = my.Mask(x) }
        <domain: "my", opset_import: ["" : 17]>
        Mask (a) => (b) { m = Constant <value = float[1] {-3.4e38}> () b = Add(a, m) }""")
    report = entry(main, tmp_path, proto, "--cann", "2026.08")
    assert [f["node"] for f in found(report, "GF121")] == ["call"]
    assert report["error_code"] == "E13010"
    assert len(found(report, "GF501")) == 1
