"""Saving: whole or not at all, and never over somebody's weights."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx.checker
import onnx.numpy_helper
import pytest
from onnx import helper

import graphfix
from graphfix import UsageError
from graphfix.graph import Model
from graphfix.graph.tensors import read_tensor
from tests.builders import BOOL, NESTED_IF, external, model_of, relu, text_model, write

WEIGHTS = np.float32([1, 2, 3, 4]).tobytes()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with model.onnx and its weights.bin."""
    folder = tmp_path / "source"
    folder.mkdir()
    external(folder, "weights.bin")
    (folder / "weights.bin").write_bytes(WEIGHTS)
    return folder


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_unedited_model_comes_back_equal(tmp_path: Path) -> None:
    proto = text_model(NESTED_IF)
    proto.producer_name, proto.producer_version, proto.doc_string = "maker", "1.2", "why"
    proto.model_version, proto.domain = 7, "some.domain"
    proto.metadata_props.add(key="author", value="somebody")
    proto.graph.doc_string = "the graph"
    proto.graph.value_info.append(helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, [2]))
    proto.graph.input[0].doc_string = "a condition"
    model = graphfix.load(write(proto, tmp_path / "in.onnx"))
    graphfix.save(model, tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx") == proto


def test_functions_are_kept(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "my" : 1]>
        g (float[2] x) => (float[2] y) { y = my.Twice(x) }
        <domain: "my", opset_import: ["" : 17]>
        Twice (a) => (b) { b = Add(a, a) }""")
    graphfix.save(Model(proto), tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx") == proto


def test_edits_are_written(tmp_path: Path) -> None:
    model = Model(relu())
    model.graph.add_initializer(onnx.numpy_helper.from_array(np.float32(1), "one"))
    model.graph.add_node(helper.make_node("Add", ["x", "one"], ["more"], name="add_0"))
    model.graph.set_input(model.graph.nodes[0], 0, "more")
    graphfix.save(model, tmp_path / "out.onnx")
    written = onnx.load(tmp_path / "out.onnx")
    onnx.checker.check_model(written, full_check=True)
    assert [n.name for n in written.graph.node] == ["add_0", "relu_0"]
    assert [t.name for t in written.graph.initializer] == ["one"]


def test_edits_inside_branches_are_written(tmp_path: Path) -> None:
    model = Model(text_model(NESTED_IF))
    branch = model.graph.owners[0].subgraphs[0][1]
    branch.add_initializer(onnx.numpy_helper.from_array(np.float32([1, 2]), "w"))
    branch.add_node(helper.make_node("Mul", ["a", "w"], ["scaled"], name="scale"))
    model.graph.set_input(branch.nodes[0], 0, "scaled")
    graphfix.save(model, tmp_path / "out.onnx")
    written = onnx.load(tmp_path / "out.onnx")
    then_branch = next(
        a.g for n in written.graph.node for a in n.attribute if a.name == "then_branch"
    )
    assert [n.op_type for n in then_branch.node] == ["Mul", "Neg"]
    assert then_branch.node[1].input == ["scaled"]
    assert [t.name for t in then_branch.initializer] == ["w"]


def test_removed_node_takes_its_value_info_along(tmp_path: Path) -> None:
    proto = text_model("""
        g (float[2] x) => (float[2] y) {
            a = Relu(x)
            b = Neg(a)
            y = Exp(b)
        }""")
    for name in "ab":
        proto.graph.value_info.append(
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2])
        )
    model = Model(proto)
    model.graph.set_input(model.graph.nodes[2], 0, "a")
    model.graph.remove_node(model.graph.nodes[1])
    graphfix.save(model, tmp_path / "out.onnx")
    written = onnx.load(tmp_path / "out.onnx")
    assert [i.name for i in written.graph.value_info] == ["a"]
    assert [n.op_type for n in written.graph.node] == ["Relu", "Exp"]


def test_removed_initializer_is_not_written(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    model = Model(model_of(nodes, {"x": [2]}, {"y": [2]}, {"w": np.float32([1])}))
    model.graph.remove_initializer("w")
    graphfix.save(model, tmp_path / "out.onnx")
    assert len(onnx.load(tmp_path / "out.onnx").graph.initializer) == 0


def test_unsorted_model_is_written_sorted(tmp_path: Path) -> None:
    nodes = [helper.make_node("Neg", ["a"], ["y"]), helper.make_node("Relu", ["x"], ["a"])]
    graphfix.save(Model(model_of(nodes, {"x": [2]}, {"y": [2]})), tmp_path / "out.onnx")
    written = onnx.load(tmp_path / "out.onnx")
    onnx.checker.check_model(written)
    assert [n.op_type for n in written.graph.node] == ["Relu", "Neg"]


def test_scan_and_loop_bodies_are_written(tmp_path: Path) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["state", "x"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_value_info("state", onnx.TensorProto.FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info("go_on", BOOL, []),
            helper.make_tensor_value_info("next", onnx.TensorProto.FLOAT, [2]),
        ],
    )
    loop = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)
    proto = model_of([loop], {"x": [2]}, {"y": [2]}, {"n": np.int64(3)})
    graphfix.save(Model(proto), tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx") == proto


# ---------------------------------------------------------------------- harm


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_in_the_middle_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    target = write(relu(opset=13), tmp_path / "out.onnx")
    before = listing(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="No space"):
        graphfix.save(Model(relu(opset=18)), target)
    assert listing(tmp_path) == before  # nor is anything half-written left beside it


def test_existing_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    target = write(relu(opset=13), tmp_path / "out.onnx")
    target.chmod(0o640)
    graphfix.save(Model(relu(opset=18)), target)
    assert graphfix.load(target).opset == 18
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(listing(tmp_path)) == ["out.onnx"]


def test_new_file_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        graphfix.save(Model(relu()), tmp_path / "out.onnx")
    finally:
        os.umask(old)
    assert (tmp_path / "out.onnx").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("alias", ["same", "relative", "symlink", "hardlink"])
def test_input_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alias: str
) -> None:
    path = write(relu(), tmp_path / "in.onnx")
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    target = {
        "same": path,
        "relative": Path("in.onnx"),
        "symlink": tmp_path / "soft.onnx",
        "hardlink": tmp_path / "hard.onnx",
    }[alias]
    if alias == "symlink":
        target.symlink_to(path)
    elif alias == "hardlink":
        target.hardlink_to(path)
    with pytest.raises(UsageError, match="input itself"):
        graphfix.save(graphfix.load(path), target)
    assert path.read_bytes() == before and target.read_bytes() == before


def test_weights_of_the_input_are_never_overwritten(source: Path) -> None:
    model = graphfix.load(source / "model.onnx")
    with pytest.raises(UsageError, match=r"weights\.bin"):
        graphfix.save(model, source / "weights.bin")
    assert (source / "weights.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize("target", ["", "missing/out.onnx"])
def test_target_that_cannot_be(tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError, match="folder"):
        graphfix.save(Model(relu()), tmp_path / target)
    assert listing(tmp_path) == {}


# ---------------------------------------------------------------------- external data


def test_external_data_comes_along_into_a_new_folder(source: Path, tmp_path: Path) -> None:
    before = listing(source)
    target = tmp_path / "new"
    target.mkdir()
    graphfix.save(graphfix.load(source / "model.onnx"), target / "model.onnx")
    assert listing(source) == before
    assert (target / "weights.bin").read_bytes() == WEIGHTS
    model = graphfix.load(target / "model.onnx")
    tensor = model.graph.initializers["w"]
    assert read_tensor(tensor, model.folder).tolist() == [1, 2, 3, 4]
    assert onnx.load(target / "model.onnx").graph.initializer[0].raw_data == WEIGHTS


def test_external_data_of_a_subfolder_comes_along(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "data").mkdir(parents=True)
    target.mkdir()
    external(source, "data/weights.bin")
    (source / "data/weights.bin").write_bytes(WEIGHTS)
    graphfix.save(graphfix.load(source / "model.onnx"), target / "out.onnx")
    assert (target / "data/weights.bin").read_bytes() == WEIGHTS


def test_external_data_beside_the_model_is_left_alone(source: Path) -> None:
    graphfix.save(graphfix.load(source / "model.onnx"), source / "out.onnx")
    assert sorted(listing(source)) == ["model.onnx", "out.onnx", "weights.bin"]
    assert (source / "weights.bin").read_bytes() == WEIGHTS


def test_saving_twice_into_the_same_folder_is_fine(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new"
    target.mkdir()
    model = graphfix.load(source / "model.onnx")
    graphfix.save(model, target / "one.onnx")
    graphfix.save(model, target / "two.onnx")
    assert sorted(listing(target)) == ["one.onnx", "two.onnx", "weights.bin"]


def test_other_file_of_that_name_is_refused(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new"
    target.mkdir()
    (target / "weights.bin").write_bytes(b"somebody else's")
    before = listing(tmp_path)
    with pytest.raises(UsageError, match=r"weights\.bin: exists"):
        graphfix.save(graphfix.load(source / "model.onnx"), target / "model.onnx")
    assert listing(tmp_path) == before


def test_missing_external_data_does_not_prevent_saving(tmp_path: Path) -> None:
    external(tmp_path, "nowhere.bin")
    (tmp_path / "new").mkdir()
    graphfix.save(graphfix.load(tmp_path / "model.onnx"), tmp_path / "new/out.onnx")
    assert list(listing(tmp_path / "new")) == ["out.onnx"]


@pytest.mark.parametrize("location", ["../secret", "a/../../secret"])
def test_data_outside_the_folder_is_not_brought_along(tmp_path: Path, location: str) -> None:
    source, target = tmp_path / "a", tmp_path / "deep/b"
    source.mkdir()
    target.mkdir(parents=True)
    (source / "a").mkdir()
    (tmp_path / "secret").write_bytes(WEIGHTS)
    external(source, location)
    before = set(listing(tmp_path))
    graphfix.save(graphfix.load(source / "model.onnx"), target / "out.onnx")
    assert set(listing(tmp_path)) - before == {"deep/b/out.onnx"}


def test_linking_falls_back_when_hard_links_are_impossible(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new"
    target.mkdir()

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    graphfix.save(graphfix.load(source / "model.onnx"), target / "model.onnx")
    assert (target / "weights.bin").read_bytes() == WEIGHTS


# ---------------------------------------------------------------------- all weights in one new file


def with_kinds_of_tensors(folder: Path) -> onnx.ModelProto:
    """An external weight, an inline one, a small one, one in a branch, and one in float_data."""
    nodes = [
        helper.make_node("Add", ["x", "far"], ["a"]),
        helper.make_node("Add", ["a", "near"], ["b"]),
        helper.make_node("Add", ["b", "typed"], ["c"]),
        helper.make_node("Add", ["c", "small"], ["y"]),
    ]
    weights = {
        "near": np.arange(400, dtype=np.float32),
        "small": np.float32([2]),
    }
    proto = model_of(nodes, {"x": [400]}, {"y": [400]}, weights)
    proto.graph.initializer.append(
        helper.make_tensor("typed", onnx.TensorProto.FLOAT, [400], [0.5] * 400)
    )
    far = proto.graph.initializer.add(name="far", data_type=onnx.TensorProto.FLOAT, dims=[400])
    far.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "8"), ("length", "1600")):
        far.external_data.add(key=key, value=value)
    (folder / "weights.bin").write_bytes(b"8 before" + np.full(400, 7, np.float32).tobytes())
    write(proto, folder / "model.onnx")
    return proto


def arrays(path: Path) -> dict[str, list[float]]:
    return {
        t.name: onnx.numpy_helper.to_array(t).tolist() for t in onnx.load(path).graph.initializer
    }


def test_all_weights_go_into_a_new_file(tmp_path: Path) -> None:
    with_kinds_of_tensors(tmp_path)
    before, wanted = listing(tmp_path), arrays(tmp_path / "model.onnx")
    target = tmp_path / "new"
    target.mkdir()
    copied = graphfix.save(
        graphfix.load(tmp_path / "model.onnx"), target / "out.onnx", target / "out.data"
    )
    assert copied == []
    assert sorted(listing(target)) == ["out.data", "out.onnx"]
    assert {k: v for k, v in listing(tmp_path).items() if not k.startswith("new")} == before
    assert arrays(target / "out.onnx") == wanted
    onnx.checker.check_model(target / "out.onnx", full_check=True)
    written = onnx.load(target / "out.onnx", load_external_data=False).graph.initializer
    inline = {t.name for t in written if t.data_location != onnx.TensorProto.EXTERNAL}
    assert inline == {"small"}
    assert (target / "out.data").stat().st_size == 3 * 1600


def test_a_second_save_does_not_append(tmp_path: Path) -> None:
    with_kinds_of_tensors(tmp_path)
    model = graphfix.load(tmp_path / "model.onnx")
    sizes = []
    for _ in range(2):
        graphfix.save(model, tmp_path / "out.onnx", tmp_path / "out.data")
        sizes.append((tmp_path / "out.data").stat().st_size)
    assert sizes[0] == sizes[1]
    assert arrays(tmp_path / "out.onnx") == arrays(tmp_path / "model.onnx")
    assert sorted(listing(tmp_path)) == ["model.onnx", "out.data", "out.onnx", "weights.bin"]


def test_large_weights_start_at_a_page(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sum", ["x", "a", "b"], ["y"])]
    weights = {"a": np.ones(300, np.float32), "b": np.full(1 << 18, 3, np.float32).reshape(-1, 1)}
    proto = model_of(nodes, {"x": [1 << 18, 300]}, {"y": [1 << 18, 300]}, weights)
    graphfix.save(Model(proto), tmp_path / "out.onnx", tmp_path / "w")
    written = onnx.load(tmp_path / "out.onnx", load_external_data=False).graph.initializer
    entries = {t.name: {e.key: e.value for e in t.external_data} for t in written}
    assert entries["b"] == {"location": "w", "offset": "4096", "length": str(1 << 20)}
    assert arrays(tmp_path / "out.onnx")["b"] == weights["b"].tolist()


def test_external_data_of_a_branch_comes_into_the_model(tmp_path: Path) -> None:
    proto = text_model(NESTED_IF)
    branch = proto.graph.node[2].attribute[0].g
    inner = branch.initializer.add(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4])
    inner.data_location = onnx.TensorProto.EXTERNAL
    inner.external_data.add(key="location", value="weights.bin")
    (tmp_path / "weights.bin").write_bytes(WEIGHTS)
    write(proto, tmp_path / "model.onnx")
    model = graphfix.load(tmp_path / "model.onnx")
    graphfix.save(model, tmp_path / "out.onnx", tmp_path / "out.data")
    written = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    tensor = next(a.g for n in written.graph.node for a in n.attribute if a.g.initializer
                  ).initializer[0]  # fmt: skip
    assert onnx.numpy_helper.to_array(tensor).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("step", ["fsync", "model"])
def test_failing_leaves_both_older_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with_kinds_of_tensors(tmp_path)
    model = graphfix.load(tmp_path / "model.onnx")
    (tmp_path / "out.data").write_bytes(b"older weights")
    (tmp_path / "out.onnx").write_bytes(b"older model")
    before = listing(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr("graphfix.graph.saving.write_atomically", fail)
    with pytest.raises(OSError, match="No space"):
        graphfix.save(model, tmp_path / "out.onnx", tmp_path / "out.data")
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("weights.bin", "weights of the input"),
        ("model.onnx", "is the input"),
        ("out.onnx", "another file"),
        ("../elsewhere.data", "another file in the folder"),
        ("missing/w.data", "folder that exists"),
    ],
)
def test_weights_files_that_cannot_be(tmp_path: Path, file: str, words: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    with_kinds_of_tensors(folder)
    before = listing(tmp_path)
    with pytest.raises(UsageError, match=words):
        graphfix.save(graphfix.load(folder / "model.onnx"), folder / "out.onnx", folder / file)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("harm", ["gone", "short", "outside"])
def test_weights_that_cannot_be_read(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    proto = with_kinds_of_tensors(folder)
    weights = folder / "weights.bin"
    if harm == "gone":
        weights.unlink()
    elif harm == "short":
        weights.write_bytes(weights.read_bytes()[:-1])
    else:
        proto.graph.initializer[-1].external_data[0].value = "../weights.bin"
        weights.rename(tmp_path / "weights.bin")
        write(proto, folder / "model.onnx")
    before = listing(tmp_path)
    with pytest.raises(UsageError, match="--save-external"):
        graphfix.save(graphfix.load(folder / "model.onnx"), folder / "out.onnx", folder / "w")
    assert listing(tmp_path) == before


def test_copied_weights_can_be_read_by_others(source: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    copied = graphfix.save(graphfix.load(source / "model.onnx"), tmp_path / "new/model.onnx")
    assert copied == [tmp_path / "new/weights.bin"]
    old = os.umask(0)
    os.umask(old)
    assert copied[0].stat().st_mode & 0o777 == 0o666 & ~old
    assert (source / "weights.bin").stat().st_nlink == 1  # onnx refuses weights with two names
