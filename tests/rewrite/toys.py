"""Small rules for tests, and helpers to run them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnxruntime

from graphfix.graph import Graph, Model, Node, infer
from graphfix.rewrite import Builder, Exactness, No, Rule, Site
from graphfix.rewrite.engine import Engine
from graphfix.support import Tables, Target

TARGET = Target.of(["Ascend310P3"])
TABLES = Tables()
Matcher = Callable[[Node, Graph], "Site | No"]


def toy(
    name: str, root: str, matcher: Matcher, exactness: Exactness = Exactness.EXACT
) -> Rule:  # fmt: skip
    """A rule made of a function."""

    class Toy(Rule):
        roots = (root,)

        def match(self, node: Node, graph: Graph) -> Site | No:
            return matcher(node, graph)

    rule = Toy()
    rule.name, rule.exactness = name, exactness
    return rule


def pair(
    name: str, build: Callable[[Builder, str], str], root: str = "Neg", first: str = "Neg",
    exactness: Exactness = Exactness.EXACT,
) -> Rule:  # fmt: skip
    """A rule that turns two nodes in a row into what `build` writes from the first's input."""

    def match(node: Node, graph: Graph) -> Site | No:
        value = node.input(0)
        before = value.producer if value is not None else None
        if before is None or before.op_type != first:
            return No(f"no {first} comes first")
        b = Builder(node, graph)
        return b.site(build(b, before.inputs[0]), drop=(node, before))

    return toy(name, root, match, exactness)


def single(
    name: str, root: str, build: Callable[[Builder, str], str],
    exactness: Exactness = Exactness.EXACT,
) -> Rule:  # fmt: skip
    """A rule that turns one node into what `build` writes from its input."""

    def match(node: Node, graph: Graph) -> Site | No:
        b = Builder(node, graph)
        return b.site(build(b, node.inputs[0]))

    return toy(name, root, match, exactness)


def rewrite(
    proto: onnx.ModelProto, rules: Sequence[Rule], verify: str = "site", approximate: bool = False
) -> tuple[onnx.ModelProto, Engine]:
    """Run the engine over a copy of a model."""
    model = Model(copy.deepcopy(proto))
    infer(model)
    engine = Engine(model, TARGET, TABLES, rules, verify=verify, approximate=approximate)
    engine.run()
    return model.to_proto(), engine


def fired(engine: Engine) -> dict[str, int]:
    return {name: s.fired for name, s in engine.statistics.items() if s.fired}


def refused(engine: Engine, rule: Rule) -> str:
    """The only reason for which the gate refused a rule."""
    reasons = list(engine.statistics[rule.name].refused)
    assert len(reasons) == 1, reasons
    return reasons[0]


def operators(proto: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in proto.graph.node]


def outputs(proto: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What ONNX Runtime computes, without any optimization."""
    onnx.checker.check_model(proto, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)


def feed_of(proto: onnx.ModelProto, seed: int = 0, size: int = 2) -> dict[str, np.ndarray]:
    """Random inputs; open dims become `size`."""
    rng = np.random.default_rng(seed)
    constants = {t.name for t in proto.graph.initializer}
    feed = {}
    for info in proto.graph.input:
        if info.name in constants:
            continue
        tensor = info.type.tensor_type
        shape = [d.dim_value or size for d in tensor.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        data = rng.normal(0, 2, shape) if dtype.kind == "f" else rng.integers(0, 2, shape)
        feed[info.name] = np.asarray(data).astype(dtype)
    return feed


def assert_same(before: onnx.ModelProto, after: onnx.ModelProto, tolerance: float = 0.0) -> None:
    """Both give the same for three sets of inputs."""
    for seed in range(3):
        feed = feed_of(before, seed, 2 + seed)
        wanted, found = outputs(before, feed), outputs(after, feed)
        assert len(wanted) == len(found)
        for want, have in zip(wanted, found, strict=True):
            assert (want.dtype, want.shape) == (have.dtype, have.shape)
            np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)
