"""Local rules are asked once for each kind of node; that must change nothing but the time."""

from __future__ import annotations

import copy

import onnx
import pytest

from graphfix.graph import Model, infer
from graphfix.rewrite import Builder, Exactness, Example, No, Rule, Site
from graphfix.rewrite.engine import Engine
from graphfix.rewrite.kinds import Template, kind_in_use
from graphfix.rewrite.registry import own_rules
from tests.builders import text_model
from tests.rewrite.toys import TABLES, TARGET, assert_same, fired, operators, rewrite, single
from tests.rules.harness import parse, twice

LOCAL = [rule for rule in own_rules() if rule.is_local and not rule.optional]


def _rewritten(proto: onnx.ModelProto, rules: list[Rule]) -> tuple[bytes, Engine]:
    model = Model(copy.deepcopy(proto))
    infer(model)
    engine = Engine(model, TARGET, TABLES, rules)
    engine.run()
    return model.to_proto().SerializeToString(deterministic=True), engine


def test_there_are_local_rules() -> None:
    assert len(LOCAL) >= 6


@pytest.mark.parametrize("rule", LOCAL, ids=lambda rule: rule.name)
def test_asking_once_changes_nothing(rule: Rule) -> None:
    forgetful = copy.copy(rule)
    forgetful.is_local = False
    for example in (e for e in rule.examples if isinstance(e, Example)):
        base = parse(example.before, example.opset)
        for proto in filter(None, (base, twice(base))):
            wise, asked_once = _rewritten(proto, [rule])
            plain, asked_always = _rewritten(proto, [forgetful])
            assert wise == plain
            assert fired(asked_once) == fired(asked_always)


def _local(rule: Rule) -> Rule:
    rule.is_local = True
    return rule


# a = b + b is no a = b + c, however equal their types are
ADDS = text_model(
    """g (float[2,3] x, float[2,3] y) => (float[2,3] o) {
        a = Add(x, x)  b = Add(x, y)  c = Add(y, y)  d = Add(y, a)
        p = Sub(a, b)  q = Sub(c, d)  o = Sub(p, q) }"""
)


def test_names_are_exchanged_by_place() -> None:
    asked: list[str] = []

    class Doubled(Rule):
        name, roots, is_local = "toy/doubled", ("Add",), True

        def match(self, node, graph):
            asked.append(node.name or node.outputs[0])
            if node.inputs[0] != node.inputs[1]:
                return No("two values")
            b = Builder(node, graph)
            return b.site(b.op("Mul", node.inputs[0], b.scalar(2.0, node.input(0))))

    after, engine = rewrite(ADDS, [Doubled()])
    assert asked == ["a", "b", "d"] and not fired(engine)  # c is of the kind of a
    assert engine.statistics["toy/doubled"].missed["two values"] == 2

    def twice_negated(b: Builder, x: str) -> str:
        return b.op("Neg", b.op("Neg", x))

    clips = text_model(
        """g (float[2] x, float[2] y) => (float[2] o) {
            a = Clip(x)  b = Clip(y)  c = Clip(a)  d = Sub(b, c)  o = Clip(d) }"""
    )
    rule = _local(single("toy/clip", "Clip", twice_negated, Exactness.ROUNDING))
    after, engine = rewrite(clips, [rule])
    assert fired(engine) == {"toy/clip": 4}
    assert operators(after).count("Neg") == 8 and "Clip" not in operators(after)
    assert_same(clips, after)


def test_a_refusal_for_the_place_holds_for_the_place_alone() -> None:
    proto = text_model(
        "g (float[2] x) => (float[2] a, float[2] o) { a = Abs(x)  b = Abs(a)  c = Neg(b)"
        "  o = Neg(c) }"
    )
    rule = _local(single("toy/none", "Abs", lambda b, x: x))
    after, engine = rewrite(proto, [rule], verify="off")
    assert fired(engine) == {"toy/none": 1}
    assert operators(after) == ["Abs", "Neg", "Neg"]
    assert "existing value" in next(iter(engine.statistics["toy/none"].refused))


def test_a_site_that_names_more_than_the_node_is_no_template() -> None:
    model = Model(copy.deepcopy(ADDS))
    infer(model)
    nodes = model.graph.nodes
    b = Builder(nodes[0], model.graph)
    assert Template.of(b.site(b.op("Identity", "x")), nodes[0]) is not None
    other = Builder(nodes[0], model.graph)
    assert Template.of(other.site(other.op("Identity", "y")), nodes[0]) is None
    both = Builder(nodes[0], model.graph)
    site: Site = both.site(both.op("Identity", "x"), drop=(nodes[0], nodes[1]))
    assert Template.of(site, nodes[0]) is None


def test_kinds_tell_use_types_and_constants_apart() -> None:
    proto = text_model(
        """g (float[2] x, float[3] y) => (float[2] a, float[2] b, float[3] c, float[2] d) {
            two = Constant<value = float[1] {2.0}>()
            three = Constant<value = float[1] {3.0}>()
            a = Mul(x, two)  b = Mul(x, three)  c = Mul(y, two)  d = Mul(x, two) }"""
    )
    model = Model(proto)
    infer(model)
    kinds = [kind_in_use(n) for n in model.graph.nodes if n.op_type == "Mul"]
    assert kinds[0] == kinds[3] and len(set(kinds)) == 3
