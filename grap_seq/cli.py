"""The command line: `grap-seq COMMAND key=value ...`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from grap_seq import __version__, classes, config, errors
from grap_seq.commands import COMMANDS
from grap_seq.names import nearest
from grap_seq.onednn import bound_caches
from grap_seq.prepared_settings import with_dataset
from grap_seq.usage import OPTIONS, usage


def main() -> None:
    """Entry point; exit codes are 0, 2 for an error that the user can mend, 1 for one of ours, 130.

    An error is one line. `--debug` shows the traceback instead.
    """
    bound_caches()
    arguments = sys.argv[1:]
    try:
        run(arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        sys.exit(errors.report(error, " ".join(arguments[:1]), "--debug" in arguments))


def run(arguments: list[str]) -> None:
    """Run a command line: a command with its settings, and options anywhere.

    Raises:
        ValueError: no such command or option.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    # Of `main`, which reports what is raised here.
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("--allow-class", action="append", default=[])
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true")
    loudness.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("--cfg", choices=["job"])
    parser.add_argument("--info", action="store_true")
    parser.add_argument("-sc", dest="completion")
    try:
        options, words = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from error
    classes.allow(*options.allow_class)
    if options.version:
        print(__version__)
        return
    if options.info:
        from grap_seq.info import info

        print(info())
        return
    if options.completion:
        from grap_seq.completion import answer

        print(answer(options.completion, COMMANDS))
        return
    if not words:
        print(usage(COMMANDS))
        return
    # An option of a command's own may come first: `grap-seq -m pretrain ...`.
    name = next((word for word in words if not word.startswith("-")), words[0])
    settings = [word for place, word in enumerate(words) if place != words.index(name)]
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}: {nearest(name, list(COMMANDS))}")
    # A new setting and another value of one are written alike here.
    settings = [word.lstrip("+") for word in settings]
    if options.help or options.cfg:
        from grap_seq.terminal import say

        say(_help(name, settings) if options.help else _config(name, settings))
        return
    from grap_seq import log_file
    from grap_seq.terminal import SCREEN

    screen = SCREEN.of_command(quiet=options.quiet, verbose=options.verbose)
    with screen, log_file.of_command(arguments):
        COMMANDS[name](settings)


def _help(name: str, settings: list[str]) -> Any:
    from rich.console import Group

    from grap_seq.help import settings_of

    head = f"usage: grap-seq {name} key=value ...\n\n{COMMANDS[name].__doc__}\n"
    return Group(head, settings_of(config_name(name), settings), f"\n{OPTIONS}")


def _config(name: str, settings: list[str]) -> str:
    import yaml

    if name == "pretrain":
        settings = with_dataset(settings)
    values = config.composed(config_name(name), settings).values
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def config_name(command: str) -> str:
    """The config whose settings a command takes.

    Raises:
        ValueError: it takes none.
    """
    if command == "cite":
        raise ValueError("cite takes no settings: grap-seq cite")
    return "pretrain" if command == "demo" else command
