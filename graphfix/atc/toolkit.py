"""Finding ATC: the toolkit on this machine, or the command that reaches one elsewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from graphfix.errors import UsageError

# where the installers put it, for root and for a user (CANN installation guides 8.0 and 8.5, file
# paths); `latest` points at the newest one
_FOLDERS = ("ascend-toolkit/latest", "cann", "latest", "nnae/latest")
_ROOTS = ("/usr/local/Ascend", "~/Ascend")
# below the toolkit's folder, as set_env.sh puts it on the PATH; then by architecture
_PLACES = ("bin/atc", "compiler/bin/atc", "atc/bin/atc", "*-linux/bin/atc")
_INFO = ("*-linux/ascend_toolkit_install.info", "ascend_toolkit_install.info",
         "compiler/version.info", "version.info", "*-linux/version.info",
         "ascend_nnae_install.info")  # fmt: skip
_VERSION = re.compile(r"^\s*\"?version\"?\s*[=:]\s*\"?\[?([\w.]+)", re.IGNORECASE | re.MULTILINE)

NOT_FOUND = (
    "ATC was not found: not in ASCEND_TOOLKIT_HOME, not on the PATH, not below /usr/local/Ascend "
    "or ~/Ascend. Source the toolkit's set_env.sh, name it with --atc PATH, reach it with "
    "--atc-cmd 'docker run ... atc' or --atc-cmd 'ssh HOST atc', or take the work to a machine "
    "that has it: graphfix convert MODEL --soc S --bundle out.tar.gz writes the fixed model, the "
    "command and the data to compare with."
)


@dataclass(frozen=True)
class Toolkit:
    """An ATC that can be started.

    `command` is what its options follow. `home` is the toolkit's folder and `release` its CANN
    release, None where that is not known. `remote` says that a command of the user's reaches it,
    so that this machine's folders and environment may tell nothing of it. `found` says how.
    """

    command: tuple[str, ...]
    found: str
    home: Path | None = None
    release: str | None = None
    remote: bool = False


def find_toolkit(
    atc: Path | None = None,
    atc_command: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Toolkit | None:
    """Return the ATC to use, None when there is none on this machine.

    Args:
        atc: the executable, or a toolkit folder.
        atc_command: a command line that takes atc's options, split as a shell would.
        environment: where ASCEND_TOOLKIT_HOME, PATH and HOME are read.

    Raises:
        UsageError: what the user named is not there or cannot be run.
    """
    if atc is not None and atc_command is not None:
        raise UsageError("--atc and --atc-cmd: give one of them.")
    if atc_command is not None:
        return _of_command(atc_command, environment)
    if atc is not None:
        return _named(atc)
    for executable, found in _candidates(environment):
        if _is_executable(executable):
            return _toolkit(executable, found)
    return None


def _of_command(text: str, environment: Mapping[str, str]) -> Toolkit:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--atc-cmd {text!r}: cannot be split into words ({error}).") from None
    if not words:
        raise UsageError("--atc-cmd: is empty; give for instance 'docker run IMAGE atc'.")
    if shutil.which(words[0], path=environment.get("PATH")) is None:
        raise UsageError(f"--atc-cmd: there is no program {words[0]!r} on this machine.")
    return Toolkit(tuple(words), "--atc-cmd", remote=True)


def _named(path: Path) -> Toolkit:
    if path.is_dir():
        inside = next((p for p in _executables(path) if _is_executable(p)), None)
        if inside is None:
            raise UsageError(
                f"--atc {path}: no bin/atc in this folder. Give the executable itself, or the "
                "toolkit's folder, such as /usr/local/Ascend/ascend-toolkit/latest."
            )
        return _toolkit(inside, "--atc")
    if not path.exists():
        raise UsageError(f"--atc {path}: there is no such file.")
    if not _is_executable(path):
        raise UsageError(f"--atc {path}: cannot be executed; see its permissions.")
    return _toolkit(path, "--atc")


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    home = environment.get("ASCEND_TOOLKIT_HOME")
    if home:
        yield from ((p, "ASCEND_TOOLKIT_HOME") for p in _executables(Path(home)))
    on_path = shutil.which("atc", path=environment.get("PATH", ""))
    if on_path:
        yield Path(on_path), "PATH"
    for root in _ROOTS:
        base = Path(root.replace("~", environment.get("HOME") or "~")).expanduser()
        for folder in _FOLDERS:
            yield from ((p, str(base / folder)) for p in _executables(base / folder))


def _executables(folder: Path) -> Iterator[Path]:
    for place in _PLACES:
        yield from sorted(folder.glob(place))


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _toolkit(executable: Path, found: str) -> Toolkit:
    # not resolved further: `latest` is a link, and the user knows it by that name
    home = _home_of(executable.absolute())
    release = _release_of(home) if home is not None else None
    return Toolkit((str(executable.absolute()),), found, home, release)


def _home_of(executable: Path) -> Path | None:
    """Return the toolkit's folder: the nearest one above that says its release or holds opp."""
    for folder in list(executable.parents)[1:4]:
        if (folder / "opp").is_dir() or any(next(folder.glob(i), None) for i in _INFO[:2]):
            return folder
    resolved = executable.resolve()
    return _home_of(resolved) if resolved != executable else None


def _release_of(home: Path) -> str | None:
    """Return the release that the installer wrote down, such as 8.1.RC1."""
    for pattern in _INFO:
        for path in sorted(home.glob(pattern)):
            try:
                match = _VERSION.search(path.read_text(encoding="utf-8", errors="replace"))
            except OSError:
                continue
            if match is not None:
                return match[1]
    return None
