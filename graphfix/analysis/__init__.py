"""Findings: what ATC would refuse, compute otherwise, or run slowly."""

from graphfix.analysis.check import Report, check, unreadable
from graphfix.analysis.findings import EFFECT_ORDER, Finding

__all__ = ["EFFECT_ORDER", "Finding", "Report", "check", "unreadable"]
