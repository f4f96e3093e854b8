"""Operators that a plugin of the user's takes: the planner and the gate leave them alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper

from graphfix.rewrite import FixReport, fix
from graphfix.support import Tables
from tests.builders import model_of, text_model, write
from tests.rewrite.toys import TARGET

GELU = text_model("g (float[4] x) => (float[4] y) { a = Gelu(x) y = Relu(a) }", 20)


def fixed(proto: onnx.ModelProto, *custom: str, opset: int | None = None) -> FixReport:
    tables = Tables(custom_ops=frozenset(custom))
    return fix(proto, TARGET, tables=tables, opset=opset, verify="site")


def types(report: FixReport) -> list[str]:
    return [n.op_type for n in report.model.graph.nodes]


def test_without_a_plugin_it_is_written_out() -> None:
    report = fixed(GELU)
    assert "Gelu" not in types(report) and report.after.accepted


def test_a_plugin_at_any_opset_takes_it_as_it_is() -> None:
    report = fixed(GELU, "ai.onnx::Gelu")
    assert types(report) == ["Gelu", "Relu"]
    assert report.after.accepted and 11 <= report.after.opset <= 18
    assert set(report.plan.costs.values()) == {0}


def test_a_plugin_at_the_planned_opset_takes_it() -> None:
    report = fixed(GELU, "ai.onnx::Gelu@17")
    assert report.after.opset == 17 and types(report) == ["Gelu", "Relu"]
    assert report.after.accepted


def test_a_plugin_at_another_opset_does_not_count() -> None:
    report = fixed(GELU, "ai.onnx::Gelu@17", opset=16)
    assert report.after.opset == 16 and "Gelu" not in types(report)
    assert report.after.accepted


def test_a_new_version_of_a_custom_operator_is_no_mere_label() -> None:
    """Softmax-13 is another operator than Softmax-11, whoever takes it."""
    proto = text_model("g (float[2,3,4] x) => (float[2,3,4] y) { y = Softmax<axis = 1>(x) }", 11)
    report = fixed(proto, "ai.onnx::Softmax", opset=13)
    assert types(report) != ["Softmax"] or report.plan.losses


def test_the_gate_lets_no_rule_rewrite_it() -> None:
    nodes = [helper.make_node("Gelu", ["x"], ["a"], name="gelu", domain="com.microsoft"),
             helper.make_node("Relu", ["a"], ["y"], name="relu")]  # fmt: skip
    proto = model_of(nodes, {"x": [4]}, {"y": [4]}, imports={"com.microsoft": 1})
    assert types(fixed(proto, "com.microsoft::Gelu@1")) == ["Gelu", "Relu"]


# ---------------------------------------------------------------------- the commands


def test_fix_and_convert_take_the_option(main: Callable, tmp_path: Path) -> None:
    write(GELU, tmp_path / "m.onnx")
    option = ("--custom-op", "ai.onnx::Gelu@17")
    soc = ("--soc", "Ascend310P3")
    done = main("fix", "m.onnx", "-o", "f.onnx", *soc, *option)
    assert done.returncode == 0, done.stdout
    assert "Gelu" in [n.op_type for n in onnx.load(tmp_path / "f.onnx").graph.node]
    assert main("check", "f.onnx", *soc, *option).returncode == 0
    assert main("check", "f.onnx", *soc).returncode == 1
    dry = main("convert", "m.onnx", "--dry-run", *soc, *option)
    assert dry.returncode == 0 and "refused before, taken after" in " ".join(dry.stdout.split())
    assert main("convert", "f.onnx", "--bundle", "b.tar.gz", *soc, *option).returncode == 0
    assert main("convert", "f.onnx", "--bundle", "c.tar.gz", "--no-fix", *soc).returncode == 1


@pytest.mark.parametrize("command", ["check", "fix", "convert", "run"])
@pytest.mark.parametrize("given", ["Gelu", "my::", "::Gelu", "my::Gelu@", "my::Gelu@x", "a b::C"])
def test_a_misspelled_operator_is_refused(
    main: Callable, tmp_path: Path, command: str, given: str
) -> None:
    write(GELU, tmp_path / "m.onnx")
    more = ["--dry-run"] if command == "fix" else []
    done = main(command, "m.onnx", "--soc", "Ascend310P3", "--custom-op", given, *more)
    assert done.returncode == 2 and f"--custom-op {given}" in " ".join(done.stderr.split())
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
