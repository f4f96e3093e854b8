"""What CANN takes: targets, operator tables, kernel tables."""

from graphfix.support.tables import Constraint, Operator, Registration, Tables
from graphfix.support.target import Release, Soc, Target, find_release, find_soc, releases, socs

__all__ = [
    "Constraint",
    "Operator",
    "Registration",
    "Release",
    "Soc",
    "Tables",
    "Target",
    "find_release",
    "find_soc",
    "releases",
    "socs",
]
