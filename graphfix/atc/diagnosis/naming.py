"""Which node of the user's model a name in a log means, through all that GE does to names.

GE appends and prepends (`_ascend_mbatch_batch_5`, `trans_TransData_59`), joins the names of fused
operators, expands one node into many (`PartitionedCall_<inner>_<n>`), and numbers nameless nodes
(`Relu_0`). graphfix itself notes in each node that it writes where that came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphfix.analysis.findings import Namer, scope_of
from graphfix.atc.diagnosis.reading import NARROW
from graphfix.comparison.matching import ORIGIN
from graphfix.graph import Model, Node
from graphfix.support import Tables

RULE = "graphfix.rule"
_SHORTEST = 4  # characters of a name that may be found inside another
_LONGEST = 4000
_LOOKALIKES = str.maketrans("OolI|!", "001111")

_BEFORE = re.compile(
    r"^(?:-?\d+_\d+_|trans_|PartitionedCall_|te_|ffts_|atomic_addr_clean\d*_)+(?:Trans(?:Data|pose)_)?"
)
_AFTER = re.compile(
    r"(?:_ascend_mbatch_(?:batch_\d+|\w+)|_(?:dup|copy|clone)\w*|_(?:lx_?fusion|fusion|Nd2Nz|host|histo"
    r"|weight|bias|filter\w*|const|input\d*|output\d*|sub_graph\w*|new\w*|quant\w*|dequant\w*)"
    r"|_\d+(?:_\d+)*|:\d+)$"
)
_TYPE_AND_NUMBER = re.compile(r"^([A-Z][A-Za-z0-9]*?[A-Za-z])_?(\d+)$")


@dataclass(frozen=True)
class NamedNode:
    """A node that a message names.

    `raw` is the name in the log, or its type where it has no name. `node` is the name in the
    model that was given, None where nothing fits. `op_type` is the type without domain; `key`
    what the log says (`ai.onnx::20::Gelu`, or a GE operator). `by` tells how it was found: name,
    decorated, expanded, fused, type, only, lookalike, cut. `kind` is node, input or value.
    `origin` are the user's own nodes, where graphfix wrote this one, by `rule`.
    """

    raw: str
    node: str | None = None
    op_type: str | None = None
    key: str | None = None
    by: str | None = None
    kind: str = "node"
    scope: str = ""
    origin: tuple[str, ...] = ()
    rule: str | None = None
    notes: list[str] = field(default_factory=list, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the entry of a cause."""
        return {
            "node": self.node, "raw": self.raw, "op_type": self.op_type, "key": self.key,
            "by": self.by, "kind": self.kind, "scope": self.scope, "origin": list(self.origin),
            "rule": self.rule, "notes": list(self.notes),
        }  # fmt: skip


def plain_type(key: str | None) -> str | None:
    """Return the operator without domain and opset: Gelu of ai.onnx::20::Gelu."""
    return key.rpartition("::")[2] if key else None


class Names:
    """The names of a model, and of the fix that made it, ready to be looked up.

    Args:
        model: what ATC read, or the model that it was made from; None when there is none.
        fix_report: the document graphfix.fix/1 of the fix that wrote what ATC read.
        tables: tell which GE operators an ONNX operator becomes.
    """

    def __init__(
        self, model: Model | None, fix_report: Mapping[str, Any] | None, tables: Tables
    ) -> None:
        self._tables = tables
        self._nodes: dict[str, Node] = {}
        self._called: dict[int, str] = {}
        self._values: dict[str, Node] = {}
        self.inputs: dict[str, str] = {}
        self._by_type: dict[str, list[Node]] = {}
        self._origins: dict[str, tuple[str, ...]] = {}
        self._rules: dict[str, str] = {}
        self._alike: dict[str, list[Node]] | None = None
        self._lengths: list[int] | None = None
        self._ge: dict[str, set[str]] | None = None
        self.model = model
        if model is not None:
            self._index(model)
        for change in (fix_report or {}).get("changes", ()):
            for name in change["after"]:
                key = _squeezed(name)
                self._rules.setdefault(key, change["rule"])
                self._origins.setdefault(key, tuple(self._earlier(change["before"])))

    def _earlier(self, names: list[str]) -> Iterator[str]:
        """Yield the user's nodes behind some, through earlier changes."""
        for name in dict.fromkeys(names):
            yield from self._origins.get(_squeezed(name), (name,))

    def _index(self, model: Model) -> None:
        namer = Namer(model.graph)
        for node in model.graph.walk():
            name = namer.name(node)
            self._called[id(node)] = name
            self._nodes.setdefault(_squeezed(name), node)
            self._by_type.setdefault(node.op_type, []).append(node)
            for value in node.outputs:
                if value:
                    self._values.setdefault(_squeezed(value), node)
            for entry in node.proto.metadata_props:
                if entry.key == ORIGIN:
                    self._origins.setdefault(_squeezed(name), (entry.value,))
                elif entry.key == RULE:
                    self._rules.setdefault(_squeezed(name), entry.value)
        constants = model.graph.initializers
        self.inputs = {_squeezed(i): i for i in model.graph.inputs if i not in constants}

    # ------------------------------------------------------------------ looking up

    def resolve(self, raw: str, key: str | None) -> list[NamedNode]:
        """Return the nodes that a name and a type in a log mean; at least one entry.

        Args:
            raw: the name as the log has it, without blanks; empty when it has none.
            key: the type as the log has it, None when it tells none.
        """
        op_type = plain_type(key)
        if raw and (noted := self._written(raw)) is not None:
            return [self._from_log(raw, key, *noted)]
        if raw and (found := self._by_name(raw, op_type)):
            return [self._named(node, raw, key, how) for node, how in found]
        if raw and _squeezed(raw) in self.inputs:
            return [NamedNode(raw, self.inputs[_squeezed(raw)], op_type, key, "name", "input")]
        typed = self._by_kind(raw, op_type)
        if typed:
            return [replace(n, raw=raw or key or n.raw, key=key) for n in typed]
        return [NamedNode(raw or key or "", None, op_type or self._type_in(raw), key)]

    def knows(self, raw: str) -> bool:
        """Whether a word is exactly the name of a node, an input or a tensor of the model."""
        name = _squeezed(raw)
        return len(name) > 1 and (
            name in self._nodes or name in self.inputs or name in self._values
        )

    def value(self, raw: str) -> NamedNode | None:
        """Return the graph input, or the node that gives a tensor of this name."""
        name = _squeezed(raw)
        if name in self.inputs:
            return NamedNode(raw, self.inputs[name], None, None, "name", "input")
        node = self._values.get(name) or self._nodes.get(name)
        return self._named(node, raw, None, "name") if node is not None else None

    def of_type(self, op_type: str) -> list[NamedNode]:
        """Return the nodes of a type, ONNX's own or one that GE makes of it."""
        return self._by_kind("", op_type)

    def twins(self) -> list[NamedNode]:
        """Return the nodes of the main graph whose name another node or an input has too."""
        found: list[NamedNode] = []
        if self.model is not None:
            seen: dict[str, Node] = {}
            for node in self.model.graph.nodes:
                name = self._called[id(node)]
                if name in seen or name in self.model.graph.inputs:
                    found.append(self._named(node, name, None, "name"))
                seen[name] = node
        return found

    def foreign(self) -> list[NamedNode]:
        """Return the nodes of other domains than ONNX's own."""
        nodes = self.model.graph.walk() if self.model is not None else ()
        return [
            self._named(n, self._called[id(n)], n.key, "domain")
            for n in nodes if not n.is_standard
        ]  # fmt: skip

    def _named(self, node: Node, raw: str, key: str | None, how: str) -> NamedNode:
        name = self._called[id(node)]
        squeezed = _squeezed(name)
        op_type = plain_type(key) if how in ("expanded", "fused") and key else node.op_type
        origin, rule = self._origins.get(squeezed, ()), self._rules.get(squeezed)
        return NamedNode(
            raw, name, op_type, key, how, "node", scope_of(node.graph), origin, rule
        )  # fmt: skip

    def _written(self, raw: str) -> tuple[str, str] | None:
        """Return (name, rule) of a node that only the report of a fix knows."""
        for name, _ in _spellings(raw):
            if name in self._nodes:
                return None
            if name in self._rules:
                return name, self._rules[name]
        return None

    def _from_log(self, raw: str, key: str | None, written: str, rule: str) -> NamedNode:
        """A node that a fix wrote, told by its report: the model given is the one before."""
        origin = self._origins.get(written, ())
        before = next((n for o in origin if (n := self._nodes.get(_squeezed(o)))), None)
        name = self._called[id(before)] if before is not None else None
        return NamedNode(raw, name, plain_type(key), key, "origin", origin=origin, rule=rule)

    def _by_name(self, raw: str, op_type: str | None) -> list[tuple[Node, str]]:
        """Return (node, how) for a name; several for one that GE joined."""
        if not self._nodes:
            return []
        for name, how in _spellings(raw):
            node = self._nodes.get(name)
            if node is not None and _may_be(node, op_type, how):
                return [(node, how)]
            node = self._values.get(name)
            if node is not None:
                return [(node, how)]
        joined = self._joined(raw)
        if len(joined) > 1:
            return [(node, "fused") for node in joined]
        if (node := self._nested(raw)) is not None:
            return [(node, "expanded")]
        if (node := self._lookalike(raw)) is not None:
            return [(node, "lookalike")]
        if (node := self._cut(raw)) is not None:
            return [(node, "cut")]
        return [(node, "decorated") for node in joined]

    def _nested(self, raw: str) -> Node | None:
        """Return the node whose name, with a slash, begins or ends the name."""
        parts = _squeezed(raw).split("/")
        for end in range(len(parts) - 1, 0, -1):
            node = self._nodes.get("/".join(parts[:end]))
            if node is not None and len("/".join(parts[:end])) >= _SHORTEST:
                return node
        for start in range(1, len(parts)):
            rest = "/".join(parts[start:])
            node = self._nodes.get(rest) or self._nodes.get(f"/{rest}")
            if node is not None:
                return node
        return None

    def _lookalike(self, raw: str) -> Node | None:
        """Return the one node whose name differs in letters that a scanner mistakes."""
        if self._alike is None:
            self._alike = {}
            for name, node in self._nodes.items():
                self._alike.setdefault(_looks(name), []).append(node)
        found = self._alike.get(_looks(raw), [])
        return found[0] if len(found) == 1 else None

    def _cut(self, raw: str) -> Node | None:
        """Return the one node whose name begins so, where the log broke off."""
        name = _squeezed(raw).rstrip(".…")
        if len(name) < 8:
            return None
        found = [node for other, node in self._nodes.items() if other.startswith(name)]
        return found[0] if len(found) == 1 else None

    def _joined(self, raw: str) -> list[Node]:
        """Return the nodes whose names stand one after the other in a name, longest first."""
        name = _squeezed(raw)[:_LONGEST]
        if self._lengths is None:
            self._lengths = sorted(
                {len(n) for n in self._nodes if len(n) >= _SHORTEST}, reverse=True
            )
        found: list[Node] = []
        place = covered = 0
        while place < len(name):
            for length in self._lengths:
                node = self._nodes.get(name[place : place + length])
                ends = place + length
                if node is not None and (ends >= len(name) or not name[ends].isdigit()):
                    found.append(node)
                    covered += length
                    place = ends
                    break
            else:
                place += 1
        unique = list(dict.fromkeys(found))
        return unique if covered * 2 >= len(name) else []

    # ------------------------------------------------------------------ by type

    def _type_in(self, raw: str) -> str | None:
        match = _TYPE_AND_NUMBER.match(raw)
        return match[1] if match and "/" not in raw else None

    def _by_kind(self, raw: str, op_type: str | None) -> list[NamedNode]:
        """Return the nodes of the type when the log has no name of the model's.

        A name that GE made of type and number (engines called online) says no more than the type.
        """
        wanted = op_type or self._type_in(raw)
        if wanted is None or not self._by_type:
            return []
        types = {wanted} if wanted in self._by_type else self._onnx_types(wanted)
        nodes = [node for t in sorted(types) for node in self._by_type.get(t, ())]
        how = "only" if len(nodes) == 1 else "type"
        if raw and len(nodes) != 1:
            return []
        return [self._named(n, self._called[id(n)], None, how) for n in nodes[:200]]

    def _onnx_types(self, ge_type: str) -> set[str]:
        """Return the model's ONNX operators that become a GE operator."""
        if self._ge is None:
            self._ge = {}
            for op_type in self._by_type:
                operator = self._tables.operator(op_type)
                if operator is None:
                    continue
                names = {entry.ge_op for entry in operator.registrations}
                names |= {e.becomes[0] for e in operator.registrations if len(e.becomes) == 1}
                names |= {entry.ge_op for entry in operator.kernels}
                for ge_op in names:
                    self._ge.setdefault(_plain_ge(ge_op), set()).add(op_type)
        wanted = _plain_ge(ge_type)
        return self._ge.get(wanted) or {t for t in self._by_type if _plain_ge(t) == wanted}


def _spellings(raw: str) -> Iterator[tuple[str, str]]:
    """Yield what a name may have been before GE decorated it, the likeliest first."""
    name = _squeezed(raw)
    yield name, "name"
    seen = {name}
    queue = [name]
    while queue:
        current = queue.pop(0)
        for shorter in (_AFTER.sub("", current), _BEFORE.sub("", current)):
            if shorter and shorter not in seen and len(shorter) >= 2:
                seen.add(shorter)
                queue.append(shorter)
                yield shorter, "decorated"
    if not name.startswith("/") and len(name) > 3:
        yield "/" + name, "decorated"


def _may_be(node: Node, op_type: str | None, how: str) -> bool:
    """Whether a decorated spelling is more than a coincidence of short names."""
    return how == "name" or len(node.name) >= _SHORTEST or op_type in (None, node.op_type)


def _squeezed(name: str) -> str:
    """Return a name as a log line that was read gives it: no blanks, no full-width signs."""
    return "".join(name.split()) if name.isascii() else "".join(name.translate(NARROW).split())


def _looks(name: str) -> str:
    return _squeezed(name).translate(_LOOKALIKES).lower().replace(",", ".")


def _plain_ge(op_type: str) -> str:
    """Return a GE operator without what tells its variants apart: StridedSlice of StridedSliceD."""
    return re.sub(r"(?:V\d+|D)$", "", op_type).lower()
