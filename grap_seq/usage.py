"""What `--help` prints, and the command to go on with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from grap_seq import choices

OPTIONS = """\
options, anywhere:
  --help                 settings of a command, with defaults, kinds and a line on each; of other
                         choices with them: grap-seq pretrain encoder=transformer --help
  --cfg job              print the config that a command would run with, and do nothing
  --info                 print versions, extras, device and folders, for reports of errors
  -sc install=SHELL      print what makes bash, zsh or fish complete commands and settings
  -q, --quiet            print errors and the last line only
  -v, --verbose          print more, as log.txt in the run folder has it
  --debug                show the traceback of an error
  --allow-class PATH     let a run name this class of yours, such as my.module.Encoder; repeatable
  --version

Paths and names are taken as they are typed, for the shell in quotes where they have spaces:
'source=my file (1).csv'. Other values: seed=1, epochs=auto, threads=null, within=[train,val],
lora={rank: 8}. prepare takes --suggest, pretrain experiment=NAME, and -m for several runs: seed=0,1
weighting=grap,equal are four. +key=value is key=value, and ~key takes an entry out of a mapping,
such as ~objective.losses.mine. Commands with choices take configs=FOLDER with choices of your own.
Exit codes: 0, 2 for a mistake that the message says how to mend, 1 for an error of grap_seq, 130
and 143 after SIGINT and SIGTERM."""


def usage(commands: Mapping[str, object]) -> str:
    """Help for the program: commands, of which each explains itself, and choices."""
    lines = ["usage: grap-seq COMMAND key=value ...", ""]
    lines += [f"  {name:10} {command.__doc__}" for name, command in commands.items()]
    lines += ["", "choices:"]
    lines += [f"  {group:10} {', '.join(choices.names(group))}" for group in choices.GROUPS]
    return "\n".join([*lines, "", OPTIONS])


def next_command(command: str, **settings: Any) -> str:
    """The command to go on with, as a shell reads it."""
    words = ["grap-seq", command, *(f"{key}={value}" for key, value in settings.items())]
    return shlex.join(words)
