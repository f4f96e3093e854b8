"""Topics: answers that a user finds by the symptom. One file of op_support/topics each.

A file starts with TOML between two lines `+++`: `title`, `words` (what people call the trouble, in
any language) and `codes` (what ATC prints); then Markdown with the four HEADINGS.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache

from graphfix.errors import TableError
from graphfix.support.paths import data_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HEADINGS = ("What you see", "What ATC does", "What to do", "Sources and certainty")
_MARK = "+++\n"


@dataclass(frozen=True)
class Topic:
    """An answer. `name` is the file's; `body` is Markdown, at most 100 columns but for commands."""

    name: str
    title: str
    words: tuple[str, ...]
    codes: tuple[str, ...]
    body: str

    @property
    def page(self) -> str:
        """The page that `graphfix explain` prints."""
        return f"{self.name}: {self.title}\n\n{self.body}"


@cache
def topics() -> dict[str, Topic]:
    """Return all topics by name."""
    found = {}
    for path in sorted((data_folder("op_support") / "topics").glob("*.md")):
        found[path.stem] = _parse(path.stem, path.read_text(encoding="utf-8"))
    return found


def _parse(name: str, text: str) -> Topic:
    _, head, body = text.split(_MARK, 2) if text.count(_MARK) > 1 else ("", "", "")
    try:
        table = tomllib.loads(head)
        words, codes = tuple(table["words"]), tuple(table["codes"])
        return Topic(name, table["title"], words, codes, body.strip())
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise TableError(
            f"op_support/topics/{name}.md: must start with title, words and codes between two "
            f"lines +++ ({error})."
        ) from None


def find_topic(query: str) -> Topic | None:
    """Return the topic for a word, a sentence that holds one, or a code; None when there is none.

    A longer word beats a shorter one: `no kernel` says more than `kernel`.
    """
    asked = " ".join(query.lower().replace("-", " ").split())
    best: tuple[int, Topic] | None = None
    for topic in topics().values():
        if query.strip().upper() in topic.codes:
            return topic
        for word in (topic.name, *topic.words):
            if _says(asked, word.lower()) and (best is None or len(word) > best[0]):
                best = (len(word), topic)
    return best[1] if best is not None else None


def _says(asked: str, word: str) -> bool:
    # Chinese is written without spaces; other words must stand alone
    return f" {word} " in f" {asked} " if word.isascii() else word in asked
