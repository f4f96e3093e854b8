"""AtcCommand: the options of one atc command by name, as atc would understand them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from graphfix.atc.options import (
    FRAMEWORKS,
    atc_options,
    begun_by,
    near_options,
)
from graphfix.atc.shell import Command, Word, commands

PLACEHOLDER = re.compile(r"<[A-Za-z][\w -]*>")
_WIDTH = 96
_SAFE = re.compile(r"[\w.,/:=+@%-]*", re.ASCII)


@dataclass(frozen=True)
class Given:
    """A value as it was written. `open` tells that a shell variable decides, so nobody knows it."""

    value: str
    written: str = ""
    line: int = 0
    open: bool = False


@dataclass(frozen=True)
class Fault:
    """A mistake in a command: its kind, the option, what fills its text, and what mends it.

    `edits` maps options to the values that they should have, None to take one away; empty when
    only the user can decide.
    """

    id: str
    option: str | None = None
    words: Mapping[str, object] = field(default_factory=dict)
    code: str | None = None
    edits: Mapping[str, str | None] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True)
class AtcCommand:
    """One command: options by name with the value that counts, in the order of writing.

    `lead` are the words up to atc as a shell reads them (`docker run IMAGE atc`), empty for a
    list of options alone. `extra` are words that variables decide. `said` is what comments around
    it say. `faults` are what was wrong before any value is looked at; `written` is
    the command as it stood there. Of an --input_shape that stands there twice all inputs are kept.
    """

    options: Mapping[str, Given]
    lead: tuple[str, ...] = ("atc",)
    extra: tuple[str, ...] = ()
    said: str = ""
    line: int = 0
    faults: tuple[Fault, ...] = ()
    written: str = ""

    def value(self, name: str) -> str | None:
        """Return an option's value; None when it is not there or a variable decides."""
        given = self.options.get(name)
        return None if given is None or given.open else given.value

    def unknown(self, name: str) -> bool:
        """Whether a variable decides the option, or whether it is there."""
        given = self.options.get(name)
        return given.open if given is not None else bool(self.extra)

    @property
    def mode(self) -> str:
        """The mode; 0 unless written."""
        return self.value("mode") or ("" if self.unknown("mode") else "0")

    @property
    def framework(self) -> str | None:
        """caffe, mindspore, tensorflow or onnx; None when not known."""
        return FRAMEWORKS.get(self.value("framework") or "")

    def edited(self, edits: Mapping[str, str | None]) -> AtcCommand:
        """Return the command with options set or taken away; a rename keeps its place."""
        options: dict[str, Given] = {}
        fresh = {n: v for n, v in edits.items() if v is not None and n not in self.options}
        for name, given in self.options.items():
            if name not in edits:
                options[name] = given
                continue
            value = edits[name]
            if value is not None:
                options[name] = replace(
                    given, value=value, open=given.open and value == given.value
                )
            elif len(fresh) == 1 and sum(v is None for v in edits.values()) == 1:
                other, new = fresh.popitem()
                same = given.open and new == given.value
                options[other] = replace(given, value=new, open=same)
        for name, new in fresh.items():
            options[name] = Given(new)
        return replace(self, options=options)

    def text(self) -> str:
        """Return the command for a shell, on several lines when it is long."""
        words = [f"--{n}{_equals(g)}" for n, g in self.options.items()]
        words = [*words, *self.extra]
        lead = " ".join(self.lead)
        whole = " ".join([lead, *words]).strip()
        if len(whole) <= _WIDTH or not lead:
            return whole
        return " \\\n  ".join([lead, *words])


def _equals(given: Given) -> str:
    return f"={quoted(given)}" if given.value or given.open else ""


def quoted(given: Given) -> str:
    """Return a value as a shell wants it: bare, or in double quotes, where variables stay alive."""
    value = given.value
    if given.open and '"' not in value:
        return f'"{value}"'
    if given.open or _SAFE.fullmatch(value):
        return value
    return f'"{value}"' if not re.search(r'["$`\\!]', value) else shlex.quote(value)


def read(text: str) -> list[AtcCommand]:
    """Return the commands of a shell text that run atc."""
    return [_command(found) for found in commands(text)]


def of_options(options: Mapping[str, str]) -> AtcCommand:
    """Return the command with these options."""
    return AtcCommand({name: Given(value) for name, value in options.items()})


def _command(found: Command) -> AtcCommand:
    """Read words as getopt_long does: --name=value, --name value, beginnings of names."""
    reader = _Reader(found.words)
    reader.faults += [Fault(id, words=words, line=found.line) for id, words in found.spoiled]
    reader.read()
    return AtcCommand(
        reader.options,
        tuple(found.lead),
        tuple(reader.extra),
        found.said,
        found.line,
        tuple(reader.faults),
        " ".join([*found.lead, *(w.raw for w in found.words)]),
    )


class _Reader:
    def __init__(self, words: Sequence[Word]) -> None:
        self.words = list(words)
        self.options: dict[str, Given] = {}
        self.repeated: dict[str, list[Given]] = {}
        self.extra: list[str] = []
        self.faults: list[Fault] = []

    def read(self) -> None:
        """Fill options, extra and faults."""
        at = 0
        while at < len(self.words):
            word = self.words[at]
            at += 1
            if not word.text:
                continue
            if not word.text.startswith("-"):
                at = self._stray(word, at)
                continue
            written, equals, value = word.text.partition("=")
            name = self._name(written, word)
            given = Given(value, written, word.line, word.open)
            if not equals and name not in ("help",):
                given, at = self._separate(name, written, word, at)
            self._give(name, given)
        self.faults += list(self._repetitions())

    def _name(self, written: str, word: Word) -> str:
        """Return the option that was meant, with the faults of its spelling."""
        bare = written.lstrip("-")
        name = bare.replace("-", "_")
        if bare in ("h", "help"):
            return "help"
        begun = begun_by(name)
        if name in atc_options() or not begun:
            resolved = name
        elif len(begun) == 1:
            resolved = begun[0]
            self.faults.append(
                Fault("abbreviated", resolved, {"value": name, "option": resolved}, line=word.line)
            )
        else:
            resolved = name
        if resolved in atc_options() and (not written.startswith("--") or "-" in bare):
            words = {"value": written, "option": resolved}
            self.faults.append(Fault("odd-dashes", resolved, words, line=word.line))
        return resolved

    def _separate(self, name: str, written: str, word: Word, at: int) -> tuple[Given, int]:
        """Return the value that stands in the next word, and where reading goes on."""
        following = self.words[at] if at < len(self.words) else None
        if following is None:
            return Given("", written, word.line), at
        if following.text.startswith("="):
            value = following.text[1:]
            used = 1
            if not value and at + 1 < len(self.words):
                value, used = self.words[at + 1].text, 2
            self.faults.append(Fault("stray-word", name, {
                "value": "=", "advice": f"no spaces around the =: --{name}={value}",
            }, line=word.line))  # fmt: skip
            return Given(value, written, word.line, following.open), at + used
        if following.text.startswith("-") and re.match(r"--?[A-Za-z]", following.text):
            known = begun_by(following.text.lstrip("-").partition("=")[0].replace("-", "_"))
            if known and name in atc_options():
                words = {"option": name, "value": following.text}
                edits = {name: None}
                self.faults.append(
                    Fault("option-without-value", name, words, edits=edits, line=word.line)
                )
                return Given("", written, word.line), at
            if name not in atc_options():
                return Given("", written, word.line), at
        return Given(following.text, written, word.line, following.open), at + 1

    def _stray(self, word: Word, at: int) -> int:
        """Take a word without dashes: a value that a space has parted, or nobody's."""
        if word.open:
            self.extra.append(word.raw)
            return at
        last = next(reversed(self.options), None)
        if last is not None and self.options[last].value == "" and not self.options[last].open:
            self.options[last] = replace(self.options[last], value=word.text)
            advice = f"no space behind the =: --{last}={word.text}"
        elif "=" in word.text and word.text.partition("=")[0].replace("-", "_") in atc_options():
            name, _, value = word.text.partition("=")
            name = name.replace("-", "_")
            self._give(name, Given(value, name, word.line, word.open))
            advice = f"--{name}={value}"
        else:
            near = near_options(word.text.partition("=")[0], 1)
            advice = f"leave it out, or write --{near[0]}=VALUE" if near else "leave it out"
        self.faults.append(
            Fault("stray-word", words={"value": word.text, "advice": advice}, line=word.line)
        )
        return at

    def _give(self, name: str, given: Given) -> None:
        if name in self.options:
            self.repeated.setdefault(name, [self.options[name]]).append(given)
        self.options[name] = given

    def _repetitions(self) -> Iterator[Fault]:
        for name, given in self.repeated.items():
            last = given[-1]
            values = [g.value for g in given]
            if name == "input_shape":
                whole = merged(values)
                self.options[name] = replace(last, value=whole)
                right = re.sub(r"[\[\]()]", "", whole)
                yield Fault("shape-repeated", name, {"value": last.value, "whole": right},
                            line=last.line)  # fmt: skip
            elif len(set(values)) > 1:
                words = {"option": name, "value": last.value, "count": len(given)}
                yield Fault("option-repeated", name, words, line=last.line)


def merged(shapes: Sequence[str]) -> str:
    """Return several --input_shape as one; of a name that comes twice the last counts."""
    found: dict[str, str] = {}
    for part in (p.strip() for text in shapes for p in text.split(";")):
        if part:
            found[part.rpartition(":")[0] or part] = part
    return ";".join(found.values())
