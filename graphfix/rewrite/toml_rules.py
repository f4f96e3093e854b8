"""Rules written in TOML: a pattern, what comes in its place, and the conditions.

`rules/README.md` is the manual of the format. Whatever it does not know is an error that names the
file and the key; nothing in a file is evaluated as code.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphfix.errors import TableError, nearest
from graphfix.graph import Graph, Node, Value
from graphfix.rewrite.builder import Builder
from graphfix.rewrite.patterns import (
    Match,
    Misses,
    Pattern,
    PatternError,
    PatternNode,
    parse,
    produced,
    references,
    site,
)
from graphfix.rewrite.rule import Exactness, Example, NearMiss, No, Rule, RuleError, Site
from graphfix.rewrite.value_checks import CHECKS, RELATIONS
from graphfix.support.conditions import Condition, NodeView, compile_condition
from graphfix.support.predicates import PREDICATES
from graphfix.support.target import read_toml

_RULE_KEYS = frozenset(
    ("page", "roots", "exactness", "fixes", "tolerance", "optional", "form", "example", "near_miss")
)
_FORM_KEYS = frozenset(
    ("before", "after", "variables", "constants", "when", "min_opset", "max_opset")
)
_EXAMPLE_KEYS = frozenset(["before", "after", "opset", "target"])
_MISS_KEYS = frozenset(["before", "reason", "opset", "target"])

# what is wrong with a value, None when nothing is
_Check = Callable[[Match], "str | None"]


def read_rule(path: Path) -> Rule:
    """Read one rule; raises RuleError that names the file and the key."""
    try:
        table = read_toml(path)
    except (ValueError, OSError) as error:
        raise RuleError(f"{path}: not a TOML file: {error}") from error
    reader = _Reader(path)
    reader.check_keys(table, _RULE_KEYS | _FORM_KEYS, "")
    own = {key: entry for key, entry in table.items() if key in _FORM_KEYS}
    if "form" in table:
        if own:
            raise reader.error(min(own), "it belongs into each [[form]].")
        forms = [
            reader.form(entry, f"form {number}: ")
            for number, entry in enumerate(reader.tables(table, "form"), 1)
        ]
        if not forms:
            raise reader.error("form", "a rule has at least one.")
    else:
        forms = [reader.form(own, "")]
    rule = TomlRule(forms)
    rule.page = textwrap.dedent(reader.get(table, "page", str, required=True)).strip()
    derived = tuple(dict.fromkeys(form.before.root.key for form in forms))
    rule.roots = tuple(reader.texts(table, "roots")) or derived
    if set(rule.roots) != set(derived):
        raise reader.error("roots", f"the patterns end with {', '.join(derived)}.")
    exactness = reader.get(table, "exactness", str, default="exact")
    if exactness not in {e.value for e in Exactness}:
        raise reader.error("exactness", f"{exactness!r} is none of exact, rounding, approximate.")
    rule.exactness = Exactness(exactness)
    rule.fixes = tuple(reader.texts(table, "fixes"))
    rule.tolerance = float(reader.get(table, "tolerance", (int, float), default=Rule.tolerance))
    rule.optional = reader.get(table, "optional", bool, default=False)
    rule.examples = tuple(reader.examples(table))
    return rule


@dataclass(frozen=True)
class Form:
    """One pattern of a rule and what replaces it."""

    before: Pattern
    after: tuple[PatternNode, ...]
    checks: tuple[_Check, ...]
    constants: Mapping[str, tuple[float, str]]  # name -> (number, the value whose type it has)
    when: Condition | None
    opsets: range
    constant_input: str | None = None  # an input of the root that has to be a small constant
    is_local: bool = False  # one node alone decides

    def match(self, node: Node, graph: Graph, misses: Misses) -> Site | No:
        """Return the site, or a No; the reasons of the misses go to `misses`."""
        # most nodes of the root's type fail here, before anything is built
        if self.constant_input is not None and not any(
            v is not None and v.constant is not None for v in node.values
        ):
            misses.add(0, f"{self.constant_input} is no small constant")
            return No(misses.reason)
        opset = graph.model.opset or 0
        if opset not in self.opsets:
            misses.add(0, f"the rule is not for opset {opset}")
            return No(misses.reason)
        depth = len(self.before.nodes)
        for found in self.before.matches(node, misses):
            problem = next((p for check in self.checks if (p := check(found))), None)
            if problem is None and self.when is not None and not self.when(NodeView(node, opset)):
                problem = "the condition of the rule does not hold"
            if problem is None:
                answer = self._site(found, node, graph)
                if isinstance(answer, Site):
                    return answer
                problem = answer.reason
            misses.add(depth, problem)
        return No(misses.reason)

    def _site(self, found: Match, node: Node, graph: Graph) -> Site | No:
        builder = Builder(node, graph)
        constants = {}
        for name, (number, like) in self.constants.items():
            value = found.values[like]
            if value is None or value.dtype is None:
                return No(f"the element type of {like} is not known")
            constants[name] = builder.scalar(number, value)
        return site(self.before, found, self.after, constants, builder)


class TomlRule(Rule):
    """A rule that was read from a TOML file; its forms are tried in their order."""

    def __init__(self, forms: list[Form]) -> None:
        self.forms = forms
        self.is_local = all(form.is_local for form in forms)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Return the edit of the first form that fits."""
        misses = Misses()
        for form in self.forms:
            answer = form.match(node, graph, misses)
            if isinstance(answer, Site):
                return answer
        return No(misses.reason)

    def unfed(self, root: str, feeders: Sequence[str]) -> str | None:
        """Return why none of the forms can fit."""
        reason = None
        for form in self.forms:
            if form.before.root.key != root:
                continue
            problem = form.before.unfed(feeders)
            # neither an initializer nor a Constant feeds it
            if form.constant_input is not None and not {"", "Constant"} & set(feeders):
                problem = problem or f"{form.constant_input} is no small constant"
            if problem is None:
                return None
            reason = reason or problem
        return reason


# ---------------------------------------------------------------------- reading


class _Reader:
    """Reads the tables of one file and names the file in every error."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def error(self, key: str, problem: str) -> RuleError:
        return RuleError(f"{self.path}: {key}: {problem}")

    def check_keys(self, table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
        for key in table:
            if key not in known:
                raise self.error(f"{where}{key}", f"no such key. {nearest(key, known)}".strip())

    def get(
        self, table: Mapping[str, Any], key: str, kind: Any, *, where: str = "",
        default: Any = None, required: bool = False,
    ) -> Any:  # fmt: skip
        if key not in table:
            if required:
                raise self.error(f"{where}{key}", "it is missing.")
            return default
        value = table[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(f"{where}{key}", f"{value!r} is not what is expected here.")
        return value

    def texts(self, table: Mapping[str, Any], key: str) -> list[str]:
        values = self.get(table, key, list, default=[])
        if not all(isinstance(v, str) for v in values):
            raise self.error(key, "expected a list of strings.")
        return list(values)

    def tables(self, table: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
        values = self.get(table, key, list, default=[])
        if not all(isinstance(v, dict) for v in values):
            raise self.error(key, f"expected tables, [[{key}]].")
        return list(values)

    def examples(self, table: Mapping[str, Any]) -> list[Example | NearMiss]:
        found: list[Example | NearMiss] = []
        for index, entry in enumerate(self.tables(table, "example")):
            where = f"example {index + 1}: "
            self.check_keys(entry, _EXAMPLE_KEYS, where)
            found.append(
                Example(
                    self.get(entry, "before", str, where=where, required=True),
                    self.get(entry, "after", (str, list), where=where, required=True),
                    self.get(entry, "opset", int, where=where, default=17),
                    self.get(entry, "target", int, where=where),
                )
            )
        for index, entry in enumerate(self.tables(table, "near_miss")):
            where = f"near_miss {index + 1}: "
            self.check_keys(entry, _MISS_KEYS, where)
            found.append(
                NearMiss(
                    self.get(entry, "before", str, where=where, required=True),
                    self.get(entry, "reason", str, where=where, required=True),
                    self.get(entry, "opset", int, where=where, default=17),
                    self.get(entry, "target", int, where=where),
                )
            )
        return found

    # ------------------------------------------------------------------ forms

    def form(self, table: Mapping[str, Any], where: str) -> Form:
        self.check_keys(table, _FORM_KEYS, where)
        variables = self.get(table, "variables", dict, where=where, default={})
        optional = frozenset(
            n for n, t in variables.items() if isinstance(t, dict) and t.get("optional") is True
        )
        text = self.get(table, "before", str, where=where, required=True)
        try:
            before = Pattern(text, optional)
        except PatternError as error:
            raise self.error(f"{where}before", f"{error}.") from error
        names = before.variables | produced(before.nodes)
        checks = [
            check
            for name, conditions in variables.items()
            for check in self._checks(name, conditions, names, f"{where}variables.{name}")
        ]
        constants = self._constants(table, names, where)
        after = self._after(table, before, names | set(constants), where)
        when = self.get(table, "when", dict, where=where, default={})
        try:
            condition = compile_condition(when, PREDICATES, f"{self.path}: {where}when")
        except (TableError, ValueError, TypeError) as error:
            raise RuleError(str(error)) from error
        low = self.get(table, "min_opset", int, where=where, default=1)
        high = self.get(table, "max_opset", int, where=where, default=999)
        opsets = range(low, high + 1)
        asked = _constant_input(before, self.get(table, "variables", dict, default={}))
        # conditions other than on attributes may look beyond the node
        is_local = len(before.nodes) == 1 and {*when} <= {"attr"}
        return Form(before, after, tuple(checks), constants, condition, opsets, asked, is_local)

    def _after(
        self, table: Mapping[str, Any], before: Pattern, names: set[str], where: str
    ) -> tuple[PatternNode, ...]:
        key = f"{where}after"
        try:
            after = parse(self.get(table, "after", str, where=where, required=True))
        except PatternError as error:
            raise self.error(key, f"{error}.") from error
        given = produced(before.nodes)
        # what the pattern gives is gone, unless the new nodes give it again
        known = names - given
        for node in after:
            for name in node.inputs:
                if name and name not in known:
                    raise self.error(key, f"{name} is no variable and no node before gives it.")
            for name in node.outputs:
                if name in known:
                    raise self.error(key, f"{name} is a variable or constant already.")
            known.update(node.outputs)
        if not produced(after) & given:
            raise self.error(key, "it gives none of the values of before.")
        unknown = references(after) - references(before.nodes)
        if unknown:
            raise self.error(key, f"@{min(unknown)} is not in before.")
        return after

    def _constants(
        self, table: Mapping[str, Any], names: set[str], where: str
    ) -> dict[str, tuple[float, str]]:
        found = {}
        for name, entry in self.get(table, "constants", dict, where=where, default={}).items():
            place = f"{where}constants.{name}"
            if not isinstance(entry, dict):
                raise self.error(place, "expected a table.")
            self.check_keys(entry, ("value", "like"), f"{place}.")
            number = self.get(entry, "value", (int, float), where=f"{place}.", required=True)
            like = self.get(entry, "like", str, where=f"{place}.", required=True)
            if like not in names:
                raise self.error(f"{place}.like", f"{like} is not in before.")
            if name in names:
                raise self.error(place, f"{name} is in before already.")
            found[name] = (number, like)
        return found

    def _checks(self, name: str, table: Any, names: set[str], where: str) -> list[_Check]:
        if not isinstance(table, dict):
            raise self.error(where, "expected a table.")
        self.check_keys(table, (*CHECKS, "optional"), f"{where}.")
        if name not in names:
            raise self.error(where, f"{name} is not in before.")
        checks = []
        for key, operand in table.items():
            if key == "optional":
                self.get(table, key, bool, where=f"{where}.")
                continue
            kind, make = CHECKS[key]
            if not kind(operand):
                raise self.error(f"{where}.{key}", f"{operand!r} is not what is expected here.")
            if key in RELATIONS and operand not in names:
                raise self.error(f"{where}.{key}", f"{operand} is not in before.")
            checks.append(_on_value(name, make(name, operand)))
        return checks


def _constant_input(before: Pattern, variables: Mapping[str, Any]) -> str | None:
    """Return an input of the root whose conditions only a small constant meets."""
    for name in before.root.inputs:
        table = variables.get(name, {})
        if not table.get("optional") and {*table} & {"is", "near", "lacks", "all_equal"}:
            return name
    return None


def _on_value(name: str, check: Callable[[Value, Match], str | None]) -> _Check:
    """A value that is left out, which its `optional` allows, meets every condition."""

    def whole(match: Match) -> str | None:
        value = match.values.get(name)
        return None if value is None else check(value, match)

    return whole
