"""Models that are read but cannot be run: each command says why, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper

from tests.builders import relu, write
from tests.cli.test_bad_input import assert_refused


def output_of_nothing() -> onnx.ModelProto:
    model = relu()
    model.graph.output[0].name = "nowhere"
    return model


def if_without_branches() -> onnx.ModelProto:
    x = helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("If", ["c"], ["y"], name="n")], "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize(
    ("model", "word"),
    [(output_of_nothing(), "nothing gives the value nowhere"),
     (if_without_branches(), "lacks else_branch and then_branch")],
)  # fmt: skip
def test_preview_names_what_is_missing(
    main: Callable, tmp_path: Path, model: onnx.ModelProto, word: str
) -> None:
    write(model, tmp_path / "m.onnx")
    assert_refused(main, tmp_path, ["compare", "m.onnx", "--preview", "fp16"], word)


@pytest.mark.parametrize("dims", [(2**40, 2**40), (2**62, 8), (2**15, 2**15)])
@pytest.mark.parametrize("against", [["m.onnx"], ["--preview", "fp16"]])
def test_no_data_is_made_up_for_huge_dims(
    main: Callable, tmp_path: Path, dims: tuple[int, ...], against: list[str]
) -> None:
    write(relu(dims=dims), tmp_path / "m.onnx")
    words = f"input x [{dims[0]},{dims[1]}]", "--shape"
    assert_refused(main, tmp_path, ["compare", "m.onnx", *against], *words)


def test_fix_of_huge_dims_says_that_nothing_was_run(main: Callable, tmp_path: Path) -> None:
    write(relu(dims=(2**40, 2**40)), tmp_path / "m.onnx")
    done = main("fix", "m.onnx", "-o", "out.onnx", "--verify", "model")
    assert done.returncode == 0, done.stderr
    assert "whole model" in done.stdout and "too large to make up" in done.stdout
    assert (tmp_path / "out.onnx").exists()


def test_site_of_huge_dims_is_left_unproved(main: Callable, tmp_path: Path) -> None:
    model = relu(opset=20, dims=(2**40, 2**40))
    model.graph.node[0].op_type = "Gelu"
    write(model, tmp_path / "m.onnx")
    done = main("fix", "m.onnx", "-o", "out.onnx")
    assert done.returncode == 1, done.stderr
    assert "1 node needs a rewrite" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_memory_of_huge_dims_stays_on_the_screen(main: Callable, tmp_path: Path) -> None:
    write(relu(dims=(2**40, 2**40)), tmp_path / "m.onnx")
    done = main("memory", "m.onnx")
    assert done.returncode == 0 and ">1000 TiB" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_models_without_outputs_are_not_called_the_same(main: Callable, tmp_path: Path) -> None:
    model = relu()
    del model.graph.output[:]
    write(model, tmp_path / "m.onnx")
    done = main("compare", "m.onnx", "m.onnx")
    assert done.returncode == 1 and "Nothing can be said" in done.stdout


@pytest.mark.parametrize("command", [["socs"], ["rules"], ["ops"], ["explain"], ["atc", "options"]])
def test_lists_fit_the_screen(main: Callable, command: list[str]) -> None:
    done = main(*command)
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if len(line) > 100] == []


def test_operator_of_a_plugin_is_not_called_unregistered(main: Callable, tmp_path: Path) -> None:
    model = relu()
    model.graph.node[0].op_type, model.graph.node[0].domain = "MyOp", "my.domain"
    model.opset_import.append(helper.make_opsetid("my.domain", 1))
    write(model, tmp_path / "m.onnx")
    words = ["check", "m.onnx", "--soc", "Ascend310P3"]
    refused, taken = main(*words), main(*words, "--custom-op", "my.domain::MyOp")
    assert refused.returncode == 1 and "Ascend310P3: 1 node unregistered." in refused.stdout
    assert "implement it" in refused.stdout
    assert taken.returncode == 0 and "1 node with an unknown kernel" in taken.stdout
