"""The conditions that need arithmetic, by the names that op_support uses.

Each docstring says what is asked. As everywhere in the vocabulary, what is unknown makes a
predicate false, unless its docstring names a risk that the unknown keeps open.
"""

from graphfix.support.conditions import Condition
from graphfix.support.predicates import parser_view, pooling, resize, values

PREDICATES: dict[str, Condition] = {
    function.__name__: function
    for module in (parser_view, pooling, resize, values)
    for function in module.PREDICATES
}
