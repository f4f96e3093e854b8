"""Puts the stand-in where atc would be."""

from __future__ import annotations

import os
import sys
from pathlib import Path

STANDIN = Path(__file__).with_name("stand_in_for_atc.py")


def install(folder: Path, release: str | None = "8.1.RC1") -> Path:
    """Make a toolkit folder whose bin/atc is the stand-in; returns the executable."""
    (folder / "bin").mkdir(parents=True)
    (folder / "opp").mkdir()
    if release is not None:
        info = folder / "x86_64-linux" / "ascend_toolkit_install.info"
        info.parent.mkdir()
        info.write_text(f"package_name=Ascend-cann-toolkit\nversion={release}\narch=x86_64\n")
    (folder / "set_env.sh").write_text("# stand-in\n")
    return script(folder / "bin" / "atc")


def script(path: Path) -> Path:
    """Write an executable that starts the stand-in."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STANDIN}" "$@"\n')
    path.chmod(0o755)
    return path


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def environment(**extra: str) -> dict[str, str]:
    """Ours, without an installed CANN, and with these."""
    return {**{k: v for k, v in os.environ.items() if not k.startswith("ASCEND_")}, **extra}
