"""Sparse constants, which the parser never reads, are written out with their zeros."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from graphfix.rewrite import fix
from graphfix.support import Target

TARGET = Target.of(["Ascend310P3"])


def sparse(*, coordinates: bool) -> onnx.SparseTensorProto:
    """[[0, 1.5, 0], [0, 0, -2]] as positions or as coordinates."""
    values = helper.make_tensor("w", onnx.TensorProto.FLOAT, [2], [1.5, -2.0])
    indices = [0, 1, 1, 2] if coordinates else [1, 5]
    dims = [2, 2] if coordinates else [2]
    return helper.make_sparse_tensor(
        values, helper.make_tensor("i", onnx.TensorProto.INT64, dims, indices), [2, 3]
    )


def model(*, as_node: bool, coordinates: bool) -> onnx.ModelProto:
    tensor = sparse(coordinates=coordinates)
    nodes = [helper.make_node("Add", ["x", "w"], ["y"], name="add")]
    if as_node:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], name="w", sparse_value=tensor))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 3])],
        sparse_initializer=[] if as_node else [tensor],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("coordinates", [False, True], ids=["positions", "coordinates"])
@pytest.mark.parametrize("as_node", [False, True], ids=["initializer", "Constant"])
def test_sparse_constant_becomes_dense(as_node: bool, coordinates: bool) -> None:
    before = model(as_node=as_node, coordinates=coordinates)
    report = fix(before, TARGET)
    after = report.model.proto
    assert not after.graph.sparse_initializer
    assert not any(a.name == "sparse_value" for n in after.graph.node for a in n.attribute)
    assert report.fired()["tidy/dense_constants"] == 1
    assert report.before.count("miscompiled") + report.before.count("rejected") >= 1
    assert report.after.count("miscompiled") == report.after.count("rejected") == 0
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    session = onnxruntime.InferenceSession(after.SerializeToString())
    (y,) = session.run(None, {"x": x})
    np.testing.assert_array_equal(y, x + np.array([[0, 1.5, 0], [0, 0, -2]]))
