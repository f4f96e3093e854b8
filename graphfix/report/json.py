"""JSON: the contract for pipelines, `graphfix.check/1`; schemas/check-1.json describes it."""

from __future__ import annotations

import json
from typing import Any

from graphfix.analysis import Report
from graphfix.support import Target

CHECK_SCHEMA = "graphfix.check/1"


def document(reports: list[Report], target: Target) -> dict[str, Any]:
    """Return the document: one entry per model, in the order given."""
    return {
        "schema": CHECK_SCHEMA,
        "predicted": True,
        "target": {
            "cann": target.release.name,
            "socs": [s.name for s in target.socs],
            "precision_mode": target.precision_mode,
        },
        "models": [r.to_json() for r in reports],
    }


def render(reports: list[Report], target: Target) -> str:
    """Return the document as text."""
    return json.dumps(document(reports, target), indent=1, ensure_ascii=False) + "\n"
