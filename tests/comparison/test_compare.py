"""compare through its API: outputs, layers, bisect, saved data, memory, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import graphfix
from graphfix.comparison.bisect import bisect_layers
from graphfix.comparison.chunks import chunks
from graphfix.comparison.compare import Comparison, compare
from graphfix.comparison.layers import _joins, pair_values
from graphfix.comparison.metrics import Tolerance
from graphfix.comparison.runtimes import RuntimeFailed
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.errors import UsageError
from graphfix.graph import Model, infer
from graphfix.report.compare import picture, render, render_markdown
from tests.builders import INT64, model_of, text_model

CHAIN = """g (float[N,4] x) => (float[N,4] y) {
    a = Neg(x)
    b = Exp(a)
    c = Sqrt(b)
    d = Mul(c, a)
    e = Relu(d)
    y = Tanh(e)
}"""


def chain(*swaps: tuple[str, str]) -> onnx.ModelProto:
    text = CHAIN
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    proto = text_model(text)
    for node in proto.graph.node:
        node.name = f"n_{node.output[0]}"
    return proto


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    path = Path(graphfix.__file__).parent / "schemas" / "compare-1.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def valid(report: Comparison, schema: jsonschema.Draft202012Validator) -> dict:
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    schema.validate(document)
    return document


def test_the_same_model_is_the_same(schema: jsonschema.Draft202012Validator) -> None:
    report = graphfix.compare(chain(), chain(), samples=3)
    assert report.passed and report.samples == 3 and report.inputs == {"x": "float32[4,4]"}
    assert "The same: 1 output, no element differs." in render(report)
    assert valid(report, schema)["layers"] is None


@pytest.mark.parametrize("how", ["layers", "bisect"])
def test_the_planted_node_is_named_first(how: str, schema: jsonschema.Draft202012Validator) -> None:
    report = compare(chain(), chain(("Sqrt(b)", "Abs(b)")), **{how: True})
    assert not report.passed
    assert report.layers is not None and report.layers.first is not None
    assert report.layers.first.node == "n_c"
    assert report.layers.path[0].value == "c" and report.layers.path[-1].value == "y"
    document = valid(report, schema)
    assert document["layers"]["first"]["op_type"] == "Sqrt"
    assert "n_c (Sqrt)" in render(report) and "n_c (Sqrt)" in render_markdown(report)


def test_a_nan_is_found_where_it_starts(schema: jsonschema.Draft202012Validator) -> None:
    report = compare(chain(), chain(("Sqrt(b)", "Log(a)")), layers=True)
    assert report.layers is not None and report.layers.first is not None
    assert report.layers.first.node == "n_c" and "NaN" in str(report.layers.first.metrics.problem)
    valid(report, schema)


def test_bisect_is_not_led_astray_by_clean_side_branches() -> None:
    """Shapes and masks are right all along; the error comes in between."""
    lines = ["s = Shape(x)", "h0 = Relu(x)"]
    for i in range(12):
        lines += [f"r{i} = Reshape(h{i}, s)", f"t{i} = Tanh(r{i})", f"h{i + 1} = Add(t{i}, h{i})"]
    text = "g (float[3,4] x) => (float[3,4] h12) {" + " ".join(lines) + "}"
    right, wrong = text_model(text), text_model(text.replace("t5 = Tanh", "t5 = Sin"))
    a, b = OnnxRuntime(Model(right)), OnnxRuntime(Model(wrong))
    feeds = {"x": np.random.default_rng(0).random((3, 4)).astype(np.float32)}
    report = bisect_layers(a, b, feeds, b.run)
    assert report.first is not None and report.first.value == "t5"
    assert report.chunks <= 8


def test_renamed_values_are_matched_by_node_and_structure() -> None:
    wrong = chain(("Sqrt(b)", "Abs(b)"))
    for node in wrong.graph.node:
        node.name = ""
        for field in (node.input, node.output):
            for i, name in enumerate(field):
                field[i] = name if name in "xy" else f"v_{name}"
    report = compare(chain(), wrong, layers=True)
    assert report.layers is not None
    by = {layer.value: (layer.other, layer.by) for layer in report.layers.layers}
    assert by["a"] == ("v_a", "structure") and by["b"] == ("v_b", "structure")
    assert by["y"] == ("y", "name")
    assert report.layers.unmatched == 3  # from the other operator on nothing is certain


def test_what_fix_rewrote_is_matched_and_clean() -> None:
    text = "g (float[2,3] x) => (float[2,3] y) { a = Neg(x)  b = Gelu(a)  y = Tanh(b) }"
    from graphfix.rewrite.fix import fix

    before = text_model(text, opset=20)
    after = fix(before).model.proto
    assert "Gelu" not in {n.op_type for n in after.graph.node}
    report = compare(before, after, layers=True)
    assert report.passed and report.layers is not None
    assert {layer.value for layer in report.layers.layers} == {"a", "b", "y"}
    assert report.layers.first is None


def test_other_values_under_old_names_are_no_pair() -> None:
    a = text_model("g (float[2,3] x) => (float[2,3] y) { v = Neg(x)  y = Relu(v) }")
    b = text_model("g (float[2,3] x) => (float[2,3] y) { v = Shape(x)  w = Neg(x)  y = Relu(w) }")
    report = compare(a, b, layers=True)
    assert report.layers is not None and report.layers.first is None
    assert {la.value: la.other for la in report.layers.layers} == {"v": "w", "y": "y"}


def test_a_chain_of_fused_nodes_heals_as_a_whole() -> None:
    """Bias folded into the node before: under its old name there is another value, twice."""
    text = """g (float[2,3] x) => (float[2,3] y) {
        c = Constant<value = float[3] {1, 2, 3}>()
        a = Mul(x, x)  b = Add(a, c)  d = Mul(b, x)  e = Add(d, c)  y = Relu(e)
    }"""
    folded = """g (float[2,3] x) => (float[2,3] y) {
        c = Constant<value = float[3] {1, 2, 3}>()
        p = Mul(x, x)  a = Add(p, c)  q = Mul(a, x)  d = Add(q, c)  y = Relu(d)
    }"""
    report = compare(text_model(text), text_model(folded), layers=True)
    assert report.passed and report.layers is not None and report.layers.first is None
    assert [la.value for la in report.layers.healed] == ["a", "d"]
    wrong = text_model(folded.replace("Mul(a, x)", "Sub(a, x)"))
    report = compare(text_model(text), wrong, layers=True)
    assert report.layers is not None and report.layers.first is not None


def growing(alpha: str) -> onnx.ModelProto:
    """A tiny value goes through a step that only carries it, and one that makes it large."""
    return text_model(f"""g (float[2,3] x) => (float[2,3] y) {{
        big = Constant<value_float = 100000.0>()
        a = Neg(x)  b = LeakyRelu<alpha = {alpha}>(a)  c = Neg(b)  d = Mul(c, big)  y = Tanh(d)
    }}""")


@pytest.mark.parametrize("how", ["layers", "bisect"])
def test_an_error_that_is_small_where_it_begins(
    how: str, schema: jsonschema.Draft202012Validator
) -> None:
    inputs = {"x": np.linspace(0.1, 1, 6, dtype=np.float32).reshape(2, 3)}
    report = compare(growing("0.000001"), growing("0.000002"), inputs=inputs, **{how: True})
    layers = report.layers
    assert layers is not None and layers.first is not None
    if how == "bisect":
        assert layers.first.value == "b"
    else:
        assert layers.first.value == "d" and layers.begins is not None
        assert layers.begins.value == "b" and layers.begins.metrics.passed
        assert "It begins, within the tolerance, at b (LeakyRelu)" in render(report)
    valid(report, schema)


def test_chunks_keep_under_the_budget() -> None:
    nodes = [
        helper.make_node("Relu", [f"v{i}" if i else "x"], [f"v{i + 1}"], f"n{i}") for i in range(40)
    ]
    proto = model_of(nodes, {"x": [1000, 250]}, {"v40": [1000, 250]})
    model = Model(proto)
    infer(model)
    pairs, _ = pair_values(OnnxRuntime(model), OnnxRuntime(Model(proto)))
    elements = 250_000
    one = 3 * 4 * elements + 64 * elements  # held on both sides and in the runtime; measured
    share = one + 5 * 3 * 4 * elements
    parts = list(chunks(pairs, share, 1 << 30))
    assert len(parts) > 6 and sum(map(len, parts)) == 40
    assert all(3 * 4 * elements * len(part) + 64 * elements <= share for part in parts)
    with pytest.raises(UsageError, match=r"--memory 1,024 MiB: does not hold v1"):
        list(chunks(pairs, one, 1 << 30))


def test_layers_in_several_chunks_find_the_same() -> None:
    import graphfix.comparison.chunks as chunks_
    import graphfix.comparison.layers as layers

    swap = ("Sqrt(b)", "Abs(b)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "available_bytes", lambda *a: 2 * (chunks_._EACH + 3 * 64) + 64 * 16)
        report = compare(chain(), chain(swap), layers=True, shapes={"x": (4, 4)})
    assert report.layers is not None and report.layers.chunks == 3
    assert report.layers.first is not None and report.layers.first.node == "n_c"


def test_the_worst_sample_counts() -> None:
    text = "g (float[1] x) => (float[1] y) { y = Relu(x) }"
    other = text_model(text.replace("Relu", "Identity"))
    inputs = [{"x": np.array([v], np.float32)} for v in (1.0, -2.0, 3.0)]
    report = compare(text_model(text), other, inputs=inputs)
    assert not report.passed and report.outputs[0].sample == 1
    assert report.outputs[0].metrics.max_abs == 2


def test_tolerances() -> None:
    scale = ("y = Tanh(e)", "t = Tanh(e) k = Constant<value_float = 1.001>() y = Mul(t, k)")
    assert not compare(chain(), chain(scale)).passed
    assert compare(chain(), chain(scale), tolerance=Tolerance(rtol=0.01)).passed
    assert compare(chain(), chain(scale), tolerance=Tolerance(cosine=0.9999)).passed


# ---------------------------------------------------------------------- saved data


def save(report_folder: Path, **arrays: np.ndarray) -> Path:
    report_folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(report_folder / f"{name}.npy", array)
    return report_folder


def two_outputs() -> onnx.ModelProto:
    return text_model("""g (float[2,3] x) => (float[2,3] left, int64[2] right) {
        left = Neg(x)
        right = Shape(x)
    }""")


X = np.arange(6, dtype=np.float32).reshape(2, 3)
RIGHT = np.array([2, 3])


def by_name(folder: Path) -> None:
    save(folder, left=-X, right=RIGHT)


def archive(folder: Path) -> None:
    folder.mkdir()
    np.savez(folder / "all.npz", left=-X, right=RIGHT)


def ais_bench(folder: Path) -> None:
    inner = folder / "2026_01_02-03_04_05"
    inner.mkdir(parents=True)
    (-X).tofile(inner / "pure_infer_data_0.bin")
    RIGHT.tofile(inner / "pure_infer_data_1.bin")
    (folder / "2026_01_02-03_04_05_summary.json").write_text("{}")


def ais_bench_narrow(folder: Path) -> None:
    folder.mkdir()
    (-X).astype(np.float16).tofile(folder / "cat_0.bin")
    RIGHT.astype(np.int32).tofile(folder / "cat_1.bin")


def msit_dump(folder: Path) -> None:
    folder.mkdir()
    np.save(folder / "block_neg.0.1682148256368588.npy", -X)
    np.save(folder / "right.0.1682148256368589.npy", RIGHT)


@pytest.mark.parametrize("layout", [by_name, archive, ais_bench, ais_bench_narrow, msit_dump])
def test_saved_layouts(layout: Callable[[Path], None], tmp_path: Path) -> None:
    proto = two_outputs()
    proto.graph.node[0].name, proto.graph.node[1].name = "/block/neg", "/right"
    layout(tmp_path / "saved")
    report = compare(proto, tmp_path / "saved", inputs={"x": X})
    assert report.passed and [o.name for o in report.outputs] == ["left", "right"]
    report = compare(proto, tmp_path / "saved", inputs={"x": X + 1})
    assert not report.passed and report.outputs[0].metrics.max_abs == 1


def test_saved_samples_go_with_saved_inputs(tmp_path: Path) -> None:
    compare(chain(), chain(), samples=3, save_inputs=tmp_path / "in", save_outputs=tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "in").iterdir()) == ["0", "1", "2"]
    again = compare(chain(), tmp_path / "out" / "b", inputs=[str(tmp_path / "in")])
    assert again.passed and again.samples == 3
    other = compare(
        chain(("Neg(x)", "Abs(x)")), tmp_path / "out" / "b", inputs=[str(tmp_path / "in")]
    )
    assert not other.passed


def test_layers_against_a_saved_dump(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    values = OnnxRuntime(Model(chain(("Sqrt(b)", "Abs(b)")))).run({"x": x}, ["b", "c", "d", "y"])
    for i, (name, array) in enumerate(values.items()):
        np.save(tmp_path / f"n_{name}.0.168214825636858{i}.npy", array)
    report = compare(chain(), tmp_path, inputs={"x": x}, layers=True)
    assert report.layers is not None and report.layers.first is not None
    assert [la.value for la in report.layers.layers] == ["b", "c", "d", "y"]
    assert report.layers.first.node == "n_c" and report.layers.unmatched == 2


def test_saved_data_needs_its_inputs(tmp_path: Path) -> None:
    by_name(tmp_path / "saved")
    with pytest.raises(UsageError, match="--input"):
        compare(two_outputs(), tmp_path / "saved")


def test_wrong_byte_counts_are_said(tmp_path: Path) -> None:
    (tmp_path / "left_0.bin").write_bytes(bytes(23))
    (tmp_path / "left_1.bin").write_bytes(bytes(16))
    with pytest.raises(UsageError, match=r"23 bytes; float32\[2,3\] takes 24"):
        compare(two_outputs(), tmp_path, inputs={"x": X})


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [("left.npy", b"no numpy", "cannot be read"), ("all.npz", b"PK\x03\x04x", "cannot be read"),
     ("note.txt", b"hello", "holds no .npy")],
)  # fmt: skip
def test_damaged_files(file: str, content: bytes, says: str, tmp_path: Path) -> None:
    if file == "left.npy":
        save(tmp_path, right=RIGHT)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UsageError, match=says):
        compare(two_outputs(), tmp_path, inputs={"x": X})


# ---------------------------------------------------------------------- bad input


def renamed() -> onnx.ModelProto:
    return chain(("=> (float[N,4] y)", "=> (float[N,4] z)"), ("y = Tanh", "z = Tanh"))


def test_other_names_pair_by_order_when_asked() -> None:
    with pytest.raises(UsageError, match=r"has no output y: it has z.*--by-order"):
        compare(chain(), renamed())
    report = compare(chain(), renamed(), by_order=True)
    assert report.passed and report.outputs[0].other == "z"


def test_other_inputs_are_refused() -> None:
    other = chain(("float[N,4] x", "float[N,4] u"), ("Neg(x)", "Neg(u)"))
    with pytest.raises(UsageError, match="wants input u"):
        compare(chain(), other)
    assert compare(chain(), other, by_order=True).passed


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match=r"--shape x=2,5 does not fit"):
        compare(chain(), chain(), shapes={"x": (2, 5)})
    with pytest.raises(UsageError, match="--shape z"):
        compare(chain(), chain(), shapes={"z": (2, 5)})
    with pytest.raises(UsageError, match=r"declared as \[3,4\], but is fed \[2,4\]"):
        compare(chain(), chain(("float[N,4] x", "float[3,4] x")), shapes={"x": (2, 4)})
    report = compare(chain(), chain(("float[N,4] x", "float[3,4] x")))
    assert report.inputs == {"x": "float32[3,4]"}


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match=r"float32\[2,5\] does not fit"):
        compare(chain(), chain(), inputs={"x": np.zeros((2, 5), np.float32)})
    with pytest.raises(UsageError, match="float64"):
        compare(chain(), chain(), inputs={"x": np.zeros((2, 4))})


def test_a_narrower_input_is_cast() -> None:
    """ATC turns int64 inputs into int32."""
    proto = model_of([helper.make_node("Gather", ["w", "i"], ["y"])], {"i": (INT64, [3])},
                     {"y": [3, 2]}, {"w": np.eye(4, 2, dtype=np.float32)})  # fmt: skip
    narrow = onnx.ModelProto()
    narrow.CopyFrom(proto)
    narrow.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT32
    assert compare(proto, narrow).passed


def test_a_side_that_stops_leaves_what_was_compared() -> None:
    """The second sample makes the other side divide by zero dims: the first one stays."""
    text = "g (float[N] x) => (float[N] y) { y = Relu(x) }"
    fixed = text_model("g (float[M] x) => (float[M] y) { s = Constant<value_ints = [2]>() "
                       "r = Reshape(x, s) y = Relu(r) }")  # fmt: skip
    inputs = [{"x": np.ones(n, np.float32)} for n in (2, 3)]
    report = compare(text_model(text), fixed, inputs=inputs)
    assert report.stopped is not None and "Sample 1 of 2" in report.stopped
    assert not report.passed and report.outputs[0].metrics.passed
    assert "Stopped:" in render(report) and "Stopped:" in render_markdown(report)
    with pytest.raises(RuntimeFailed):
        compare(text_model(text), fixed, inputs=inputs[1])


def test_values_that_no_array_can_hold_are_left_out() -> None:
    proto = text_model("""g (float[2,3] x) => (float[2,3] y) {
        h = Cast<to = 16>(x)  z = Cast<to = 1>(h)  y = Neg(z)
    }""")
    report = compare(proto, proto, layers=True)
    assert report.passed and report.layers is not None and report.layers.unmatched == 1
    assert [layer.value for layer in report.layers.layers] == ["z", "y"]


class Vanishing:
    """A side whose device is gone after a few runs."""

    def __init__(self, side: OnnxRuntime, runs: int) -> None:
        self.side, self.left = side, runs
        self.name, self.inputs, self.outputs = "NPU 0", side.inputs, side.outputs

    def values(self) -> list[str]:
        return list(self.side.model.graph.values)

    def run(self, feeds: Mapping[str, np.ndarray], fetch: Sequence[str] | None = None) -> dict:
        self.left -= 1
        if self.left < 0:
            raise RuntimeFailed("NPU 0 is gone.")
        return self.side.run(feeds, fetch)

    def close(self) -> None:
        self.side.close()

    def __enter__(self) -> Vanishing:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@pytest.mark.parametrize("how", ["layers", "bisect"])
def test_a_device_that_vanishes(how: str, schema: jsonschema.Draft202012Validator) -> None:
    wrong = OnnxRuntime(Model(chain(("Sqrt(b)", "Abs(b)"))))
    report = compare(chain(), Vanishing(wrong, 1), **{how: True})
    assert report.stopped is not None and "NPU 0 is gone" in report.stopped and not report.passed
    assert report.layers is not None and report.layers.layers
    assert "NPU 0 is gone" in render(report)
    valid(report, schema)
    with pytest.raises(RuntimeFailed, match="gone"):
        compare(chain(), Vanishing(wrong, 0), **{how: True})


def test_models_that_nothing_runs() -> None:
    with pytest.raises(RuntimeFailed, match="does not load"):
        compare(text_model("g (float[N] x) => (float[N] y) { y = Nonsense(x) }"), chain())


def test_the_picture_is_svg_and_marks_the_first() -> None:
    from xml.etree import ElementTree

    report = compare(chain(), chain(("Sqrt(b)", "Abs(b)")), layers=True)
    assert report.layers is not None
    root = ElementTree.fromstring(picture(report.layers))
    circles = [e for e in root if e.tag.endswith("circle")]
    assert [c.get("fill") == "#c22" for c in circles] == [False, False, True, True, True, True]
    assert "first: n_c" in "".join(root.itertext())


def test_constants_and_folded_weights_are_values_too() -> None:
    """A wrong Transpose of a weight is named, not the MatMul behind it."""
    w = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)

    def model(perm: list[int]) -> onnx.ModelProto:
        nodes = [
            helper.make_node("Transpose", ["w"], ["t"], "turn", perm=perm),
            helper.make_node("MatMul", ["x", "t"], ["y"], "mm"),
        ]
        return model_of(nodes, {"x": [2, 4]}, {"y": [2, 4]}, {"w": w})

    report = compare(model([1, 0]), model([0, 1]), layers=True)
    assert report.layers is not None and report.layers.first is not None
    assert report.layers.first.node == "turn"
    assert numpy_helper.to_array(model([1, 0]).graph.initializer[0]).shape == (4, 4)


def test_folded_nodes_are_no_divergence(schema: jsonschema.Draft202012Validator) -> None:
    """A Conv into which its scale was folded keeps its name and gives another value."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(4, 4)).astype(np.float32)

    def model(factor: float, scale: float, act: str = "Tanh") -> onnx.ModelProto:
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["m"], "product"),
            helper.make_node("Mul", ["m", "k"], ["s"], "scaled") if scale else None,
            helper.make_node(act, ["s" if scale else "m"], ["y"], "last"),
        ]
        weights = {"w": w * np.float32(factor), "k": np.array(scale, np.float32)}
        kept = [n for n in nodes if n is not None]
        return model_of(kept, {"x": [2, 4]}, {"y": [2, 4]}, weights)

    report = compare(model(1, 0.5), model(0.5, 0), layers=True)
    assert report.passed and report.layers is not None and report.layers.first is None
    assert [layer.node for layer in report.layers.healed] == ["product"]
    assert "all that follows agrees" in render(report)
    valid(report, schema)
    wrong = compare(model(1, 0.5), model(0.5, 0, "Sigmoid"), layers=True)
    assert not wrong.passed and wrong.layers is not None and wrong.layers.first is not None


@pytest.mark.parametrize(
    ("fine", "coarse", "joins"),
    [
        ((4, 8, 16), (32, 16), True),
        ((1, 3, 1, 4), (3, 4), True),
        ((3,), (1, 3), True),
        ((1, 1), (), True),
        ((4, 8), (8, 4), False),
        ((2, 6), (3, 4), False),
        ((2, 3), (6, 2), False),
        ((2, 3, 2), (6,), False),
        ((0, 3), (0,), False),
    ],
)
def test_joined_dims(fine: tuple[int, ...], coarse: tuple[int, ...], joins: bool) -> None:
    assert _joins(fine, coarse) is joins


def test_dims_of_size_one_are_no_divergence_of_inner_values() -> None:
    a = text_model("g (float[1,3,4] x) => (float[1,3,4] y) { h = Neg(x)  y = Relu(h) }")
    b = text_model("""g (float[1,3,4] x) => (float[1,3,4] y) {
        i = Constant<value_ints = [3, 4]>()  o = Constant<value_ints = [1, 3, 4]>()
        f = Reshape(x, i)  h = Neg(f)  r = Relu(h)  y = Reshape(r, o)
    }""")
    report = compare(a, b, layers=True)
    assert report.passed and report.layers is not None and report.layers.first is None
    assert "h" in {layer.value for layer in report.layers.layers} and not report.layers.healed
