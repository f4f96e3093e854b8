"""What CANN reads past has a rule that writes it out of the way, or says why none can."""

from __future__ import annotations

import pytest

from graphfix.rewrite.registry import own_rules
from graphfix.support import Tables
from graphfix.support.tables import Constraint

RULES = {rule.name: rule for rule in own_rules()}
CONSTRAINTS = {
    c.key: c
    for operator in map(Tables().operator, Tables().names())
    if operator is not None and operator.standard
    for c in operator.constraints
}
SILENT = [c for c in CONSTRAINTS.values() if c.effect == "miscompiled" and c.certainty != "low"]


@pytest.mark.parametrize("constraint", SILENT, ids=lambda c: c.key)
def test_silent_loss_has_a_rule_or_a_reason(constraint: Constraint) -> None:
    assert bool(constraint.fix) != bool(constraint.no_fix), "a rule or a reason, not both"
    if constraint.fix:
        assert constraint.fix in RULES
        assert constraint.key in RULES[constraint.fix].fixes
    else:
        assert constraint.no_fix.endswith(".")


@pytest.mark.parametrize("name", RULES)
def test_rules_claim_constraints_that_exist(name: str) -> None:
    for claim in RULES[name].fixes:
        if "/" not in claim:
            continue
        assert claim in CONSTRAINTS
        constraint = CONSTRAINTS[claim]
        assert not constraint.no_fix
        assert constraint.fix in RULES, "the finding does not name the rule that removes it"


def test_the_reason_reaches_the_user() -> None:
    from graphfix.analysis import check
    from tests.rules.harness import parse

    model = parse(
        "g (float[1,1,4,4] x, float[2,4] r, int64[2] i) => (float[2,1,1,1] y)"
        ' { y = RoiAlign<mode = "max">(x, r, i) }',
        opset=16,
    )
    found = next(f for f in check(model).findings if f.constraint == "RoiAlign/mode")
    assert CONSTRAINTS["RoiAlign/mode"].no_fix in found.remedy
