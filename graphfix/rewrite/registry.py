"""Finding rules: every file below rules/ is one, written in Python or in TOML."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import types
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from graphfix.errors import UsageError, nearest
from graphfix.rewrite.rule import Rule, RuleError
from graphfix.support.paths import data_folder

# the package as whose modules rules are loaded
_PACKAGE = "graphfix_rules"


@cache
def own_rules() -> tuple[Rule, ...]:
    """Return the rules that graphfix ships, by name."""
    return tuple(load_folder(data_folder("rules")))


def load_folder(folder: Path) -> list[Rule]:
    """Load every rule below a folder, sorted by name; raises RuleError that names the file."""
    if not folder.is_dir():
        raise UsageError(f"--rules {folder}: there is no such folder.")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError(f"--rules {folder}: cannot be read (Permission denied).")
    _make_importable(folder)
    paths = [p for p in folder.rglob("*") if p.suffix in (".py", ".toml") and p.name[0] not in "_."]
    return [
        _load(path, path.relative_to(folder).with_suffix("").as_posix()) for path in sorted(paths)
    ]


def _make_importable(folder: Path) -> None:
    """Let rules share code: `from graphfix_rules.explicit import _resize`."""
    package = sys.modules.setdefault(_PACKAGE, types.ModuleType(_PACKAGE))
    known: list[str] = package.__dict__.setdefault("__path__", [])
    if str(folder) not in known:
        known.append(str(folder))
        importlib.invalidate_caches()


def _load(path: Path, name: str) -> Rule:
    if path.suffix == ".toml":
        from graphfix.rewrite.toml_rules import read_rule

        rule = read_rule(path)
    else:
        rule = _load_python(path, name)
    rule.name = name
    return rule


def _load_python(path: Path, name: str) -> Rule:
    module_name = f"{_PACKAGE}." + name.replace("/", ".")
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise RuleError(
            f"{path}: the rule does not load: {type(error).__name__}: {error}"
        ) from error
    found = [
        c
        for _, c in inspect.getmembers(module, inspect.isclass)
        if issubclass(c, Rule) and c.__module__ == module_name and c.roots
    ]
    if len(found) != 1:
        raise RuleError(f"{path}: expected one class with Rule as its base, found {len(found)}.")
    rule: Rule = found[0]()
    rule.page = inspect.cleandoc(module.__doc__ or "")
    return rule


def select(
    rules: list[Rule], selected: list[str], ignored: list[str], *, optional: bool = False,
    also: Sequence[str] = (),
) -> list[Rule]:  # fmt: skip
    """Return the rules that --select, --also and --ignore leave; a group stands for its rules."""
    known = {rule.name for rule in rules} | {rule.name.partition("/")[0] for rule in rules}
    for word in (*selected, *ignored, *also):
        if word not in known:
            raise UsageError(
                f"{word}: no such rule or group; `graphfix rules` lists them. "
                f"{nearest(word, known)}"
            )

    def named(rule: Rule, words: Sequence[str]) -> bool:
        return rule.name in words or rule.name.partition("/")[0] in words

    return [
        rule
        for rule in rules
        if (
            (named(rule, selected) if selected else optional or not rule.optional)
            or named(rule, also)
        )
        and not named(rule, ignored)
    ]
