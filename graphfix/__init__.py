"""graphfix: what Ascend's ATC will do with an ONNX model.

    report = graphfix.check("model.onnx", graphfix.Target.of(["Ascend310P3"]))

Everything that it says is predicted from tables and from the rules of the open GE parser, until an
ATC run has proved it.
"""

from typing import Any

from graphfix.analysis import Finding, Report, check
from graphfix.errors import GraphfixError, UnreadableModel, UsageError
from graphfix.graph import Model, load, save
from graphfix.support import Tables, Target

__version__ = "0.1.0"

__all__ = [
    "Finding",
    "GraphfixError",
    "Model",
    "Report",
    "Tables",
    "Target",
    "UnreadableModel",
    "UsageError",
    "check",
    "compare",
    "export",
    "load",
    "preview_fp16",
    "save",
]


def __getattr__(name: str) -> Any:
    """Bring in what runs models only when it is asked for: check has no need of it."""
    if name == "compare":
        from graphfix.comparison.compare import compare

        return compare
    if name == "preview_fp16":
        from graphfix.comparison.half.preview import preview_fp16

        return preview_fp16
    if name == "export":
        from graphfix.frameworks.export import export

        return export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
