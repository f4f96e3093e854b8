"""op_support follows its own README: known keys, known words, one meaning for each line."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import onnx.defs
import pytest
from onnx import TensorProto, helper

import graphfix
from graphfix.analysis.codes import BY_NAME
from graphfix.support.conditions import generic
from graphfix.support.tables import CERTAINTIES, EFFECTS, Opsets, parse_operator
from graphfix.support.target import read_toml, releases, socs

FOLDER = Path(__file__).resolve().parents[2] / "op_support"
FILES = sorted([*FOLDER.glob("standard/*.toml"), *FOLDER.glob("custom/*.toml")])
READ = {path: read_toml(path) for path in FILES}
CONSTRAINTS = [
    pytest.param(entry, id=f"{path.stem}/{entry['id']}")
    for path, table in READ.items()
    for entry in table.get("constraint", [])
]

PLUGIN_SLUGS = {
    "rejected": {
        "attribute-refused", "input-refused", "input-not-connected", "parser-crash",
        "compile-refused",
    },
    "miscompiled": {
        "attribute-ignored", "default-differs", "computed-differently", "output-type-differs",
        "constant-lost",
    },
    "note": {"harmless-difference"},
}  # fmt: skip

# a miscompiled entry without `when` touches every model with the operator
ALWAYS = {
    "ArgMin/int32-output": "the GE operator returns int32 whatever the node says; ONNX says int64",
}
# entries that may hold for a node without attributes, of inputs whose shape is not known
BARE = {
    **ALWAYS,
    "GRU/linear-before-reset": "0 and 1 become one graph; which one CANN computes is not known",
    "ReduceLogSum/no-axes": "the missing axes themselves are the trouble",
    "ReduceSumSquare/no-axes": "the missing axes themselves are the trouble",
    "Resize/nearest-mode-half-pixel": "ONNX's default round_prefer_floor is not what CANN takes; "
    "unknown sizes keep the risk open",
    "SoftmaxCrossEntropyLoss/ignore-index": "the missing ignore_index itself is the trouble",
}


# ---------------------------------------------------------------------- operator files


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_follows_the_format(path):
    table = READ[path]
    operator = parse_operator(table, path.name)  # unknown keys, words and predicates raise
    assert operator.name == path.stem
    ids = Counter(constraint.id for constraint in operator.constraints)
    assert [name for name, count in ids.items() if count > 1] == []
    entries = [
        *operator.registrations, *operator.kernels, *operator.constraints, *operator.notes,
    ]  # fmt: skip
    for entry in entries:
        assert isinstance(entry.opsets, Opsets)
        assert entry.certainty in CERTAINTIES
    for entry in [*operator.registrations, *operator.constraints, *operator.notes]:
        assert entry.source.strip()
    for registration in operator.registrations:
        assert registration.opsets.versions(), "a registration lists its opsets"
        assert registration.form in ("direct", "subgraph")
        assert registration.domain in ("ai.onnx", "npu", "mmdeploy")
        assert set(registration.releases) <= set(releases())
    for note in operator.notes:
        assert note.says.strip().endswith(".")
    if operator.documented:
        assert operator.documented["evidence"] in ("page_read", "old_list_only", "name_only")
        assert Opsets(operator.documented["opsets"]).versions()
    else:
        assert entries or operator.instead, "a file says something"


def test_two_registrations_never_answer_one_key():
    for path, table in READ.items():
        seen: Counter[tuple[str, int, str]] = Counter()
        for registration in parse_operator(table, path.name).registrations:
            for release in registration.releases or releases():
                for version in registration.opsets.versions():
                    seen[registration.domain, version, release] += 1
        assert [key for key, count in seen.items() if count > 1] == [], path.name


def test_every_standard_operator_has_a_file():
    standard = {
        schema.name
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.domain == "" and schema.support_level == onnx.defs.OpSchema.SupportType.COMMON
    }
    assert len(standard) > 190
    assert standard - {path.stem for path in FOLDER.glob("standard/*.toml")} == set()


def test_no_operator_has_two_files():
    names = Counter(path.stem for path in FILES)
    assert [name for name, count in names.items() if count > 1] == []


# ---------------------------------------------------------------------- constraints


@pytest.mark.parametrize("entry", CONSTRAINTS)
def test_constraint_is_consistent(entry):
    code = BY_NAME[entry["finding"]]
    assert entry["effect"] in EFFECTS
    assert code.effect == entry["effect"]
    assert entry["finding"] in PLUGIN_SLUGS[entry["effect"]]
    stage = entry.get("stage", "parse")
    assert stage in ("parse", "expansion", "compile")
    assert (stage == "compile") is (entry["finding"] == "compile-refused")
    if entry["effect"] != "rejected":
        assert "stage" not in entry and "code" not in entry
    if "code" in entry:
        assert re.fullmatch(r"E[\dZ]\d{4}|SIG[A-Z]+", entry["code"])
    assert set(entry.get("releases", [])) <= set(releases())
    assert re.fullmatch(r"[a-z0-9]+([-.][a-z0-9]+)*", entry["id"])
    if "fix" in entry:
        assert re.fullmatch(
            r"(decompose|explicit|clean|fold|fuse|opset|tidy)/[a-z0-9_]+", entry["fix"]
        )
    for text in entry.get("covers", []):
        assert ":" in text


@pytest.mark.parametrize("entry", CONSTRAINTS)
def test_texts_are_sentences_with_known_placeholders(entry):
    for text in (entry["says"], entry["advice"], entry["source"]):
        assert text.strip()
    for text in (entry["says"], entry["advice"]):
        assert text.rstrip().endswith(".")
        # what `generic` does not replace is no placeholder of the vocabulary
        assert "{" not in generic(text) and "}" not in generic(text)


def test_rejected_parse_entries_never_hold_without_a_condition():
    always = {
        entry.values[0]["id"]
        for entry in CONSTRAINTS
        if entry.values[0]["effect"] == "rejected" and not entry.values[0].get("when")
    }
    assert always == set()


def test_miscompiled_entries_have_a_condition():
    always = {
        entry.id
        for entry in CONSTRAINTS
        if entry.values[0]["effect"] == "miscompiled" and not entry.values[0].get("when")
    }
    assert always == set(ALWAYS)


def bare_findings(name: str, opset: int) -> set[str]:
    """Return the miscompiled constraints that hold for a node with nothing but its inputs."""
    schema = onnx.defs.get_schema(name, max_inclusive_version=opset, domain="")
    inputs = [f"x{i}" for i in range(max(schema.min_input, 1) if schema.max_input else 0)]
    node = helper.make_node(name, inputs, ["y"], name="node")
    given = [helper.make_tensor_value_info(i, TensorProto.FLOAT, None) for i in inputs or ["x"]]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", given, [output])
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    report = graphfix.check(model, graphfix.Target.of(cann="2026.08"))
    return {f.constraint for f in report.findings if f.effect == "miscompiled" and f.constraint}


def test_bare_nodes_raise_nothing_but_what_is_listed():
    found: set[str] = set()
    for path in FOLDER.glob("standard/*.toml"):
        operator = parse_operator(READ[path], path.name)
        for opset in operator.opsets("ai.onnx", "2026.08"):
            if onnx.defs.has(operator.name, opset):
                found |= bare_findings(operator.name, opset)
    assert found == set(BARE)


# ---------------------------------------------------------------------- kernels

DTYPES = {
    "float16", "float32", "bfloat16", "double", "int4", "int8", "int16", "int32", "int64",
    "uint1", "uint8", "uint16", "uint32", "uint64", "bool", "string", "complex32", "complex64",
    "complex128", "float8_e4m3fn", "float8_e5m2", "float8_e8m0", "float4_e2m1", "float4_e1m2",
    "hifloat8", "qint8", "qint16", "qint32", "quint8", "quint16", "resource", "variant",
    "string_ref",
}  # fmt: skip
# words that the sources themselves contain and that are no dtype; none of these GE operators is
# what an ONNX operator becomes, except where the test below says so
ODD_WORDS = {
    ("CropAndResizeD", ""),  # a list with an empty first entry
    ("Conv2DV2", "max"), ("Conv3DV2", "max"),  # a C++ name that was not resolved
    ("SpaceToBatchND", "list"),
    ("HcclAicpuOp", "float64"), ("OnesLike", "di_uint16"),
    ("SparseAccumulatorApplyGradient", "t_float16"),
}  # fmt: skip
SETS = {"aicpu", "aicpu_tf", "hostcpu", "dvpp"}  # a set for each tensor, no combinations
LOCAL = {"local", "folding"}
COLUMNS = ["ge_op", "dynamic_shape", "precision_list", "remarks", "inputs", "outputs"]
REMARKS = {"chosen", "check_support", "no_kernel_file", "shape_after_run", "incomplete", "sets"}
KERNELS = sorted(path for path in FOLDER.glob("kernels/*/*.csv") if path.stem not in LOCAL)
# families of soc_versions.csv for which no source has kernel tables
WITHOUT_KERNELS: set[str] = set()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_kernel_table(path):
    rows = rows_of(path)
    assert rows
    assert list(rows[0])[:6] == COLUMNS
    assert set(list(rows[0])[6:]) <= {"source"}
    names = Counter(row["ge_op"] for row in rows)
    assert [name for name, count in names.items() if count > 1] == []
    for row in rows:
        assert row["dynamic_shape"] in ("yes", "no", "")
        assert row["precision_list"] in ("white", "grey", "black", "")
        remarks = set(row["remarks"].split())
        assert remarks <= REMARKS
        lengths = set()
        for part in [*row["inputs"].split(), *row["outputs"].split()]:
            name, colon, types = part.rpartition(":")
            assert colon and re.fullmatch(r"\w+[?*]?!?", name), (row["ge_op"], part)
            if types in ("any", "unknown"):
                continue
            words = types.split("|")
            odd = {(row["ge_op"], word) for word in words if word not in DTYPES}
            assert odd <= ODD_WORDS
            lengths.add(len(words))
        if path.stem not in SETS and "sets" not in remarks:
            assert len(lengths) <= 1, f"{row['ge_op']}: lists of {sorted(lengths)} entries"


def test_odd_words_are_still_there():
    found = {
        (row["ge_op"], word)
        for path in KERNELS
        for row in rows_of(path)
        for part in [*row["inputs"].split(), *row["outputs"].split()]
        for word in part.rpartition(":")[2].split("|")
    }
    assert found >= ODD_WORDS


def test_odd_words_decide_about_no_onnx_operator():
    used = {
        entry["ge_op"]
        for table in READ.values()
        for kind in ("registration", "kernel")
        for entry in table.get(kind, [])
    }
    assert used & {name for name, _ in ODD_WORDS} == set()


def test_local_and_folded_operators():
    for path in FOLDER.glob("kernels/*/local.csv"):
        assert {row["engine"] for row in rows_of(path)} <= {"gelocal", "rts", "hccl"}
    for path in FOLDER.glob("kernels/*/folding.csv"):
        kinds = {"ge_builtin", "host_cpu_kernel", "never by host kernel", "built-in only"}
        assert {row["folded_by"] for row in rows_of(path)} <= kinds


def test_families_have_a_kernel_table():
    families = {soc.family for soc in socs().values()}
    tables = {path.stem for path in KERNELS}
    assert families - tables == WITHOUT_KERNELS


# ---------------------------------------------------------------------- releases and dtypes


def test_releases_name_every_cause():
    causes = {name: set(release.codes) for name, release in releases().items()}
    # several_imports is no error where several opset_import entries are fine
    assert {frozenset(c - {"several_imports"}) for c in causes.values()} == {
        frozenset(
            {
                "not_registered", "duplicate_name", "unreadable", "file_size", "no_input_output",
                "no_graph", "no_prototype", "bad_number", "plugin_refuses", "graph", "link",
                "unbound_shape",
            }
        )
    }  # fmt: skip
    for release in releases().values():
        one = release.parser["opset_imports"] == "one"
        assert ("several_imports" in release.codes) is one
        assert all(re.fullmatch(r"E[\dZ]\d{4}", code) for code in release.codes.values())
        assert set(release.parser) == {
            "opset_imports", "surplus_edge", "nodes_without_inputs", "int4",
        }  # fmt: skip
        for name in release.kernels:
            assert any(path.parent.name == name for path in KERNELS)


def test_dtypes_have_the_numbers_of_onnx():
    types = read_toml(FOLDER / "dtypes.toml")["types"]
    special = {"float32": "FLOAT"}
    for name, entry in types.items():
        assert TensorProto.DataType.Value(special.get(name, name.upper())) == entry["onnx"]
        assert entry["ge"].startswith("DT_")
        assert set(entry.get("releases", [])) <= set(releases())
