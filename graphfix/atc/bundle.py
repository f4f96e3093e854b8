"""The hand-off bundle: what a machine with ATC needs, and what proves the result, in one archive.

The archive is a function of its content: entries are sorted, times, owners and modes fixed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from graphfix.atc.prepare import Prepared
from graphfix.comparison.runtimes import Arrays, RuntimeFailed
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.comparison.runtimes.saved import safe_name
from graphfix.comparison.sides import feeds_for, pair_inputs, samples_for
from graphfix.errors import UsageError
from graphfix.graph import save
from graphfix.graph.saving import external_files

SUFFIXES = (".tar.gz", ".tgz", ".tar")
_CONFIG = "config"  # the folder of files that options name
_LEVEL = 1  # weights hardly get smaller; higher levels only take longer


@dataclass(frozen=True)
class Golden:
    """One input and what the original model makes of it; `reason` says why there is none."""

    inputs: Arrays
    outputs: Arrays
    reason: str | None = None


def check_bundle(path: Path) -> None:
    """Refuse a name that is no archive's. Raises UsageError."""
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"--bundle {path}: the name must end in {', '.join(SUFFIXES)}.")


def write_bundle(prepared: Prepared, target: Path, seed: int = 0) -> dict[str, Any]:
    """Write the archive, whole or not at all. Returns its manifest, `graphfix.bundle/1`.

    Args:
        prepared: the model, fixed or not, and ATC's options.
        target: the archive; packed by its suffix.
        seed: of the golden inputs.

    Raises:
        UsageError: the name is no archive's, or it cannot be written.
    """
    check_bundle(target)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            root = Path(folder) / prepared.name
            manifest = _fill(root, prepared, seed)
            part = Path(folder) / "archive"
            with part.open("wb") as raw:
                _pack(root, raw, packed=not target.name.endswith(".tar"))
                raw.flush()
                os.fsync(raw.fileno())
            part.chmod(0o644)
            part.replace(target)
    except OSError as error:
        raise UsageError(f"--bundle {target}: cannot be written ({error.strerror}).") from None
    return manifest


def golden(prepared: Prepared, seed: int = 0) -> Golden:
    """Run the original model in ONNX Runtime on a seeded input that fits both models."""
    first = {n: d for n, d in prepared.invocation.first.items() if all(x >= 0 for x in d)}
    try:
        with OnnxRuntime(prepared.original) as one, OnnxRuntime(prepared.model) as two:
            names = pair_inputs(one, two, by_order=False)
            feeds = samples_for(one, two, names, seed=seed, shapes=first)[0]
            return Golden(feeds_for(two, feeds, names), one.run(feeds))
    except (RuntimeFailed, UsageError) as error:
        return Golden({}, {}, str(error))


def _fill(root: Path, prepared: Prepared, seed: int) -> dict[str, Any]:
    name = prepared.name
    (root / "model").mkdir(parents=True)
    model = root / "model" / f"{name}.onnx"
    _put_model(prepared, model)
    data = golden(prepared, seed)
    ports = {
        "inputs": _put_arrays(root, "inputs", data.inputs),
        "outputs": _put_arrays(root, "outputs", data.outputs),
    }
    for option, path in prepared.invocation.files.items():
        (root / _CONFIG / option).mkdir(parents=True)
        shutil.copyfile(path, root / _CONFIG / option / path.name)
    script = root / "convert.sh"
    script.write_text(_script(prepared), encoding="utf-8")
    script.chmod(0o755)
    compare = compare_command(prepared, bool(data.inputs))
    (root / "README.md").write_text(_readme(prepared, data, compare), encoding="utf-8")
    manifest = {
        "schema": "graphfix.bundle/1",
        "name": name,
        "model": {
            "original": prepared.original.path.name if prepared.original.path else None,
            "original_sha256": _digest(prepared.original.path) if prepared.original.path else None,
            "bundled": f"model/{name}.onnx",
            "fixed": prepared.fixed is not None,
            "verdict": prepared.report.verdict,
        },
        "target": {
            "cann": prepared.wish.target.release.name,
            "soc": prepared.wish.target.socs[0].name,
            "precision_mode": prepared.wish.target.precision_mode,
        },
        "options": dict(prepared.invocation.options),
        "golden": {"seed": seed, "reason": data.reason, **ports},
        "compare": compare,
        "files": [
            {
                "path": path.relative_to(root).as_posix(),
                "bytes": path.stat().st_size,
                "sha256": _digest(path),
            }
            for path in sorted(p for p in root.rglob("*") if p.is_file())
        ],
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (root / "manifest.json").write_text(text, encoding="utf-8")
    return manifest


def _put_model(prepared: Prepared, path: Path) -> None:
    """Write the fixed model, or the user's own as it is, with its external weights."""
    source = prepared.original.path
    if prepared.fixed is not None or source is None:
        save(prepared.model, path)
        return
    shutil.copyfile(source, path)
    for weights in external_files(prepared.original):
        inside = path.parent / weights.relative_to(source.parent)
        inside.parent.mkdir(parents=True, exist_ok=True)
        if weights.is_file():
            shutil.copyfile(weights, inside)


def _put_arrays(root: Path, kind: str, arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Write each array as .npy, and as the bare bytes that most runners read."""
    entries: list[dict[str, Any]] = []
    taken: set[str] = set()
    for name, array in arrays.items():
        stem = safe_name(name)
        while stem in taken:
            stem += "_"
        taken.add(stem)
        base = root / "golden" / kind / stem
        base.parent.mkdir(parents=True, exist_ok=True)
        with Path(f"{base}.npy").open("wb") as file:
            np.save(file, array, allow_pickle=False)
        np.ascontiguousarray(array).tofile(f"{base}.bin")
        files = [f"golden/{kind}/{stem}.{suffix}" for suffix in ("npy", "bin")]
        entries.append({"name": name, "dtype": array.dtype.name, "shape": list(array.shape),
                        "files": files})  # fmt: skip
    return entries


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _pack(root: Path, raw: IO[bytes], packed: bool) -> None:
    stream: Any = raw
    if packed:
        stream = gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=raw, mtime=0)
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            entry = tarfile.TarInfo(path.relative_to(root.parent).as_posix())
            entry.size = path.stat().st_size
            entry.mode = 0o755 if path.suffix == ".sh" else 0o644
            with path.open("rb") as file:
                archive.addfile(entry, file)
    if packed:
        stream.close()


# ---------------------------------------------------------------------- texts


def compare_command(prepared: Prepared, has_inputs: bool) -> list[str]:
    """Return the command that compares what comes back, to be run in the bundle's folder."""
    command = ["graphfix", "compare", f"model/{prepared.name}.onnx", "RESULT"]
    shapes = prepared.invocation.first
    open_ = [n for n, d in prepared.invocation.shapes.items() if -1 in d]
    if has_inputs:
        return [*command, "--input", "golden/inputs"]
    return [*command, *(f"--shape={n}={','.join(map(str, shapes[n]))}" for n in open_)]


def _script(prepared: Prepared) -> str:
    name = prepared.name
    files = prepared.invocation.files
    options = ""
    for key, value in prepared.invocation.options.items():
        word = shlex.quote(f"--{key}={value}")
        if key in files:
            word = f'--{key}="$here/{_CONFIG}/"' + shlex.quote(f"{key}/{files[key].name}")
        options += f" \\\n    {word}"
    file = shlex.quote(name)
    soc = prepared.wish.target.socs[0].name
    return f"""#!/bin/sh
# Makes the .om for {soc}. Usage: ./convert.sh [FOLDER FOR THE RESULT]; works from any folder.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
atc=${{ATC:-atc}}
if ! command -v "$atc" >/dev/null 2>&1; then
    echo "convert.sh: $atc was not found. Source CANN's set_env.sh (for instance" >&2
    echo "  . /usr/local/Ascend/ascend-toolkit/set_env.sh), or set ATC=/path/to/atc." >&2
    exit 127
fi
mkdir -p -- "${{1:-$here/out}}"
out=$(CDPATH= cd -- "${{1:-$here/out}}" && pwd)
work=$(mktemp -d -- "$out/.convert.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' INT TERM HUP
export ASCEND_SLOG_PRINT_TO_STDOUT="${{ASCEND_SLOG_PRINT_TO_STDOUT:-1}}"
# atc writes into a folder of its own, so that a failed run leaves no half file
cd -- "$work"
{{ code=0; "$atc" --model="$here/model/"{file}.onnx --output="$work/"{file}{options} \\
    || code=$?; echo "$code" >"$work/.code"; }} 2>&1 | tee -- "$out/atc.log"
code=$(cat -- "$work/.code")
cd -- "$out"
if [ "$code" -ne 0 ]; then
    echo "convert.sh: atc failed ($code). Take $out/atc.log back, and run:" >&2
    echo "  graphfix diagnose atc.log --model model/"{file}".onnx" >&2
    exit "$code"
fi
for made in "$work"/*; do
    [ -e "$made" ] || continue
    case "$made" in *.om | *.exeom | */weight) rm -rf -- "$out/${{made##*/}}"
        mv -- "$made" "$out/" ;; esac
done
ls -- "$out"
"""


def _readme(prepared: Prepared, data: Golden, compare: list[str]) -> str:
    name, soc = prepared.name, prepared.wish.target.socs[0].name
    shapes = prepared.invocation.shapes
    lines = [
        f"# {name} for {soc}",
        "",
        f"Made by graphfix where no ATC is. Its prediction for this model: "
        f"{prepared.report.verdict}. Only the run below proves it.",
        "",
        "1. On a machine with CANN, with set_env.sh sourced: `./convert.sh` (or "
        "`./convert.sh FOLDER`). The .om and atc.log appear in `out/`.",
        "2. If it fails, take `out/atc.log` back: "
        f"`graphfix diagnose atc.log --model model/{name}.onnx`.",
        "3. Compare. Where graphfix and pyACL are, in this folder: "
        f"`{shlex.join(compare).replace('RESULT', f'out/{name}.om')}`.",
        "   Elsewhere run the .om on the inputs of `golden/inputs` (.bin for ais_bench, .npy), "
        "save its outputs as NAME.bin or NAME.npy in a folder, take that back and run "
        f"`{shlex.join(compare).replace('RESULT', 'FOLDER')}`.",
        "",
        "| input | dims |",
        "|---|---|",
        *(f"| {n} | {','.join(map(str, d))} |" for n, d in shapes.items()),
        "",
    ]
    if data.reason is None:
        lines.append("`golden/outputs` is what the original model gives for `golden/inputs` in "
                     "ONNX Runtime on a CPU.")  # fmt: skip
    else:
        lines.append(f"There is no golden data: {data.reason}")
    lines.append("manifest.json has the sha256 of every file.")
    return "\n".join(lines) + "\n"
