"""--simplify: onnxsim in a process of its own; stand-ins for it that are wrong, slow, or crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from graphfix.errors import UsageError
from graphfix.graph import Model, load
from graphfix.rewrite import simplify as module
from graphfix.rewrite.simplify import simplify
from tests.builders import external, model_of, text_model, write

PLAIN = "g (float[2,3] x) => (float[2,3] y) { a = Identity(x)  y = Relu(a) }"

# each reads argv[1] and writes argv[2], as the program around onnxsim does
REMOVES = """
import sys, onnx
m = onnx.load(sys.argv[1])
m.graph.node[1].input[0] = "x"
del m.graph.node[0]
onnx.save(m, sys.argv[2])
"""
WRONG = """
import sys, onnx
m = onnx.load(sys.argv[1])
m.graph.node[1].op_type = "Abs"
onnx.save(m, sys.argv[2])
"""
UNLOADABLE = WRONG.replace("Abs", "Nonsense")
SLOW = "import time; time.sleep(60)"
CRASHES = "import os; os.abort()"
SAYS_NO = WRONG + "sys.exit(3)"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def install(program: str) -> None:
        monkeypatch.setattr(module, "find_spec", lambda name: object())
        monkeypatch.setattr(module, "_PROGRAM", program)

    return install


def model() -> Model:
    return Model(text_model(PLAIN))


def test_an_equal_result_is_kept(stand_in: Callable[[str], None]) -> None:
    stand_in(REMOVES)
    before = model()
    after, said = simplify(before)
    assert [n.op_type for n in after.graph.nodes] == ["Relu"]
    assert "removed 1 nodes" in said and "equal" in said
    assert len(before.graph.nodes) == 2


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (WRONG, "instead of"),
        (UNLOADABLE, "does not load"),
        (CRASHES, "it ended with"),
        (SAYS_NO, "it ended with 3"),
        ("pass", "it ended with 0"),
    ],
    ids=["wrong", "unloadable", "crashes", "says no", "writes nothing"],
)
def test_any_other_result_is_dropped(
    stand_in: Callable[[str], None], program: str, words: str
) -> None:
    stand_in(program)
    before = model()
    after, said = simplify(before)
    assert after is before
    assert words in said


def test_it_ends_after_its_time(stand_in: Callable[[str], None]) -> None:
    stand_in(SLOW)
    before = model()
    after, said = simplify(before, seconds=1)
    assert after is before and "more than 1 s" in said


def test_a_large_model_is_not_given_to_it(
    stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(CRASHES)
    monkeypatch.setattr(module, "_MAX_BYTES", 10)
    before = model()
    after, said = simplify(before)
    assert after is before and "larger than" in said


def test_external_weights_are_found(stand_in: Callable[[str], None], tmp_path: Path) -> None:
    """onnxsim reads weights: a copy elsewhere has none beside it."""
    stand_in(REMOVES)
    proto = external(tmp_path, "w.bin")
    (tmp_path / "w.bin").write_bytes(np.float32([1, 2, 3, 4]).tobytes())
    proto.graph.node.insert(0, helper.make_node("Identity", ["x"], ["i"]))
    proto.graph.node[1].input[0] = "i"
    write(proto, tmp_path / "model.onnx")
    after, said = simplify(load(tmp_path / "model.onnx"))
    assert [n.op_type for n in after.graph.nodes] == ["Add"], said


def test_it_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"graphfix\[simplify\]"):
        simplify(model())


def test_the_real_one(main: Callable, tmp_path: Path) -> None:
    pytest.importorskip("onnxsim")
    write(model_of(
        [helper.make_node("Identity", ["x"], ["a"]), helper.make_node("Relu", ["a"], ["y"])],
        {"x": [2]}, {"y": [2]},
    ), tmp_path / "model.onnx")  # fmt: skip
    done = main("fix", "model.onnx", "-o", "out.onnx", "--simplify")
    assert done.returncode == 0, done.stderr
    assert "onnxsim" in done.stdout
    assert [n.op_type for n in onnx.load(tmp_path / "out.onnx").graph.node] == ["Relu"]
