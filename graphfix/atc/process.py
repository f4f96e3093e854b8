"""Running a program that must not outlive us: a group of its own, live log, timeout, cancelling."""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from graphfix.errors import UsageError

_TICK = 0.2  # seconds between two looks at the clock
_GRACE = 5.0  # seconds between asking a group to end and ending it
_GONE = 0.4  # seconds until what was ended is gone; where nobody buries them they stay
_DRAIN = 1.0  # seconds that output may still come after the program itself has ended


@dataclass(frozen=True)
class Outcome:
    """How a program ended: `ended` by itself, `timeout`, or `cancelled` by a signal to us.

    `exit_code` is negative, minus the signal, when a signal ended it.
    """

    how: str
    exit_code: int
    seconds: float

    @property
    def sentence(self) -> str:
        """How it ended, in words."""
        if self.how == "timeout":
            return f"ended by --timeout after {self.seconds:.0f} s"
        if self.how == "cancelled":
            return f"cancelled after {self.seconds:.0f} s"
        if self.exit_code < 0:
            name = signal.Signals(-self.exit_code).name
            more = ": out of memory, or somebody ended it" if name == "SIGKILL" else ""
            return f"ended by {name}{more}"
        return f"exit code {self.exit_code}"


def run_program(
    command: Sequence[str],
    log: Path,
    *,
    folder: Path,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda line: None,
    on_tick: Callable[[float], None] = lambda seconds: None,
) -> Outcome:
    """Run `command` in `folder`; all that it prints goes to `log`, line by line to `on_line`.

    The program leads a process group of its own. When it ends, by itself or not, nobody of the
    group is left: the group is asked to end (SIGTERM), and ended (SIGKILL) after five seconds.
    SIGINT and SIGTERM to this process end the group too and give an Outcome `cancelled`.

    Args:
        command: program and arguments.
        log: the file that keeps the output; it is replaced.
        folder: the working folder.
        timeout: seconds, None for no limit.
        environment: of the program; None: ours.
        on_line: gets each line without its end.
        on_tick: gets the elapsed seconds, about five times a second.

    Raises:
        UsageError: the program cannot be started, or the log cannot be written.
    """
    start = time.monotonic()
    with _cancellation() as cancelled, _open(log) as file:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=dict(environment) if environment is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(f"{command[0]}: cannot be started ({error.strerror}).") from None
        try:
            how = _follow(process, file, start, timeout, on_line, on_tick, cancelled)
        finally:
            _end_group(process)
            if process.stdout is not None:
                process.stdout.close()
        return Outcome(how, process.returncode, time.monotonic() - start)


@contextlib.contextmanager
def _open(log: Path) -> Iterator[BinaryIO]:
    try:
        with log.open("wb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"{log}: cannot be written ({error.strerror}).") from None


def _follow(
    process: subprocess.Popen[bytes],
    file: BinaryIO,
    start: float,
    timeout: float | None,
    on_line: Callable[[str], None],
    on_tick: Callable[[float], None],
    cancelled: Callable[[], bool],
) -> str:
    """Copy the output until the program has ended. Returns how."""
    assert process.stdout is not None
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest, gone = "", None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        is_open = True
        while True:
            now = time.monotonic()
            on_tick(now - start)
            if cancelled():
                return "cancelled"
            if timeout is not None and now - start >= timeout:
                return "timeout"
            if is_open and selector.select(_TICK):
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                is_open = bool(chunk)
                file.write(chunk)
                file.flush()
                *lines, rest = (rest + decoder.decode(chunk)).split("\n")
                for line in lines:
                    on_line(line.rstrip("\r"))
            elif not is_open:
                time.sleep(_TICK / 10)
            if gone is None and _has_ended(process):
                gone = time.monotonic()
            # who has left the group may hold the pipe open for ever
            if gone is not None and (not is_open or time.monotonic() - gone > _DRAIN):
                if rest:
                    on_line(rest)
                return "ended"


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the leader has ended; it is not reaped, so that its group's number stays its own."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End every process of the group and reap the leader."""
    deadline = time.monotonic() + _GRACE
    if not _has_ended(process):
        _signal_group(process.pid, signal.SIGTERM)
        while not _has_ended(process) and time.monotonic() < deadline:
            time.sleep(_TICK / 4)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()
    # the number stays the group's as long as somebody of it is there
    deadline = time.monotonic() + _GONE
    while _signal_group(process.pid, 0) and time.monotonic() < deadline:
        time.sleep(_TICK / 20)


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a group; 0 only asks. Returns whether somebody is there."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@contextlib.contextmanager
def _cancellation() -> Iterator[Callable[[], bool]]:
    """Note SIGINT, SIGTERM, and SIGHUP of a closed terminal, instead of dying of them.

    A note is looked at between two steps; an exception could come between a start and its record.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError):  # not the main thread: the caller's matter
            before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
