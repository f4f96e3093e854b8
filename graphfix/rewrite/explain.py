"""Why a rule does or does not fire at a node: the same matcher and the same gate, asked again."""

from __future__ import annotations

import os

from graphfix.errors import UsageError, nearest
from graphfix.graph import Node, infer, load
from graphfix.rewrite.engine import Engine
from graphfix.rewrite.opset import plan
from graphfix.rewrite.rule import No, Rule
from graphfix.support import Tables, Target


def why(rule: Rule, path: str | os.PathLike[str], node_name: str | None) -> str:
    """Return what the rule answers at one node, or at all its roots, of a model."""
    model = load(path)
    infer(model)
    target, tables = Target.of(), Tables()
    source, chosen = model.opset or 0, plan(model, target, tables)
    model.emit_opset = chosen.target
    engine = Engine(model, target, tables, [rule], approximate=True)
    converting = source if chosen.target != source else None
    nodes = list(model.graph.walk())
    if node_name is not None:
        found = [n for n in nodes if n.name == node_name or node_name in n.outputs]
        if not found:
            known = [n.name or n.outputs[0] for n in nodes if n.name or n.outputs]
            close = nearest(node_name, known)
            raise UsageError(f"--node {node_name}: the model has no such node. {close}".rstrip())
        nodes = found
    else:
        nodes = [n for n in nodes if n.key in rule.roots]
    if not nodes:
        return f"{rule.name}: the model has no {' or '.join(rule.roots)}."
    return "\n".join(f"{n.name or n.op_type} ({n.op_type}): {_answer(rule, n, engine, converting)}"
                     for n in nodes)  # fmt: skip


def _answer(rule: Rule, node: Node, engine: Engine, converting: int | None) -> str:
    if node.key not in rule.roots:
        return f"no: the rule starts at {', '.join(rule.roots)}"
    answer = rule.match(node, node.graph)
    if isinstance(answer, No):
        return f"no: {answer.reason}"
    verdict = engine.gate.judge(rule, answer, node.graph, converting)
    if verdict.problem is not None:
        return f"it matches, but the gate refuses: {verdict.problem}"
    proof = verdict.proof
    said = f", {proof.reason} over {_count(proof.samples, 'run')}" if proof is not None else ""
    verb = "becomes" if len(answer.drop) == 1 else "become"
    return f"yes: {_count(len(answer.drop), 'node')} {verb} {len(answer.nodes)}{said}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
