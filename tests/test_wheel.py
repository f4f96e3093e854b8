"""The wheel that users install: complete, and usable from anywhere without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.builders import relu, write

ROOT = Path(__file__).resolve().parent.parent


def _run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as a release builds it."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    done = _run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT,
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("graphfix-*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; its dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    done = _run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = _run(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index",
        "--disable-pip-version-check", wheel, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    asked = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    packages = Path(_run(python, "-c", asked, cwd=folder).stdout.strip())
    dependencies = {sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]}
    (packages / "dependencies.pth").write_text("\n".join(sorted(dependencies)) + "\n")
    return python


def test_wheel_holds_the_tables_and_schemas(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("op_support", "rules"):
        wanted = {
            f"graphfix/data/{p.relative_to(ROOT)}"
            for p in (ROOT / folder).rglob("*")
            if p.is_file() and "__pycache__" not in p.parts
        }
        assert wanted and wanted - names == set()
    for name in ("schemas/check-1.json", "analysis/codes.toml", "cli/main.py"):
        assert f"graphfix/{name}" in names
    assert not any(n.startswith(("tests/", "scripts/")) or n.endswith(".pyc") for n in names)


def test_no_stand_in_is_shipped(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            assert "standin" not in name and "stand_in" not in name
            assert b"GRAPHFIX_STANDIN" not in archive.read(name), name


def test_check_runs_from_another_folder(python: Path, tmp_path: Path) -> None:
    write(relu(), tmp_path / "good.onnx")
    write(relu(opset=19), tmp_path / "bad.onnx")
    command = python.parent / "graphfix"
    done = _run(command, "check", "good.onnx", "--soc", "Ascend310P3", cwd=tmp_path)
    assert done.returncode == 0 and "1 node on the AI Core" in done.stdout, done.stderr
    done = _run(command, "check", "bad.onnx", "--format", "json", cwd=tmp_path)
    assert done.returncode == 1 and json.loads(done.stdout)["models"][0]["error_code"] == "E19010"


def test_reference_commands_run(python: Path, tmp_path: Path) -> None:
    done = _run(python, "-m", "graphfix", "socs", cwd=tmp_path)
    assert done.returncode == 0 and "Ascend310P3" in done.stdout, done.stderr
    done = _run(python, "-m", "graphfix", "--version", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("graphfix ")


def test_package_of_the_wheel_is_the_one_that_runs(python: Path, tmp_path: Path) -> None:
    code = "import graphfix.support.paths as p; print(p.data_folder('op_support'))"
    folder = Path(_run(python, "-c", code, cwd=tmp_path).stdout.strip())
    assert folder.is_dir() and ROOT not in folder.parents
    assert python.parent.parent in folder.parents


def test_check_imports_no_framework(python: Path, tmp_path: Path) -> None:
    write(relu(), tmp_path / "model.onnx")
    code = (
        "import sys\n"
        "from graphfix.cli.main import main\n"
        "code = main(['check', 'model.onnx', '--soc', 'Ascend310P3'])\n"
        "heavy = {'torch', 'tensorflow', 'onnxruntime', 'onnxscript', 'scipy', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = _run(python, "-c", code, cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
