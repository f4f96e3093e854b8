"""fix() from end to end."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import helper

import graphfix
from graphfix.comparison.runtimes.onnxruntime import new_session
from graphfix.errors import UsageError
from graphfix.graph import Graph, Model, Node
from graphfix.rewrite import Builder, FixReport, No, Site, fix
from graphfix.rewrite.registry import own_rules, select
from graphfix.rewrite.whole import compare_models
from graphfix.support import Target
from tests.builders import model_of, text_model, write
from tests.rewrite.toys import TARGET, assert_same, pair, toy

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from demo import transformer

SCHEMAS = Path(graphfix.__file__).parent / "schemas"
GELU = text_model("g (float[2,3] x) => (float[2,3] y) { y = Gelu(x) }", 20)


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    text = (SCHEMAS / "fix-1.json").read_text(encoding="utf-8")
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    return jsonschema.Draft202012Validator(json.loads(text))


@pytest.fixture(scope="module")
def block() -> onnx.ModelProto:
    return transformer()


@pytest.fixture(scope="module")
def fixed(block: onnx.ModelProto) -> FixReport:
    return fix(block, TARGET, verify="model")


def worst(report: FixReport) -> set[str]:
    return {f.effect for f in report.after.findings} & {"rejected", "miscompiled"}


# ---------------------------------------------------------------------- the transformer


def test_transformer_is_taken_afterwards(block: onnx.ModelProto, fixed: FixReport) -> None:
    assert fixed.before.verdict == "refused"
    assert fixed.after.accepted and not worst(fixed)
    assert fixed.plan.losses == [] and fixed.failed_proofs == []
    assert fixed.after.opset <= 18
    assert fixed.fired()["decompose/gelu"] == 1
    onnx.checker.check_model(fixed.model.proto, full_check=True)


def test_transformer_computes_the_same(block: onnx.ModelProto, fixed: FixReport) -> None:
    assert fixed.whole is not None and fixed.whole.ok is True
    assert set(fixed.whole.outputs) == {"output"}
    assert fixed.whole.outputs["output"]["max_rel"] < 1e-5
    feed = {"input_ids": np.random.default_rng(1).integers(0, 1000, (3, 32))}
    first, second = (
        onnx.reference.ReferenceEvaluator(p).run(None, feed)[0] for p in (block, fixed.model.proto)
    )
    np.testing.assert_allclose(second, first, atol=1e-5)


def test_interface_stays(block: onnx.ModelProto, fixed: FixReport) -> None:
    after = fixed.model.proto
    assert after.graph.input == block.graph.input
    assert after.graph.output == block.graph.output
    assert after.graph.name == block.graph.name


def test_weights_are_not_touched(block: onnx.ModelProto, fixed: FixReport) -> None:
    before = {t.name: t for t in block.graph.initializer}
    after = {t.name: t for t in fixed.model.proto.graph.initializer}
    for name in ("query.weight", "up.weight", "embedding.weight"):
        assert after[name] == before[name]


def test_every_change_is_proved_and_logged(fixed: FixReport) -> None:
    names = {n.name for n in fixed.model.proto.graph.node}
    assert fixed.changes
    for change in fixed.changes:
        if change.before:
            assert change.proof is not None and change.proof.ok is True
            assert change.proof.samples > 0
    gelu = next(c for c in fixed.changes if c.rule == "decompose/gelu")
    assert gelu.before == ["/gelu/Gelu"]
    assert set(gelu.after) <= names and all(n.startswith("/gelu/Gelu/") for n in gelu.after)


def test_second_fix_changes_nothing(fixed: FixReport) -> None:
    again = fix(fixed.model.proto, TARGET)
    assert again.changes == []
    assert again.model.proto.SerializeToString(
        deterministic=True
    ) == fixed.model.proto.SerializeToString(deterministic=True)


def test_two_runs_give_the_same_bytes(block: onnx.ModelProto, fixed: FixReport) -> None:
    again = fix(block, TARGET)
    assert again.model.proto.SerializeToString(
        deterministic=True
    ) == fixed.model.proto.SerializeToString(deterministic=True)


@pytest.mark.parametrize("opset", [17, 18, 20, 21])
def test_transformer_of_other_opsets(opset: int) -> None:
    proto = transformer(opset)
    if opset < 20:
        for node in proto.graph.node:
            if node.op_type == "Gelu":
                node.op_type = "Relu"
    report = fix(proto, TARGET, verify="model")
    assert report.whole is not None and report.whole.ok is True
    assert report.after.accepted and not worst(report)


def test_input_stays_as_it_is(block: onnx.ModelProto) -> None:
    before = block.SerializeToString(deterministic=True)
    fix(block, TARGET, shapes={"input_ids": (1, 32)})
    assert block.SerializeToString(deterministic=True) == before
    loaded = graphfix.graph.Model(block)
    fix(loaded, TARGET)
    assert loaded.proto.SerializeToString(deterministic=True) == before


# ---------------------------------------------------------------------- verify


def test_verify_off_says_so(schema: jsonschema.Draft202012Validator) -> None:
    report = fix(GELU, TARGET, verify="off")
    assert report.verify == "off" and report.after.accepted
    assert all(c.proof is None for c in report.changes)
    schema.validate(report.to_json())


def test_verify_off_does_not_start_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphfix.rewrite import gate

    monkeypatch.setattr(gate, "prove", lambda *a: pytest.fail("something was proved"))
    assert fix(text_model("g (float[2] x) => (float[2] y) { y = Clip(x) }"), TARGET,
               verify="off").changes  # fmt: skip


@pytest.mark.parametrize("verify", ["site", "model", "off"])
def test_report_follows_its_schema(verify: str, schema: jsonschema.Draft202012Validator) -> None:
    report = fix(GELU, TARGET, verify=verify)
    entry = json.loads(json.dumps(report.to_json(), allow_nan=False))
    schema.validate(entry)
    assert (entry["whole_model"] is not None) is (verify == "model")
    assert entry["before"]["verdict"] == "refused" and entry["after"]["accepted"]
    assert entry["target"]["socs"] == ["Ascend310P3"]


def test_schema_is_strict(schema: jsonschema.Draft202012Validator) -> None:
    entry = fix(GELU, TARGET).to_json()
    schema.validate(entry)
    for path, value in (
        (("predicted",), False),
        (("surprise",), 1),
        (("changes", 0, "exactness"), "perhaps"),
        (("changes", 0, "proof", "proved"), False),
        (("opset", "before"), "20"),
        (("after", "verdict"), "fine"),
        (("whole_model",), {"equal": True, "reason": "equal", "outputs": {}}),
    ):
        broken = json.loads(json.dumps(entry))
        inner = broken
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        assert list(schema.iter_errors(broken)), path
    for key in entry:
        assert list(schema.iter_errors({k: v for k, v in entry.items() if k != key})), key


def test_schema_has_the_models_of_check() -> None:
    check, mine = (
        json.loads((SCHEMAS / f"{name}-1.json").read_text(encoding="utf-8"))["$defs"]
        for name in ("check", "fix")
    )
    assert {name: mine[name] for name in check} == check


def test_what_remains_has_the_reason_of_its_own_node(
    schema: jsonschema.Draft202012Validator,
) -> None:
    """Two nodes of one operator stay for different reasons; each is told its own."""
    proto = text_model("""g (float[1,3,4,4] x, float[4] s, int64[4] d) => (float[A,B,C,D] y,
                                                              float[E,F,G,H] z) {
        y = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric",
                   nearest_mode = "ceil">(x, , s)
        z = Resize<mode = "cubic", antialias = 1>(x, , , d)
    }""", 18)  # fmt: skip
    for node, name in zip(proto.graph.node, ("by_scales", "by_sizes"), strict=True):
        node.name = name
    report = fix(proto, TARGET)
    reasons = {r.finding.node: r.reason for r in report.remaining}
    assert set(reasons) == {"by_scales", "by_sizes"}
    assert reasons["by_scales"] != reasons["by_sizes"]
    entry = json.loads(json.dumps(report.to_json(), allow_nan=False))
    schema.validate(entry)
    assert {r["node"]: r["reason"] for r in entry["remaining"]}.items() <= reasons.items()


def test_unknown_verify_is_refused() -> None:
    with pytest.raises(UsageError, match="--verify perhaps"):
        fix(GELU, TARGET, verify="perhaps")


def wrong() -> FixReport:
    """A rule that promises too little error and is caught; verified over whole outputs."""
    proto = text_model("g (float[2,3] x) => (float[2,3] y) { a = Neg(x)  b = Neg(a)  y = Relu(b) }")
    rule = pair("toy/wrong", lambda b, x: b.op("Abs", x))
    return fix(proto, TARGET, rules=[rule], verify="model")


def test_failed_proof_is_in_the_report(schema: jsonschema.Draft202012Validator) -> None:
    report = wrong()
    entry = json.loads(json.dumps(report.to_json(), allow_nan=False))
    schema.validate(entry)
    assert [f["rule"] for f in entry["failed_proofs"]] == ["toy/wrong"]
    assert entry["rules"]["toy/wrong"]["fired"] == 0
    assert report.whole is not None and report.whole.ok is True


def test_whole_comparison_catches_what_was_not_proved(
    schema: jsonschema.Draft202012Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison of whole outputs is a second net behind the proofs of sites."""
    from graphfix.rewrite import gate
    from graphfix.rewrite.proof import Proof

    monkeypatch.setattr(gate, "prove", lambda *a: Proof(True, 1, 0.0, "equal", "onnxruntime"))
    report = wrong()
    assert report.whole is not None and report.whole.ok is False
    assert "instead of" in report.whole.reason
    assert report.whole.outputs["y"]["max_abs"] > 0.1
    schema.validate(json.loads(json.dumps(report.to_json(), allow_nan=False)))


def test_another_shape_of_the_whole_is_reported_in_valid_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from graphfix.rewrite import gate
    from graphfix.rewrite.proof import Proof

    monkeypatch.setattr(gate, "prove", lambda *a: Proof(True, 1, 0.0, "equal", "onnxruntime"))
    proto = text_model("g (int64[2] x) => (int64[2] y) { a = Neg(x)  b = Neg(a)  y = Abs(b) }")
    rule = pair("toy/wrong", lambda b, x: b.op("Add", x, x))
    report = fix(proto, TARGET, rules=[rule], verify="model")
    assert report.whole is not None and report.whole.ok is False
    json.dumps(report.to_json(), allow_nan=False)


# ---------------------------------------------------------------------- functions, shapes, others


def with_function() -> onnx.ModelProto:
    """A local function, called twice, with a Gelu inside."""
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    body = [
        helper.make_node("Gelu", ["a"], ["g"], name="inner"),
        helper.make_node("Add", ["g", "b"], ["c"], name="sum"),
    ]
    function = helper.make_function("local", "Block", ["a", "b"], ["c"], body, imports[:1])
    nodes = [
        helper.make_node("Block", ["x", "x"], ["h"], name="block_0", domain="local"),
        helper.make_node("Block", ["h", "x"], ["y"], name="block_1", domain="local"),
    ]
    graph = model_of(nodes, {"x": [2, 3]}, {"y": [2, 3]}).graph
    return helper.make_model(graph, opset_imports=imports, functions=[function], ir_version=8)


def test_functions_are_inlined_and_rewritten(schema: jsonschema.Draft202012Validator) -> None:
    proto = with_function()
    report = fix(proto, TARGET, verify="model")
    after = report.model.proto
    assert not after.functions
    assert report.fired()["decompose/gelu"] == 2
    assert {n.domain for n in after.graph.node} == {""}
    assert "local" not in {e.domain for e in after.opset_import}
    assert report.after.accepted and report.whole is not None and report.whole.ok is True
    assert_same(proto, after, 1e-5)
    schema.validate(report.to_json())
    names = [n.name for n in after.graph.node]
    assert len(names) == len(set(names))
    assert proto.functions


def test_bound_shapes_are_written() -> None:
    proto = text_model("g (float[N,3] x) => (float[N,3] y) { y = Gelu(x) }", 20)
    report = fix(proto, TARGET, shapes={"x": (4, 3)})
    after = report.model.proto
    assert [d.dim_value for d in after.graph.input[0].type.tensor_type.shape.dim] == [4, 3]
    assert all(not d.dim_param for d in after.graph.input[0].type.tensor_type.shape.dim)
    assert "dynamic" in {f.effect for f in fix(proto, TARGET).after.findings}
    assert "dynamic" not in {f.effect for f in report.after.findings}
    assert report.after.outputs == ["y: float32[4, 3]"] or "4" in report.after.outputs[0]
    onnx.checker.check_model(after, full_check=True)
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_bound_shapes_inside_branches() -> None:
    """What branches declare for the open dims must not contradict the bound ones."""
    proto = text_model("""g (bool c, float[N,3] x) => (float[N,3] y) {
        y = If (c) <
            then_branch = t () => (float[N,3] p) { p = Gelu(x) },
            else_branch = e () => (float[N,3] q) { q = Abs(x) }
        >
    }""", 20)  # fmt: skip
    report = fix(proto, TARGET, shapes={"x": (2, 3)}, verify="model")
    onnx.checker.check_model(report.model.proto, full_check=True)
    assert report.fired()["decompose/gelu"] == 1
    assert report.whole is not None and report.whole.ok is True
    change = next(c for c in report.changes if c.rule == "decompose/gelu")
    assert change.scope.endswith("/then_branch")


@pytest.mark.parametrize("shapes", [{"z": (2, 3)}, {"x": (2,)}, {"x": (2, 4)}])
def test_shapes_that_do_not_fit_are_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    proto = text_model("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    with pytest.raises(UsageError):
        fix(proto, TARGET, shapes=shapes)


def test_rules_may_be_given() -> None:
    report = fix(GELU, TARGET, rules=[])
    assert not report.after.accepted
    assert {n.op_type for n in report.model.proto.graph.node} == {"Gelu"}


def test_old_ir_version_stays_valid() -> None:
    """IR 3 wants every initializer among the inputs: what rules add must not break that."""
    proto = model_of(
        [helper.make_node("Clip", ["x"], ["a"], name="clip"),
         helper.make_node("Gemm", ["a", "w"], ["y"], name="gemm", alpha=0.5)],
        {"x": [2, 3], "w": [3, 4]}, {"y": [2, 4]}, {"w": np.ones((3, 4), np.float32)}, opset=11,
    )  # fmt: skip
    proto.ir_version = 3
    report = fix(proto, TARGET)
    assert report.changes
    assert_same(proto, report.model.proto, 1e-5)


def test_model_from_a_path(tmp_path: Path) -> None:
    path = write(GELU, tmp_path / "gelu.onnx")
    before = path.read_bytes()
    report = fix(path, TARGET)
    assert report.after.accepted and path.read_bytes() == before
    assert fix(str(path), TARGET).model.proto == report.model.proto


def test_rejected_by_nothing_stays_byte_for_byte() -> None:
    """A model without trouble and with named nodes comes out as it went in."""
    proto = model_of([helper.make_node("Relu", ["x"], ["y"], name="relu")], {"x": [2]}, {"y": [2]})
    report = fix(proto, TARGET)
    assert report.changes == []
    assert report.model.proto.SerializeToString(deterministic=True) == proto.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("cann", ["8.1.RC1", "2026.08"])
@pytest.mark.parametrize("soc", ["Ascend310P3", "Ascend910B1", "Ascend310"])
def test_every_target(cann: str, soc: str) -> None:
    report = fix(GELU, Target.of([soc], cann))
    assert report.after.accepted
    assert_same(GELU, report.model.proto, 1e-5)


# ---------------------------------------------------------------------- proofs that cost too much


def test_proofs_do_not_exhaust_memory() -> None:
    """Scales that are an input must not be tried at 30,000: the output would take gigabytes."""
    code = """
import resource, sys
import numpy as np
from onnx import helper
from graphfix.rewrite import fix
from graphfix.rewrite import proof
from tests.builders import model_of

limit = 6 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
asked = []
run = proof._Runner.run
def watch(self, inputs):
    asked.extend(float(abs(a).max()) for a in inputs.values()
                 if a.ndim == 1 and a.dtype.kind == "f" and a.size)
    return run(self, inputs)
proof._Runner.run = watch
node = helper.make_node("Resize", ["x", "", "s"], ["y"], name="up", mode="nearest", axes=[2, 3])
model = model_of([node], {"x": [1, 1, 2, 2], "s": [2]}, {"y": [1, 1, None, None]}, opset=19)
fix(model)
print(max(asked, default=0.0))
"""
    import subprocess

    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) < 1000


# ---------------------------------------------------------------------- what shapes make constant

# the length decides which branch runs; inside it, a computed shape decides the next one
NESTED = """g (float[N,M] x) => (float[A,B] y) <int64[1] last = {1}, int64[1] six = {6}> {
    s = Shape(x)  n = Gather(s, last)  c = Equal(n, six)
    y = If (c) <
        then_branch = t () => (float[E,F] p) <int64[1] two = {2}, int64[1] rest = {-1}> {
            d = Concat<axis = 0>(two, rest)  r = Reshape(x, d)
            rs = Shape(r)  m = Gather(rs, last)  inner = Equal(m, six)
            p = If (inner) <
                then_branch = tt () => (float[G,H] a) { a = Relu(r) },
                else_branch = te () => (float[I,J] b) { b = Abs(r) }
            >
        },
        else_branch = e () => (float[K,L] q) { q = Neg(x) }
    >
}"""


def test_one_run_folds_all_that_shapes_decide() -> None:
    proto = text_model(NESTED)
    report = fix(proto, TARGET, shapes={"x": (2, 6)}, verify="model")
    assert {n.op_type for n in report.model.proto.graph.node} <= {"Relu", "Reshape", "Identity"}
    assert report.whole is not None and report.whole.ok is True
    assert fix(report.model.proto, TARGET).changes == []


DEAD_BRANCH = """g (bool c, float[N,M] x, float[6,2] w) => (float[A,B] y)
    <int64[1] last = {1}, int64[1] six = {6}> {
    y = If (c) <
        then_branch = t () => (float[E,F] p) {
            s = Shape(x)  n = Gather(s, last)  narrow = Equal(n, six)
            h = If (narrow) <
                then_branch = tt () => (float[G,H] a) { a = Identity(x) },
                else_branch = te () => (float[I,J] b) { b = Transpose(x) }
            >
            p = MatMul(h, w)
        },
        else_branch = e () => (float[K,L] q) { q = Neg(x) }
    >
}"""


def test_a_branch_that_does_not_fit_the_shapes_stays_loadable(
    schema: jsonschema.Draft202012Validator,
) -> None:
    """Folding would show the runtime that the branch fails at these shapes: it refuses the model.

    The branch may never be taken, and the original loads and runs.
    """
    proto = text_model(DEAD_BRANCH)
    report = fix(proto, TARGET, shapes={"x": (2, 5)})
    feed = {
        "c": np.array(False),
        "x": np.ones((2, 5), np.float32),
        "w": np.ones((6, 2), np.float32),
    }
    first, second = (new_session(p).run(None, feed)[0] for p in (proto, report.model.proto))
    np.testing.assert_array_equal(first, second)
    assert any("branch" in note for note in report.notes)
    schema.validate(report.to_json())
    fitting = fix(proto, TARGET, shapes={"x": (2, 6)})
    assert fitting.notes == [] and "fold/constant_if" in fitting.fired()


def test_a_result_that_does_not_load_is_not_equal() -> None:
    before = Model(text_model("g (float[2] x) => (float[2] y) { y = Relu(x) }"))
    after = Model(text_model("g (float[2] x) => (float[2] y) { y = Nonsense(x) }"))
    assert compare_models(before, after, 1e-5).ok is False
    assert compare_models(after, before, 1e-5).ok is None


@pytest.mark.parametrize(
    "text",
    [
        "g (float[2,3,4] x) => (float[12,2] y) <int64[1] rest = {-1}> {"
        " s = Shape<start = 1, end = 2>(x)  f = Concat<axis = 0>(rest, s)"
        " h = Reshape(x, f)  y = Reshape(h, t) }",
        "g (float[2,3] x) => (float[2,3] y, bool[2,3] kept) { y, m = Dropout(x)  kept = Not(m) }",
    ],
    ids=["shape", "dropout"],
)
def test_what_a_rule_brings_is_folded_in_the_same_run(text: str) -> None:
    proto = text_model(text)
    if "t)" in text:
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([12, 2]), "t"))
    report = fix(proto, TARGET)
    assert report.changes
    again = fix(report.model.proto, TARGET)
    assert again.changes == []
    assert again.model.proto == report.model.proto


# ---------------------------------------------------------------------- a traced batch

TRACED = """g (float[N,6,4] x) => (float[2,6,4] y)
    <int64[3] s = {4, 3, 4}, int64[2] f = {2, 24}, int64[3] back = {2, 6, 4}> {
    a = Reshape(x, s)  b = Softmax<axis = -1>(a)  c = Reshape(b, f)  d = Relu(c)
    y = Reshape(d, back)
}"""


def test_a_traced_batch_becomes_open_when_asked_for() -> None:
    proto = text_model(TRACED)
    assert fix(proto, TARGET).changes == []  # nobody asked
    rules = select(list(own_rules()), [], [], also=["explicit/reshape_batch"])
    report = fix(proto, TARGET, rules=rules, verify="model")
    assert report.fired()["explicit/reshape_batch"] == 3
    assert report.whole is not None and report.whole.ok is True
    after = report.model.proto
    onnx.checker.check_model(after, full_check=True)
    x = np.random.default_rng(0).standard_normal((6, 6, 4)).astype(np.float32)
    whole = new_session(after).run(None, {"x": x})[0]
    parts = [new_session(proto).run(None, {"x": x[i : i + 2]})[0] for i in (0, 2, 4)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert [d.dim_value for d in after.graph.output[0].type.tensor_type.shape.dim] == [0, 6, 4]
    again = fix(after, TARGET, rules=rules)
    assert again.changes == [] and again.model.proto == after


def test_a_batch_that_stays_elsewhere_closes_it_again(
    schema: jsonschema.Draft202012Validator,
) -> None:
    """The Expand would still give the traced size: the model as a whole takes no other one."""
    proto = text_model("""g (float[N,2,12] x) => (float[2,24] y)
        <int64[2] s = {2, 24}, int64[1] o = {0}, int64[1] t = {1}, int64[2] e = {2, 24}> {
        a = Reshape(x, s)  b = Slice(a, o, t)  c = Expand(b, e)  y = Mul(a, c)
    }""")
    rules = select(list(own_rules()), [], [], also=["explicit/reshape_batch"])
    report = fix(proto, TARGET, rules=rules)
    assert report.fired()["explicit/reshape_batch"] == 0
    assert any("traced" in note for note in report.notes)
    schema.validate(report.to_json())
    x = np.random.default_rng(0).standard_normal((2, 2, 12)).astype(np.float32)
    first, second = (new_session(p).run(None, {"x": x})[0] for p in (proto, report.model.proto))
    np.testing.assert_array_equal(first, second)


def test_a_wrong_widening_is_rolled_back() -> None:
    """Equal at the traced size, other rows at twice that."""

    def match(node: Node, graph: Graph) -> Site | No:
        b = Builder(node, graph)
        moved = b.op("Transpose", node.inputs[0], perm=[1, 0, 2])
        site = b.site(b.op("Reshape", moved, b.ints(-1, 24)))
        return replace(site, batch=("N", 1))

    proto = text_model("g (float[N,1,24] x) => (float[1,24] y) <int64[2] s = {1, 24}> {"
                       " y = Reshape(x, s) }")  # fmt: skip
    report = fix(proto, TARGET, rules=[toy("toy/widens", "Reshape", match)])
    assert report.changes == []


def test_bound_shapes_leave_no_shape_arithmetic() -> None:
    """What feeds Reshape, Expand, Slice, Tile, Range and Resize becomes constant; nothing else."""
    proto = text_model("""g (float[N,3,H,W] x) => (float[A,B] y, float[C,D,E,F] z)
        <int64[1] zero = {0}, int64[1] two = {2}, int64[1] rest = {-1}, int64[1] one = {1},
         int64 none = {0}, int64 by = {1}, int64[1] last = {3}> {
        s = Shape(x)  n = Gather(s, zero)  h = Gather(s, two)  w = Gather(s, last)
        d = Concat<axis = 0>(n, rest)  flat = Reshape(x, d)
        half = Div(h, two)  sl = Slice(x, zero, half, two)
        count = Squeeze(n, zero)  r = Range(none, count, by)  rf = Cast<to = 1>(r)
        col = Unsqueeze(rf, one)  e = Concat<axis = 0>(n, one)  wide = Expand(col, e)
        y = Add(flat, wide)
        reps = Concat<axis = 0>(one, one, two, one)  t = Tile(sl, reps)
        double = Mul(w, two)  c = Slice(s, zero, two)  to = Concat<axis = 0>(c, h, double)
        z = Resize<mode = "nearest", nearest_mode = "floor",
                   coordinate_transformation_mode = "asymmetric">(t, , , to)
    }""")
    report = fix(proto, TARGET, shapes={"x": (2, 3, 4, 6)}, verify="model")
    left = {n.op_type for n in report.model.proto.graph.node}
    assert not left & {"Shape", "Gather", "Concat", "Range", "Cast", "Div", "Squeeze"}, left
    assert report.whole is not None and report.whole.ok is True
    assert "dynamic" not in {f.effect for f in report.after.findings}
    open_ = fix(proto, TARGET, verify="model")
    assert "Shape" in {n.op_type for n in open_.model.proto.graph.node}
    assert open_.whole is not None and open_.whole.ok is True


def test_an_output_shape_goes_for_the_sake_of_later_nodes() -> None:
    """CANN hands the mode of the first ConvTranspose on to the second, which alone is refused."""
    proto = text_model("""g (float[1,2,4,4] x, float[2,2,3,3] w) => (float[1,2,10,10] z) {
        y = ConvTranspose<output_shape = [8, 8], strides = [2, 2], kernel_shape = [3, 3]>(x, w)
        z = ConvTranspose<kernel_shape = [3, 3]>(y, w)
    }""")
    report = fix(proto, TARGET, verify="model")
    assert "miscompiled" in {f.effect for f in report.before.findings}
    assert not worst(report) and report.fired()["explicit/conv_transpose_shape"] >= 1
    assert report.whole is not None and report.whole.ok is True
    alone = text_model("""g (float[1,2,4,4] x, float[2,2,3,3] w) => (float[1,2,8,8] y) {
        y = ConvTranspose<output_shape = [8, 8], strides = [2, 2], kernel_shape = [3, 3]>(x, w)
    }""")
    assert fix(alone, TARGET).changes == []  # nobody comes after it
