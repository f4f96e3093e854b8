from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema
import pytest

import graphfix

# a pipeline that fails must fail again when it is looked into; at home every run tries other cases
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

PACKAGE = Path(graphfix.__file__).parent


class Run(subprocess.CompletedProcess[str]):
    """A finished run of the command line."""

    @property
    def document(self) -> dict[str, Any]:
        """Stdout as JSON."""
        return json.loads(self.stdout)


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., Run]:
    """Runs `python -m graphfix ...` in the test's own folder."""

    def run(*arguments: object, timeout: float = 60) -> Run:
        command = [sys.executable, "-m", "graphfix", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        return Run(done.args, done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def main(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    """Runs the command line in this process: the same, without the start of an interpreter."""
    import gc

    from graphfix.cli.main import main as entry

    def run(*arguments: object) -> Run:
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        try:
            code = entry([str(a) for a in arguments])
        finally:
            gc.enable()
        out, err = capsys.readouterr()
        return Run(arguments, code, out, err)

    return run


@pytest.fixture(scope="session")
def check_schema() -> jsonschema.Draft202012Validator:
    """The published schema of `graphfix check --format json`."""
    schema = json.loads((PACKAGE / "schemas" / "check-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
