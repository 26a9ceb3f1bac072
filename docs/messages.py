"""The index of error messages in troubleshooting.md, read from the source when the site is built.

A hook of mkdocs, see mkdocs.yml. What a message says of a case is shown by name, as in `{path}`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCES = ("grap_seq", "data_prep")
MARK = "<!-- index of messages -->"


@dataclass(frozen=True)
class Message:
    """An error that the package raises.

    Attributes:
        module: dotted, of the raise.
        line: of the raise.
        function: that raises it.
        error: class of the error.
        texts: the message; several, where a function of the module words it.
    """

    module: str
    line: int
    function: str
    error: str
    texts: tuple[str, ...]


def messages(root: Path = ROOT) -> list[Message]:
    """All errors raised with words of their own, by module and line."""
    found = []
    for source in SOURCES:
        for path in sorted((root / source).rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            found += list(_of_module(ast.parse(path.read_text("utf-8")), module))
    return found


def _of_module(tree: ast.Module, module: str) -> Iterator[Message]:
    for function, error in _errors(tree, ""):
        if error.args and (texts := tuple(dict.fromkeys(_texts(error.args[0], tree)))):
            yield Message(module, error.lineno, function, ast.unparse(error.func), texts)


def _errors(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
    """Errors that are raised, or returned to who raises them, with the function's name."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Raise(exc=ast.Call() as error):
                yield function, error
            case ast.Return(value=ast.Call(func=ast.Name(id=name)) as error):
                if name.endswith("Error"):
                    yield function, error
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield from _errors(child, f"{function}.{child.name}".strip("."))
        else:
            yield from _errors(child, function)


def _texts(node: ast.expr, tree: ast.Module) -> Iterator[str]:
    """What an expression says; of a function or a constant of the module, what that says."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(_part(part, tree) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            for beginning in _texts(left, tree):
                yield from (beginning + end for end in list(_texts(right, tree)) or ["{…}"])
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body, tree)
            yield from _texts(orelse, tree)
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]):
            yield f"{{{name}}}"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name)):
            for one in ast.walk(tree):
                if isinstance(one, ast.FunctionDef) and one.name == name:
                    for inner in ast.walk(one):
                        if isinstance(inner, ast.Return) and inner.value is not None:
                            yield from _texts(inner.value, tree)
        case ast.Name(id=name):
            for one in ast.walk(tree):
                match one:
                    case ast.Assign(targets=[ast.Name(id=same)], value=value) if same == name:
                        yield from _texts(value, tree)


def _part(part: ast.expr, tree: ast.Module) -> str:
    match part:
        case ast.Constant(value=str(text)):
            return text
        case ast.FormattedValue(value=ast.Name(id=name) as constant) if name.isupper():
            return next(_texts(constant, tree), f"{{{name}}}")
        case ast.FormattedValue(value=ast.Name(id=name) | ast.Attribute(attr=name)):
            return f"{{{name}}}"
        case _:
            return "{…}"


def index(found: list[Message]) -> str:
    """The messages as Markdown, a table a folder of modules."""
    lines = []
    folders = groupby(sorted(found, key=_folder), _folder)
    for folder, of in folders:
        lines += [f"### `{folder}`", "", "| Message | Error, in |", "|---|---|"]
        for message in of:
            module = message.module.removeprefix(f"{folder}.")
            where = f"`{message.error}`, `{module}.{message.function}`"
            lines += [f"| {_cell(text)} | {where} |" for text in message.texts]
        lines.append("")
    return "\n".join(lines)


def _folder(message: Message) -> str:
    return message.module.rpartition(".")[0]


def _cell(text: str) -> str:
    """A message as text in a table: nothing in it is Markdown or HTML."""
    special = "\\`*_{}[]<>#|$~^=!&"
    escaped = "".join(f"&#{ord(letter)};" if letter in special else letter for letter in text)
    return " ".join(escaped.split())


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the index where a page has its mark."""
    return markdown.replace(MARK, index(messages())) if MARK in markdown else markdown
