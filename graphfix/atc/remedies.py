"""After a failed run of ATC: what may be changed by itself before the next attempt.

Only what a fresh attempt can settle: an operator that this ATC refuses is written otherwise, a
fusion pass that fails is switched off, and what fails by accident is tried once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from graphfix.atc.fusion_switch import fusion_switch
from graphfix.atc.prepare import Prepared, Wish
from graphfix.support import Tables

# no parser or no kernel for an operator (CANN's error code tables, 8.1.RC1 and 2026)
_OPERATOR = frozenset({"E13010", "E19010", "E16002", "E76002", "EZ9010", "EZ0501", "E10501",
                       "EZ3002", "EZ3003"})  # fmt: skip
# a cache that somebody else holds, a compile worker that was lost
_ACCIDENT = frozenset({"E40003", "E22001"})
_FUSION = "E20007"


@dataclass(frozen=True)
class Remedy:
    """What changes for the next attempt. `kind` and `about` keep it from being tried twice."""

    kind: str
    about: tuple[str, ...]
    says: str
    wish: Wish
    files: Mapping[str, str] = field(default_factory=dict)


def remedy(
    diagnosis: Mapping[str, Any], prepared: Prepared, tried: list[Remedy], folder: Path
) -> Remedy | None:
    """Return what may help, None when nothing that was not tried yet does.

    Args:
        diagnosis: the document graphfix.diagnose/1 of the failed run.
        prepared: what was run.
        tried: the remedies of earlier attempts.
        folder: where a file that ATC must read can be written.
    """
    codes = {cause["code"] for cause in diagnosis["causes"]}
    codes |= {code for cause in diagnosis["causes"] for code in cause["also"]}
    done = {(r.kind, r.about) for r in tried}
    for found in (_operators(diagnosis, prepared), _fusion(diagnosis, prepared, folder),
                  _again(codes, prepared)):  # fmt: skip
        if found is not None and (found.kind, found.about) not in done:
            return found
    return None


def _operators(diagnosis: Mapping[str, Any], prepared: Prepared) -> Remedy | None:
    """Tell the tables what ATC refused; the rules then write it otherwise."""
    if prepared.fixed is None:
        return None
    types = {n.name: n.op_type for n in prepared.model.graph.ordered()}
    refused: dict[str, str] = {}
    for cause in diagnosis["causes"]:
        if cause["code"] in _OPERATOR:
            for named in cause["nodes"]:
                op_type = types.get(named.get("node") or "", "")
                op_type = op_type or str(named.get("op_type") or "").rpartition("::")[2]
                if op_type in types.values():
                    refused[op_type] = cause["code"]
    if not refused:
        return None
    wish = prepared.wish
    learned = [*wish.tables.overlays, ("the log of ATC", overlay(refused))]
    return Remedy(
        "operator",
        tuple(sorted(refused)),
        f"ATC refused {', '.join(sorted(refused))}: taken as a fact, and fixed again",
        replace(wish, tables=Tables(learned, wish.tables.custom_ops)),
    )


def overlay(refused: Mapping[str, str]) -> dict[str, Any]:
    """Return what op_support would say of operators that an ATC refused with these codes."""
    return {
        op_type: {
            "constraint": [
                {
                    "id": "refused-by-your-atc",
                    "opsets": "all",
                    "effect": "rejected",
                    "finding": "compile-refused",
                    "says": f"your ATC refused it ({code})",
                    "advice": "write it otherwise, or cut the model there",
                    "code": code,
                    "source": "the log of an ATC run",
                    "certainty": "proved",
                }
            ]
        }
        for op_type, code in refused.items()
    }


def _fusion(diagnosis: Mapping[str, Any], prepared: Prepared, folder: Path) -> Remedy | None:
    """Switch off a fusion pass that failed, by its name."""
    if "fusion_switch_file" in prepared.wish.settings:
        return None
    for cause in diagnosis["causes"]:
        named = [n["raw"] for n in cause["nodes"] if str(n.get("raw", "")).endswith("Pass")]
        name = cause["facts"].get("pass") or next(iter(named), None)
        if cause["code"] == _FUSION and name:
            file = "fusion_switch.cfg"
            settings = {**prepared.wish.settings, "fusion_switch_file": str(folder / file)}
            return Remedy(
                "fusion", (name,), f"the fusion pass {name} failed: switched off",
                replace(prepared.wish, settings=settings), {file: fusion_switch([name])},
            )  # fmt: skip
    return None


def _again(codes: set[str], prepared: Prepared) -> Remedy | None:
    found = sorted(codes & _ACCIDENT)
    if not found:
        return None
    says = f"{found[0]} can come by accident: once more, unchanged"
    return Remedy("again", (), says, prepared.wish)
