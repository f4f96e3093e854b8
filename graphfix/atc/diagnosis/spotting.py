"""Where a code stands in a line of text, however the line was copied, scanned or wrapped."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graphfix.atc.codes import find_atc_code, is_shaped_like_a_code

# letters that a scanner reads for digits
_LOOKS = str.maketrans("OoQDlI|!iSsBZz", "00001111155822")
_TOKEN = re.compile(r"(?<![A-Za-z0-9_/\\-])([EeWw£] ?[0-9A-Za-z|!]{5})(?![A-Za-z0-9_/\\-]|\.\w)")
_HEAD_AFTER = re.compile(r"\s*:(?!:)|\s*\)\s*:|\s*\[PID|\s+\[PID|\s{1,3}\d{4}-\d\d-\d\d|\s?;")
_NESTED_BEFORE = re.compile(
    r"(?:err(?:or)?_?(?:code|id|Code)|ErrCode)['\"]?\s*[:=]?\s*['\"\[(]*$", re.IGNORECASE
)
_CODE_HINT = re.compile(r"[EeWw£] ?[0-9A-Za-z|!]{5}")


@dataclass(frozen=True)
class Spot:
    """A code in a line. `kind`: head (a message begins), nested (inside one), mention."""

    code: str
    start: int
    end: int
    kind: str


def repaired(token: str) -> tuple[str | None, bool]:
    """Return the code that a token is, and whether letters and digits had been mistaken."""
    word = token.replace(" ", "")
    if is_shaped_like_a_code(word):
        return word, False
    head = {"£": "E"}.get(word[0], word[0].upper())
    for family in (word[1], word[1].translate(_LOOKS), word[1].upper()):
        fixed = head + family + word[2:].translate(_LOOKS)
        if is_shaped_like_a_code(fixed) and find_atc_code(fixed) is not None:
            return fixed, True
    return None, True


def codes_in(text: str) -> list[Spot]:
    """Return the codes in a line, in its order."""
    if not _CODE_HINT.search(text):
        return []
    spots = []
    for match in _TOKEN.finditer(text):
        token = match[1]
        code, was_damaged = repaired(token)
        if code is None:
            continue
        before, after = text[: match.start()], text[match.end() :]
        if before.endswith("#") and not after.startswith(":"):
            continue  # a colour
        kind = _kind(before, after)
        is_known = find_atc_code(code) is not None
        if kind == "mention" and (was_damaged or not is_known or " " in token):
            continue
        if kind == "head" and not is_known and not _may_be_code(code, before, after):
            continue
        spots.append(Spot(code, match.start(1), match.end(1), kind))
    return spots


def _kind(before: str, after: str) -> str:
    if _NESTED_BEFORE.search(before) or (before.endswith("[") and after.startswith("]")):
        return "nested"
    if before.endswith(("'", '"')) and after.startswith(("'", '"')):
        return "nested"
    if _HEAD_AFTER.match(after):
        return "head"
    if not before.strip(" .*-=>#|`%0123456789") and re.match(r"\s{2,}\S", after):
        return "head"
    return "mention"


def _may_be_code(code: str, before: str, after: str) -> bool:
    """Whether an unlisted code is one: only of a family that CANN has, and as CANN writes it."""
    if not (code[0] == "E" and (code[1] in "BCEFHIJKLPSZ" or code[1] in "123456789")):
        return False
    if re.match(r"\s*\)?\s*:\s*(?:\[PID|\d{4}-\d\d-\d\d|Inner ?Error|[A-Z])", after):
        return not before.strip(" .*-=>#|`") or before.rstrip().endswith(("(", ":", ",", "]"))
    return False
