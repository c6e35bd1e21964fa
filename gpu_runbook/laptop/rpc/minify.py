"""Makes a source of the server's half short for its journey: what it does and where its lines stand stay the same."""

from __future__ import annotations

import ast
import builtins
import functools
import re
import string
from collections.abc import Iterator

_DOCSTRING = re.compile(r'''^(?P<indent>[ \t]*)"""(?:[^"]|"(?!""))*"""$''', re.MULTILINE)
_INDENT = re.compile(r"^(?:    )+", re.MULTILINE)
# One with a quote in it stays: the quote may be the end of a text that only looks like a comment.
_INNER = r"(?:[^\[\]]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])*"  # between brackets, three deep
_TYPE = rf"[\w.]+(?:\[{_INNER}\])?"
_SIGNATURE = re.compile(r"^ *def \w+\((?:[^()]|\([^()]*\))*\)[^()\n]*:$", re.MULTILINE)
_ARGUMENT = re.compile(rf"(?<=[(\s])(\**\w+): {_TYPE}(?=[,)\n]| = )")
_RESULT = re.compile(rf"\) -> {_TYPE}:$", re.MULTILINE)
_BLOCK = re.compile(r"^(?=class |def )", re.MULTILINE)
_LOCAL = re.compile(rf"^(?P<where> +(?:self\.)?\w+): {_TYPE} = ", re.MULTILINE)
_FROM = re.compile(r"^(?P<from>from [\w.]+ import )(?P<names>\([^)]*\)|[^\n(]*)$", re.MULTILINE)
_WORD = re.compile(r"\w+")
_TEXT = re.compile(r"""([rbf]{0,2}(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))""", re.IGNORECASE)
_SPACED = re.compile(r"(?:(?<=\S)|\A) ?([-+*/%|&=!<>]?=|->|[-+*/%<>,:|&]) (?=\S|\Z)")  # an operator between blanks
_COMMENT = re.compile(
    r"""[ \t]+# [^\n"']*$|^[ \t]*#[^\n]*$|(?<=\n)(?P<code>[^\n"'#]*[^\n"'# ]) +# [^\n]*$""", re.MULTILINE
)

_SCOPES = ast.FunctionDef, ast.Lambda, ast.ClassDef
_Named = ast.Name | ast.arg


def minified(source: str) -> str:
    """Without prose, and with short names."""
    return with_short_names(without_prose(source))


@functools.cache
def without_prose(source: str) -> str:
    """Without docstrings, comments, the types of functions and what was imported for these: nearly half less to send.

    Indented by one; every line keeps its number, so that a traceback still tells the truth. The fields of values keep
    their types, since `protocol.codec` reads them.
    """
    source = _INDENT.sub(
        lambda match: " " * (len(match[0]) // 4), _COMMENT.sub(lambda match: match["code"] or "", source)
    )
    source = _RESULT.sub("):", _SIGNATURE.sub(lambda match: _ARGUMENT.sub(r"\1", match[0]), source))
    source = _DOCSTRING.sub(_without_docstring, source)
    return _without_blanks(_without_idle_imports("".join(map(_without_types_of_locals, _BLOCK.split(source)))))


def _without_docstring(match: re.Match[str]) -> str:
    """An empty one stays where there would be nothing else."""
    follows = re.compile(rf"\n+{match['indent']}\S").match(match.string, match.end())
    return ("" if follows else f'{match["indent"]}""') + "\n" * match[0].count("\n")


def _without_blanks(source: str) -> str:
    """Without the blanks around operators; those in texts stay."""
    parts = _TEXT.split(source)
    parts[::2] = (_SPACED.sub(r"\1", part) for part in parts[::2])
    return "".join(parts)


def _without_types_of_locals(block: str) -> str:
    """What is assigned in a function; in the body of a class, such a line is a field."""
    if not block.startswith("class "):
        return _LOCAL.sub(r"\g<where> = ", block)
    return _LOCAL.sub(lambda match: match[0] if match[0][1] != " " else f"{match['where']} = ", block)


def _without_idle_imports(source: str) -> str:
    """The names that are imported on top and of which nothing more is said go."""
    said = set(_WORD.findall(_FROM.sub("", source)))

    def kept(match: re.Match[str]) -> str:
        names = [name for name in re.split(r"[\s,()]+(?!as\b)(?<!\bas )", match["names"]) if name]
        used = [name for name in names if name.split()[-1] in said]
        lines = "\n" * match[0].count("\n")
        return f"{match['from']}{','.join(used)}{lines}" if used else lines

    return _FROM.sub(lambda match: match[0] if "__future__" in match[0] else kept(match), source)


@functools.cache
def with_short_names(source: str) -> str:
    """A letter for each variable of a function, where nobody can tell: not for what a caller, a function or class
    within, a module or Python itself may know by its name. `self` is never given by name. Tracebacks name no variables.
    """
    tree = ast.parse(source)
    lines = source.encode().split(b"\n")  # columns are counted in bytes
    known = {*dir(builtins), *_names_of_module(tree)}
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    letters = {node: letter for function in functions for node, letter in _letters(function, known)}
    for node in sorted(letters, key=_place, reverse=True):
        line, name = lines[node.lineno - 1], _name(node).encode()
        before, after = line[: node.col_offset], line[node.col_offset + len(name) :]
        if before + name + after != line:  # an older Python errs about places in a text that is put together
            return source
        lines[node.lineno - 1] = before + letters[node].encode() + after
    return b"\n".join(lines).decode()


def _letters(function: ast.FunctionDef, known: set[str]) -> Iterator[tuple[_Named, str]]:
    """Every place where a variable of the function is named that may have a letter, and the letter."""
    nodes = [*ast.walk(function)]
    itself = [one for one in function.args.args[:1] if one.arg == "self"]
    names: list[_Named] = [*itself, *(node for node in nodes if isinstance(node, ast.Name))]
    names.sort(key=_place)
    fixed = known.union(*(_fixed(node) for node in nodes if node not in itself))
    fixed |= {name.id for node in nodes if isinstance(node, _SCOPES) and node is not function for name in _within(node)}
    taken = fixed | {*map(_name, names)}
    free = (letter for letter in string.ascii_lowercase if letter not in taken)
    set_here = dict.fromkeys(_name(one) for one in names if isinstance(one, ast.arg) or isinstance(one.ctx, ast.Store))
    long = (name for name in set_here if name not in fixed and len(name) > 1)
    letters = dict(zip(long, free, strict=False))  # there may be more of them than letters
    return ((one, letters[_name(one)]) for one in names if _name(one) in letters)


def _name(node: _Named) -> str:
    return node.id if isinstance(node, ast.Name) else node.arg


def _place(node: _Named) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _within(scope: ast.AST) -> Iterator[ast.Name]:
    return (node for node in ast.walk(scope) if isinstance(node, ast.Name))


def _fixed(node: ast.AST) -> set[str]:
    """The names of which a node makes use without being an ast.Name."""
    match node:
        case (
            ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name))
        ):
            return {name}
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            return {*names}
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
    return set()


def _names_of_module(tree: ast.Module) -> Iterator[str]:
    """What stands outside of all functions."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        yield from _fixed(node)
        if isinstance(node, ast.Name):
            yield node.id
        if not isinstance(node, ast.FunctionDef):
            pending.extend(ast.iter_child_nodes(node))
