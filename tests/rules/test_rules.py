"""Every rule, through the same mill. A rule without a page, example or near miss fails."""

from __future__ import annotations

import onnx
import pytest

from graphfix.rewrite.registry import own_rules
from graphfix.rewrite.rule import Example, NearMiss, Rule
from tests.rules import harness as h

RULES = own_rules()
SECTIONS = ("Why", "Rewrites", "Leaves", "Exact", "Source")


def cases(kind: type) -> list:
    return [
        pytest.param(rule, case, id=f"{rule.name}-{i}")
        for rule in RULES
        for i, case in enumerate(rule.examples)
        if isinstance(case, kind)
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_has_a_page_examples_and_near_misses(rule: Rule) -> None:
    assert all(f"{section} " in rule.page for section in SECTIONS), rule.page
    assert any(isinstance(c, Example) for c in rule.examples)
    assert any(isinstance(c, NearMiss) for c in rule.examples)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_no_case_is_there_twice(rule: Rule) -> None:
    seen = [("".join(c.before.split()), c.opset, c.target) for c in rule.examples]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(("rule", "example"), cases(Example))
def test_example_fires_and_gives_after(rule: Rule, example: Example) -> None:
    before = h.parse(example.before, example.opset)
    after, engine = h.rewrite(rule, before, example.target)
    assert h.fired(engine, rule) >= 1, h.reasons(engine, rule)
    if isinstance(example.after, str):
        wanted = h.parse(example.after, example.target or example.opset)
        assert h.canonical(after) == h.canonical(wanted)
    else:
        assert h.operators(after) == list(example.after)
    onnx.checker.check_model(after, full_check=True)


@pytest.mark.parametrize(("rule", "example"), cases(Example))
def test_example_computes_the_same(rule: Rule, example: Example) -> None:
    before = h.parse(example.before, example.opset)
    after, engine = h.rewrite(rule, before, example.target)
    assert all(c.proof is not None and c.proof.ok for c in engine.changes)
    if h.runs(before):
        proof = h.same(before, after, rule)
        assert proof.ok is True, proof.reason


@pytest.mark.parametrize(("rule", "example"), cases(Example))
def test_second_run_is_silent(rule: Rule, example: Example) -> None:
    once, _ = h.rewrite(rule, h.parse(example.before, example.opset), example.target)
    again, engine = h.rewrite(rule, once)
    assert h.fired(engine, rule) == 0
    assert again.graph == once.graph


@pytest.mark.parametrize(("rule", "miss"), cases(NearMiss))
def test_near_miss_stays_silent_and_says_why(rule: Rule, miss: NearMiss) -> None:
    before = h.parse(miss.before, miss.opset)
    _, engine = h.rewrite(rule, before, miss.target)
    assert h.fired(engine, rule) == 0
    assert miss.reason in h.reasons(engine, rule)


@pytest.mark.parametrize(("rule", "example"), cases(Example) + cases(NearMiss))
def test_hostile_variants(rule: Rule, example: Example | NearMiss) -> None:
    """Whatever a rule makes of a hostile variant, the results stay the same."""
    tried = 0
    for label, model in h.variants(example):
        if not h.runs(model):
            continue  # the variant itself is no valid model (an operator of another opset ...)
        target = example.target if model.opset_import[0].version == example.opset else None
        after, engine = h.rewrite(rule, model, target)
        tried += 1
        if h.fired(engine, rule):
            onnx.checker.check_model(after, full_check=True)
            proof = h.same(model, after, rule)
            assert proof.ok is True, f"{label}: {proof.reason}"
            assert h.fired(h.rewrite(rule, after)[1], rule) == 0, f"{label}: fires again"
        elif target is None:
            assert after.graph == h.rewrite(rule, after)[0].graph, label
    assert tried or not h.runs(h.parse(example.before, example.opset))
