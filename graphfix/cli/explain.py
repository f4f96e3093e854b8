"""graphfix explain WORD: what a finding, a constraint, a rule or a symptom is, and what to do."""

from __future__ import annotations

import argparse
import re
import textwrap

from tabulate import tabulate

from graphfix.analysis.check import shipped_rules
from graphfix.analysis.codes import BY_NAME, CODES, Code, find_code
from graphfix.atc.codes import AtcCode, find_atc_code, nearest_codes
from graphfix.errors import UsageError, nearest
from graphfix.support import Constraint, Tables
from graphfix.support.conditions import generic
from graphfix.support.topics import find_topic, topics

WIDTH = 96


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="GF101, opset-not-registered, Resize/antialias-linear, a rule, or a symptom such as "
        "oom, dynamic, precision, unsupported, in English or Chinese; left out: a list",
    )
    parser.add_argument("--model", metavar="M", help="a model in which to try a rule")
    parser.add_argument("--node", metavar="N", help="the node, or a value that it gives")


def run(options: argparse.Namespace) -> int:
    """Print the page, return the exit code."""
    options.word = " ".join(options.words)
    if not options.word:
        rows = [[c.code, c.effect, c.name, c.headline] for c in CODES.values()]
        print(tabulate(rows, ["code", "effect", "name", "what it says"]))
        print()
        names = [
            [t.name, t.title, ", ".join([w for w in t.words if w not in t.name][:2])]
            for t in topics().values()
        ]
        print(tabulate(names, ["symptom", "what it is about", "also"]))
        print(
            "\ngraphfix explain WORD shows its page; graphfix explain Resize/antialias-linear"
            "\nthat of a constraint, which check names in JSON and `graphfix ops Resize` lists."
        )
        return 0
    if options.node is not None and options.model is None:
        raise UsageError(f"--node {options.node}: of which model? Give --model too.")
    if options.model is not None and options.word not in shipped_rules():
        raise UsageError(
            f"--model {options.model}: tries a rule there, and {options.word} is none; `graphfix "
            "rules` lists them."
        )
    if options.word in shipped_rules():
        print(_rule_page(options))
    elif "/" in options.word:
        print(_constraint_page(options.word))
    elif is_atc_code(options.word):
        print(_atc_page(options.word))
    elif (topic := find_topic(options.word)) is not None and not _is_code(options.word):
        print(topic.page)
    else:
        print(_code_page(find_code(options.word)))
    return 0


def is_atc_code(word: str) -> bool:
    """Whether a word is, or was meant to be, a code that ATC prints: E19010, EZ3003, W11001."""
    return re.fullmatch(r"[EW][0-9A-Z]?[0-9]{2,5}", word.upper()) is not None


def _atc_page(word: str) -> str:
    """Return the page of a code of ATC. Raises UsageError."""
    entry: AtcCode | None = find_atc_code(word.upper())
    if entry is None:
        raise UsageError(
            f"{word}: op_support/atc/codes has no such code. {nearest_codes(word)} "
            "`graphfix diagnose LOG` reads the text behind it."
        )
    same = f", the number of {entry.same_as} in 8.1" if entry.same_as else ""
    lines = [
        f"{entry.code}  {entry.title}  ({entry.stage}){same}",
        "",
        _wrap(f"{entry.headline[0].upper()}{entry.headline[1:]}. {entry.cause}"),
        "",
        _wrap(f"ATC says:   {entry.template}"),
        _wrap(f"What to do: {entry.remedy}."),
        *(f"            $ {command}" for command in entry.helps),
    ]
    if (topic := find_topic(entry.code)) is not None:
        lines.append(f"            $ graphfix explain {topic.name}   ({topic.title})")
    lines.append(f"Releases:   {', '.join(entry.releases)}")
    if entry.findings:
        found = ", ".join(f"{f} {CODES[f].name}" for f in entry.findings)
        lines.append(_wrap(f"Predicted:  by graphfix check as {found}"))
    lines.append(_wrap(f"Evidence:   {entry.source} ({entry.certainty})"))
    return "\n".join(lines)


def _is_code(word: str) -> bool:
    return word.upper() in CODES or word.lower() in BY_NAME


def _rule_page(options: argparse.Namespace) -> str:
    """Return a rule's page, or, with --model and --node, what its matcher answers there."""
    from graphfix.rewrite.explain import why
    from graphfix.rewrite.registry import own_rules

    rule = next(r for r in own_rules() if r.name == options.word)
    if options.model is None:
        return f"{rule.name}  ({rule.exactness.value})\n\n{rule.page}"
    return why(rule, options.model, options.node)


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _code_page(code: Code) -> str:
    tables = Tables()
    lines = [
        f"{code.code}  {code.name}  ({code.effect})",
        "",
        _wrap(code.page),
        "",
        _wrap(f"What to do: {code.remedy}."),
    ]
    found = [
        c
        for name in tables.names()
        if (op := tables.operator(name)) is not None
        for c in op.constraints
        if c.finding == code.name
    ]
    if found:
        lines += ["", f"{len(found)} entries of op_support give this finding:"]
        lines += [_wrap(", ".join(c.key for c in found[:60]), "  ")]
        if len(found) > 60:
            lines.append(f"  and {len(found) - 60} more")
    return "\n".join(lines)


def _constraint_page(word: str) -> str:
    name, _, identifier = word.partition("/")
    tables = Tables()
    operator = tables.operator(name)
    rules = list(shipped_rules())
    if operator is None and name in {rule.partition("/")[0] for rule in rules}:
        raise UsageError(
            f"{word}: no such rule; `graphfix rules` lists them. {nearest(word, rules)}"
        )
    if operator is None:
        raise UsageError(
            f"{word}: op_support knows no operator {name}. {nearest(name, tables.names())}"
        )
    for constraint in operator.constraints:
        if constraint.id == identifier:
            return describe(constraint)
    known = [c.id for c in operator.constraints]
    listed = nearest(identifier, known) or f"It has {', '.join(known)}."
    raise UsageError(f"{word}: {name} has no constraint {identifier!r}. {listed if known else ''}")


def describe(constraint: Constraint) -> str:
    """Return the page of one constraint."""
    code = BY_NAME[constraint.finding]
    releases = f" of {', '.join(constraint.releases)}" if constraint.releases else ""
    lines = [
        f"{constraint.key}  {code.code} {code.name}  ({constraint.effect})",
        "",
        _wrap(generic(constraint.says)),
        "",
        f"Opsets:     {constraint.opsets}{releases}",
        _wrap(f"What to do: {generic(constraint.advice)}"),
        _wrap(f"Evidence:   {constraint.source} ({constraint.certainty})"),
    ]
    return "\n".join(lines)
