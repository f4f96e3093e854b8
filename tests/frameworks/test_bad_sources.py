"""What users give that cannot be exported: one clear paragraph each, and no file."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import Run
from tests.frameworks import models as own

X = ("--input", "x=float32[2,6]")
IDS = ("--input", "input_ids=int64[1,6]")


@pytest.fixture
def refuse(main: Callable[..., Run], models: Path) -> Callable[..., str]:
    """Runs an export that must be refused; returns what it says, in one line."""

    def run(spec: str, *arguments: object, code: int = 2) -> str:
        done = main("export", spec, "-o", "m.onnx", "--opset", "17", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stderr.startswith("graphfix: ") and "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        assert len(done.stderr.rstrip().split("\n\n")) == 1
        assert not list(models.parent.glob("m.onnx*")) and not list(models.parent.glob(".*"))
        return " ".join(done.stderr.split())

    return run


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("raises", IDS, "cannot be built: ValueError: no weights here (my_models.py, line"),
        ("leaves", IDS, "calls sys.exit(3)"),
        ("nothing", IDS, "gives None, not a torch.nn.Module"),
        ("number", IDS, "is an object of type int"),
        ("needs", IDS, "needs the arguments path"),
        ("on_cuda", IDS, "without .cuda()"),
        ("on_meta", IDS, "meta device"),
        ("asks", IDS, "EOFError"),
        ("Tyny", IDS, "has no Tyny. Did you mean Tiny"),
        ("Tiny", (), "forward takes: input_ids, bias (optional)"),
        ("Tiny", ("--input", "input_ids=float32[1,6]"), "does not run with input_ids=float32"),
        ("Tiny", ("--input", "bias=float32[8]"), "forward also needs input_ids"),
        ("Tiny", (*IDS, "--input", "bios=float32[8]"), "Did you mean bias?"),
        ("Tiny", (*IDS, "--input", "bias=float32[7]"), "does not run with"),
        ("Tiny", ("--input", "input_ids=int64[1,6]<12"), "index out of range"),
        ("Tiny", (*IDS, "--output-names", "a"), "has 2 outputs (logits, pooled)"),
        ("Tiny", (*IDS, "--output-names", "a,out.bias"), "names are unique"),
        ("Attention", ("--input", "x=float32[8]"), "does not run with x=float32[8]"),
        ("Text", X, "an object of type str"),
    ],
)
def test_modules(refuse: Callable[..., str], name: str, arguments: tuple[str], says: str,
                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert says in refuse(f"my_models.py:{name}", *arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--input", "x"), "expected name=dtype[dims]"),
        (("--input", "x=int46[1]"), "Did you mean int64"),
        (("--input", "x=float32[1,-1]"), "whole numbers from 1 on"),
        (("--input", "x=float32[1,a]"), "whole numbers from 1 on"),
        (("--input", "x=int64[1]<0"), "is empty"),
        (("--input", "x=int64[1]:0..1.5"), "whole numbers"),
        (("--input", "x=bool[1]:0..1"), "has no range"),
        ((*X, *X), "is given twice"),
        ((*X, "--dynamic", "x=1"), "expected input:axis=symbol"),
        ((*X, "--dynamic", "y:0=n"), "no --input is called 'y'"),
        ((*X, "--dynamic", "x:2=n"), "has no axis 2; its axes are 0 to 1"),
        ((*X, "--dynamic", "x:0=n", "--dynamic", "x:-1=n"), "one symbol is one size"),
        ((*X, "--dynamic", "x:0=n", "--dynamic", "x:-2=m"), "another symbol already"),
        ((*X, "--output-names", "x"), "names are unique"),
        ((*X, "--output-names", "y,y"), "names are unique"),
        ((*X, "--opset", "x"), "give auto or a number"),
        ((*X, "--opset", "99"), "give auto or a number"),
        ((*X, "--soc", "Ascend31OP3"), "Ascend310P3"),
        ((*X, "-o", "no/m.onnx"), "there is no such folder"),
        ((*X, "-o", "."), "is a folder"),
        ((*X, "--report", "no/r.json"), "there is no such folder"),
    ],
)
def test_options(refuse: Callable[..., str], arguments: tuple[str], says: str) -> None:
    assert says in refuse("my_models.py:Attention", *arguments)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("no_such:Tiny", "there is no module no_such"),
        ("my_models", "say which class or function of it gives the model"),
        ("my_models.py", "my_models.py:NAME. It has Tiny"),
        ("other.py:Tiny", "there is no file other.py"),
        ("a b:c d", "neither package.module:factory nor a file"),
        ("lost.pt", "there is no such file"),
        ("m2.onnx", "is an ONNX model already"),
        ("text.bin", "no model that graphfix can export"),
        ("folder", "neither a TensorFlow SavedModel"),
        ("broken.py:f", "cannot be imported: SyntaxError"),
        ("imports.py:f", "cannot be imported: ModuleNotFoundError: No module named 'not_there'"),
        ("cut.pt", "truncated or damaged"),
        ("other.zip", "none that PyTorch wrote"),
        ("w.safetensors", "holds weights only"),
        ("keras.h5", "Save it as a SavedModel"),
    ],
)
@pytest.mark.usefixtures("inline")
def test_specs(refuse: Callable[..., str], tmp_path: Path, spec: str, says: str) -> None:
    (tmp_path / "m2.onnx").write_bytes(b"\x08\x08")
    (tmp_path / "text.bin").write_bytes(b"hello")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "imports.py").write_text("import not_there\n")
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04" + b"\0" * 50)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a/b.txt", "hello")
    (tmp_path / "w.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    (tmp_path / "keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert says in refuse(spec, *X)


class Evil:
    """A pickle that leaves a mark when it is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("loaded",))


def test_pickles_are_not_loaded_unless_trusted(refuse: Callable[..., str], tmp_path: Path) -> None:
    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    assert "--trust" in refuse("evil.pt", *X)
    torch.save(Evil(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "--trust" in refuse("old.pt", *X)
    assert not (tmp_path / "loaded").exists()


def test_a_state_dict_is_no_model(refuse: Callable[..., str], tmp_path: Path) -> None:
    torch.save(own.Tiny().state_dict(), tmp_path / "weights.pt")
    for trust in ((), ("--trust",)):
        assert "load_state_dict" in refuse("weights.pt", *IDS, *trust)


@pytest.mark.usefixtures("inline")
def test_a_trusted_pickle_is_exported(main: Callable[..., Run], tmp_path: Path) -> None:
    torch.save(own.Tiny(), tmp_path / "whole.pt")
    words = ("export", "whole.pt", "-o", "m.onnx", *IDS, "--opset", "17", "--exporter",
             "torchscript")  # fmt: skip
    assert main(*words).returncode == 2
    done = main(*words, "--trust")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m.onnx").is_file()


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("member", ["data/sample_inputs/model.pt", "data/weights/weight_0"])
def test_pickles_inside_an_exported_program_are_not_loaded(
    refuse: Callable[..., str], tmp_path: Path, member: str
) -> None:
    program = torch.export.export(own.OneSize().eval(), (torch.ones(2, 6),))
    torch.export.save(program, tmp_path / "good.pt2")
    data = io.BytesIO()
    torch.save(Evil(), data)
    with zipfile.ZipFile(tmp_path / "good.pt2") as good, \
            zipfile.ZipFile(tmp_path / "evil.pt2", "w") as evil:  # fmt: skip
        assert f"good/{member}" in good.namelist()
        for name in good.namelist():
            content = data.getvalue() if name.endswith(member) else good.read(name)
            if name.endswith("model_weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true')
                content = content.replace(b'"use_pickle":false', b'"use_pickle":true')
            evil.writestr(name, content)
    assert "--trust" in refuse("evil.pt2")
    assert not (tmp_path / "loaded").exists()


def test_pickle_of_an_importing_kind_is_seen(tmp_path: Path) -> None:
    from graphfix.frameworks.source import _calls

    assert _calls(pickle.dumps(Evil(), 4)) == {"posix mkdir"}
    assert "posix mkdir" in _calls(pickle.dumps(Evil(), 2))
