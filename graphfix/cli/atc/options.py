"""graphfix atc options [NAME]: the options of atc, and what one of them does."""

from __future__ import annotations

import argparse
import json
import textwrap
from dataclasses import asdict
from itertools import groupby

from tabulate import tabulate

from graphfix.atc.options import (
    FRAMEWORK_NAMES,
    AtcOption,
    Mistake,
    atc_options,
    find_option,
    mistakes,
)

_WIDTH, _LABEL = 100, 11


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="an option; left out: all of them")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print")


def run(options: argparse.Namespace) -> int:
    """Print one option or all, return the exit code."""
    if options.name is None:
        chosen = list(atc_options().values())
        text = _list()
    else:
        # a name may begin with dashes, which the shell's user then writes behind --
        chosen = [find_option(options.name)]
        text = page(chosen[0])
    if options.format == "json":
        entries = [{**asdict(o), "mistakes": [m.id for m in mistakes_of(o)]} for o in chosen]
        print(json.dumps({"options": entries}, indent=1, ensure_ascii=False))
    else:
        print(text)
    return 0


def _list() -> str:
    parts = []
    for group, members in groupby(atc_options().values(), key=lambda o: o.group):
        rows = [
            [f"--{o.name}", _short(o), textwrap.shorten(o.says, 51, placeholder=" ...")]
            for o in members
        ]
        parts.append(f"{group}\n" + tabulate(rows, tablefmt="plain", colalign=("left",) * 3))
    return "\n\n".join(parts) + "\n\ngraphfix atc options NAME explains one."


def _short(option: AtcOption) -> str:
    if option.status in ("removed", "unsupported", "deprecated"):
        return option.status
    default = option.default or ""
    return f"[{default}]" if default and len(default) <= 11 else ""


def page(option: AtcOption) -> str:
    """Return the page of an option."""
    lines = [f"--{option.name}   {option.group}", "", *_wrapped("", option.says), ""]
    add = lines.extend
    if option.values and option.kind != "bools":
        meanings = {v: m for v, m in option.values.items() if m}
        if meanings:
            width = max(map(len, option.values)) + 2
            for at, (value, meaning) in enumerate(option.values.items()):
                head = ("values" if at == 0 else "").ljust(_LABEL) + value.ljust(width)
                lines += textwrap.wrap(meaning, _WIDTH, initial_indent=head,
                                       subsequent_indent=" " * (_LABEL + width))  # fmt: skip
        else:
            add(_wrapped("values", ", ".join(option.values)))
    for framework, values in option.values_for.items():
        add(_wrapped("values", f"{FRAMEWORK_NAMES[framework]}: {', '.join(values)}"))
    if option.kind == "bools":
        add(_wrapped("values", "true or false for each, parted by commas"))
    if option.code and (option.values or option.form or option.kind == "int"):
        add(_wrapped("else", f"another value is {option.code}"))
    add(_wrapped("default", option.default or ("none" if option.kind != "flag" else "")))
    if option.required:
        add(_wrapped("required", f"{_conditions(option.required)}, else {option.required_code}"))
    if set(option.frameworks) != set(FRAMEWORK_NAMES):
        add(_wrapped("for", ", ".join(FRAMEWORK_NAMES[f] for f in option.frameworks) + " models"))
    if option.excludes:
        pairs = [f"--{n}" + (f" ({c})" if c else "") for n, c in option.excludes.items()]
        add(_wrapped("excludes", ", ".join(pairs)))
    if option.needs:
        code = f", else {option.needs_code}" if option.needs_code else ""
        add(_wrapped("needs", _conditions(option.needs) + code))
    if option.not_on:
        add(_wrapped("not on", ", ".join(option.not_on)))
    if option.status != "active":
        instead = f"; instead: {option.instead}" if option.instead else ""
        add(_wrapped("status", option.status + instead))
    for at, note in enumerate(option.notes):
        add(_wrapped("notes" if at == 0 else "", f"- {note}"))
    common = mistakes_of(option)
    if common or option.meant:
        lines.append("")
    wrong = [f"{v} ({r or 'leave it out'})" for v, r in option.meant.items()]
    if wrong:
        add(_wrapped("not", ", ".join(wrong)))
    for at, mistake in enumerate(common):
        codes = f" ({', '.join(mistake.codes)})" if mistake.codes else ""
        label = "mistakes" if at == 0 else ""
        add(_wrapped(label, f"- {mistake.recognised}: {mistake.effect}{codes}"))
    release = (
        "the name is not in the headers of 8.1.RC1, a hint that it may be newer"
        if option.first_seen
        else "in 8.1.RC1 and in the source of 2026"
    )
    lines.append("")
    add(_wrapped("releases", release))
    add(_wrapped("source", f"{option.source} ({option.certainty})"))
    lines += ["", "Check a command: graphfix atc lint 'atc ...'"]
    return "\n".join(lines)


def mistakes_of(option: AtcOption) -> list[Mistake]:
    """Return the mistakes that speak of an option."""
    return [m for m in mistakes().values() if option.name in m.options]


def _conditions(table: dict[str, tuple[str, ...]] | object) -> str:
    assert isinstance(table, dict)
    return " or ".join(
        f"--{n}" + (f"={' or '.join(values)}" if values else "") for n, values in table.items()
    )


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=label.ljust(_LABEL) if label else " " * _LABEL,
        subsequent_indent=" " * (_LABEL + 2 * text.startswith("- ")),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
