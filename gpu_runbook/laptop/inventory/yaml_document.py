"""Reads a YAML file into plain values and remembers the line of each, so that an error can point at it.

Stricter than YAML: a key that stands twice is an error and not "the last one wins", keys are text, dates and what
has a colon (22:22) stay text, and tags make nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory.problems import printable
from gpu_runbook.laptop.inventory.text_file import LIMIT, read_text

Place = tuple[str, ...]

# A file that aliases blow up to more values than this is an accident or an attack.
MOST_VALUES = 20_000
LONGEST_NUMBER = 40  # characters; longer ones take Python long to read and to print, some for ever

_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}
_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_COLLECTIONS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_TAGGED = "a tag (!…) is not read here; put a text that begins with ! in quotes"


@dataclass
class Document:
    """A file's mapping, the line of every value in it, and what is wrong with it: a line number, a line of text."""

    path: Path
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)

    def complain(self, place: Place, sentence: str, line: int | None = None) -> None:
        """Note `hosts.yaml:12: hosts.gpu-1.port: …`; without a line, that of the nearest entry around the place."""
        if line is None:
            line = next(self.lines[place[:end]] for end in range(len(place), -1, -1) if place[:end] in self.lines)
        where = "".join(f"{printable(part)}." for part in place).removesuffix(".")
        text = ": ".join(part for part in (f"{self.path.name}:{line}", where, sentence) if part)
        self.problems.append((line, text))


def read_yaml(path: Path, missing: str) -> Document:
    """Read one mapping. Raises BadInput when the file cannot be read at all; the rest is left in `problems`."""
    document, data = _read(path, missing, yaml.MappingNode, "a mapping (key: value)")
    document.data = data
    return document


def complaint(path: Path, place: Place, sentence: str, otherwise: Place = ()) -> str:
    """`hosts.yaml:12: services.queue: …`, of a file that was read before. Raises BadInput as `read_yaml`.

    `otherwise` is the place of a value that does not stand at the first.
    """
    document = read_yaml(path, "")
    document.complain(otherwise if otherwise in document.lines and place not in document.lines else place, sentence)
    return document.problems[-1][1]


def read_yaml_list(path: Path, missing: str) -> tuple[Document, list[Any]]:
    """The same for a list; one that has nothing but comments is empty. The document holds its lines and problems."""
    return _read(path, missing, yaml.SequenceNode, "a list (lines that begin with a dash)")


def _read(path: Path, missing: str, shape: type[yaml.Node], says: str) -> tuple[Document, Any]:
    text = read_text(path, missing)
    loader: yaml.SafeLoader | None = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        document = Document(path)
        if root is None and shape is yaml.SequenceNode:
            return document, []
        if not isinstance(root, shape):
            raise BadInput(f"{path} does not hold {says}.", missing)
        return document, _Reader(loader, document).value(root, ())
    except yaml.YAMLError as error:
        raise BadInput(f"{path}{_mark(error, text)} is not YAML: {_complaint(error)}.", "Correct that line.") from None
    except _Overgrown as grown:
        raise BadInput(f"{path} grows beyond {grown}.", "Write fewer aliases (*name).") from None
    except (OverflowError, ValueError):  # the parser's own, of an escape beyond Unicode or a version beyond numbers
        where = f":{loader.line + 1}" if loader else ""
        sentence = f"{path}{where} is not YAML: it holds a number that is too large."
        raise BadInput(sentence, "Correct that line.") from None
    except RecursionError:
        raise BadInput(f"{path} is nested too deeply.", "Check that this is the right file.") from None
    finally:
        if loader is not None:
            loader.dispose()


def _mark(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, ReaderError):  # of a character that is not allowed; it counts characters
        return f":{text.count(chr(10), 0, error.position) + 1}"
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark else ""


def _complaint(error: yaml.YAMLError) -> str:
    """What the parser says, without a snippet of the file; tabs get a sentence of their own."""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
    if r"'\t'" in problem:
        return "a tab stands where YAML wants spaces"
    if "alias" in problem or "anchor" in problem:  # whose name may be a password that begins with * or &
        return "a word begins with * or &, which mean something to YAML; put it in quotes"
    if "tag" in problem:
        return "a word begins with !, which means something to YAML; put it in quotes"
    return printable(problem)


class _Overgrown(Exception):
    """The file holds more than is read; the text says more than how much."""


class _Loader(yaml.SafeLoader):
    """Ends at more nodes than will be read, before it has taken the time and the memory for all of them."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.nodes += 1
        if self.nodes > 2 * MOST_VALUES:  # each value may have a key
            raise _Overgrown(f"{MOST_VALUES} values")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


class _Reader:
    """Turns the parser's nodes into plain values; holds the counts that aliases cannot get around."""

    def __init__(self, loader: yaml.SafeLoader, document: Document) -> None:
        self.loader = loader
        self.document = document
        self.count = 0
        self.length = 0

    def value(self, node: yaml.Node, place: Place) -> Any:
        self.count += 1
        if self.count > MOST_VALUES:
            raise _Overgrown(f"{MOST_VALUES} values")
        self.document.lines[place] = node.start_mark.line + 1
        if isinstance(node, yaml.CollectionNode) and node.tag not in _COLLECTIONS:
            self._problem(node, place, _TAGGED)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*place, str(index))) for index, item in enumerate(node.value)]
        return self._scalar(node, place)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, place)
            if key is None:
                continue
            inner = (*place, key)
            line = key_node.start_mark.line + 1
            if key in result:
                self.document.complain(inner, f"stands twice, first in line {self.document.lines[inner]}", line)
                continue
            result[key] = self.value(value_node, inner)
            self.document.lines[inner] = line
        return result

    def _key(self, node: yaml.Node, place: Place) -> str | None:
        """The key's text; None, with a problem noted, for whatever else YAML allows as a key."""
        if node.tag == "tag:yaml.org,2002:merge":
            self._problem(node, place, "merge keys (<<) are not read; what all servers share stands under defaults")
        elif node.tag != "tag:yaml.org,2002:str":
            self._problem(node, place, "a key is not text; put it in quotes")
        else:
            key = self._scalar(node, place)
            return key if isinstance(key, str) else None
        return None

    def _scalar(self, node: yaml.Node, place: Place) -> Any:
        self.length += len(node.value)
        if self.length > LIMIT:
            raise _Overgrown("1 MiB of text")
        if node.tag == _TIMESTAMP:
            return node.value
        if node.tag not in _SCALARS:
            self._problem(node, place, _TAGGED)
            return None
        try:
            value = self._constructed(node)
        except (LookupError, ValueError):  # of a tag that says something else than the text: !!int "", !!bool maybe
            self._problem(node, place, "a number that cannot be read; put it in quotes if it is text")
            return None
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            self._problem(node, place, "half of a character (a lone surrogate) is no text")
            return None
        return value

    def _constructed(self, node: yaml.Node) -> Any:
        if node.tag in _NUMBERS and len(node.value) > LONGEST_NUMBER:
            raise ValueError
        if node.tag in _NUMBERS and ":" in node.value:  # to YAML 22:22 is a number of base 60, and nobody means that
            return node.value
        return self.loader.construct_object(node)

    def _problem(self, node: yaml.Node, place: Place, sentence: str) -> None:
        self.document.complain(place, sentence, node.start_mark.line + 1)
