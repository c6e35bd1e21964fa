"""What a call executes first on the server: opens the program that travelled along and hands over to it.

Standard input holds this text with the program, and the request, compressed, each after a line with its length.
A Python that is too old has to get as far as saying so, therefore nothing here is newer than Python 3.5.
"""

import json
import sys
import zlib
from importlib.machinery import ModuleSpec
from types import ModuleType

NEEDED = (3, 8)


class MemoryFinder:
    """Imports the modules of the program from memory; each is compiled when it is first imported."""

    def __init__(self, sources: "dict[str, str]") -> None:
        self.sources = sources

    def find_spec(self, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        is_package = any(other.startswith(name + ".") for other in self.sources)
        if name not in self.sources and not is_package:
            return None
        return ModuleSpec(name, self, is_package=is_package)  # type: ignore

    def create_module(self, spec: ModuleSpec) -> None:
        """None asks for an ordinary, empty module."""

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        file = name.replace(".", "/") + ("/__init__.py" if hasattr(module, "__path__") else ".py")
        exec(compile(self.get_source(name), file, "exec"), module.__dict__)  # noqa: S102

    def get_source(self, name: str) -> str:
        """Lets a traceback show the lines."""
        return self.sources.get(name, "")  # a package without a word of its own does not travel


def block() -> bytes:
    stream = sys.stdin.buffer
    size = int(stream.readline())
    data = stream.read(size)
    if len(data) != size:
        raise EOFError("the call was cut off on its way to the server")
    return data


def main(program: "list[str]") -> None:
    """`program`: name and source, one module after the other."""
    if sys.version_info[:2] < NEEDED:
        message = sys.executable + " is Python " + ".".join(map(str, sys.version_info[:3])) + "; 3.8 or newer is needed"
        hint = "install a newer one beside it and name it as python: in hosts.yaml"
        print("\x1e" + json.dumps({"error": {"kind": "server", "message": message, "hint": hint}}))
        return
    sys.meta_path.insert(0, MemoryFinder(dict(zip(program[::2], program[1::2]))))
    request = json.loads(zlib.decompress(block()).decode())
    from gpu_runbook.server.rpc import server

    server.serve(request["verb"], request["request"])
