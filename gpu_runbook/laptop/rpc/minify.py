"""Makes a source of the server's half short for its journey: what it does and where its lines stand stay the same."""

from __future__ import annotations

import ast
import builtins
import functools
import io
import keyword
import re
import string
import tokenize
from collections import Counter, defaultdict, namedtuple
from collections.abc import Iterable, Iterator, Mapping, Set

from gpu_runbook.laptop.rpc.shake import Place, nodes, parsed, shaken

_DOCSTRING = re.compile(r'''^(?P<indent>[ \t]*)"""(?:[^"]|"(?!""))*"""$''', re.MULTILINE)
_INDENT = re.compile(r"^(?:    )+", re.MULTILINE)
_INNER = r"(?:[^\[\]]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])*"  # between brackets, three deep
_TYPE = rf"[\w.]+(?:\[{_INNER}\])?"
_SIGNATURE = re.compile(r"^ *def \w+\((?:[^()]|\([^()]*\))*\)[^()\n]*:$", re.MULTILINE)
_ARGUMENT = re.compile(rf"(?<=[(\s])(\**\w+): {_TYPE}(?=[,)\n]| = )")
_RESULT = re.compile(rf"\) -> {_TYPE}:$", re.MULTILINE)
_BLOCK = re.compile(r"^(?=class |def )", re.MULTILINE)
_LOCAL = re.compile(rf"^(?P<where> +(?:self\.)?\w+): {_TYPE} = ", re.MULTILINE)
_FROM = re.compile(r"^(?P<from>from [\w.]+ import )(?P<names>\([^)]*\)|[^\n(]*)$", re.MULTILINE)
_TYPED = re.compile(r"^ *\w+:\S|^ *def [^\n]*\w:|->", re.MULTILINE)
_WORD = re.compile(r"\w+")
_TEXT = re.compile(r"""([rbf]{0,2}(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))""", re.IGNORECASE)
# An operator between blanks.
_SPACED = re.compile(r"(?:(?<=\S)|\A) ?([-+*/%|&=!<>]?=|->|<<|>>|//|\*\*|[-+*/%<>,:|&]) (?=\S|\Z)")
# One with a quote in it goes where all texts before it are whole: else the quote may be the end of a text that only
# looks like a comment.
_COMMENT = re.compile(
    r"""[ \t]+# [^\n"']*$|^[ \t]*#[^\n]*$|(?<=\n)(?P<code>(?:[^\n"'#]|"[^\n"\\]*")*?) +# [^\n]*$""", re.MULTILINE
)

SHORT = 100  # characters of a text in which a name may stand for something of the code
_SCOPES = ast.FunctionDef, ast.Lambda, ast.ClassDef
_Named = ast.Name | ast.arg


def minified(modules: Mapping[str, str], roots: Iterable[Place]) -> dict[str, str]:
    """The sources, by module name, without prose and without what cannot be reached from the roots; short names."""
    bare = {name: without_prose(source) for name, source in modules.items()}
    reached = {name: _without_idle_imports(source) for name, source in shaken(bare, roots).items()}
    short = with_short_tops(reached, roots)
    by_name = given_by_name(short.values())
    return {name: with_short_names(source, by_name).rstrip("\n") for name, source in short.items()}


@functools.cache
def without_prose(source: str) -> str:
    """Without docstrings, comments, the types of functions and what was imported for these: nearly half less to send.

    Indented by one, and not at all within brackets; every line keeps its number, so that a traceback still tells the
    truth. The fields of values keep their types, since `protocol.codec` reads them.
    """
    source = _INDENT.sub(
        lambda match: " " * (len(match[0]) // 4), _COMMENT.sub(lambda match: match["code"] or "", source)
    )
    source = _RESULT.sub("):", _SIGNATURE.sub(lambda match: _ARGUMENT.sub(r"\1", match[0]), source))
    source = _DOCSTRING.sub(_without_docstring, source)
    source = "".join(map(_without_types_of_locals, _BLOCK.split(source)))
    return _without_future(_without_inner_indents(_without_blanks(_without_idle_imports(source))))


def _without_future(source: str) -> str:
    """Without what keeps types from being evaluated, where nothing is left that looks like one."""
    return source if _TYPED.search(source) else source.replace("from __future__ import annotations\n", "\n", 1)


def _without_docstring(match: re.Match[str]) -> str:
    """An empty one stays where there would be nothing else."""
    follows = re.compile(rf"\n+{match['indent']}\S").match(match.string, match.end())
    return ("" if follows else f'{match["indent"]}""') + "\n" * match[0].count("\n")


def _without_blanks(source: str) -> str:
    """Without the blanks around operators; those in texts stay."""
    parts = _TEXT.split(source)
    parts[::2] = (_SPACED.sub(r"\1", part) for part in parts[::2])
    return "".join(parts)


def _without_inner_indents(source: str) -> str:
    """Within brackets a line may begin anywhere."""
    lines, depth, before = source.split("\n"), 0, 0  # the line in which the token before it ends
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line, column = token.start
        if depth and line != before and token.type != tokenize.NL:
            lines[line - 1] = lines[line - 1][column:]
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        before = token.end[0]
    return "\n".join(lines)


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


def given_by_name(sources: Iterable[str]) -> frozenset[str]:
    """The names by which calls of a program may give an argument: those that stand in calls, and words of mappings."""
    found: set[str] = set()
    for source in sources:
        for node in nodes(source):
            match node:
                case ast.Constant(value=word) | ast.keyword(arg=word):
                    found.add(str(word))
    return frozenset(found)


@functools.cache
def with_short_names(source: str, by_name: frozenset[str] | None = None) -> str:
    """A letter for each variable of a function, where nobody can tell: not for what a function or class within, a
    module or Python itself may know by its name. Tracebacks name no variables.

    `by_name`: the names that a caller may give an argument by; without it any, but for `self`.
    """
    lines = source.encode().split(b"\n")  # columns are counted in bytes
    known = {*dir(builtins), *_names_of_module(parsed(source))}
    functions = (node for node in nodes(source) if isinstance(node, ast.FunctionDef))
    letters = {node: letter for function in functions for node, letter in _letters(function, known, by_name)}
    for node in sorted(letters, key=_place, reverse=True):
        line, name = lines[node.lineno - 1], _name(node).encode()
        before, after = line[: node.col_offset], line[node.col_offset + len(name) :]
        if before + name + after != line:  # an older Python errs about places in a text that is put together
            return source
        lines[node.lineno - 1] = before + letters[node].encode() + after
    return b"\n".join(lines).decode()


def with_short_tops(modules: Mapping[str, str], roots: Iterable[Place]) -> dict[str, str]:
    """Two letters for each function, constant and class on top of a module, and for each attribute that begins with an
    underscore, alike wherever it is named.

    Only where its name is nothing else anywhere: no variable, field, argument, other attribute or word of a text. What
    inherits from somebody else's class keeps its names: an error is told by that of its class, and others may know the
    attributes. `restored` gives the names of functions back.
    """
    own = _own_classes(map(parsed, modules.values()))
    found = [_Tops(source, modules.keys(), own) for source in modules.values()]
    taken = {word for source in modules.values() for word in _WORD.findall(source)}
    python = {*dir(builtins), *keyword.kwlist, *dir(namedtuple("Any", ""))}
    fixed = python.union((name for _, name in roots), *(one.fixed for one in found))
    free = (first + second for first in string.ascii_uppercase for second in string.ascii_lowercase)
    wanted = {name for one in found for name in one.tops} - fixed
    met = [name for one in found for name in one.places if name in wanted and len(name) > 2]
    names = zip(dict.fromkeys(met), (one for one in free if one not in taken), strict=False)  # neighbours look alike
    short = dict(names)
    return {name: one.renamed(short) for name, one in zip(modules, found, strict=True)}


def _own_classes(trees: Iterable[ast.Module]) -> set[str]:
    """The classes on top of the modules of a program that inherit from none but such."""
    bases: dict[str, set[str]] = defaultdict(set)
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                bases[node.name] |= {ast.unparse(base) for base in (*node.bases, *node.keywords)}
    own = set(bases)
    while foreign := {name for name in own if bases[name] - own}:
        own -= foreign
    return own


class _Tops:
    """The names of the modules of a program that may be short, as one module has them.

    tops: those that it defines. places: every place where a name stands that some module may define. fixed: the names
    that are something else as well.
    """

    def __init__(self, source: str, known: Set[str], own: Set[str]) -> None:
        tree = parsed(source)
        self._lines = source.encode().split(b"\n")
        self.tops: set[str] = set()
        self.places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.fixed: set[str] = set()
        modules = {
            one.asname or one.name
            for node in nodes(source)
            if isinstance(node, ast.ImportFrom)
            for one in node.names
            if f"{node.module}.{one.name}" in known
        }
        others = {name for node in nodes(source) if isinstance(node, ast.Import) for name in _fixed(node)}
        on_top = {id(node) for node in tree.body}
        of_a_class = {id(part) for node in tree.body if isinstance(node, ast.ClassDef) for part in node.body}
        names_on_top = {id(name) for node in tree.body if isinstance(node, ast.Assign) for name in _within(node)}
        for node in nodes(source):
            match node:
                case ast.FunctionDef(name=name) if id(node) in on_top:
                    self._defined(name, node.lineno, node.col_offset + len("def "))
                case ast.FunctionDef(name=name) if id(node) in of_a_class and _is_private(name):
                    self._defined(name, node.lineno, node.col_offset + len("def "))
                case ast.ClassDef(name=name) if id(node) in on_top and name in own:
                    self._defined(name, node.lineno, node.col_offset + len("class "))
                case ast.ClassDef(name=name):
                    self.fixed |= {name, *_private_names(node)}
                case ast.Name(id=name, ctx=ast.Store()):
                    if id(node) in names_on_top:
                        self._defined(name, node.lineno, node.col_offset)
                    else:
                        self.fixed.add(name)
                case ast.Name(id=name):
                    self._at(name, node.lineno, node.col_offset)
                case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in modules:
                    self._at(name, *_place_of_attribute(node))
                case ast.Attribute(value=of, attr=name) if _is_private(name):
                    if isinstance(of, ast.Name) and of.id in others:
                        self.fixed.add(name)
                    if isinstance(node.ctx, ast.Store):
                        self.tops.add(name)
                    self._at(name, *_place_of_attribute(node))
                case ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                    self.fixed.add(name)
                case ast.ImportFrom(module=module, names=aliases) if module in known:
                    for one in aliases:
                        self._at(one.name, one.lineno, one.col_offset)
                        self.fixed.update([one.asname] if one.asname else [])
                        self.fixed.update([one.name] if f"{module}.{one.name}" in known else [])
                case ast.Constant(value=str(text)):
                    self.fixed.update(_WORD.findall(text) if len(text) < SHORT else [])
                case ast.AnnAssign(target=target):
                    self.fixed.update(name.id for name in _within(target))
                case _:
                    self.fixed |= _fixed(node)

    def _defined(self, name: str, line: int, column: int) -> None:
        self.tops.add(name)
        self._at(name, line, column)

    def _at(self, name: str, line: int, column: int) -> None:
        """A name stands there; where it does not, an older Python errs about places, and it stays as it is."""
        self.places[name].append((line, column))
        end = column + len(name.encode())
        if self._lines[line - 1][column:end] != name.encode():
            self.fixed.add(name)

    def renamed(self, short: Mapping[str, str]) -> str:
        """The source with the names that have a short one."""
        lines = list(self._lines)
        places = [(place, name) for name in self.places if name in short for place in self.places[name]]
        for (line, column), name in sorted(places, reverse=True):
            text = lines[line - 1]
            lines[line - 1] = text[:column] + short[name].encode() + text[column + len(name.encode()) :]
        return b"\n".join(lines).decode()


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _private_names(node: ast.ClassDef) -> Iterator[str]:
    """Of the attributes that a class names, itself or another's."""
    for part in ast.walk(node):
        match part:
            case ast.Attribute(attr=name) | ast.FunctionDef(name=name) if _is_private(name):
                yield name


def _place_of_attribute(node: ast.Attribute) -> tuple[int, int]:
    """Where its name begins."""
    return node.end_lineno or 0, (node.end_col_offset or 0) - len(node.attr.encode())


def _letters(
    function: ast.FunctionDef, known: set[str], by_name: frozenset[str] | None
) -> Iterator[tuple[_Named, str]]:
    """Every place where a variable of the function is named that may have a letter, and the letter."""
    nodes = [*ast.walk(function)]
    given = [one for one in function.args.args if _is_by_place(one, function, by_name)]
    names: list[_Named] = [*given, *(node for node in nodes if isinstance(node, ast.Name))]
    names.sort(key=_place)
    fixed = known.union(*(_fixed(node) for node in nodes if node not in given))
    fixed |= {name.id for part in (*function.decorator_list, function.args) for name in _within(part)}  # of outside
    fixed |= {name.id for node in nodes if isinstance(node, _SCOPES) and node is not function for name in _within(node)}
    often = Counter(map(_name, names))
    free = (letter for letter in string.ascii_lowercase if letter not in fixed and letter not in often)
    arguments = {one.arg: None for one in given}
    variables = {one.id for one in names if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    by_count = (name for name, _ in often.most_common() if name in variables)
    long = (name for name in {**arguments, **dict.fromkeys(by_count)} if name not in fixed and len(name) > 1)
    letters = dict(zip(long, free, strict=False))  # there may be more of them than letters
    return ((one, letters[_name(one)]) for one in names if _name(one) in letters)


def _is_by_place(one: ast.arg, function: ast.FunctionDef, by_name: frozenset[str] | None) -> bool:
    """Whether an argument is given by its place alone.

    Python itself calls what begins with two underscores; and what takes any names must not have a letter of its own.
    """
    itself = one is function.args.args[0] and one.arg == "self"
    named = by_name is None or one.arg in by_name or function.args.kwarg
    return itself or not (named or function.name.startswith("__"))


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
    """What stands outside of all functions, less what a class calls its own: no function sees that by its bare name."""
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, of_a_class = pending.pop()
        if isinstance(node, ast.Name):
            if not (of_a_class and isinstance(node.ctx, ast.Store)):
                yield node.id
        elif not (of_a_class and isinstance(node, ast.FunctionDef)):
            yield from _fixed(node)
        if not isinstance(node, ast.FunctionDef):
            pending.extend((part, isinstance(node, ast.ClassDef) or of_a_class) for part in ast.iter_child_nodes(node))
        elif of_a_class:
            pending.extend((part, True) for part in node.decorator_list)
