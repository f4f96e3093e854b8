"""graphfix fix, rules, and explain of a rule: files, options, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from graphfix.rewrite.explain import why
from graphfix.rewrite.toml_rules import read_rule
from tests.builders import model_of, relu, text_model, write
from tests.conftest import PACKAGE


def gelu(dims: str = "2,3") -> onnx.ModelProto:
    """Refused at opset 20; fix spells it out."""
    proto = text_model(f"g (float[{dims}] x) => (float[{dims}] y) {{ y = Gelu(x) }}", 20)
    proto.graph.node[0].name = "/block/gelu"
    return proto


def hopeless() -> onnx.ModelProto:
    """Refused, and no rule helps: strings have no kernel."""
    node = helper.make_node("StringNormalizer", ["x"], ["y"], name="lower")
    strings = (TensorProto.STRING, [2])
    return model_of([node], {"x": strings}, {"y": strings})


def miscompiled() -> onnx.ModelProto:
    """Taken, but nearest_mode is not read; scales that are an input keep rules away."""
    node = helper.make_node(
        "Resize", ["x", "", "scales"], ["y"], name="up", mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="ceil",
    )  # fmt: skip
    return model_of([node], {"x": [1, 3, 4, 4], "scales": [4]}, {"y": [1, 3, None, None]})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(gelu(), tmp_path / "model.onnx")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }


def operators(path: Path) -> list[str]:
    return [n.op_type for n in onnx.load(path, load_external_data=False).graph.node]


def assert_refused(run: Callable, folder: Path, arguments: list, *words: str) -> None:
    """Exit 2, one paragraph on stderr with these words, and nothing written."""
    before = files(folder)
    done = run(*arguments)
    flat = " ".join(done.stderr.split())
    assert done.returncode == 2, flat or done.stdout
    assert flat.startswith("graphfix") and "\n\n" not in done.stderr
    assert "Traceback" not in flat and "internal error" not in flat
    for word in words:
        assert word in flat, f"{word!r} is not in {flat!r}"
    assert files(folder) == before


# ---------------------------------------------------------------------- output


def test_fix_writes_a_model_that_is_taken(main: Callable, model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    done = main("fix", "model.onnx", "-o", "out.onnx", "--soc", "Ascend310P3")
    assert done.returncode == 0, done.stderr
    assert "decompose/gelu" in done.stdout and "rounding" in done.stdout
    assert "refused -> taken (predicted)" in done.stdout
    assert "opset 20 ->" in done.stdout
    assert model.read_bytes() == before
    out = tmp_path / "out.onnx"
    onnx.checker.check_model(out, full_check=True)
    assert "Gelu" not in operators(out)
    assert main("check", "out.onnx", "--soc", "Ascend310P3").returncode == 0
    assert sorted(files(tmp_path)) == ["model.onnx", "out.onnx"]


def test_fix_runs_as_a_program(cli: Callable, model: Path, tmp_path: Path) -> None:
    done = cli("fix", model, "-o", "out.onnx", "--verify", "model")
    assert done.returncode == 0, done.stderr
    assert "whole model" in done.stdout and done.stderr == ""
    assert (tmp_path / "out.onnx").is_file()


def test_second_fix_changes_nothing(main: Callable, model: Path, tmp_path: Path) -> None:
    main("fix", "model.onnx", "-o", "once.onnx")
    done = main("fix", "once.onnx", "-o", "twice.onnx")
    assert "No rule fired." in done.stdout
    assert (tmp_path / "once.onnx").read_bytes() == (tmp_path / "twice.onnx").read_bytes()


def test_an_older_result_is_replaced(main: Callable, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    out.write_bytes(b"older")
    assert main("fix", "model.onnx", "-o", "out.onnx").returncode == 0
    assert "Gelu" not in operators(out)


def test_a_failure_leaves_the_older_result(
    main: Callable, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full while the new file is written."""
    import os

    out = tmp_path / "out.onnx"
    out.write_bytes(b"older")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = main("fix", "model.onnx", "-o", "out.onnx")
    assert done.returncode != 0
    assert out.read_bytes() == b"older"
    assert sorted(files(tmp_path)) == ["model.onnx", "out.onnx"]


@pytest.mark.parametrize("option", ["-o", "--report"])
def test_a_full_disk_is_no_internal_error(
    option: str, main: Callable, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    arguments = ["fix", "model.onnx", option, "out.file"]
    arguments += ["--dry-run"] if option == "--report" else []
    assert_refused(main, tmp_path, arguments, "out.file", "No space left")


@pytest.mark.parametrize("output", ["model.onnx", "./model.onnx", "same.onnx", "link.onnx"])
def test_the_input_is_never_the_output(
    output: str, main: Callable, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "same.onnx").hardlink_to(model)
    (tmp_path / "link.onnx").symlink_to(model)
    arguments = ["fix", "model.onnx", "-o", output]
    assert_refused(main, tmp_path, arguments, Path(output).name, "input")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fix", "model.onnx"], ["-o OUT", "--dry-run"]),
        (["fix", "model.onnx", "-o", "."], ["folder"]),
        (["fix", "model.onnx", "-o", "nowhere/out.onnx"], ["nowhere", "no such folder"]),
        (["fix", "absent.onnx", "-o", "out.onnx"], ["absent.onnx", "no such file"]),
        (["fix", "model.onnx", "--dry-run", "--report", "nowhere/r.json"], ["nowhere"]),
        (["fix", "model.onnx", "--dry-run", "--report", "model.onnx"], ["--report", "input"]),
        (["fix", "model.onnx", "-o", "out", "--report", "out"], ["out"]),
        (["fix", "model.onnx", "-o", "out", "--report", "."], ["--report", "folder"]),
        (["fix", "model.onnx", "-o", "out", "--opset", "10"], ["--opset 10", "11 to 18"]),
        (["fix", "model.onnx", "-o", "out", "--opset", "19"], ["--opset 19", "11 to 18"]),
        (["fix", "model.onnx", "-o", "out", "--opset", "x"], ["--opset"]),
        (["fix", "model.onnx", "-o", "out", "--select", "decompose/gellu"],
         ["decompose/gellu", "Did you mean decompose/gelu"]),
        (["fix", "model.onnx", "-o", "out", "--ignore", "decomposed"],
         ["decomposed", "decompose"]),
        (["fix", "model.onnx", "-o", "out", "--rules", "nowhere"], ["nowhere", "no such folder"]),
        (["fix", "model.onnx", "-o", "out", "--verify", "much"], ["--verify"]),
        (["fix", "model.onnx", "-o", "out", "--allow", "all"], ["--allow"]),
        (["fix", "model.onnx", "-o", "out", "--soc", "Ascend999"], ["Ascend999"]),
        (["fix", "model.onnx", "-o", "out", "--shape", "z=1,2"], ["z"]),
        (["fix", "model.onnx", "-o", "out", "--shape", "x=2,4"], ["x"]),
    ],
)  # fmt: skip
def test_bad_usage(
    arguments: list[str], words: list[str], main: Callable, model: Path, tmp_path: Path
) -> None:
    assert_refused(main, tmp_path, arguments, *words)


def test_dry_run_writes_nothing(main: Callable, model: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    for more in ([], ["-o", "out.onnx"]):
        done = main("fix", "model.onnx", "--dry-run", *more)
        assert done.returncode == 0
        assert "decompose/gelu" in done.stdout and "(dry run)" in done.stdout
        assert files(tmp_path) == before


# ---------------------------------------------------------------------- report, diff


def test_report_follows_its_schema(main: Callable, model: Path, tmp_path: Path) -> None:
    text = (PACKAGE / "schemas" / "fix-1.json").read_text(encoding="utf-8")
    validator = jsonschema.Draft202012Validator(json.loads(text))
    for more in ([], ["--verify", "model"], ["--verify", "off"], ["--soc", "Ascend310P3"]):
        done = main("fix", "model.onnx", "--dry-run", "--report", "report.json", *more)
        assert done.returncode == 0
        report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        validator.validate(report)
        gelus = [c for c in report["changes"] if c["rule"] == "decompose/gelu"]
        assert [c["before"] for c in gelus] == [["/block/gelu"]]
        assert report["before"]["path"].endswith("model.onnx")


def test_report_of_a_model_that_cannot_be_helped(main: Callable, tmp_path: Path) -> None:
    write(hopeless(), tmp_path / "model.onnx")
    done = main("fix", "model.onnx", "-o", "out.onnx", "--report", "report.json")
    assert done.returncode == 1
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["after"]["verdict"] == "refused" and report["changes"] == []
    assert operators(tmp_path / "out.onnx") == ["StringNormalizer"]


def test_diff_shows_what_went_and_came(main: Callable, model: Path) -> None:
    done = main("fix", "model.onnx", "--dry-run", "--diff")
    lines = done.stdout.splitlines()
    assert any(line.startswith("-") and "= Gelu" in line for line in lines)
    assert any(line.startswith("+") and "= Erf" in line for line in lines)
    plain = main("fix", "model.onnx", "--dry-run")
    assert "= Gelu" not in plain.stdout


def test_verify_off_is_said(main: Callable, model: Path) -> None:
    done = main("fix", "model.onnx", "--dry-run", "--verify", "off")
    assert "Nothing was proved: --verify off." in done.stdout
    assert "not proved" in done.stdout


# ---------------------------------------------------------------------- choosing rules


def test_select_and_ignore(main: Callable, model: Path, tmp_path: Path) -> None:
    def after(*options: str) -> list[str]:
        main("fix", "model.onnx", "-o", "out.onnx", *options)
        return operators(tmp_path / "out.onnx")

    assert "Gelu" not in after("--select", "decompose/gelu")
    assert "Gelu" not in after("--select", "decompose")
    assert "Gelu" not in after("--select", "clean, decompose")
    assert after("--select", "clean") == ["Gelu"]
    assert after("--ignore", "decompose/gelu") == ["Gelu"]
    assert after("--ignore", "decompose") == ["Gelu"]
    assert after("--select", "decompose", "--ignore", "decompose/gelu") == ["Gelu"]


def test_optional_rules_come_on_top(main: Callable, tmp_path: Path) -> None:
    proto = text_model("g (float[N,3,4] x) => (float[2,12] y) <int64[2] s = {2, 12}> "
                       "{ h = Identity(x)  y = Reshape(h, s) }")  # fmt: skip
    write(proto, tmp_path / "model.onnx")
    assert "reshape_batch" not in main("fix", "model.onnx", "--dry-run").stdout
    done = main("fix", "model.onnx", "--dry-run", "--also", "explicit/reshape_batch")
    assert "explicit/reshape_batch" in done.stdout and "clean/identity" in done.stdout
    assert_refused(main, tmp_path, ["fix", "model.onnx", "--dry-run", "--also", "fuze"], "fuze")


def test_refusal_that_remains_fails(main: Callable, model: Path) -> None:
    done = main("fix", "model.onnx", "--dry-run", "--ignore", "decompose/gelu")
    assert done.returncode == 1
    assert "refused -> refused (predicted)" in done.stdout
    assert "/block/gelu" in done.stdout and "cannot get there" in done.stdout


def test_exit_codes(main: Callable, model: Path, tmp_path: Path) -> None:
    write(hopeless(), tmp_path / "hopeless.onnx")
    write(miscompiled(), tmp_path / "wrong.onnx")
    write(gelu("N,3"), tmp_path / "open.onnx")

    def code(name: str, *options: str) -> int:
        return main("fix", name, "--dry-run", *options).returncode

    assert code("model.onnx") == 0
    assert code("hopeless.onnx") == 1
    assert code("hopeless.onnx", "--fail-on", "never") == 0
    assert code("wrong.onnx") == 0
    assert code("wrong.onnx", "--fail-on", "miscompiled") == 1
    assert code("open.onnx") == 0
    assert code("open.onnx", "--fail-on", "dynamic") == 1
    assert code("open.onnx", "--fail-on", "dynamic", "--shape", "x=2,3") == 0


def test_opset_is_forced(main: Callable, model: Path, tmp_path: Path) -> None:
    for opset in (11, 18):
        assert main("fix", "model.onnx", "-o", "out.onnx", "--opset", opset).returncode == 0
        assert onnx.load(tmp_path / "out.onnx").opset_import[0].version == opset


def test_shapes_are_written(main: Callable, tmp_path: Path) -> None:
    write(gelu("N,3"), tmp_path / "model.onnx")
    assert main("fix", "model.onnx", "-o", "out.onnx", "--shape", "x=5,3").returncode == 0
    graph = onnx.load(tmp_path / "out.onnx").graph
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [5, 3]


# ---------------------------------------------------------------------- rules of the user

RULE = '''"""Write Neg as a subtraction.

Why       An example.
Rewrites  Neg(Neg(x)) -> Identity(x).
Leaves    A single Neg.
Exact     exact.
Source    This test.
"""

from graphfix.rewrite import Builder, No, Rule


class Double(Rule):
    """Neg of Neg."""

    roots = ("Neg",)

    def match(self, node, graph):
        """Fire on the second of two."""
        before = node.input(0).producer
        if before is None or before.op_type != "Neg":
            return No("no Neg comes first")
        b = Builder(node, graph)
        return b.site(b.op("OPERATOR", before.inputs[0]), drop=(node, before))
'''


@pytest.fixture
def twice(tmp_path: Path) -> Path:
    proto = text_model("g (float[2] x) => (float[2] y) { a = Neg(x)  b = Neg(a)  y = Relu(b) }")
    for node in proto.graph.node:
        node.name = f"node_{node.output[0]}"
    return write(proto, tmp_path / "twice.onnx")


def rule_file(folder: Path, text: str) -> None:
    (folder / "mine" / "group").mkdir(parents=True, exist_ok=True)
    (folder / "mine" / "group" / "double.py").write_text(text, encoding="utf-8")


def test_a_rule_of_the_user_is_used_and_named(main: Callable, twice: Path, tmp_path: Path) -> None:
    rule_file(tmp_path, RULE.replace("OPERATOR", "Identity"))
    done = main("fix", "twice.onnx", "-o", "out.onnx", "--rules", "mine")
    assert done.returncode == 0, done.stderr
    assert "rules of mine: group/double" in done.stdout
    assert "group/double" in done.stdout.split("\n\n", 1)[1]
    assert "Neg" not in operators(tmp_path / "out.onnx")
    main("fix", "twice.onnx", "-o", "out.onnx", "--rules", "mine", "--ignore", "group/double")
    assert operators(tmp_path / "out.onnx").count("Neg") == 2


def test_a_wrong_rule_of_the_user_is_rolled_back(
    main: Callable, twice: Path, tmp_path: Path
) -> None:
    rule_file(tmp_path, RULE.replace("OPERATOR", "Abs"))
    done = main("fix", "twice.onnx", "-o", "out.onnx", "--rules", "mine")
    assert "proof failed, rolled back: group/double at node_b" in done.stdout
    assert operators(tmp_path / "out.onnx").count("Neg") == 2


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import no_such_module\n", "no_such_module"),
        ("x = 1\n", "Rule"),
        (RULE + "\n\nclass Other(Double):\n    roots = ('Abs',)\n", "found 2"),
        ("raise ValueError('on purpose')\n", "on purpose"),
        ("import sys\nsys.exit(0)\n", "double.py"),
    ],
)
def test_a_broken_rule_file_is_named(
    text: str, word: str, main: Callable, twice: Path, tmp_path: Path
) -> None:
    rule_file(tmp_path, text)
    for command in (["fix", "twice.onnx", "-o", "out.onnx"], ["rules"]):
        done = main(*command, "--rules", "mine")
        flat = " ".join(done.stderr.split())
        assert done.returncode == 2, flat
        assert "mine/group/double.py" in flat and word in flat
        assert "Traceback" not in flat and "\n\n" not in done.stderr
    assert not (tmp_path / "out.onnx").exists()


def test_a_rule_that_raises_is_named(main: Callable, twice: Path, tmp_path: Path) -> None:
    """The user's own mistake is no defect of graphfix; file and rule are named."""
    body = RULE.replace("node.input(0).producer", "node.no_such_field")
    rule_file(tmp_path, body)
    done = main("fix", "twice.onnx", "-o", "out.onnx", "--rules", "mine")
    flat = " ".join(done.stderr.split())
    assert done.returncode == 2, flat
    assert "group/double" in flat and "no_such_field" in flat
    assert not (tmp_path / "out.onnx").exists()


# ---------------------------------------------------------------------- external weights


def with_weights(folder: Path) -> tuple[Path, bytes]:
    """A Gelu and a MatMul whose weight lies in weights.bin."""
    weight = np.arange(3 * 400, dtype=np.float32).reshape(3, 400)
    nodes = [
        helper.make_node("Gelu", ["x"], ["h"], name="gelu"),
        helper.make_node("MatMul", ["h", "w"], ["y"], name="matmul"),
    ]
    proto = model_of(nodes, {"x": [2, 3]}, {"y": [2, 400]}, opset=20)
    tensor = proto.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[3, 400])
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in (("location", "weights.bin"), ("offset", "0"), ("length", "4800")):
        tensor.external_data.add(key=key, value=text)
    (folder / "weights.bin").write_bytes(weight.tobytes())
    return write(proto, folder / "model.onnx"), weight.tobytes()


def test_weights_in_the_same_folder_are_referenced(main: Callable, tmp_path: Path) -> None:
    _, weight = with_weights(tmp_path)
    done = main("fix", "model.onnx", "-o", "out.onnx", "--verify", "model")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(files(tmp_path)) == ["model.onnx", "out.onnx", "weights.bin"]
    assert (tmp_path / "weights.bin").read_bytes() == weight
    assert (tmp_path / "out.onnx").stat().st_size < 4000
    onnx.checker.check_model(tmp_path / "out.onnx", full_check=True)


def test_weights_are_copied_into_another_folder(main: Callable, tmp_path: Path) -> None:
    _, weight = with_weights(tmp_path)
    (tmp_path / "there").mkdir()
    done = main("fix", "model.onnx", "-o", "there/out.onnx", "--verify", "model")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "there" / "weights.bin").read_bytes() == weight
    onnx.checker.check_model(tmp_path / "there" / "out.onnx", full_check=True)
    import onnxruntime

    feed = {"x": np.float32([[1, -2, 3], [0, 1, 2]])}
    expected = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, feed)[0]
    found = onnxruntime.InferenceSession(tmp_path / "there" / "out.onnx").run(None, feed)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


def test_copies_are_told(main: Callable, tmp_path: Path) -> None:
    with_weights(tmp_path)
    (tmp_path / "there").mkdir()
    done = main("fix", "model.onnx", "-o", "there/out.onnx")
    assert "there/weights.bin" in done.stdout and "copied" in done.stdout
    assert "copied" not in main("fix", "model.onnx", "-o", "out.onnx").stdout


@pytest.mark.parametrize("file", [None, "there/all.weights"])
def test_all_weights_go_into_a_new_file(main: Callable, tmp_path: Path, file: str | None) -> None:
    _, weight = with_weights(tmp_path)
    (tmp_path / "there").mkdir()
    extra = [] if file is None else [file]
    done = main("fix", "model.onnx", "-o", "there/out.onnx", "--save-external", *extra)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / (file or "there/out.onnx.data")).read_bytes() == weight
    assert not (tmp_path / "there" / "weights.bin").exists()
    onnx.checker.check_model(tmp_path / "there" / "out.onnx", full_check=True)
    assert (tmp_path / "weights.bin").read_bytes() == weight


def test_weights_files_that_cannot_be(main: Callable, tmp_path: Path) -> None:
    with_weights(tmp_path)
    for file in ("weights.bin", "model.onnx", "out.onnx", ".."):
        arguments = ["fix", "model.onnx", "-o", "out.onnx", "--save-external", file]
        assert_refused(main, tmp_path, arguments, "--save-external")


def test_other_weights_of_that_name_are_kept(main: Callable, tmp_path: Path) -> None:
    with_weights(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "weights.bin").write_bytes(b"of another model")
    arguments = ["fix", "model.onnx", "-o", "there/out.onnx"]
    assert_refused(main, tmp_path, arguments, "weights.bin")


def test_the_weights_are_never_the_output(main: Callable, tmp_path: Path) -> None:
    with_weights(tmp_path)
    for arguments in (
        ["fix", "model.onnx", "-o", "weights.bin"],
        ["fix", "model.onnx", "--dry-run", "--report", "weights.bin"],
    ):
        assert_refused(main, tmp_path, arguments, "weights.bin")


# ---------------------------------------------------------------------- rules, explain


def test_rules_are_listed(main: Callable) -> None:
    done = main("rules")
    assert done.returncode == 0
    for name in ("decompose/gelu", "explicit/clip_bounds", "clean/identity"):
        assert name in done.stdout
    count = int(done.stdout.split(" rules.")[0].split()[-1])
    listed = main("rules", "--format", "json").document
    assert listed["schema"] == "graphfix.rules/1" and len(listed["rules"]) == count
    rules = {r["name"]: r for r in listed["rules"]}
    assert rules["decompose/gelu"]["roots"] == ["Gelu"]
    assert rules["decompose/gelu"]["exactness"] == "rounding"
    assert "Why " in rules["decompose/gelu"]["page"]
    assert [r["name"] for r in listed["rules"]] == sorted(rules)


def test_rules_of_the_user_are_listed(main: Callable, tmp_path: Path) -> None:
    rule_file(tmp_path, RULE.replace("OPERATOR", "Identity"))
    assert "group/double" in main("rules", "--rules", "mine").stdout
    assert "group/double" not in main("rules").stdout


def test_explain_shows_a_rules_page(main: Callable) -> None:
    done = main("explain", "decompose/gelu")
    assert done.returncode == 0
    assert done.stdout.startswith("decompose/gelu  (rounding)")
    for section in ("Why ", "Rewrites ", "Leaves ", "Exact ", "Source "):
        assert section in done.stdout


def test_explain_says_whether_a_rule_fires(main: Callable, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gelu", ["x"], ["a"], name="first"),
        helper.make_node("Mystery", ["a"], ["b"], name="mystery", domain="com.example"),
        helper.make_node("Gelu", ["b"], ["y"], name="second"),
    ]
    proto = model_of(nodes, {"x": [2]}, {"y": [2]}, opset=20, imports={"com.example": 1})
    proto.graph.output[0].ClearField("type")
    path = write(proto, tmp_path / "model.onnx")
    before = path.read_bytes()

    def answer(*options: str) -> str:
        done = main("explain", "decompose/gelu", "--model", "model.onnx", *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert answer("--node", "first").startswith("first (Gelu): yes: 1 node becomes 5")
    assert "no: the element type is not known" in answer("--node", "second")
    assert "no: the rule starts at Gelu" in answer("--node", "mystery")
    every = answer()
    assert "first (Gelu): yes" in every and "second (Gelu): no" in every
    assert "mystery" not in every
    assert path.read_bytes() == before


def test_explain_of_a_node_that_is_not_there(main: Callable, model: Path, tmp_path: Path) -> None:
    arguments = ["explain", "decompose/gelu", "--model", "model.onnx", "--node", "/block/gelo"]
    assert_refused(main, tmp_path, arguments, "/block/gelo", "/block/gelu?")


def test_explain_of_a_model_without_the_operator(main: Callable, tmp_path: Path) -> None:
    write(relu(), tmp_path / "model.onnx")
    done = main("explain", "decompose/gelu", "--model", "model.onnx")
    assert done.returncode == 0 and "the model has no Gelu" in done.stdout


def test_explain_names_the_gates_reason(main: Callable, tmp_path: Path) -> None:
    """The matcher would fire, but the value is an output of the graph."""
    proto = text_model("g (float[2] x) => (float[2] y) { y = Identity(x) }")
    proto.graph.node[0].name = "id"
    write(proto, tmp_path / "model.onnx")
    done = main("explain", "clean/identity", "--model", "model.onnx", "--node", "id")
    assert done.returncode == 0
    assert "id (Identity): " in done.stdout and "output of the graph" in done.stdout


def test_explain_finds_roots_of_other_domains_and_nodes_by_their_values(tmp_path: Path) -> None:
    page = 'page = "A rule."\nbefore = "y = com.example.Mystery(x)"\nafter = "y = Relu(x)"\n'
    (tmp_path / "own.toml").write_text(page, encoding="utf-8")
    rule = read_rule(tmp_path / "own.toml")
    rule.name = "tests/own"
    nodes = [helper.make_node("Mystery", ["x"], ["y"], domain="com.example")]
    proto = model_of(nodes, {"x": [2]}, {"y": [2]}, imports={"com.example": 1})
    path = write(proto, tmp_path / "model.onnx")
    for node in (None, "y"):
        said = why(rule, path, node)
        assert said.startswith("Mystery (Mystery): "), said
        assert "the rule starts at" not in said
