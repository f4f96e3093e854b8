"""Rule, Site, No: what a rewrite rule is and what its matcher answers.

`match` is pure: it looks at one node and returns a `Site`, the edit that it proposes, or a `No`
with the reason. Rules never edit; the engine commits a site when its gate lets it pass.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from graphfix.errors import GraphfixError
from graphfix.graph import Graph, Node


class RuleError(GraphfixError):
    """A rule file that does not load, or a rule that fails while it is asked."""


class Exactness(enum.Enum):
    """How a rewrite's results compare with what ONNX asks for."""

    EXACT = "exact"  # the same numbers, bit for bit, but for the sign of zero
    ROUNDING = "rounding"  # the same mathematics, other rounding
    APPROXIMATE = "approximate"  # changes results or the contract; only when the user names it


@dataclass(frozen=True)
class No:
    """The answer of a matcher that does not fire, and why."""

    reason: str


@dataclass(frozen=True)
class Site:
    """An edit: these nodes go, those come, and these values are given anew.

    `nodes` name their results as the builder made them up; `replace` maps each value of a dropped
    node that is used elsewhere to the new value that stands in for it. An old value may also be
    replaced by an existing one (removing an Identity).

    `batch` is (symbol, size) where the site widens what a model takes: the first dim of its inputs
    is open under that symbol (empty where it has none), but the nodes that go work at one size
    only. The proof runs the new nodes at twice that size too, and the old ones on each half.
    """

    drop: tuple[Node, ...]
    nodes: tuple[onnx.NodeProto, ...]
    constants: tuple[onnx.TensorProto, ...]
    replace: Mapping[str, str]
    batch: tuple[str, int] | None = None


@dataclass(frozen=True)
class Example:
    """A model on which a rule fires. `before` is ONNX text: `g (float[2] x) => (float[2] y) {...}`.

    `after` is the same with what must come out, or the list of operator types in topological order.
    `opset` is that of the model, `target` the one to write for (the same when left out).
    """

    before: str
    after: str | Sequence[str]
    opset: int = 17
    target: int | None = None


@dataclass(frozen=True)
class NearMiss:
    """A model on which a rule must stay silent, with a part of the reason that it gives."""

    before: str
    reason: str
    opset: int = 17
    target: int | None = None


class Rule:
    """A rewrite rule. One file in rules/ holds one; the module's docstring is its page.

    Attributes:
        name: group and file, `decompose/gelu`; set when the rule is loaded.
        roots: the operator types at which it starts; `com.microsoft::Gelu` for other domains.
        exactness: how exact it is, at most.
        fixes: the finding codes or constraints (`Resize/nearest-mode`) that it removes.
        tolerance: greatest error of a rounding rule in float32, relative to max(1, |value|).
        optional: fires only when the user selects it.
        is_local: the answer follows from the node alone: its attributes, the types and small
            constants of its operands, which of its results are used. Then the rule is asked once
            for all nodes that agree in these.
    """

    name: str = ""
    page: str = ""
    roots: tuple[str, ...] = ()
    exactness: Exactness = Exactness.EXACT
    fixes: tuple[str, ...] = ()
    tolerance: float = 2e-6
    optional: bool = False
    is_local: bool = False
    examples: Sequence[Example | NearMiss] = ()

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Return the edit that this rule proposes at `node`, or why there is none. Pure."""
        raise NotImplementedError

    def unfed(self, root: str, feeders: Sequence[str]) -> str | None:
        """Return why no node of the type `root` can match that is fed by these operators, or None.

        `feeders` has an entry for each input, empty where no node gives it. The engine asks once
        for all nodes that are fed alike, so that a rule costs nothing where it cannot fire.
        """
        return None
