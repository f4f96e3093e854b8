"""The model in memory: an index over the protobuf, reading, writing, shapes and dtypes."""

from graphfix.graph.index import Graph
from graphfix.graph.inference import contradiction, infer, refresh
from graphfix.graph.model import Model
from graphfix.graph.node import Node
from graphfix.graph.reading import load
from graphfix.graph.saving import save
from graphfix.graph.value import Dim, Shape, Value
from graphfix.graph.writing import settle

__all__ = [
    "Dim",
    "Graph",
    "Model",
    "Node",
    "Shape",
    "Value",
    "contradiction",
    "infer",
    "load",
    "refresh",
    "save",
    "settle",
]
