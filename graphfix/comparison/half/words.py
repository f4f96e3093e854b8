"""What the preview says of its losses, of its assumptions, and of what it cannot tell."""

from __future__ import annotations

from collections.abc import Sequence

from graphfix.comparison.half.forms import MIXED, Plan, Planner
from graphfix.comparison.half.interpreter import Rounded
from graphfix.comparison.half.result import HalfOutput
from graphfix.comparison.half.rounding import INFINITE, SATURATING, Rounding
from graphfix.graph import Node

# a constant of so few elements is a parameter: any of them that vanishes is told
_SMALL_CONSTANT = 16


def assumptions(planner: Planner, plan: Plan, opaque: Sequence[Node]) -> list[tuple[str, str]]:
    """Return (words, certainty) of all that the preview takes for granted.

    `opaque` are the nodes whose subgraphs were not looked into.
    """
    found = [
        ("Inside an operator the kernel computes in float32 and rounds its result once; the "
         "cube unit does, of vector kernels it depends on the implementation.", "medium"),
    ]  # fmt: skip
    soc = planner.soc
    if soc is None:
        found.append(("No --soc: every operator is taken to have a float16 and a float32 "
                      "kernel.", "low"))  # fmt: skip
        found.append(("What passes 65504 becomes infinite; Atlas training products (Ascend910) "
                      "saturate.", "medium"))  # fmt: skip
    elif soc.family in SATURATING:
        found.append(("What passes 65504 saturates there, as the documents say of Atlas "
                      "training products.", "high"))  # fmt: skip
    elif soc.family in INFINITE:
        found.append(("What passes 65504 becomes infinite, the default of Atlas A2 and A3.",
                      "high"))  # fmt: skip
    else:
        found.append(("What passes 65504 becomes infinite; whether the chip saturates instead "
                      "is not known.", "low"))  # fmt: skip
    if planner.target.release.weight_clip:
        found.append(("Constants beyond float16 are clipped to 65504 (--is_weight_clip=1, the "
                      "default).", "high"))  # fmt: skip
    else:
        found.append((f"Constants beyond float16 become infinite: --is_weight_clip is not seen "
                      f"in {planner.target.release.name}.", "medium"))  # fmt: skip
    if planner.mode in MIXED:
        found.append(("An operator on no list follows its first input that is no constant.",
                      "medium"))  # fmt: skip
    assumed = sum(
        planner.forms[id(n)].role == "unknown" for n in plan.half
    ) if soc is not None else 0  # fmt: skip
    if assumed:
        found.append((f"No table tells the kernels of {assumed} nodes: they are taken to be "
                      "half.", "low"))  # fmt: skip
    if opaque:
        kinds = ", ".join(sorted({node.op_type for node in opaque}))
        found.append((f"What lies inside {kinds} is computed in float32.", "low"))
    return found


def note_of(planner: Planner, plan: Plan, outputs: Sequence[HalfOutput]) -> str | None:
    """Return why the result tells little, where it does."""
    floats = {v.dtype for g in planner.model.graph.graphs() for v in g.values.values()}
    if "float32" not in floats:
        if "float16" in floats:
            return "The model is float16 already: nothing is rounded that it does not round."
        return "The model holds no float32: half precision changes nothing."
    if planner.mode == "must_keep_origin_dtype":
        return "must_keep_origin_dtype keeps float32: nothing is rounded."
    if not plan.half:
        return "No node is held in half."
    broken = [o.name for o in outputs if o.metrics.nan[0]]
    if broken:
        return (
            f"The original itself gives NaN in {', '.join(broken[:3])}: errors are over the "
            "finite elements. Give real data (--input)."
        )
    return None


def losses_of(lost: Rounded, rounding: Rounding) -> list[tuple[str, str, float]]:
    """Return (kind, words, how bad) of one rounding; small losses of small numbers are none."""
    loss = lost.loss
    what = "constant" if lost.is_weight else "input" if lost.is_input else "result"
    found = []
    if loss.overflow:
        ends = "inf"
        if rounding.saturate or (lost.is_weight and rounding.clip_weights):
            ends = "65504"
        sign = "-" if loss.peak < 0 else ""
        share = "" if loss.size == 1 else f" ({loss.overflow:,} of {loss.size:,})"
        found.append(("overflow", f"{what} {loss.peak:.3g} -> {sign}{ends}{share}",
                      2.0 + loss.overflow / loss.size))  # fmt: skip
    if loss.underflow:
        part = loss.underflow / max(loss.nonzero, 1)
        is_scalar = lost.is_weight and loss.size <= _SMALL_CONSTANT
        if is_scalar or part >= 0.5:
            share = "" if loss.size == 1 else f" ({loss.underflow:,} of {loss.nonzero:,})"
            found.append(("underflow", f"{what} {loss.least:.3g} -> 0{share}",
                          1.0 + part + is_scalar * 0.5))  # fmt: skip
    return found
