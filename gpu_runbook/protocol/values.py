"""Frozen dataclasses that cost little to define.

The standard library writes and compiles six methods for each: with the classes of a call that was a third of the time
in which one starts. Here all have the same ones. Fields, `replace` and the like are the standard library's.

What is less strict than there: `init=False` and `kw_only` are for the type checker alone, and nothing of a class that
inherits from one can be set either.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field as field
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Tuple


def _init(self: Any, *given: Any, **named: Any) -> None:
    fields: Tuple[Any, ...] = dataclasses.fields(self)
    count = len(given) + len(named)
    named.update(zip([one.name for one in fields], given))
    if len(named) < count:
        raise TypeError("too much")
    for one in fields:
        value = named.pop(one.name, one.default)
        if value is one.default_factory:  # there is neither
            raise TypeError(f"{one.name} is missing")
        self.__dict__[one.name] = one.default_factory() if value is dataclasses.MISSING else value
    if named:
        raise TypeError("no such field")
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _repr(self: Any) -> str:
    shown = (f"{one.name}={getattr(self, one.name)!r}" for one in dataclasses.fields(self) if one.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _compared(self: Any) -> Tuple[Any, ...]:
    return tuple(getattr(self, one.name) for one in dataclasses.fields(self) if one.compare)


def _fixed(self: Any, name: str, value: Any = None) -> NoReturn:
    raise dataclasses.FrozenInstanceError(name)


METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": lambda self, other: _compared(self) == _compared(other) if type(self) is type(other) else NotImplemented,
    "__hash__": lambda self: hash(_compared(self)),
    "__setattr__": _fixed,
    "__delattr__": _fixed,
}

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(frozen: bool, **more: bool) -> Callable[[Any], Any]:
        """`dataclasses.dataclass` of what is frozen. What a class has of its own stays."""

        def define(cls: Any) -> Any:
            cls.__doc__ = cls.__doc__ or "."  # or it would be made of the signature, which takes long
            dataclasses.dataclass(init=False, repr=False, eq=False, **more)(cls)
            for name, method in METHODS.items():
                if not cls.__dict__.get(name):
                    setattr(cls, name, method)
            return cls

        return define
