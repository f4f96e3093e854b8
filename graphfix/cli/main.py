"""The `graphfix` command. Each subcommand lives in a module of its own, imported when used."""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import importlib
import io
import os
import sys
import textwrap
from pathlib import Path
from typing import NoReturn

from graphfix.errors import GraphfixError, UsageError

EXIT_CLEAN, EXIT_FINDINGS, EXIT_USAGE, EXIT_INTERNAL = 0, 1, 2, 3
EXIT_INTERRUPTED = 130

COMMANDS = {
    "export": "a PyTorch model as the ONNX file that CANN likes best, proved against PyTorch",
    "check": "what ATC will do with a model, node by node",
    "fix": "rewrite a model until ATC takes it, and prove that it computes the same",
    "compare": "where the outputs of two models part, output by output and layer by layer",
    "convert": "check, fix and run ATC; or pack a bundle for a machine that has it",
    "diagnose": "what a log of ATC says: the cause, the node of your model, what to do",
    "run": "the whole road in one command: export, check, fix, and ATC or a bundle",
    "memory": "how much device memory a model needs, profile by profile: an estimate",
    "rules": "the rewrite rules",
    "ops": "is an operator supported: opsets, dtypes, kernels, on what evidence",
    "explain": "what a finding means and what to do",
    "atc": "ATC's own command line: check one, explain an option",
    "socs": "the values of --soc and what is known of them",
}

_EPILOG = """exit codes: 0 nothing at or above --fail-on; 1 findings; 2 bad usage or unreadable
input; 3 internal error. Verdicts are predictions until a run of ATC has proved them."""


class Parser(argparse.ArgumentParser):
    """A parser that says in a line what is wrong, and ends with the code for bad usage."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave."""
        self.exit(EXIT_USAGE, _filled(f"{self.prog}: {message}. See {self.prog} --help.") + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command = next((a for a in arguments if not a.startswith("-")), None)
    parser = Parser(
        prog="graphfix", description="What Ascend's ATC will do with an ONNX model.", epilog=_EPILOG
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=_EPILOG
        )
        sub.add_argument("--debug", action="store_true", help="show tracebacks")
        sub.add_argument(
            "--config",
            metavar="FILE",
            help="defaults for the options; `none` for no file (default: the nearest graphfix.toml "
            "or [tool.graphfix] of a pyproject.toml)",
        )
        if name == command:
            importlib.import_module(f"graphfix.cli.{name}").add_arguments(sub)
            try:
                arguments = _with_config(arguments, command, sub)
            except GraphfixError as error:
                return _print_error(error)
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    if options.version:
        from graphfix import __version__

        print(f"graphfix {__version__}")
        return EXIT_CLEAN
    if options.command is None:
        parser.print_help()
        return EXIT_USAGE
    return _run(options)


def _with_config(arguments: list[str], command: str, parser: argparse.ArgumentParser) -> list[str]:
    """Return the arguments with those of the configuration file in front of the command's own."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--config")
    index = arguments.index(command) + 1
    try:
        option = finder.parse_known_args(arguments[index:])[0].config
    except argparse.ArgumentError:
        return arguments  # the command's own parser says what is wrong
    from graphfix.config import find_config

    config = find_config(option, Path.cwd())
    if config is None:
        return arguments
    known = {name: action for action in parser._actions for name in action.option_strings}
    words = config.arguments(command, known)
    for word in words:
        name, _, value = word.partition("=")
        choices = known[name].choices
        if choices is not None and value not in choices:
            raise UsageError(
                f"{config.path}: {name[2:]} = {value!r}: expected one of {', '.join(choices)}."
            )
    parser.set_defaults(said_by={word.partition("=")[0]: config.path for word in words})
    return [*arguments[:index], *words, *arguments[index:]]


def _print_error(error: GraphfixError) -> int:
    print(_filled(f"graphfix: {error}"), file=sys.stderr)
    return error.exit_code


def _filled(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _run(options: argparse.Namespace) -> int:
    # a command builds one large graph and ends: collecting cycles only costs time (a quarter of it)
    gc.disable()
    try:
        module = importlib.import_module(f"graphfix.cli.{options.command}")
        code = int(module.run(options))
        sys.stdout.flush()
        return code
    except GraphfixError as error:
        if options.debug:
            raise
        option = str(error).replace(":", " ").partition(" ")[0]
        if (path := getattr(options, "said_by", {}).get(option)) is not None:
            error.args = (f"{error} (The option is in {path}, too.)",)
        return _print_error(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_CLEAN
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except MemoryError:
        print(
            "graphfix: out of memory. Keep weights external, or close other programs.",
            file=sys.stderr,
        )
        return EXIT_INTERNAL
    except Exception as error:
        if options.debug:
            raise
        if (reason := _outside(error)) is not None:
            return _print_error(UsageError(reason))
        print(
            f"graphfix: internal error: {type(error).__name__}: {error}. This is a defect of "
            "graphfix; please report it with the output of --debug.",
            file=sys.stderr,
        )
        return EXIT_INTERNAL


def _outside(error: Exception) -> str | None:
    """Return what is wrong on this machine, where that and no defect is the cause."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"cannot write: {error.strerror}. Free some space, or write elsewhere."
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename}: {error.strerror}. Write elsewhere, or change the permissions."
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return (
            "a file name, or a word of the command, is no valid text in this locale. Rename the "
            "file, or set LC_ALL=C.UTF-8."
        )
    return None


def entry() -> NoReturn:
    """Run the command line and end the process at once.

    Taking a graph of 50,000 nodes apart object by object would cost a tenth of the run.
    """
    # who closed a stream wants to read nothing
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names and pages are not all ASCII
    try:
        code = main()
    except KeyboardInterrupt:  # while modules are loaded
        code = EXIT_INTERRUPTED
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
