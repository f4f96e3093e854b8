"""Preflight: what would stop ATC on this machine before it looks at the model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from graphfix.atc.toolkit import Toolkit
from graphfix.support.paths import data_folder
from graphfix.support.target import read_toml

_ASK = (
    "import json, sys\n"
    "try:\n import numpy; v = numpy.__version__\n"
    "except Exception as e: v = None\n"
    "print(json.dumps([sys.version.split()[0], v]))"
)
_GIB = 1 << 30


@dataclass(frozen=True)
class Check:
    """One line of the preflight. `level`: ok, warn, fail, or unknown where nobody knows."""

    name: str
    level: str
    text: str
    advice: str = ""
    source: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the entry of the report."""
        return asdict(self)


def preflight(
    toolkit: Toolkit,
    model_bytes: int,
    folder: Path,
    environment: Mapping[str, str] = os.environ,
) -> list[Check]:
    """Return what is known of the machine, in the order in which ATC would stumble.

    Args:
        toolkit: the ATC that will run.
        model_bytes: the model with its external weights.
        folder: where the .om is made.
        environment: what ATC will be started with.
    """
    checks = [_space(folder, model_bytes)]
    if toolkit.remote:
        advice = "set_env.sh, Python, NumPy and memory must be right where atc runs"
        return [
            Check("machine", "unknown", "atc is reached by a command of yours", advice),
            *checks,
        ]
    return [
        _release(toolkit),
        _sourced(toolkit, environment),
        *_opp(toolkit, environment),
        *_python(toolkit, environment),
        *checks,
        _memory(model_bytes),
    ]


def _release(toolkit: Toolkit) -> Check:
    where = f"{toolkit.command[0]} (found by {toolkit.found})"
    if toolkit.release is None:
        return Check("atc", "unknown", f"{where}; its CANN release is written nowhere near it")
    return Check("atc", "ok", f"{where}, CANN {toolkit.release}")


def _sourced(toolkit: Toolkit, environment: Mapping[str, str]) -> Check:
    if environment.get("ASCEND_TOOLKIT_HOME") and environment.get("ASCEND_OPP_PATH"):
        return Check("set_env", "ok", "ASCEND_TOOLKIT_HOME and ASCEND_OPP_PATH are set")
    script = "set_env.sh of the toolkit"
    for folder in (toolkit.home, toolkit.home.parent) if toolkit.home is not None else ():
        if (folder / "set_env.sh").is_file():
            script = str(folder / "set_env.sh")
            break
    missing = "ASCEND_TOOLKIT_HOME" if not environment.get("ASCEND_TOOLKIT_HOME") else (
        "ASCEND_OPP_PATH")  # fmt: skip
    return Check("set_env", "warn", f"{missing} is not set", f"source {script}")


def _opp(toolkit: Toolkit, environment: Mapping[str, str]) -> Iterator[Check]:
    """The folder of the operators: there, readable, and whose it is."""
    named = environment.get("ASCEND_OPP_PATH")
    path = Path(named) if named else toolkit.home / "opp" if toolkit.home is not None else None
    if path is None:
        yield Check("opp", "unknown", "the operators' folder is not known", "source set_env.sh")
        return
    if not path.is_dir():
        yield Check("opp", "fail", f"{path}: there is no such folder",
                    "install the operator package (opp) of this CANN, or correct "
                    "ASCEND_OPP_PATH")  # fmt: skip
        return
    if not os.access(path, os.R_OK | os.X_OK):
        yield Check("opp", "fail", f"{path}: this user may not read it",
                    "install CANN with --install-for-all, or run as its owner")  # fmt: skip
        return
    yield Check("opp", "ok", str(path))
    owner = path.stat().st_uid
    if owner not in (0, os.getuid()):
        yield Check("owner", "warn", f"the operators belong to user id {owner}, not to this user",
                    "run as that user, or see that CANN was installed for all users")  # fmt: skip


def _python(toolkit: Toolkit, environment: Mapping[str, str]) -> Iterator[Check]:
    """The python3 of the PATH runs ATC's operator compiler."""
    executable = shutil.which("python3", path=environment.get("PATH", ""))
    if executable is None:
        yield Check("python", "fail", "no python3 on the PATH; the operator compiler needs one",
                    "put a Python that this CANN accepts on the PATH")  # fmt: skip
        return
    try:
        answer = subprocess.run([executable, "-c", _ASK], env=dict(environment), timeout=30,
                                capture_output=True, text=True, check=True)  # fmt: skip
        python, numpy = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        yield Check("python", "warn", f"{executable} does not start", "repair it, or the PATH")
        return
    wanted = requirement(toolkit.release)
    yield _version("python", python, wanted, executable)
    if numpy is None:
        yield Check("numpy", "fail", f"{executable} cannot import it (E40020)",
                    f"{executable} -m pip install {_numpy_spec(wanted)}")  # fmt: skip
    else:
        yield _version("numpy", numpy, wanted, f"of {executable}")


def _version(name: str, version: str, wanted: Mapping[str, Any] | None, where: str) -> Check:
    text = f"{version} ({where})"
    if wanted is None:
        return Check(name, "unknown", f"{text}; what this CANN accepts is not known")
    low, high = wanted[name]
    if _number(version) >= _number(low) and (not high or _number(version) < _number(high)):
        return Check(name, "ok", text, source=wanted["source"])
    span = f"{low} or newer" + (f", below {high}" if high else "")
    do = f"python3 -m pip install {_numpy_spec(wanted)}" if name == "numpy" else (
        f"put a Python of {span} first on the PATH")  # fmt: skip
    return Check(name, "warn", f"{text}; this CANN asks for {span}", do, wanted["source"])


def _numpy_spec(wanted: Mapping[str, Any] | None) -> str:
    if wanted is None:
        return "numpy"
    low, high = wanted["numpy"]
    return f"'numpy>={low}" + (f",<{high}'" if high else "'")


def requirement(release: str | None) -> Mapping[str, Any] | None:
    """Return what a CANN release asks of Python and NumPy, None where no document tells."""
    for entry in _requirements():
        if release is not None and any(
            release == r or release.startswith(f"{r}.") for r in entry["releases"]
        ):
            return entry
    return None


@cache
def _requirements() -> list[dict[str, Any]]:
    path = data_folder("op_support") / "atc" / "requirements.toml"
    return list(read_toml(path)["requirement"])


def _number(version: str) -> tuple[int, ...]:
    digits = (part for part in version.split("."))
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in digits)


def _space(folder: Path, model_bytes: int) -> Check:
    free = shutil.disk_usage(folder).free
    text = f"{free / _GIB:.1f} GiB free in {folder}, the model has {model_bytes / _GIB:.2f}"
    if free < model_bytes:
        return Check("disk", "fail", text, "free space, or write elsewhere with -o DIR")
    if free < 3 * model_bytes:
        return Check("disk", "warn", f"{text}; kernels and the .om come on top", "free space")
    return Check("disk", "ok", text)


def _memory(model_bytes: int) -> Check:
    free = _free_memory()
    if free is None:
        return Check("memory", "unknown", "this system does not tell how much is free")
    text = f"{free / _GIB:.1f} GiB free, the model has {model_bytes / _GIB:.2f}"
    if free < 2 * model_bytes:
        return Check("memory", "warn", f"{text}; ATC holds it more than once",
                     "end other programs, or set TE_PARALLEL_COMPILER=1")  # fmt: skip
    return Check("memory", "ok", text)


def _free_memory() -> int | None:
    """Return bytes, the limit of a container included; None where nothing tells."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit.isdigit():
            found.append(int(limit) - int((group / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):
        pass
    return max(0, min(found)) if found else None
