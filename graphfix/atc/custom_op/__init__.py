"""A custom operator for CANN: what a model tells about it, and the files to start from."""

from graphfix.atc.custom_op.files import files_of, write_files
from graphfix.atc.custom_op.prototype import Prototype
from graphfix.atc.custom_op.reading import prototype_of

__all__ = ["Prototype", "files_of", "prototype_of", "write_files"]
