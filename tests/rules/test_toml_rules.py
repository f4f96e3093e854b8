"""TOML rules: what the format says, and how a mistake in a file is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphfix.graph import Graph, Node
from graphfix.rewrite.registry import load_folder
from graphfix.rewrite.rule import Exactness, No, Rule, RuleError
from graphfix.rewrite.toml_rules import read_rule
from tests.rules import harness as h

PAGE = 'page = "A rule."\n'
PLAIN = 'before = "y = Relu(x)"\nafter = "y = Identity(x)"\n'


def rule_of(folder: Path, text: str) -> Rule:
    path = folder / "own.toml"
    path.write_text(PAGE + text, encoding="utf-8")
    rule = read_rule(path)
    rule.name = "tests/own"
    return rule


def after(rule: Rule, text: str, opset: int = 17) -> tuple[list[str], str]:
    """The operators that are left, and why the rule stayed silent, if it did."""
    proto, engine = h.rewrite(rule, h.parse(text, opset))
    return h.operators(proto), h.reasons(engine, rule)


# ---------------------------------------------------------------------- mistakes in a file


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        (PLAIN + 'befor = "y = Relu(x)"', "befor", "Did you mean before"),
        (PLAIN + "[variables.x]\nranks = 2", "variables.x.ranks", "Did you mean rank"),
        (PLAIN + "[variables.z]\nrank = 2", "variables.z", "z is not in before"),
        (PLAIN + '[variables.x]\ndtype = "float"', "variables.x.dtype", "'float' is not"),
        (PLAIN + '[variables.x]\nsame_dtype = "q"', "variables.x.same_dtype", "q is not in"),
        (PLAIN + "[when]\nattribute.axis = 1", "when", "'attribute' is not in the vocabulary"),
        (PLAIN + 'exactness = "about"', "exactness", "none of exact, rounding, approximate"),
        (PLAIN + "optional = 1", "optional", "1 is not what is expected"),
        (PLAIN + 'roots = ["Elu"]', "roots", "the patterns end with Relu"),
        (PLAIN + '[[form]]\nbefore = "y = Relu(x)"', "after", "it belongs into each [[form]]"),
        ('[[form]]\nbefore = "y = Relu(x)"', "form 1: after", "it is missing"),
        (PLAIN + '[[example]]\nbefore = "g"', "example 1: after", "it is missing"),
        (PLAIN + '[[near_miss]]\nbecause = "no"', "near_miss 1: because", "no such key"),
        (PLAIN + '[constants.c]\nvalue = 1\nlike = "w"', "constants.c.like", "w is not in before"),
        ('before = "y = Relu(x"\nafter = "y = Identity(x)"', "before", "Expected character )"),
        (
            'before = "h = Abs(x)  y = Relu(x)"\nafter = "y = Identity(x)"',
            "before",
            "Abs does not lead to the last node",
        ),
        ('before = "y = Relu(x)"\nafter = "z = Identity(x)"', "after", "none of the values"),
        ('before = "y = Relu(x)"\nafter = "y = Add(x, w)"', "after", "w is no variable"),
        ('before = "y = Relu(x)"\nafter = "y = Elu<alpha : float = @a>(x)"', "after", "@a is not"),
    ],
)
def test_a_mistake_names_file_and_key(tmp_path: Path, text: str, key: str, problem: str) -> None:
    with pytest.raises(RuleError) as caught:
        rule_of(tmp_path, text)
    message = str(caught.value)
    assert str(tmp_path / "own.toml") in message
    assert key in message
    assert problem in message


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("before = ", encoding="utf-8")
    with pytest.raises(RuleError, match=r"own\.toml.*not a TOML file"):
        load_folder(tmp_path)


# ---------------------------------------------------------------------- what is read


def test_a_rule_takes_its_name_from_the_file_and_its_root_from_the_pattern(tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "relu_relu.toml").write_text(
        PAGE + 'before = "h = Relu(x)  y = com.microsoft.Gelu(h)"\n'
        'after = "y = com.microsoft.Gelu(x)"\n'
        'exactness = "rounding"\ntolerance = 1e-4\nfixes = ["GF101"]\n',
        encoding="utf-8",
    )
    (rule,) = load_folder(tmp_path)
    assert (rule.name, rule.roots) == ("clean/relu_relu", ("com.microsoft::Gelu",))
    assert (rule.exactness, rule.tolerance) == (Exactness.ROUNDING, 1e-4)
    assert (rule.fixes, rule.page, rule.optional) == (("GF101",), "A rule.", False)


# ---------------------------------------------------------------------- matching


def test_operands_of_a_commutative_operator_match_in_both_orders(tmp_path: Path) -> None:
    rule = rule_of(
        tmp_path,
        'before = "h = Abs(x)  g = Neg(h)  y = Add(g, h)"\n'
        'after = "d = Sub(x, x)  y = Abs(d)"\nexactness = "rounding"',
    )
    for operands in ("n, a", "a, n"):
        model = f"g (float[2] x) => (float[2] y) {{ a = Abs(x)  n = Neg(a)  y = Add({operands}) }}"
        assert after(rule, model)[0] == ["Sub", "Abs"]


def test_operands_of_other_operators_keep_their_order(tmp_path: Path) -> None:
    rule = rule_of(
        tmp_path,
        'before = "h = Abs(x)  g = Neg(h)  y = Sub(g, h)"\nafter = "d = Abs(x)  y = Neg(d)"',
    )
    model = "g (float[2] x) => (float[2] y) { a = Abs(x)  n = Neg(a)  y = Sub(a, n) }"
    operators, reason = after(rule, model)
    assert operators == ["Abs", "Neg", "Sub"]
    assert "g comes from Abs, not from Neg" in reason


def test_a_rule_never_fires_at_another_operator_of_its_other_forms(tmp_path: Path) -> None:
    rule = rule_of(
        tmp_path,
        '[[form]]\nbefore = "y = Add(x, z)"\nafter = "y = Identity(x)"\nvariables.z.is = 0\n'
        '[[form]]\nbefore = "y = Relu(x)"\nafter = "y = Abs(x)"\n',
    )
    model = "g (float[2] x) => (float[2] y) <float z = {0.0}> { h = Sub(z, x)  y = Relu(h) }"
    operators, _ = after(rule, model)
    assert operators == ["Sub", "Relu"]


def test_an_unlisted_attribute_must_have_its_default(tmp_path: Path) -> None:
    rule = rule_of(tmp_path, 'before = "y = Elu(x)"\nafter = "y = Identity(x)"')
    default = "g (float[2] x) => (float[2] y) { h = Elu<alpha = 1.0>(x)  y = Relu(h) }"
    other = "g (float[2] x) => (float[2] y) { h = Elu<alpha = 0.5>(x)  y = Relu(h) }"
    # the proof refuses both edits; only the second is not even proposed
    assert "the proof failed" in after(rule, default)[1]
    assert after(rule, other)[1] == "Elu has alpha = 0.5"


def test_a_default_is_that_of_the_models_opset(tmp_path: Path) -> None:
    rule = rule_of(tmp_path, 'before = "y = Softmax<axis = -1>(x)"\nafter = "y = Identity(x)"')
    model = "g (float[2] x) => (float[2] y) { h = Softmax(x)  y = Relu(h) }"
    assert "the proof failed" in after(rule, model, 13)[1]
    assert after(rule, model, 12)[1] == "Softmax has axis = 1"


def test_an_open_attribute_is_written_again_or_left_out_again(tmp_path: Path) -> None:
    rule = rule_of(
        tmp_path,
        'before = "h = Identity(x)  y = LeakyRelu<alpha : float = @a>(h)"\n'
        'after = "y = LeakyRelu<alpha : float = @a>(x)"',
    )
    for attribute in ("", "<alpha = 0.25>"):
        text = f"g (float[2] x) => (float[2] y) {{ h = Identity(x)  y = LeakyRelu{attribute}(h) }}"
        wanted = f"g (float[2] x) => (float[2] y) {{ y = LeakyRelu{attribute}(x) }}"
        result, _ = h.rewrite(rule, h.parse(text, 17))
        assert h.canonical(result) == h.canonical(h.parse(wanted, 17))


def test_one_name_twice_means_one_value(tmp_path: Path) -> None:
    rule = rule_of(tmp_path, 'before = "y = Max(x, x)"\nafter = "y = Identity(x)"')
    same = "g (float[2] a, float[2] b) => (float[2] y) { h = Max(a, a)  y = Add(h, b) }"
    different = "g (float[2] a, float[2] b) => (float[2] y) { h = Max(a, b)  y = Add(h, b) }"
    assert after(rule, same)[0] == ["Add"]
    operators, reason = after(rule, different)
    assert operators == ["Max", "Add"]
    assert "two different values stand for x" in reason


def test_an_inner_value_that_is_used_elsewhere_stops_the_rule(tmp_path: Path) -> None:
    rule = rule_of(tmp_path, 'before = "h = Relu(x)  y = Relu(h)"\nafter = "y = Relu(x)"')
    used = "g (float[2] x) => (float[2] y, float[2] z) { h = Relu(x)  y = Relu(h)  z = Neg(h) }"
    output = "g (float[2] x) => (float[2] y, float[2] h) { h = Relu(x)  y = Relu(h) }"
    for model in (used, output):
        assert "h is used elsewhere" in after(rule, model)[1]
    alone = "g (float[2] x) => (float[2] y) { h = Relu(x)  y = Relu(h) }"
    assert after(rule, alone)[0] == ["Relu"]


def test_a_pattern_does_not_reach_out_of_a_branch(tmp_path: Path) -> None:
    rule = rule_of(tmp_path, 'before = "h = Relu(x)  y = Relu(h)"\nafter = "y = Relu(x)"')
    model = """
    g (bool c, float[2] x) => (float[2] y) {
        h = Relu(x)
        y = If (c) <
            then_branch = t () => (float[2] a) { a = Relu(h) },
            else_branch = e () => (float[2] b) { b = Abs(x) }
        >
    }
    """
    operators, reason = after(rule, model)
    assert operators == ["Relu", "If"]
    assert "h is computed outside the branch" in reason


def test_when_asks_the_root_with_the_vocabulary_of_op_support(tmp_path: Path) -> None:
    rule = rule_of(
        tmp_path,
        'before = "y = Relu(x)"\nafter = "y = Identity(x)"\n[when.input.0]\nrank = 2\n',
    )
    model = "g (float[2] x) => (float[2] y) { h = Relu(x)  y = Abs(h) }"
    assert after(rule, model)[1] == "the condition of the rule does not hold"
    model = "g (float[2,1] x) => (float[2,1] y) { h = Relu(x)  y = Abs(h) }"
    assert "the proof failed" in after(rule, model)[1]


@pytest.mark.parametrize(
    ("when", "is_local"),
    [
        ("[when.attr.alpha]\nis = 0.5\n", True),
        ("[when.output.0]\nconsumed = true\n", False),
        ('[when]\npredicate = "leaves_graph"\n', False),
    ],
)
def test_a_condition_that_may_look_beyond_the_node_is_asked_everywhere(
    tmp_path: Path, when: str, is_local: bool
) -> None:
    text = 'before = "y = Elu<alpha : float = @a>(x)"\nafter = "y = Relu(x)"\n'
    assert rule_of(tmp_path, text + when).is_local is is_local


@pytest.mark.parametrize(
    ("condition", "value", "reason"),
    [
        ("is = 2", "float[2] w = {2.0, 2.0}", None),
        ("is = 2", "float[2] w = {2.0, 2.5}", "w is not 2"),
        ("near = [2, 0.1]", "float[2] w = {2.05, 1.95}", None),
        ("near = [2, 0.1]", "float[2] w = {2.05, 1.5}", "w is not near 2"),
        ("lacks = 0", "float[2] w = {1.0, 2.0}", None),
        ("lacks = 0", "float[2] w = {1.0, 0.0}", "w holds 0"),
        ("all_equal = true", "float[2] w = {3.0, 3.0}", None),
        ("all_equal = true", "float[2] w = {3.0, 4.0}", "not all equal"),
        ("rank = [0, 1]", "float[2] w = {3.0, 4.0}", None),
        ("rank = 0", "float[2] w = {3.0, 4.0}", "w has rank 1"),
        ('dtype = ["float32", "double"]', "float[2] w = {3.0, 4.0}", None),
        ('dtype = "float16"', "float[2] w = {3.0, 4.0}", "w is float32"),
        ("constant = false", "float[2] w = {3.0, 4.0}", "w is constant"),
    ],
)
def test_conditions_on_values(
    tmp_path: Path, condition: str, value: str, reason: str | None
) -> None:
    rule = rule_of(
        tmp_path,
        f'before = "h = Abs(x)  g = Abs(h)  y = Sub(g, w)"\n'
        f'after = "h = Abs(x)  y = Sub(h, w)"\n[variables.w]\n{condition}\n',
    )
    model = f"g (float[2] x) => (float[2] y) <{value}> {{ a = Abs(x) b = Abs(a) y = Sub(b, w) }}"
    operators, said = after(rule, model)
    if reason is None:
        assert operators == ["Abs", "Sub"]
    else:
        assert operators == ["Abs", "Abs", "Sub"]
        assert reason in said


# ---------------------------------------------------------------------- what cannot match


def test_a_pattern_is_asked_only_where_what_feeds_the_root_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'before = "h = Sinh(x)  y = Add(h, a)"\nafter = "h = Sinh(x)  y = Add(a, h)"\n'
    rule = rule_of(tmp_path, text)
    asked: list[str] = []

    def match(node: Node, graph: Graph) -> No:
        asked.append(node.outputs[0])
        return No("asked")

    monkeypatch.setattr(rule, "match", match)
    body = "c = Cosh(x)  p = Add(c, a)  q = Add(x, a)  s = Sinh(x)  r = Add(a, s)  y = Sum(p, q, r)"
    signature = "g (float[2] x, float[2] a) => (float[2] y)"
    _, engine = h.rewrite(rule, h.parse(f"{signature} {{ {body} }}", 17))
    assert asked == ["r"]
    statistics = engine.statistics[rule.name]
    assert statistics.tried == 3
    assert statistics.missed == {
        "asked": 1,
        "h comes from Cosh, not from Sinh": 1,
        "h does not come from Sinh": 1,
    }


def test_each_form_keeps_a_rule_alive(tmp_path: Path) -> None:
    forms = [
        '[[form]]\nbefore = "h = Sinh(x)  y = Add(h, a)"\nafter = "y = Sub(x, a)"\n',
        '[[form]]\nbefore = "h = Cosh(x)  y = Add(h, a)"\nafter = "y = Sub(a, x)"\n',
    ]
    rule = rule_of(tmp_path, "".join(forms))
    assert rule.unfed("Add", ["", "Cosh"]) is None
    assert rule.unfed("Add", ["Sinh", ""]) is None
    assert rule.unfed("Add", ["Relu", "Exp"]) == "h comes from Relu, not from Sinh"
