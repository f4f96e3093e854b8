"""The stages of the parser. A later one is reached only when all before it passed."""

from __future__ import annotations

BRANCHES = 10  # the If adapter walks all graphs before anything else
IMPORTS = 20  # opset_import, once for the model
INTERFACE = 30  # a graph's inputs and outputs, and the domains of its nodes
PRECHECK = 40  # names and types of all nodes: the one stage that reports every offender
NODES = 50  # each node: element types, data, the plugin's own refusals
EDGES = 60  # wiring by tensor name
EXPANSION = 70  # one-to-many nodes
SORT = 80  # topological sort
OUTPUTS = 90  # looking up graph inputs and outputs by name
