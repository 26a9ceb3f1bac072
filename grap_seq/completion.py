"""Tab completion: what a shell asks while someone types a command.

`eval "$(grap-seq -sc install=bash)"`, as with programs of Hydra's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from grap_seq import choices, config, kinds, settings

SCRIPTS = {
    "bash": """\
_grap_seq() {
  local IFS=$'\\n'
  COMPREPLY=($(GRAP_SEQ_LINE="${COMP_LINE:0:COMP_POINT}" grap-seq -sc query=bash 2>/dev/null))
  [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o default -F _grap_seq grap-seq""",
    "zsh": """\
_grap_seq() {
  local -a found
  found=("${(@f)$(GRAP_SEQ_LINE="$LBUFFER" grap-seq -sc query=zsh 2>/dev/null)}")
  compadd -S '' -- $found || _files
}
compdef _grap_seq grap-seq""",
    "fish": """\
complete -c grap-seq -a '(GRAP_SEQ_LINE=(commandline -cp) grap-seq -sc query=fish 2>/dev/null)'""",
}
LINE = "GRAP_SEQ_LINE"


def answer(asked: str, commands: Mapping[str, object]) -> str:
    """What `-sc` prints.

    Args:
        asked: install=SHELL for its script, query=SHELL for the words that may come next in the
            line that the environment holds.
        commands: all commands.

    Raises:
        ValueError: something else.
    """
    verb, _, shell = asked.partition("=")
    if shell not in SCRIPTS or verb not in ("install", "query"):
        raise ValueError(f"-sc {asked}: write install= with one of {', '.join(SCRIPTS)}")
    if verb == "install":
        return SCRIPTS[shell]
    words = os.environ.get(LINE, "").split(" ")
    return "\n".join(completions(words[1:], commands))


def completions(words: list[str], commands: Iterable[str]) -> list[str]:
    """What the last word may become.

    Args:
        words: behind the program's name; the last one is being typed, and may be empty.
        commands: all commands.
    """
    *before, begun = words or [""]
    if not before:
        return [name for name in commands if name.startswith(begun)]
    command = "pretrain" if before[0] == "demo" else before[0]
    if command not in commands or command == "cite":
        return []
    try:
        found = config.composed(command, [word for word in before[1:] if "=" in word])
    except ValueError:
        # Of a line that cannot be run as it stands, names are known all the same.
        found = config.composed(command, [])
    key, equals, value = begun.partition("=")
    if not equals:
        names = [name for name, now in found.known.items() if not isinstance(now, dict) or not now]
        leaves = [name for name in names if not name.endswith((".name", ".class"))]
        return [f"{name}=" for name in [*found.groups, *leaves] if name.startswith(begun)]
    return [f"{key}={word}" for word in _values(command, key, found) if word.startswith(value)]


def _values(command: str, key: str, found: config.Composed) -> list[str]:
    """All values of a setting that has few."""
    if key in found.groups:
        return choices.names(key, command=command)
    kind = settings.kind_of(key)
    if kind is kinds.SWITCH:
        return ["true", "false"]
    return [] if kind is None else list(kind.words)
