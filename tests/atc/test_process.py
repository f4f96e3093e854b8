"""Running a program: its log, its end, and that nobody stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graphfix.atc.process import Outcome, run_program
from graphfix.errors import UsageError
from tests.atc.standin import is_alive

PYTHON = sys.executable


def play(tmp_path: Path, code: str, **options: object) -> tuple[Outcome, list[str]]:
    lines: list[str] = []
    done = run_program(
        [PYTHON, "-u", "-c", code],
        tmp_path / "log",
        folder=tmp_path,
        on_line=lines.append,
        **options,
    )  # type: ignore[arg-type]
    return done, lines


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


def test_output_goes_to_the_log_and_line_by_line(tmp_path: Path) -> None:
    code = (
        "import sys; print('one'); print('two', file=sys.stderr); print('é', end=''); sys.exit(7)"
    )
    done, lines = play(tmp_path, code)
    assert (done.how, done.exit_code, lines) == ("ended", 7, ["one", "two", "é"])
    assert (tmp_path / "log").read_text() == "one\ntwo\né"
    assert done.sentence == "exit code 7"


def test_lines_come_while_it_runs(tmp_path: Path) -> None:
    seen: list[float] = []
    code = "import time; print('first'); time.sleep(0.6); print('last')"
    run_program([PYTHON, "-u", "-c", code], tmp_path / "log", folder=tmp_path,
                on_line=lambda line: seen.append(time.monotonic()))  # fmt: skip
    assert len(seen) == 2 and seen[1] - seen[0] > 0.4


def test_much_output_is_kept_whole(tmp_path: Path) -> None:
    done, lines = play(tmp_path, "print('x' * 300000); print('\\n'.join(map(str, range(50000))))")
    assert done.exit_code == 0 and len(lines) == 50001
    assert (tmp_path / "log").stat().st_size == 300001 + sum(len(str(n)) + 1 for n in range(50000))


def test_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(other.pid); time.sleep(600)"
    )
    done, lines = play(tmp_path, code, timeout=1.0)
    assert done.how == "timeout" and done.exit_code == -signal.SIGTERM
    assert done.seconds < 5 and not is_alive(int(lines[0]))


def test_who_ignores_the_request_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphfix.atc.process._GRACE", 0.5)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('on'); time.sleep(600)"
    done, _ = play(tmp_path, code, timeout=0.8)
    assert (done.how, done.exit_code) == ("timeout", -signal.SIGKILL)


def test_a_child_left_behind_is_ended(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
    )
    done, lines = play(tmp_path, code)
    assert done.how == "ended" and done.exit_code == 0 and done.seconds < 10
    assert not is_alive(int(lines[0]))


def test_killed_from_outside_says_so(tmp_path: Path) -> None:
    done, _ = play(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert done.how == "ended" and "SIGKILL" in done.sentence and "memory" in done.sentence


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_us_cancels(tmp_path: Path, number: signal.Signals) -> None:
    inner = (
        "import os, subprocess, sys, time, pathlib; "
        "o = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "pathlib.Path('pids').write_text(str(os.getpid()) + ' ' + str(o.pid)); time.sleep(600)"
    )
    outer = (
        "import sys; from pathlib import Path; from graphfix.atc.process import run_program\n"
        f"done = run_program([sys.executable, '-c', {inner!r}], Path('log'), folder=Path('.'))\n"
        "print(done.how)"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([PYTHON, "-c", outer], cwd=tmp_path, stdout=subprocess.PIPE,
                               text=True, env={**os.environ, "PYTHONPATH": str(root)})  # fmt: skip
    wait_for(tmp_path / "pids")
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert out.strip() == "cancelled"
    pids = [int(p) for p in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2 and not any(is_alive(p) for p in pids)


def test_what_cannot_be_started_or_logged_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be started"):
        run_program([str(tmp_path / "nothing")], tmp_path / "log", folder=tmp_path)
    with pytest.raises(UsageError, match="cannot be written"):
        run_program([PYTHON, "-c", ""], tmp_path / "no" / "log", folder=tmp_path)
