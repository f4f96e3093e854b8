"""convert: check, fix, preflight, run ATC, and after a failure diagnose, mend and try again."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from graphfix.atc import diagnosis
from graphfix.atc.preflight import Check, preflight
from graphfix.atc.prepare import Prepared, prepare
from graphfix.atc.process import Outcome, run_program
from graphfix.atc.remedies import Remedy, remedy
from graphfix.atc.toolkit import Toolkit
from graphfix.errors import UsageError
from graphfix.graph import save
from graphfix.report.memory import line

# of the header of an .om: magic number, size of the header, and at 76 the length of what follows
# (ModelFileHeader in the open GE source, August 2026)
_OM_MAGIC, _OM_HEADER, _OM_LENGTH = 0x444F4D49, 256, 76


class Watcher(Protocol):
    """Who looks on while a conversion runs."""

    def stage(self, name: str, text: str) -> None:
        """A stage has begun or ended; one line of text."""

    def line(self, text: str) -> None:
        """ATC printed a line."""

    def tick(self, seconds: float) -> None:
        """Time has passed since ATC was started."""


@dataclass
class Attempt:
    """One run of ATC. `problem` is None when the .om is whole; `remedy` what was changed after."""

    command: list[str]
    log: Path
    outcome: Outcome
    problem: str | None = None
    diagnosis: dict[str, Any] | None = None
    remedy: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the report."""
        return {
            "command": self.command,
            "log": str(self.log),
            "ended": self.outcome.how,
            "exit_code": self.outcome.exit_code,
            "seconds": round(self.outcome.seconds, 2),
            "problem": self.problem,
            "diagnosis": self.diagnosis,
            "remedy": self.remedy,
        }


@dataclass
class Conversion:
    """What convert did. `status`: converted, failed, cancelled, or stopped (preflight).

    `files` are what was written: the .om, the model that ATC read, logs.
    """

    status: str
    prepared: Prepared
    toolkit: Toolkit | None
    checks: list[Check] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the document `graphfix.convert/1`."""
        prepared, kit = self.prepared, self.toolkit
        return {
            "schema": "graphfix.convert/1",
            "status": self.status,
            "model": str(prepared.original.path or "<model>"),
            "target": {
                "cann": prepared.wish.target.release.name,
                "soc": prepared.wish.target.socs[0].name,
                "precision_mode": prepared.wish.target.precision_mode,
            },
            "options": dict(prepared.invocation.options),
            "atc": None if kit is None else {
                "command": list(kit.command),
                "found": kit.found,
                "release": kit.release,
                "remote": kit.remote,
            },
            "memory": prepared.memory.to_json(),
            "preflight": [c.to_json() for c in self.checks],
            "attempts": [a.to_json() for a in self.attempts],
            "files": [str(f) for f in self.files],
            "fix": prepared.fixed.to_json() if prepared.fixed is not None else None,
            "check": prepared.report.to_json(),
        }  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a conversion works. `folder` keeps what it makes; `seen_as` is how ATC calls it."""

    folder: Path
    seen_as: str | None = None

    def seen(self, path: Path) -> str:
        """Return a path below the folder as ATC sees it, any other as it is."""
        path = path.absolute()
        if self.seen_as is None or not path.is_relative_to(self.folder.absolute()):
            return str(path)
        return f"{self.seen_as.rstrip('/')}/{path.relative_to(self.folder.absolute()).as_posix()}"


def convert(
    prepared: Prepared,
    toolkit: Toolkit,
    place: Place,
    watcher: Watcher,
    *,
    retries: int = 1,
    timeout: float | None = None,
) -> Conversion:
    """Convert a model to an .om; the .om appears in the folder whole or not at all.

    Args:
        prepared: the user's model, read from a file and never changed, and what ATC shall read.
        toolkit: the ATC to run.
        place: where the result goes.
        watcher: is told what happens.
        retries: how often a failed run may be mended and repeated.
        timeout: seconds for one run of ATC, None for no limit.

    Raises:
        UsageError: files that cannot be written.
    """
    watcher.stage("check", prediction(prepared))
    watcher.stage("memory", line(prepared.memory))
    conversion = Conversion("failed", prepared, toolkit)
    conversion.checks = preflight(toolkit, prepared.byte_size, place.folder)
    for check in conversion.checks:
        if check.level != "ok":
            watcher.stage(check.level, f"{check.name}: {check.text}. {check.advice}".rstrip(". "))
    if any(c.level == "fail" for c in conversion.checks):
        conversion.status = "stopped"
        return conversion
    tried: list[Remedy] = []
    while True:
        attempt = _attempt(conversion, place, watcher, len(conversion.attempts) + 1, timeout)
        conversion.attempts.append(attempt)
        if attempt.problem is None:
            conversion.status = "converted"
            return conversion
        if attempt.outcome.how == "cancelled":
            conversion.status = "cancelled"
            return conversion
        if attempt.diagnosis is None or len(tried) >= retries:
            return conversion
        found = remedy(attempt.diagnosis, conversion.prepared, tried, place.folder)
        if found is None:
            return conversion
        again = prepare(prepared.original, found.wish)
        if found.kind == "operator" and not _differs(again, conversion.prepared):
            attempt.remedy = f"{found.says}, but no rule writes it otherwise"
            return conversion
        for name, text in found.files.items():
            (place.folder / name).write_text(text, encoding="utf-8")
        tried.append(found)
        attempt.remedy = found.says
        watcher.stage("again", found.says)
        conversion.prepared = again


def prediction(prepared: Prepared) -> str:
    """Say in a line what fix did and what ATC is predicted to do."""
    after = prepared.report.verdict
    if prepared.fixed is None:
        return f"predicted: {after}; given to ATC as it is"
    fired, before = sum(prepared.fixed.fired().values()), prepared.fixed.before.verdict
    if not fired and before == after:
        return f"predicted: {after}; nothing was rewritten"
    return f"predicted: {before} before, {after} after {fired} rewrite{'s' * (fired != 1)}"


def _differs(one: Prepared, other: Prepared) -> bool:
    return bool(one.model.to_proto() != other.model.to_proto())


def _attempt(
    conversion: Conversion, place: Place, watcher: Watcher, number: int, timeout: float | None
) -> Attempt:
    """Run ATC once in a folder of its own beside the result."""
    prepared, kit = conversion.prepared, conversion.toolkit
    assert kit is not None and prepared.original.path is not None
    name = prepared.name
    model = prepared.original.path
    if prepared.fixed is not None:
        model = place.folder / f"{name}.fixed.onnx"
        save(prepared.model, model)
        _note(conversion, model)
    log = place.folder / f"{name}.atc-{number}.log"
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=place.folder))
    except OSError as error:
        raise UsageError(f"-o {place.folder}: cannot be written ({error.strerror}).") from None
    try:
        if kit.remote:
            work.chmod(0o777)  # whoever runs atc there must be able to write
        command = prepared.invocation.words(
            kit.command, place.seen(model), place.seen(work / name), place.seen
        )
        watcher.stage("atc", shlex.join(command))
        outcome = run_program(
            over_ssh(command, len(kit.command)),
            log,
            folder=work,
            timeout=timeout,
            environment=None if kit.remote else _environment(),
            on_line=watcher.line,
            on_tick=watcher.tick,
        )
        _note(conversion, log)
        attempt = Attempt(command, log, outcome, _problem(outcome, work, name, kit))
        if attempt.problem is None:
            for path in _bring(work, place.folder, name):
                _note(conversion, path)
        elif outcome.how != "cancelled":
            attempt.diagnosis = diagnose(log, prepared, outcome)
        return attempt
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _note(conversion: Conversion, path: Path) -> None:
    if path not in conversion.files:
        conversion.files.append(path)


def over_ssh(command: Sequence[str], own: int) -> list[str]:
    """Return the words to start: ssh gives them to a shell, so ATC's own are quoted for it."""
    if Path(command[0]).name != "ssh":
        return list(command)
    return [*command[:own], *map(shlex.quote, command[own:])]


def _environment() -> dict[str, str]:
    # with this, what ATC's parts log comes out on the screen too (CANN log reference)
    return {"ASCEND_SLOG_PRINT_TO_STDOUT": "1", **os.environ}


def _problem(outcome: Outcome, work: Path, name: str, kit: Toolkit) -> str | None:
    """Say why there is no whole .om, None when there is one."""
    if outcome.how != "ended" or outcome.exit_code != 0:
        return f"ATC: {outcome.sentence}"
    found = _oms(work, name)
    if not found:
        if kit.remote:
            return (
                "ATC ended well, but no .om came back: the command must see the output folder; "
                "name its path there with --atc-workdir, or mount it at the same path"
            )
        return "ATC ended well, but wrote no .om"
    broken = next((p for p in found if not is_whole(p)), None)
    return None if broken is None else f"ATC ended well, but {broken.name} is not whole"


def _oms(work: Path, name: str) -> list[Path]:
    """Return the .om files; ATC may append the operating system and architecture."""
    return sorted(
        p for p in work.iterdir()
        if p.name.startswith(name) and p.suffix in (".om", ".exeom") and p.is_file()
    )  # fmt: skip


def is_whole(path: Path) -> bool:
    """Whether an .om holds as many bytes as its header says; an unknown header counts as whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_OM_HEADER)
    if len(head) < 4 or struct.unpack_from("<I", head)[0] != _OM_MAGIC:
        return size > 0
    if len(head) < _OM_HEADER:
        return False
    (length,) = struct.unpack_from("<I", head, _OM_LENGTH)
    return size - _OM_HEADER >= int(length)


def _bring(work: Path, folder: Path, name: str) -> list[Path]:
    """Move the results into place, weights first, so that an .om never lacks its own."""
    brought = []
    weights = work / "weight"
    try:
        for path in sorted(p for p in weights.rglob("*") if p.is_file()):
            target = folder / path.relative_to(work)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            brought.append(target)
        for path in _oms(work, name):
            path.replace(folder / path.name)
            brought.insert(0, folder / path.name)
    except OSError as error:
        raise UsageError(f"-o {folder}: cannot be written ({error.strerror}).") from None
    return brought


def diagnose(log: Path, prepared: Prepared, outcome: Outcome) -> dict[str, Any]:
    """Return the document graphfix.diagnose/1 of a log and of how its process ended."""
    ended = None
    if outcome.how == "timeout" or outcome.exit_code in (-signal.SIGTERM, -signal.SIGINT):
        ended = ("interrupted", outcome.sentence)
    elif outcome.exit_code < 0:
        killed = outcome.exit_code == -signal.SIGKILL
        ended = ("killed" if killed else "crashed", outcome.sentence)
    report = prepared.fixed.to_json() if prepared.fixed is not None else None
    found = diagnosis.diagnose(
        log, prepared.model, target=prepared.wish.target, fix_report=report,
        tables=prepared.wish.tables, ended=ended,
    )  # fmt: skip
    return found.to_json()
