"""Pads that the model computes, for rules that need them for all axes."""

from __future__ import annotations

from collections.abc import Sequence

from graphfix.rewrite import Builder


def for_all_axes(b: Builder, pads: str, axes: Sequence[int], rank: int) -> str:
    """Return the pads of some axes, begins and then ends, among zeros for all others."""
    # an index behind the pads takes the zero that follows them
    places = [2 * len(axes)] * 2 * rank
    for position, axis in enumerate(axes):
        places[axis], places[axis + rank] = position, position + len(axes)
    return b.op("Gather", b.op("Concat", pads, b.ints(0), axis=0), b.ints(*places), axis=0)
