"""Rewriting: pure rules, one gate, ends by proof."""

from graphfix.rewrite.builder import Builder
from graphfix.rewrite.fix import FixReport, fix
from graphfix.rewrite.rule import Exactness, Example, NearMiss, No, Rule, Site

__all__ = ["Builder", "Exactness", "Example", "FixReport", "NearMiss", "No", "Rule", "Site", "fix"]
