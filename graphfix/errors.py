"""The errors that a user can meet. Each says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GraphfixError(Exception):
    """Base of all errors that the command line prints as one paragraph.

    `exit_code` is what the process ends with: 2 for bad usage or unreadable input.
    """

    exit_code = 2


class UsageError(GraphfixError):
    """An option or argument that makes no sense: unknown SoC, shape of another rank ..."""


class UnreadableModel(GraphfixError):
    """A path that holds no ONNX model.

    `atc_cause` is the cause (a key of `[codes]` in `op_support/releases/*.toml`) under which ATC
    would refuse the file; None when ATC never gets to see a file.
    """

    def __init__(self, message: str, atc_cause: str | None = None) -> None:
        super().__init__(message)
        self.atc_cause = atc_cause


class TableError(GraphfixError):
    """An entry of op_support (ours or a user's file) that does not follow the format."""


def nearest(word: str, known: Iterable[str], count: int = 3) -> str:
    """Return a sentence that names the known words nearest to `word`, or all when few, or ""."""
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), by_lower, n=count, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(by_lower[c] for c in close) + "?"
    if len(names) <= 8:
        return "Known: " + ", ".join(names) + "."
    return ""
