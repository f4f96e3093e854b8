"""graphfix atc custom-op: prototype, skeletons and plugin agree with the model and compile."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import onnx
import pytest
from onnx import TensorProto, helper

from graphfix.atc.custom_op import Prototype, files_of, prototype_of
from graphfix.atc.custom_op.prototype import snake
from graphfix.errors import UsageError
from graphfix.graph import Model, infer
from graphfix.support import Tables, Target
from tests.builders import FLOAT, INT64, model_of, text_model, write

HEADERS = Path(__file__).parent / "cann_headers"
GXX = shutil.which("g++")
TARGET = Target.of(["Ascend310P3"])

# the fields of msopgen's JSON and their values (msOpGen, "Creating an Operator Project", CANN 8)
_PARAM = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "param_type", "format", "type"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z_][a-z0-9_]*$"},
        "param_type": {"enum": ["required", "optional", "dynamic"]},
        "format": {"type": "array", "minItems": 1, "items": {"const": "ND"}},
        "type": {"type": "array", "minItems": 1, "items": {"enum": [
            "float16", "float32", "bfloat16", "double", "int8", "int16", "int32", "int64", "uint8",
            "uint16", "uint32", "uint64", "bool"]}},
    },
}  # fmt: skip
_ATTR = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "param_type", "type"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z_][a-z0-9_]*$"},
        "param_type": {"enum": ["required", "optional"]},
        "type": {"enum": ["int", "bool", "float", "string", "list_int", "list_float", "list_bool",
                          "list_list_int"]},
        "default_value": {},
    },
    "if": {"properties": {"param_type": {"const": "optional"}}},
    "then": {"required": ["default_value"]},
}  # fmt: skip
MSOPGEN = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["op", "output_desc"],
        "properties": {
            "op": {"type": "string", "pattern": "^[A-Z][A-Za-z0-9]*$"},
            "language": {"const": "cpp"},
            "input_desc": {"type": "array", "items": _PARAM},
            "output_desc": {"type": "array", "minItems": 1, "items": _PARAM},
            "attr": {"type": "array", "minItems": 1, "items": _ATTR},
        },
    },
}


def fancy() -> onnx.ModelProto:
    """Two nodes that differ in inputs, outputs, attributes and ranks."""
    table = helper.make_tensor("t", FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("Fancy", ["x", "", "b"], ["m", "k"], name="f0", domain="my.domain",
                         alpha=0.5, axes=[1, 2], mode="fast", table=table),
        helper.make_node("Fancy", ["m", "b"], ["y", ""], name="f1", domain="my.domain",
                         alpha=1e-5, mode='sl"ow', axes=[0], depth=3),
    ]  # fmt: skip
    proto = model_of(
        nodes, {"x": [2, 4], "b": [4]}, {"y": [2, 4], "k": (INT64, [2])}, imports={"my.domain": 3}
    )
    proto.graph.value_info.append(helper.make_tensor_value_info("m", FLOAT, [2, 4]))
    return proto


def single(
    op: str = "Op", domain: str = "my", inputs: dict[str, Any] | None = None,
    outputs: dict[str, Any] | None = None, opset: int = 17, **attributes: Any,
) -> onnx.ModelProto:  # fmt: skip
    inputs, outputs = inputs or {"x": [2]}, outputs or {"y": [2]}
    node = helper.make_node(op, list(inputs), list(outputs), domain=domain)
    node.attribute.extend(helper.make_attribute(name, v) for name, v in attributes.items())
    return model_of([node], inputs, outputs, opset=opset, imports={domain: 1})


def prototype(proto: onnx.ModelProto, op: str, **options: Any) -> Prototype:
    model = Model(proto)
    infer(model)
    found = prototype_of(model, op, TARGET, Tables(), **options)
    jsonschema.validate(found.to_json(), MSOPGEN)
    lengths = {len(p.dtypes) for p in (*found.inputs, *found.outputs)}
    assert len(lengths) == 1, "types and formats are read position by position"
    return found


# ---------------------------------------------------------------------- the prototype


def test_all_nodes_are_covered() -> None:
    found = prototype(fancy(), "my.domain::Fancy")
    assert found.name == "FancyCustom" and found.opset == 3 and len(found.nodes) == 2
    assert [(p.name, p.kind) for p in found.inputs] == [
        ("x1", "required"), ("x2", "optional"), ("x3", "optional")]  # fmt: skip
    assert [p.dtypes for p in found.outputs] == [("float32", "float16"), ("int64", "int64")]
    assert found.inputs[0].shapes == ((2, 4),) and found.outputs[1].shapes == ((2,),)
    kinds = {a.onnx_name: (a.type, a.required) for a in found.attributes}
    assert kinds == {
        "alpha": ("float", True), "axes": ("list_int", True), "mode": ("string", True),
        "table": (None, False), "depth": ("int", False)}  # fmt: skip
    values = {a.onnx_name: a.values for a in found.attributes}
    assert values["alpha"] == (0.5, 1e-05) and values["mode"] == ("fast", 'sl"ow')
    entry = found.to_json()[0]
    assert "table" not in [a["name"] for a in entry["attr"]]
    assert next(a for a in entry["attr"] if a["name"] == "depth")["default_value"] == 0


def test_what_no_node_tells_is_assumed_and_said() -> None:
    proto = text_model("g (float[N,4] x) => (y) { a = my.Op(x) y = my.Op(a) }",
                       imports=', "my" : 1')  # fmt: skip
    found = prototype(proto, "my::Op")
    assert found.inputs[0].shapes == (("N", 4), None) and found.outputs[0].shapes == (None,)
    assert found.outputs[0].assumed and found.outputs[0].dtypes == ("float32", "float16")
    assert "y is told by no node" in files_of(found, TARGET, "m.onnx")["README.md"]


def test_int_and_half_combinations() -> None:
    half = (TensorProto.FLOAT16, [2])
    assert prototype(single(inputs={"x": half}, outputs={"y": half}), "my::Op").combinations == 1
    found = prototype(single(outputs={"y": (INT64, [2])}), "my::Op")
    assert found.inputs[0].dtypes == ("float32", "float16")
    assert found.outputs[0].dtypes == ("int64", "int64")


def test_a_standard_operator_lends_names_and_defaults() -> None:
    proto = text_model("g (float[2] x) => (float[2] y) { y = Gelu(x) }", 20)
    found = prototype(proto, "ai.onnx::Gelu")
    assert [p.name for p in (*found.inputs, *found.outputs)] == ["x", "y"]
    (attribute,) = found.attributes
    assert (attribute.onnx_name, attribute.type, attribute.default) == (
        "approximate", "string", "none")  # fmt: skip
    assert not attribute.required and not attribute.assumed
    assert found.origins[0] == "ai.onnx::20::Gelu" and "ai.onnx::17::Gelu" in found.origins


def test_a_plugin_of_cann_is_not_shadowed_beyond_the_model() -> None:
    proto = text_model("g (float[2] x) => (float[2] y) { y = Relu(x) }", 17)
    found = prototype(proto, "ai.onnx::Relu")
    assert found.origins == ("ai.onnx::17::Relu",) and found.registered
    assert "graphfix ops Relu" in files_of(found, TARGET, "m.onnx")["README.md"]


@pytest.mark.parametrize("variadic", [True, False])
def test_any_number_of_inputs(variadic: bool) -> None:
    nodes = [helper.make_node("Pack", ["x", "x"], ["a"], domain="my"),
             helper.make_node("Pack", ["x", "x", "x"], ["y"], domain="my")]  # fmt: skip
    proto = model_of(nodes, {"x": [2]}, {"y": [2]}, imports={"my": 1})
    found = prototype(proto, "my::Pack", variadic=variadic)
    kinds = [p.kind for p in found.inputs]
    assert kinds == (["dynamic"] if variadic else ["required", "required", "optional"])


def test_a_schema_says_that_inputs_are_a_list() -> None:
    proto = text_model("g (float[2] x, float[2] z) => (float[2] y) { y = Sum(x, z) }", 17)
    found = prototype(proto, "ai.onnx::Sum")
    assert [(p.name, p.kind) for p in found.inputs] == [("data_0", "dynamic")]


def test_names_that_cpp_does_not_take() -> None:
    proto = single("my-op.v2", **{"class": 1, "2d": 2, "Größe": 1.5, "x": 1})
    found = prototype(proto, "my::my-op.v2")
    assert found.name == "MyOpV2Custom"
    names = [a.name for a in found.attributes]
    assert len(set(names)) == 4 and "x" not in names and "class" not in names


def test_nodes_in_branches_are_found() -> None:
    proto = text_model(
        """
g (bool c, float[2] x) => (float[2] y) {
    y = If (c) <
        then_branch = t () => (float[2] p) { p = my.Op(x) },
        else_branch = e () => (float[2] z) { z = Neg(x) }
    >
}""",
        imports=', "my" : 1',
    )
    assert len(prototype(proto, "my::Op").nodes) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [("AddCustom", "add_custom"), ("MyOp2D", "my_op2_d"), ("HTTPServer", "http_server"),
     ("ABCDef", "abc_def"), ("Op", "op")],
)  # fmt: skip
def test_file_names_as_msopgen_spells_them(name: str, expected: str) -> None:
    assert snake(name) == expected


def conflicting() -> onnx.ModelProto:
    nodes = [helper.make_node("Op", ["x"], ["a"], domain="my", k=1),
             helper.make_node("Op", ["a"], ["y"], domain="my", k="one")]  # fmt: skip
    return model_of(nodes, {"x": [2]}, {"y": [2]}, imports={"my": 1})


@pytest.mark.parametrize(
    ("proto", "op", "says"),
    [
        (fancy(), "Fancy", "expected Domain::Type"),
        (fancy(), "my.domain::Fency", "Did you mean my.domain::Fancy"),
        (fancy(), "ai.onnx::Fancy", "no such node"),
        (conflicting(), "my::Op", "attribute k has another type"),
        (single(inputs={"x": (TensorProto.STRING, [2])}), "my::Op", "string"),
    ],
)
def test_refused(proto: onnx.ModelProto, op: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        prototype(proto, op)


def test_a_domain_without_opset_and_a_function_are_refused() -> None:
    proto = single()
    del proto.opset_import[1:]
    with pytest.raises(UsageError, match="GF103"):
        prototype(proto, "my::Op")
    proto = single()
    body = helper.make_node("Relu", ["x"], ["y"])
    opset = helper.make_opsetid("", 17)
    proto.functions.append(helper.make_function("my", "Op", ["x"], ["y"], [body], [opset]))
    with pytest.raises(UsageError, match="function of the model"):
        prototype(proto, "my::Op")


# ---------------------------------------------------------------------- the files


MODELS = {
    "fancy": (fancy(), "my.domain::Fancy", {}),
    "plain": (single(), "my::Op", {}),
    "variadic": (single(inputs={"x": [2], "z": [2]}), "my::Op", {"variadic": True}),
    "numbers": (single(i=-3, f=float("inf"), fs=[0.1, 2.0], s='a"b\\'), "my::Op", {}),
    "odd": (single("my-op", **{"class": 1, "text": "t", "name": 2, "x": 1.0}), "my::my-op", {}),
    "gelu": (text_model("g (float[2] x) => (float[2] y) { y = Gelu(x) }", 20), "ai.onnx::Gelu", {}),
    "indices": (single(outputs={"y": (INT64, [1]), "v": [2]}), "my::Op", {}),
}  # fmt: skip


@pytest.mark.skipif(GXX is None, reason="no g++")
@pytest.mark.parametrize("name", MODELS)
def test_everything_compiles_against_stand_ins(name: str, tmp_path: Path) -> None:
    proto, op, options = MODELS[name]
    found = prototype(proto, op, **options)
    files = files_of(found, TARGET, "m.onnx")
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    # as if the user had written what does not compile until then
    written = {m for text in files.values() for m in re.findall(r"#ifndef (\w+_WRITTEN)", text)}
    types = {f"DTYPE_{p.name.upper()}" for p in (*found.inputs, *found.outputs)}
    command = [
        str(GXX), "-std=c++17", "-fsyntax-only", "-Wall", "-Werror", "-include", "cmath",
        f"-I{HEADERS}", f"-I{tmp_path / 'op_host'}",
        f'-DTILING_HEADER="{found.file_name}_tiling.h"', *(f"-D{t}=half" for t in types),
    ]  # fmt: skip
    sources = [str(tmp_path / p) for p in files if p.endswith((".cpp", ".cc"))]
    assert len(sources) == 3
    for source in sources:
        done = subprocess.run([*command, *(f"-D{m}" for m in written), source],
                              capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
    kernel = next(s for s in sources if "op_kernel" in s)
    done = subprocess.run([*command, kernel], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "write the computation" in done.stderr


@pytest.mark.parametrize("name", MODELS)
def test_json_host_and_plugin_agree(name: str) -> None:
    proto, op, options = MODELS[name]
    found = prototype(proto, op, **options)
    files = files_of(found, TARGET, "m.onnx")
    entry = json.loads(files[f"{found.file_name}.json"])[0]
    host = files[f"op_host/{found.file_name}.cpp"]
    plugin = files[f"framework/onnx_plugin/{found.file_name}_plugin.cc"]
    for way, key in (("Input", "input_desc"), ("Output", "output_desc")):
        said = re.findall(rf'this->{way}\("(\w+)"\)\s+\.ParamType\((\w+)\)', host)
        assert said == [(p["name"], p["param_type"].upper()) for p in entry[key]]
    attributes = [(a["name"], a["param_type"].upper()) for a in entry.get("attr", [])]
    assert re.findall(r'this->Attr\("(\w+)"\)\.AttrType\((\w+)\)', host) == attributes
    assert re.findall(r'op_dest\.SetAttr\("(\w+)"', plugin) == [n for n, _ in attributes]
    origins = re.findall(r'AscendString\("([^"]*::[^"]*)"\)', plugin)
    assert origins == list(found.origins) and f'REGISTER_CUSTOM_OP("{found.name}")' in plugin
    seen = json.loads(files["occurrences.json"])["nodes"]
    assert len(seen) == sum(n.op_type == found.op_type for n in Model(proto).graph.walk())


def test_a_shape_that_follows_from_no_input_does_not_compile_unwritten() -> None:
    found = prototype(single(outputs={"y": [7]}), "my::Op")
    host = files_of(found, TARGET, "m.onnx")["op_host/op_custom.cpp"]
    assert "#error" in host and "write the shape of y" in host
    same = files_of(prototype(single(), "my::Op"), TARGET, "m.onnx")["op_host/op_custom.cpp"]
    assert "#error" not in same
    assert "*context->GetOutputShape(0) = *context->GetInputShape(0);" in same


def test_the_steps_of_the_release() -> None:
    found = prototype(single(), "my::Op")
    old = files_of(found, TARGET, "m.onnx")["README.md"]
    new = files_of(found, Target.of(["Ascend910B3"], "2026.08"), "m.onnx")["README.md"]
    for text, chip in ((old, "Ascend310P3"), (new, "Ascend910B3")):
        assert f"msopgen gen -i op_custom.json -f onnx -c ai_core-{chip} -lan cpp" in text
        for word in ("build.sh", "custom_opp_*.run", "ASCEND_CUSTOM_OPP_PATH"):
            assert word in text
    assert "ascend-toolkit/set_env.sh" in old and "Ascend/cann/set_env.sh" in new


# ---------------------------------------------------------------------- the command


def test_the_whole_road(main: Callable, tmp_path: Path) -> None:
    """The model is refused; renamed as the README says and declared, it is taken."""
    write(fancy(), tmp_path / "m.onnx")
    done = main("atc", "custom-op", "m.onnx", "--op", "my.domain::Fancy", "--soc", "Ascend310P3")
    assert done.returncode == 0 and "2 nodes, opset 3 -> FancyCustom" in done.stdout
    folder = tmp_path / "fancy_custom"
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == [
        "README.md", "fancy_custom.cpp", "fancy_custom.cpp", "fancy_custom.json",
        "fancy_custom_plugin.cc", "fancy_custom_tiling.h", "occurrences.json"]  # fmt: skip
    script = re.search(r"python3 - <<'EOF'\n(.*?)EOF", (folder / "README.md").read_text(), re.S)
    assert script is not None
    subprocess.run([sys.executable, "-c", script[1]], cwd=tmp_path, check=True)
    soc = ("--soc", "Ascend310P3")
    assert main("check", "m.onnx", *soc).returncode == 1
    assert main("check", "renamed.onnx", *soc).returncode == 1
    taken = main("convert", "renamed.onnx", "--dry-run", *soc, "--custom-op", "ai.onnx::Fancy")
    assert taken.returncode == 0 and "refused" not in taken.stdout.split("before")[-1]


def test_a_folder_in_use_is_left_alone(main: Callable, tmp_path: Path) -> None:
    write(single(), tmp_path / "m.onnx")
    words = ["atc", "custom-op", "m.onnx", "--op", "my::Op", "-o", "out"]
    (tmp_path / "out").mkdir()
    assert main(*words).returncode == 0  # an empty folder will do
    kernel = tmp_path / "out" / "op_kernel" / "op_custom.cpp"
    kernel.write_text("mine")
    (tmp_path / "out" / "notes.txt").write_text("keep")
    again = main(*words)
    assert again.returncode == 2 and "--force" in again.stderr and kernel.read_text() == "mine"
    assert main(*words, "--force").returncode == 0
    assert kernel.read_text() != "mine" and (tmp_path / "out" / "notes.txt").read_text() == "keep"
    assert {p.name for p in tmp_path.iterdir()} == {"m.onnx", "out"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--op", "my::Nope"],
        ["--op", "Op"],
        ["--op", "my::Op", "--name", "lower"],
        ["--op", "my::Op", "-o", "m.onnx"],
        ["--op", "my::Op", "-o", "no/such/folder"],
        ["--op", "my::Op", "--soc", "Ascend310P3,Ascend910B3"],
        ["--op", "my::Op", "--shape", "q=1"],
    ],
)
def test_bad_usage_writes_nothing(main: Callable, tmp_path: Path, arguments: list[str]) -> None:
    write(single(), tmp_path / "m.onnx")
    done = main("atc", "custom-op", "m.onnx", *arguments)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("graphfix: ")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
