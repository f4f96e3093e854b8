from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from graphfix.frameworks import export as export_module
from graphfix.frameworks.worker import work

pytest.importorskip("torch")
pytest.importorskip("onnxscript")


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does the worker's work in this process: starting one costs the import of torch each time."""

    def here(folder: Path, on_tick: Callable[[float], None]) -> None:
        work(folder)

    monkeypatch.setattr(export_module, "start_worker", here)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The modules of models.py as a file in the test's own folder."""
    path = tmp_path / "my_models.py"
    shutil.copyfile(Path(__file__).with_name("models.py"), path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    return path
