"""What a TOML rule may ask of a value: a closed list of conditions, each with its operand.

`rules/README.md` says what each means; a rule file names them under `variables`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphfix.graph import Value, dtypes
from graphfix.rewrite.patterns import Match

# what is wrong with a value, None when nothing is
ValueCheck = Callable[[Value, Match], "str | None"]


def constant_array(value: Value) -> np.ndarray | None:
    """Return the array of a small constant; None for what is computed, even if it is known."""
    return value.known if value.constant is not None else None


def _on_array(name: str, problem: Callable[[np.ndarray], str | None]) -> ValueCheck:
    def check(value: Value, _: Match) -> str | None:
        array = constant_array(value)
        if array is None or array.dtype.kind not in "biuf":
            return f"{name} is no small constant"
        return problem(array)

    return check


def _is(name: str, number: Any) -> ValueCheck:
    return _on_array(
        name, lambda a: None if a.size and bool((a == number).all()) else f"{name} is not {number}"
    )


def _near(name: str, bounds: Any) -> ValueCheck:
    number, distance = bounds

    def problem(array: np.ndarray) -> str | None:
        near = np.abs(array.astype(np.float64) - number) <= distance
        return None if array.size and bool(near.all()) else f"{name} is not near {number}"

    return _on_array(name, problem)


def _lacks(name: str, number: Any) -> ValueCheck:
    return _on_array(
        name, lambda a: f"{name} holds {number}" if bool((a == number).any()) else None
    )


def _all_equal(name: str, wanted: Any) -> ValueCheck:
    def problem(array: np.ndarray) -> str | None:
        equal = array.size > 0 and bool((array == array.reshape(-1)[0]).all())
        return None if equal is wanted else f"the elements of {name} are not all equal"

    return _on_array(name, problem)


def _constant(name: str, wanted: Any) -> ValueCheck:
    def check(value: Value, _: Match) -> str | None:
        if (constant_array(value) is not None) is wanted:
            return None
        return f"{name} is no small constant" if wanted else f"{name} is constant"

    return check


def _rank(name: str, wanted: Any) -> ValueCheck:
    ranks = wanted if isinstance(wanted, list) else [wanted]

    def check(value: Value, _: Match) -> str | None:
        if value.shape is None:
            return f"the rank of {name} is not known"
        return None if len(value.shape) in ranks else f"{name} has rank {len(value.shape)}"

    return check


def _dtype(name: str, wanted: Any) -> ValueCheck:
    allowed = wanted if isinstance(wanted, list) else [wanted]

    def check(value: Value, _: Match) -> str | None:
        if value.dtype is None:
            return f"the element type of {name} is not known"
        return None if value.dtype in allowed else f"{name} is {value.dtype}"

    return check


def _same_dtype(name: str, other: Any) -> ValueCheck:
    def check(value: Value, match: Match) -> str | None:
        peer = match.values.get(other)
        if value.dtype is None or peer is None or peer.dtype is None:
            return f"the element types of {name} and {other} are not known"
        if value.dtype != peer.dtype:
            return f"{name} is {value.dtype}, {other} is {peer.dtype}"
        return None

    return check


def _broadcasts_to(name: str, other: Any) -> ValueCheck:
    def check(value: Value, match: Match) -> str | None:
        peer = match.values.get(other)
        if value.shape == ():
            return None
        if value.shape is None or peer is None or peer.shape is None:
            return f"the shapes of {name} and {other} are not known"
        if len(value.shape) > len(peer.shape):
            return f"{name} has more dims than {other}"
        tail = peer.shape[len(peer.shape) - len(value.shape) :]
        for mine, theirs in zip(value.shape, tail, strict=True):
            if mine != 1 and (not isinstance(mine, int) or mine != theirs):
                return f"{name} may broadcast {other} to another shape"
        return None

    return check


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float))


def _is_pair(x: Any) -> bool:
    return isinstance(x, list) and len(x) == 2 and all(_is_number(e) for e in x)


def _is_ranks(x: Any) -> bool:
    entries = x if isinstance(x, list) else [x]
    return bool(entries) and all(isinstance(e, int) and not isinstance(e, bool) for e in entries)


def _is_dtypes(x: Any) -> bool:
    entries = x if isinstance(x, list) else [x]
    return bool(entries) and all(isinstance(e, str) and e in dtypes.NUMBERS for e in entries)


CHECKS: dict[str, tuple[Callable[[Any], bool], Callable[[str, Any], ValueCheck]]] = {
    "constant": (lambda x: isinstance(x, bool), _constant),
    "is": (_is_number, _is),
    "near": (_is_pair, _near),
    "lacks": (_is_number, _lacks),
    "all_equal": (lambda x: isinstance(x, bool), _all_equal),
    "rank": (_is_ranks, _rank),
    "dtype": (_is_dtypes, _dtype),
    "same_dtype": (lambda x: isinstance(x, str), _same_dtype),
    "broadcasts_to": (lambda x: isinstance(x, str), _broadcasts_to),
}
RELATIONS = ("same_dtype", "broadcasts_to")
