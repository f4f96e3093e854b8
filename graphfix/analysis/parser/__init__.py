"""What the parser of GE refuses, in the order in which it refuses.

The rules are those of the open parser of August 2026 (repository ge, parser/parser/onnx), proved
against its verdicts in tests/oracle; `releases/*.toml` says where 8.1.RC1 differs.
"""

from graphfix.analysis.parser.driver import check_parser

__all__ = ["check_parser"]
