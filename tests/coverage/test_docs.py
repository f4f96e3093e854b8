"""docs/ says what the tables say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def generate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "generate_docs.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_docs_are_not_stale():
    done = generate("--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_told(tmp_path: Path):
    assert generate("--docs", tmp_path).returncode == 0
    assert generate("--docs", tmp_path, "--check").returncode == 0
    page = tmp_path / "operators.md"
    page.write_text(page.read_text(encoding="utf-8") + "\nby hand\n", encoding="utf-8")
    done = generate("--docs", tmp_path, "--check")
    assert done.returncode == 1
    assert "operators.md" in done.stderr
    assert "findings.md" not in done.stderr
