"""Finding ATC, and what the preflight says of the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from graphfix.atc import preflight as preflight_module
from graphfix.atc.preflight import Check, preflight, requirement
from graphfix.atc.toolkit import find_toolkit
from graphfix.errors import UsageError
from tests.atc.standin import install, script


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {c.name: c for c in checks}


def test_nothing_installed_is_none(tmp_path: Path) -> None:
    assert find_toolkit(environment={"PATH": str(tmp_path), "HOME": str(tmp_path)}) is None


def test_the_environment_comes_before_the_path_and_that_before_home(tmp_path: Path) -> None:
    sourced = install(tmp_path / "sourced")
    on_path = script(_folder(tmp_path / "on_path") / "atc")
    at_home = install(tmp_path / "Ascend" / "ascend-toolkit" / "latest", "8.0.0")
    environment = {"HOME": str(tmp_path)}
    found = find_toolkit(environment=environment)
    assert found is not None and found.command == (str(at_home),) and found.release == "8.0.0"
    environment["PATH"] = str(on_path.parent)
    found = find_toolkit(environment=environment)
    assert found is not None and found.command == (str(on_path),) and found.release is None
    environment["ASCEND_TOOLKIT_HOME"] = str(tmp_path / "sourced")
    found = find_toolkit(environment=environment)
    assert found is not None and found.command == (str(sourced),)
    assert (found.release, found.home) == ("8.1.RC1", tmp_path / "sourced")


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_file_that_cannot_be_run_is_passed_over(tmp_path: Path) -> None:
    install(tmp_path / "home").chmod(0o644)
    environment = {"HOME": str(tmp_path), "ASCEND_TOOLKIT_HOME": str(tmp_path / "home")}
    assert find_toolkit(environment=environment) is None


def test_atc_named_as_file_or_folder(tmp_path: Path) -> None:
    executable = install(tmp_path / "kit")
    for named in (executable, tmp_path / "kit"):
        found = find_toolkit(atc=named)
        assert found is not None and found.command == (str(executable),) and not found.remote


def test_a_command_is_split_as_a_shell_would(tmp_path: Path) -> None:
    found = find_toolkit(atc_command=f"'{sys.executable}' run -v 'a b:/w' image atc")
    assert found is not None and found.remote
    assert found.command == (sys.executable, "run", "-v", "a b:/w", "image", "atc")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"atc": Path("nowhere/atc")}, "no such file"),
        ({"atc": Path()}, "no bin/atc"),
        ({"atc_command": "no-such-program-7 atc"}, "no program"),
        ({"atc_command": "docker 'run"}, "cannot be split"),
        ({"atc_command": " "}, "is empty"),
        ({"atc": Path("atc"), "atc_command": "sh"}, "one of them"),
    ],
)
def test_what_is_wrong_with_it_is_said(
    arguments: dict[str, object], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says):
        find_toolkit(**arguments)  # type: ignore[arg-type]


def test_preflight_of_a_sourced_toolkit(tmp_path: Path) -> None:
    install(tmp_path / "kit")
    environment = {
        "ASCEND_TOOLKIT_HOME": str(tmp_path / "kit"),
        "ASCEND_OPP_PATH": str(tmp_path / "kit" / "opp"),
        "PATH": str(_python(tmp_path, "3.10.4", "1.24.4").parent),
    }
    toolkit = find_toolkit(environment=environment)
    assert toolkit is not None
    checks = by_name(preflight(toolkit, 1000, tmp_path, environment))
    assert {c.level for c in checks.values()} == {"ok"}, checks
    assert set(checks) == {"atc", "set_env", "opp", "python", "numpy", "disk", "memory"}


def _python(folder: Path, version: str, numpy: str) -> Path:
    """A python3 that answers with these versions."""
    answer = f'["{version}", {numpy if numpy == "null" else chr(34) + numpy + chr(34)}]'
    path = _folder(folder / f"py{version}-{numpy}") / "python3"
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("release", "python", "numpy", "levels"),
    [
        ("8.1.RC1", "3.12.1", "1.26.0", ("warn", "warn")),
        ("8.1.RC1", "3.11.4", "1.24.4", ("ok", "ok")),
        ("8.5.0", "3.12.1", "2.1.0", ("ok", "warn")),
        ("9.1.0", "3.14.0", "2.3.1", ("ok", "ok")),
        ("8.1.RC1", "3.10.0", "null", ("ok", "fail")),
        ("7.0.1", "3.10.0", "1.24.4", ("unknown", "unknown")),
    ],
)
def test_python_and_numpy_are_those_that_the_release_accepts(
    release: str, python: str, numpy: str, levels: tuple[str, str], tmp_path: Path
) -> None:
    install(tmp_path / "kit", release)
    environment = {"PATH": str(_python(tmp_path, python, numpy).parent)}
    toolkit = find_toolkit(atc=tmp_path / "kit")
    assert toolkit is not None
    checks = by_name(preflight(toolkit, 1000, tmp_path, environment))
    assert (checks["python"].level, checks["numpy"].level) == levels
    assert all(c.advice for c in checks.values() if c.level in ("warn", "fail"))


def test_what_nobody_wrote_down_is_unknown() -> None:
    assert requirement(None) is None and requirement("6.3.RC2") is None
    entry = requirement("8.1.RC1")
    assert entry is not None and entry["source"]


def test_not_sourced_names_the_script(tmp_path: Path) -> None:
    install(tmp_path / "kit")
    toolkit = find_toolkit(atc=tmp_path / "kit")
    assert toolkit is not None
    check = by_name(preflight(toolkit, 1000, tmp_path, {"PATH": ""}))
    assert check["set_env"].level == "warn" and check["set_env"].advice.endswith("kit/set_env.sh")
    assert check["python"].level == "fail"


def test_missing_operators_and_a_full_disk_fail(tmp_path: Path) -> None:
    install(tmp_path / "kit")
    toolkit = find_toolkit(atc=tmp_path / "kit")
    assert toolkit is not None
    environment = {"PATH": "", "ASCEND_OPP_PATH": str(tmp_path / "gone")}
    checks = by_name(preflight(toolkit, 1 << 60, tmp_path, environment))
    assert checks["opp"].level == "fail" and checks["disk"].level == "fail"
    assert checks["memory"].level == "warn"


def test_memory_that_nothing_tells_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight_module, "_free_memory", lambda: None)
    toolkit = find_toolkit(atc_command="sh -c true")
    assert toolkit is not None
    assert [c.level for c in preflight(toolkit, 1, tmp_path)] == ["unknown", "ok"]
    install(tmp_path / "kit")
    local = find_toolkit(atc=tmp_path / "kit")
    assert local is not None
    assert by_name(preflight(local, 1, tmp_path, {"PATH": ""}))["memory"].level == "unknown"
