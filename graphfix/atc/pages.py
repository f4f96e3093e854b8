"""Commands as they stand elsewhere than in a shell script: web pages, documents, Python sources."""

from __future__ import annotations

import re
import shlex

from graphfix.atc.options import atc_options

_TYPOGRAPHIC = {
    "“": '"', "”": '"', "„": '"', "‟": '"', "‘": "'", "’": "'", "：": ":", "，": ",", "；": ";",
    "＝": "=", "\u00a0": " ", "\u3000": " ", "－": "-", "～": "~",
}  # fmt: skip
_DASH = re.compile(r"(?<!\S)[–—―]+-?(?=[A-Za-z])")
_FUSED = re.compile(r"(?<![A-Za-z0-9_./-])atc\s*(?=--[a-z]{2})|(?<=[^\x00-\x7f])atc\s*(?=--[a-z])"
                    r"|(?<=[A-Za-z0-9])atc(?=--[a-z])")  # fmt: skip
_NAMES = "|".join(sorted(atc_options(), key=len, reverse=True))
OPTION = re.compile(rf"--(?=(?:{_NAMES}|[a-z]+(?:_[a-z]+)+)(?:[=\s\\]|$))")
_INNER_BACKSLASH = re.compile(r"(?<!\S)atc\b.*\S[ \t]*\\[ \t]*--[a-z]")
_PYTHON = re.compile(r"(?m)^\s*(?:import|from|def|class) |\bf[\"']")
_JOINED = re.compile(r"([\"'])[ \t]*\+?[ \t]*\\?\n[ \t]*\+?[ \t]*[frb]?\1")
_LIST = re.compile(r"[^\n]*\[\s*[\"']atc[\"']\s*,((?:[^\[\]]|\[[^\]]*\])*)\][^\n]*")
_ITEM = re.compile(r"(?:[^,\"'(\[]|\"[^\"]*\"|'[^']*'|\([^)]*\)|\[[^\]]*\])+")


def plain(text: str) -> tuple[str, dict[int, str]]:
    """Return the text with typographic characters made plain, and which were on each line."""
    foreign: dict[int, str] = {}
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("#"):
            continue
        made = "".join(_TYPOGRAPHIC.get(c, c) for c in line)
        made = _DASH.sub("--", made)
        if made != line:
            marks = [c for c in line if c in _TYPOGRAPHIC or c in "–—―"]
            foreign[number] = "".join(c for c in marks if not c.isspace()) or "special spaces"
            lines[number - 1] = made
    return "\n".join(lines), foreign


def unglued(text: str) -> tuple[str, list[int]]:
    """Part what a web page has glued together.

    Returns the text, and for each of its lines the number of the line that it was, negative when
    it was glued.
    """
    out: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        glued = any(line.startswith("atc--", m.start()) for m in _FUSED.finditer(line))
        if not glued and not _INNER_BACKSLASH.search(line):
            out.append(line)
            numbers.append(number)
            continue
        first, *pieces = _FUSED.split(line)
        parted = [first, *(row for piece in pieces for row in f"atc {_part(piece)}".split("\n"))]
        out += parted
        numbers += [number, *[-number] * (len(parted) - 1)]
    return "\n".join(out), numbers


def _part(line: str) -> str:
    """Return the options of one glued command, cut where other text begins."""
    starts = [m.start() for m in OPTION.finditer(line)]
    if not starts:
        return line
    parts, rest = [], ""
    for start, end in zip(starts, [*starts[1:], len(line)], strict=True):
        piece = line[start:end].rstrip()
        piece = re.sub(r"[ \t]*\\?[ \t]*$", "", piece) if end < len(line) else piece
        kept = _end_of(piece)
        parts.append(piece[:kept])
        if end == len(line):
            rest = piece[kept:]
    tail = "\n" + ("" if rest.lstrip().startswith("#") else "# ") + rest.lstrip() if rest else ""
    return " ".join(parts) + tail


def _end_of(piece: str) -> int:
    """Return where the value of a glued option ends."""
    name, equals, value = piece.partition("=")
    if not equals:
        return len(piece)
    start = len(name) + 1
    if value.startswith(('"', "'")):
        closing = value.find(value[0], 1)
        return len(piece) if closing < 0 else start + closing + 1
    option = atc_options().get(name.lstrip("-"))
    for known in sorted(option.values if option else (), key=len, reverse=True):
        rest = value[len(known) :]
        if value.startswith(known) and re.match(r"echo|cd|python|import|[A-Z#]|[^\x00-\x7f]", rest):
            return start + len(known)
    foreign = re.search(r"[#\s]|[^\x00-\x7f]", value)
    return start + foreign.start() if foreign else len(piece)


def spelled_out(text: str) -> str:
    """Return the text with the commands of a Python source written as a shell would.

    Strings that follow each other are one, and ["atc", "--model=x"] is a list of words.
    """
    text = text.replace("\\\\\n", "\\\n")
    if _PYTHON.search(text):
        text = _JOINED.sub("", text)

    def command(found: re.Match[str]) -> str:
        words = []
        for item in _items(found.group(1)):
            literal = re.fullmatch(r"[frb]*(\"[^\"]*\"|'[^']*')", item)
            words.append(shlex.quote(literal.group(1)[1:-1]) if literal else _pieces(item))
        return "\n" * (1 + found.group().count("\n")) + "atc " + " ".join(words) + "\n"

    return _LIST.sub(command, text)


def _items(text: str) -> list[str]:
    """Return the items of a list in Python, without its comments."""
    text = re.sub(r"(?m)#[^\n\"']*$", "", text)
    return [item.strip() for item in _ITEM.findall(text) if item.strip()]


def _pieces(item: str) -> str:
    """Return an item that Python computes as a word whose value a variable decides."""
    option = re.match(r"[frb]*[\"'](--\w+=?)", item)
    return f"{option.group(1)}$VALUE" if option else "$VALUES"
