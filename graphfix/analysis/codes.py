"""The finding codes and their pages, read from codes.toml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from graphfix.errors import UsageError, nearest
from graphfix.support.target import read_toml


@dataclass(frozen=True)
class Code:
    """A kind of finding. `headline` is its line in a table, `page` says why and what to do."""

    code: str
    name: str
    effect: str
    headline: str
    remedy: str
    page: str


CODES: dict[str, Code] = {
    code: Code(code, **{key: " ".join(text.split()) for key, text in entry.items()})
    for code, entry in read_toml(Path(__file__).with_suffix(".toml")).items()
}
BY_NAME: dict[str, Code] = {entry.name: entry for entry in CODES.values()}


def find_code(word: str) -> Code:
    """Return a code by number (`GF101`) or name (`opset-not-registered`); raises UsageError."""
    entry = CODES.get(word.upper()) or BY_NAME.get(word.lower())
    if entry is None:
        raise UsageError(
            f"{word}: no finding, constraint or topic of that name; `graphfix explain` lists them. "
            f"{nearest(word, [*CODES, *BY_NAME])}"
        )
    return entry
