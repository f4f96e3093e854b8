"""The commands of a shell text that run atc: words, where they stand, and what a shell would lose.

Quotes, backslashes, comments, variables, several commands, commands inside quotes or `$( )`; also
text that a web page or a word processor has spoiled. Nothing is expanded or run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from graphfix.atc.pages import OPTION, plain, spelled_out, unglued


@dataclass(frozen=True)
class Word:
    """A word as a program would get it; variables stay as written.

    `raw` is its text with quotes. `open` tells that a variable or command inside decides,
    `unclosed` that a quote never ends; the word then goes to the next option or line.
    """

    text: str
    raw: str
    line: int
    start: int
    end: int
    open: bool = False
    unclosed: bool = False


@dataclass(frozen=True)
class Sign:
    """An end of a command: ; & | newline and so on."""

    text: str
    start: int
    end: int


@dataclass
class Command:
    """A command that runs atc. `lead` are the words up to `atc`, `words` what follows.

    `said` are comments before it and on its lines. `spoiled` are what a shell would not have
    understood and what was mended to read it: id of the mistake and the words of its text.
    """

    lead: list[str]
    words: list[Word]
    line: int
    said: str = ""
    spoiled: list[tuple[str, dict[str, str]]] = field(default_factory=list)


_SIGNS = re.compile(r"\|\||&&|;;|[;&|()\n]")
_INNER = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|\$\((.*)\)|`([^`]*)`", re.DOTALL)
_TEMPLATE = re.compile(r"\{[A-Za-z_][^{}]*\}")  # {name}: of an f-string, or ${name}
# what follows a ; that was meant inside a value: name:1,3 or 32,64 or a name with its index
_CONTINUES = re.compile(r"[\w./ -]*:[-\d,~\[\] ]*|\d+(?:[,;]\d+)*|[\w.]+:\w+")
_NEXT = re.compile(r"\s+--?[a-z]|[ \t]*\\?\n")
_LONGEST = 10_000  # of a $( )
_PROGRAM = re.compile(r"(?:[^-].*/)?atc(?:\.bin)?|\$\{?ATC\w*\}?")
_OPTION_WORD = re.compile(r"--?[a-z][a-z_0-9]+(=|$)")


def commands(text: str) -> list[Command]:
    """Return the commands of a text that run atc, in its order.

    A text that begins with an option is taken for the options of a command without its name.
    """
    clean, foreign = plain(spelled_out(text))
    clean, lines = unglued(clean)
    found = _read(clean)
    if not found and re.match(r"\s*--?[A-Za-z]", clean):
        found = _read("atc " + clean.lstrip())
        for command in found:
            command.lead = []
    for command in found:
        numbers = [lines[n - 1] for n in _lines_of(command) if n <= len(lines)]
        marks = "".join(foreign.get(abs(n), "") for n in dict.fromkeys(numbers))
        if any(n < 0 for n in numbers):
            command.spoiled.insert(0, ("lost-spaces", {}))
        elif marks:
            signs = " ".join(dict.fromkeys(marks)) if "special" not in marks else marks
            command.spoiled.append(("typographic-characters", {"value": signs}))
        command.line = abs(lines[command.line - 1]) if command.line <= len(lines) else command.line
        command.words = [
            replace(w, line=abs(lines[w.line - 1])) if w.line <= len(lines) else w
            for w in command.words
        ]
    return found


def _lines_of(command: Command) -> range:
    last = max((w.line for w in command.words), default=command.line)
    return range(command.line, last + 1)


# ---------------------------------------------------------------------- words and commands


def _tokens(text: str) -> Iterator[Word | Sign | str]:
    """Yield words, signs and comments (as text with its #)."""
    at, line, size = 0, 1, len(text)
    while at < size:
        char = text[at]
        if char == "\\" and text[at + 1 : at + 2] == "\n":
            at, line = at + 2, line + 1
        elif char in " \t\r":
            at += 1
        elif char == "#":
            end = text.find("\n", at)
            end = size if end < 0 else end
            yield text[at:end]
            at = end
        elif (sign := _SIGNS.match(text, at)) is not None:
            yield Sign(sign.group(), at, sign.end())
            line += sign.group().count("\n")
            at = sign.end()
        else:
            word = _word(text, at, line)
            yield word
            line += word.raw.count("\n")
            at = word.end


def _word(text: str, start: int, line: int) -> Word:
    """Read the word that begins at `start`."""
    at, size, out, is_open = start, len(text), [], False
    quote = ""
    while at < size:
        char = text[at]
        if quote == "'":
            if char == "'":
                quote = ""
            else:
                out.append(char)
            at += 1
        elif char == "\\":
            following = text[at + 1 : at + 2]
            if following == "\n":
                pass
            elif quote and following not in '"\\$`':
                out.append(char + following)
            else:
                out.append(following)
            at += 2
        elif char in "$`" and (end := _expansion(text, at)) > at + 1:
            out.append(text[at:end])
            at, is_open = end, True
        elif quote:
            at += 1
            if char != '"':
                out.append(char)
                continue
            quote = ""
            if OPTION.match(text, at):
                break  # "1,3"--output=m: the space between two options is missing
        elif char in "\"'":
            quote = char
            at += 1
        elif char == "<" and (fill := re.compile(r"<[A-Za-z][\w -]*>").match(text, at)):
            out.append(fill.group())  # <soc_version>: a placeholder, not a redirection
            at = fill.end()
        elif char in " \t\r" or _SIGNS.match(text, at):
            break
        else:
            out.append(char)
            at += 1
    if quote:
        rest = _NEXT.search(text, text.index(quote, start))
        end = rest.start() if rest else size
        bare = text[start:end].replace(quote, "")
        return Word(bare, text[start:end], line, start, end, "$" in bare, True)
    made = "".join(out)
    return Word(made, text[start:at], line, start, at, is_open or bool(_TEMPLATE.search(made)))


def _expansion(text: str, at: int) -> int:
    """Return the end of `$X`, `${X}`, `$(...)` or a command in backticks; `at` when it is none."""
    if text[at] == "`":
        end = text.find("`", at + 1)
        return end + 1 if end > 0 else at
    if text[at + 1 : at + 2] == "(":
        depth = 0
        for index in range(at + 1, min(len(text), at + _LONGEST)):
            depth += {"(": 1, ")": -1}.get(text[index], 0)
            if depth == 0:
                return index + 1
        return at
    if text[at + 1 : at + 2] == "{":
        end = text.find("}", at)
        return end + 1 if end > 0 else at
    found = re.compile(r"\$(\w+|[@*#?!$-])").match(text, at)
    return found.end() if found else at


def _read(text: str, depth: int = 0, line: int = 0) -> list[Command]:
    """Return the commands of a text that a shell reads as it is."""
    found: list[Command] = []
    words: list[Word] = []
    said: list[str] = []
    before: Sign | None = None
    tokens: list[Word | Sign | str] = [*_tokens(text), Sign("\n", len(text), len(text))]
    for token in tokens:
        if isinstance(token, str):
            said.append(token)  # before the command or behind it, so about it
            continue
        if isinstance(token, Word):
            words.append(token)
            continue
        if words:
            _take(text, words, before, said, found, depth, line)
            words, said = [], []
        before = token
    for command in found:
        _mend_blanks(command)
    return found


def _take(
    text: str, words: list[Word], before: Sign | None, said: list[str], found: list[Command],
    depth: int, line: int,
) -> None:  # fmt: skip
    """Make a command of the words up to a sign, or join them to the command that they belong to."""
    place = _atc_at(words)
    if place is not None:
        inner = [c for w in words[:place] for c in _inside(w, depth)]
        found.extend(inner)
        lead = [w.raw for w in words[: place + 1]]
        rest, redirected = _without_redirections(words[place + 1 :])
        command = Command(lead, rest, words[place].line + line, "\n".join(said))
        if redirected or any(w.text for w in rest):
            found.append(command)
        return
    last = found[-1] if found else None
    if last is not None and last.words and before is not None:
        adjacent = before.start == last.words[-1].end and words[0].start == before.end
        sign = before.text
        if sign in ";|" and adjacent and _CONTINUES.fullmatch(words[0].text):
            final = last.words[-1]
            joined = f"{final.text}{sign}{words[0].text}"
            last.words[-1] = replace(final, text=joined, end=words[0].end)
            last.words += words[1:]
            _note_semicolon(last, sign, words)
            return
        between = text[last.words[-1].end : words[0].start]
        if sign == "\n" and not between.strip("\\ \t\r\n") and _OPTION_WORD.match(words[0].text):
            carriage = text[max(0, before.start - 2) : before.start] == "\\\r"
            why = "a line ends in a Windows line break" if carriage else "a backslash is missing"
            last.words += words
            if all(id != "broken-continuation" for id, _ in last.spoiled):
                told = {"why": why, "value": words[0].text.partition("=")[0]}
                last.spoiled.append(("broken-continuation", told))
            return
    for word in words:
        found.extend(_inside(word, depth))


def _note_semicolon(command: Command, sign: str, lost: list[Word]) -> None:
    """Note that the last value but what followed it was cut at a sign; one note for a value."""
    at = len(command.words) - len(lost)
    option, equals, whole = command.words[at].text.partition("=")
    if not equals:  # --name value
        option, whole = command.words[at - 1].text, command.words[at].text
    option = option.lstrip("-")
    for id, told in command.spoiled:
        if id == "unquoted-semicolon" and told["option"] == option:
            told["whole"] = whole
            return
    told = {"sign": sign, "value": lost[0].text, "option": option, "whole": whole}
    command.spoiled.append(("unquoted-semicolon", told))


def _atc_at(words: list[Word]) -> int | None:
    """Return which word is the program atc, None when none is."""
    for index, word in enumerate(words):
        if _PROGRAM.fullmatch(word.text):
            following = words[index + 1].text if index + 1 < len(words) else ""
            if index == 0 or (
                re.match(r"-|\$|\w+=|[A-Za-z_]+$", following)
                and (following.startswith(("-", "$")) or "=" in following)
            ):
                return index
    return None


def _without_redirections(words: list[Word]) -> tuple[list[Word], bool]:
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
            continue
        found = re.match(r"^(\d?>{1,2}|<|\d>&\d|>&)(.*)$", word.raw)
        if found and not re.match(r"<[A-Za-z][\w -]*>", word.raw):
            skip = not found.group(2) and "&" not in found.group(1)
            continue
        kept.append(word)
    return kept, len(kept) != len(words)


def _mend_blanks(command: Command) -> None:
    """Take away escaped blanks, since a backslash with a space after it joins no lines."""
    kept = []
    for word in command.words:
        text = word.text
        if word.raw.startswith("\\ "):
            text = text.lstrip()
        if word.raw.endswith("\\ ") or word.raw.endswith("\\\r"):
            text = text.rstrip()
        if text != word.text:
            why = {"why": "a backslash has a space after it", "value": "the next line"}
            command.spoiled = [s for s in command.spoiled if s[0] != "broken-continuation"]
            command.spoiled.append(("broken-continuation", why))
        if text:
            kept.append(replace(word, text=text))
    if any(word.unclosed for word in kept):
        command.spoiled.append(("unclosed-quote", {}))
    for one, other in pairwise(kept):
        if one.end == other.start and ("lost-spaces", {}) not in command.spoiled:
            command.spoiled.append(("lost-spaces", {}))
    command.words = kept


def _inside(word: Word, depth: int) -> list[Command]:
    """Return the commands inside quotes or an expansion: `ssh host "atc ..."`, X=$(atc ...)."""
    if depth > 2 or not re.search(r"(?<![\w.-])atc\s+-", word.raw):
        return []
    texts = [next(t for t in groups if t) for groups in _INNER.findall(word.raw) if any(groups)]
    if re.match(r"\w+=\"", word.raw):  # cmd="atc --input_shape="x:1" ...", quotes inside quotes
        texts = [word.text.partition("=")[2]]
    texts = [re.sub(r'\\(["$`\\])', r"\1", t) for t in texts]
    return [c for t in texts for c in _read(t, depth + 1, word.line - 1)]
