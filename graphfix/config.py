"""graphfix.toml, or [tool.graphfix] in pyproject.toml: what a project always says to graphfix.

A key stands for an option of the same name and is read as if it stood on the command line before
everything else, so the command line wins. Nothing in the file can make graphfix run a program or
load code: options that could are not among the keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphfix.errors import GraphfixError, nearest

NAME, PYPROJECT = "graphfix.toml", "pyproject.toml"

# key -> the kind of its value; a list becomes one value with commas, `files` are relative to the
# file and may be several, `shapes` is a table of inputs
SHARED = {
    "soc": "list",
    "cann": "text",
    "precision-mode": "text",
    "opset": "number",
    "fail-on": "text",
    "op-support": "files",
    "custom-op": "several",
    "verify": "text",
    "allow": "several",
    "shapes": "shapes",
}
OF_COMMAND = {
    "check": {"select": "list", "ignore": "list"},
    "fix": {"select": "list", "ignore": "list"},
    "convert": {"retries": "number", "timeout": "number"},
    "compare": {"atol": "number", "rtol": "number", "cosine": "number", "samples": "number",
                "seed": "number", "max-error": "number", "search-runs": "number"},
}  # fmt: skip
# the stages that a command runs, whose options it has too
_STAGES = {"convert": ("fix",), "run": ("fix", "convert")}


class ConfigError(GraphfixError):
    """A configuration file that cannot be read, or that says something unknown."""


@dataclass(frozen=True)
class Config:
    """What a file says. `path` is the file."""

    path: Path
    table: dict[str, Any]

    def arguments(self, command: str, options: Iterable[str]) -> list[str]:
        """Return the file's words for a command that has these options (`--soc`, ...).

        Raises ConfigError for a value of the wrong kind.
        """
        known = set(options)
        words: list[str] = []
        for key, kind in SHARED.items():
            if key in self.table:
                words += self._words(key, self.table[key], kind, known)
        for section in (*_STAGES.get(command, ()), command):
            for key, value in self.table.get(section, {}).items():
                words += self._words(key, value, OF_COMMAND[section][key], known, section)
        return words

    def _words(
        self, key: str, value: Any, kind: str, known: set[str], section: str = ""
    ) -> list[str]:
        option = "--shape" if kind == "shapes" else f"--{key}"
        name = f"{section}.{key}" if section else key
        values = _KINDS[kind](value)
        if values is None:
            raise ConfigError(f"{self.path}: {name} = {value!r}: expected {_EXPECTED[kind]}.")
        if kind == "files":
            values = [str(self.path.parent / v) for v in values]
        return [f"{option}={v}" for v in values] if option in known else []


def find_config(option: str | None, folder: Path) -> Config | None:
    """Return the configuration: the file that `option` names, or the nearest from `folder` up.

    `none` means no file. Raises ConfigError.
    """
    if option == "none":
        return None
    if option is not None:
        path = Path(option)
        if not path.is_file():
            raise ConfigError(f"--config {option}: there is no such file; `none` reads no file.")
        return _read(path, _table_of(path))
    folder = folder.absolute()
    for parent in (folder, *folder.parents):
        path = parent / NAME
        if path.is_file():
            return _read(path, _table_of(path))
        path = parent / PYPROJECT
        if path.is_file() and b"[tool.graphfix" in _bytes_of(path):
            return _read(path, _table_of(path))
    return None


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from None


def _table_of(path: Path) -> Any:
    from graphfix.support.target import read_toml

    try:
        table: Any = read_toml(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML: {error}.") from None
    if path.name != PYPROJECT:
        return table
    tools = table.get("tool", {})
    return tools.get("graphfix", {}) if isinstance(tools, dict) else {}


def _read(path: Path, table: Any) -> Config:
    """Check the keys of a file. Raises ConfigError with the nearest known one."""
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: [tool.graphfix] is no table.")
    for key, value in table.items():
        section = OF_COMMAND.get(key)
        if section is None and key not in SHARED:
            where = next((s for s, keys in OF_COMMAND.items() if key in keys), None)
            hint = f"It belongs into [{where}]." if where else nearest(key, [*SHARED, *OF_COMMAND])
            raise ConfigError(
                f"{path}: unknown key {key!r}. {hint}{' ' * bool(hint)}`--config none` ignores it."
            )
        if section is None:
            continue
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: {key} is a table, [{key}], with {', '.join(section)}.")
        for inner in value:
            if inner not in section:
                raise ConfigError(
                    f"{path}: unknown key {inner!r} in [{key}]. {nearest(inner, section)}"
                )
    return Config(path, table)


# ---------------------------------------------------------------------- kinds of values


def _text(value: Any) -> list[str] | None:
    return [value] if isinstance(value, str) else None


def _number(value: Any) -> list[str] | None:
    return [str(value)] if isinstance(value, int | float) and not isinstance(value, bool) else None


def _several(value: Any) -> list[str] | None:
    values = [value] if isinstance(value, str) else value
    fits = isinstance(values, list) and all(isinstance(v, str) for v in values)
    return list(values) if fits else None


def _list(value: Any) -> list[str] | None:
    values = _several(value)
    return None if values is None else [",".join(values)]


def _shapes(value: Any) -> list[str] | None:
    if not isinstance(value, dict):
        return None
    words = []
    for name, dims in value.items():
        if not isinstance(dims, list) or any(type(d) is not int for d in dims):
            return None
        words.append(f"{name}={','.join(map(str, dims))}")
    return words


_KINDS: dict[str, Callable[[Any], list[str] | None]] = {
    "text": _text, "number": _number, "list": _list, "several": _several, "files": _several,
    "shapes": _shapes,
}  # fmt: skip
_EXPECTED = {
    "text": "a text",
    "number": "a number",
    "list": "a text or a list of texts",
    "several": "a text or a list of texts",
    "files": "a file or a list of files",
    "shapes": "a table such as { images = [1, 3, 640, 640] }",
}
