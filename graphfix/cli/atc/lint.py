"""graphfix atc lint COMMAND: what is wrong with an atc command, and the command as it should be."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphfix.atc.options import begun_by
from graphfix.errors import UsageError

if TYPE_CHECKING:
    from graphfix.atc.lint import Finding, Linted

_WIDTH, _LABEL = 100, 21
_MAX_BYTES = 2**20  # no script with commands is larger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "text",
        nargs="+",
        metavar="COMMAND",
        help="an atc command, best in quotes; a shell script; or - for stdin",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text",
                        help="JSON follows graphfix/schemas/atc-lint-1.json")  # fmt: skip
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Check atc commands: options, values, exclusions, limits, and the model when it is there.\n"
        "Nothing is run. Exit code 1 when there is a mistake."
    )
    parser.epilog = (
        "examples:\n"
        "  graphfix atc lint 'atc --model=m.onnx --framework=5 --soc_version=Ascend310P3'\n"
        "  graphfix atc lint convert.sh\n"
        "  graphfix atc lint --format json atc --model=m.onnx --framework=5"
    )


def read_arguments(arguments: Sequence[str]) -> list[str]:
    """Put -- before a command of atc that was not quoted, so that its options are not ours."""
    words = list(arguments)
    for at, word in enumerate(words):
        name = word.partition("=")[0].lstrip("-").replace("-", "_")
        if word == "--":
            break
        is_option = word.startswith("-") and name not in ("format", "debug", "help", "h", "")
        if re.fullmatch(r"(.*/)?atc", word) or (is_option and begun_by(name)):
            return [*words[:at], "--", *words[at:]]
    return words


def run(options: argparse.Namespace) -> int:
    """Print what is wrong, return the exit code."""
    from graphfix.atc.lint import lint

    text, folder = _source(options.text)
    found = lint(text, folder)
    if not found:
        raise UsageError(
            f"{_shown(options.text)}: holds no atc command. Expected something like atc "
            "--model=m.onnx --framework=5 --output=m --soc_version=Ascend310P3, in quotes, or a "
            "script that holds it."
        )
    if options.format == "json":
        print(json.dumps(document(found), indent=1, ensure_ascii=False))
    else:
        print("\n\n".join(text_of(linted, len(found) > 1) for linted in found))
    return 1 if any(linted.mistakes for linted in found) else 0


def document(found: list[Linted]) -> dict[str, Any]:
    """Return the document `graphfix.atc-lint/1`."""
    return {
        "schema": "graphfix.atc-lint/1",
        "mistakes": sum(len(linted.mistakes) for linted in found),
        "commands": [
            {
                "line": linted.command.line,
                "command": linted.command.written,
                "findings": [f.to_json() for f in linted.findings],
                "corrected": linted.corrected.text(),
                "to_fill": list(linted.to_fill),
                "model_read": linted.model_read,
            }
            for linted in found
        ],
    }


def _source(words: list[str]) -> tuple[str, Path]:
    """Return the text to check and the folder where its paths begin. Raises UsageError."""
    if len(words) > 1:
        return shlex.join(words), Path()
    word = words[0]
    if word == "-":
        return _decoded(sys.stdin.buffer.read(_MAX_BYTES + 1), "stdin"), Path()
    try:
        is_file = Path(word).is_file()
    except (OSError, ValueError):
        is_file = False  # too long for a name, so a command
    if is_file:
        try:
            with Path(word).open("rb") as file:
                return _decoded(file.read(_MAX_BYTES + 1), word), Path(word).parent
        except OSError as error:
            raise UsageError(f"{word}: cannot be read ({error.strerror}).") from None
    if not any(c.isspace() for c in word) and "--" not in word and ("/" in word or "." in word):
        raise UsageError(f"{word}: there is no such file; a command itself goes in quotes.")
    return word, Path()


def _decoded(data: bytes, name: str) -> str:
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{name}: has more than 1 MiB; give the script that holds the command.")
    if b"\0" in data:
        raise UsageError(f"{name}: is no text; give a shell script or a command in quotes.")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _shown(words: list[str]) -> str:
    text = " ".join(words)
    return text if len(text) <= 60 else text[:57] + "..."


# ---------------------------------------------------------------------- texts


def text_of(linted: Linted, numbered: bool = False) -> str:
    """Return what the screen says of a command."""
    place = f"line {linted.command.line}: " if numbered else ""
    notes = len(linted.findings) - len(linted.mistakes)
    count = _count(len(linted.mistakes), "mistake") + (
        f", {_count(notes, 'note')}" if notes else ""
    )
    model = "read too" if linted.model_read else "not there to look at"
    lines = [f"{place}{count}. Predicted, no ATC was run; the model was {model}."]
    if linted.findings:
        lines.append("")
    for finding in linted.findings:
        lines += _entry(finding)
    if linted.mistakes:
        lines += ["", "The right command" + _to_fill(linted) + ":", ""]
        lines += [f"  {line}" for line in linted.corrected.text().splitlines()]
    lines += ["", *_next(linted)]
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _entry(finding: Finding) -> list[str]:
    label = f"{finding.effect:<13}{finding.code or '':<8}"
    return [
        *textwrap.wrap(finding.says, _WIDTH, initial_indent=label, subsequent_indent=" " * _LABEL,
                       break_long_words=False, break_on_hyphens=False),
        *textwrap.wrap(f"-> {finding.right}", _WIDTH, initial_indent=" " * _LABEL,
                       subsequent_indent=" " * (_LABEL + 3), break_long_words=False,
                       break_on_hyphens=False),
    ]  # fmt: skip


def _to_fill(linted: Linted) -> str:
    if not linted.to_fill:
        return ""
    return f" (fill in {', '.join('--' + n for n in linted.to_fill)})"


def _next(linted: Linted) -> list[str]:
    options = [f.option for f in linted.findings if f.option and f.mistake.id != "unknown-option"]
    lines = []
    if options:
        lines.append(f"More: graphfix atc options {options[0]}")
    command = linted.corrected
    model, soc = command.value("model"), command.value("soc_version")
    if command.framework == "onnx" and model and not {"model", "soc_version"} & set(linted.to_fill):
        words = ["graphfix", "check", model, *(["--soc", soc] if soc else [])]
        lines.append(f"Next: {shlex.join(words)}")
    return lines or ["More: graphfix atc options"]
