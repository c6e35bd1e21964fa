"""The kinds of entry hosts.yaml is made of: how each is read, and how an editor's JSON Schema describes it.

Every value ends up in a command, a path or a message on some server, so each kind names the characters it allows.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from gpu_runbook.common import shell_pattern
from gpu_runbook.laptop.inventory import image_tag
from gpu_runbook.protocol.plan import CDI
from gpu_runbook.protocol.values import dataclass

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

_FILES = (".yaml", ".yml", ".json", ".toml", ".ini", ".conf", ".cfg", ".env", ".txt", ".log", ".pt", ".onnx")
_GPUS = 'the word all, a count, "device=0,1" or {cdi: all}'
_MOST_GPUS = 64
_LONGEST_RESULT = 255
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclasses.dataclass(frozen=True, eq=False)
class Reads:
    """Marks an annotated field: `parse` makes its value or raises ValueError with a sentence; `says` what is expected.

    Compared by identity, since typing wants it hashable.
    The methods are pydantic's hooks; they are called only where hosts.yaml is loaded.
    """

    parse: Callable[[Any], Any]
    schema: dict[str, Any]
    says: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.schema)


@dataclass(frozen=True)
class ByKind:
    """Marks a union whose members are told apart by their `kind`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic import Field

        return handler.generate_schema(Annotated[source, Field(discriminator="kind")])


def text(pattern: str, says: str) -> Reads:
    """A text that matches the whole pattern."""

    def parse(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f"{says} is expected{_quotes(value)}")
        return value

    return Reads(parse, {"type": "string", "pattern": f"^(?:{pattern})$"}, says)


def whole(low: int, high: int) -> Reads:
    """A whole number between two bounds, both allowed."""
    says = f"a whole number from {low} to {high}"

    def parse(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{says} is expected")
        return value

    return Reads(parse, {"type": "integer", "minimum": low, "maximum": high}, says)


def number(low: float, high: float) -> Reads:
    """A number between two bounds, both allowed."""
    says = f"a number from {low:g} to {high:g}"

    def parse(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"{says} is expected")
        return float(value)

    return Reads(parse, {"type": "number", "minimum": low, "maximum": high}, says)


def duration(low: int, high: int) -> Reads:
    """Seconds: 15, 90s, 30m, 2h or 1d."""
    says = f"a time from {low} to {high} seconds is expected, written 15, 90s, 30m, 2h or 1d"

    def parse(value: Any) -> int:
        match = re.fullmatch(r"(\d{1,9})([smhd]?)", str(value)) if type(value) in (int, str) else None
        seconds = int(match[1]) * _UNITS[match[2]] if match else None
        if seconds is None or not low <= seconds <= high:
            raise ValueError(says)
        return seconds

    schema = {"type": ["integer", "string"], "pattern": r"^\d{1,9}[smhd]?$"}
    return Reads(parse, schema, f"a time from {_told(low)} to {_told(high)}")


def _told(seconds: int) -> str:
    """A time as somebody would write it."""
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}" if seconds else "0"


def _quotes(value: Any) -> str:
    """What to do about a text that YAML took for something else: 1.0, no, null."""
    return ", in quotes" if value is None or isinstance(value, (bool, int, float)) else ""


def _gpus(value: Any) -> str:
    """As a Spec has it: what docker's --gpus takes, or CDI devices by their whole names, with commas between."""
    if isinstance(value, dict):
        return _cdi(value)
    if type(value) is int and 0 < value <= _MOST_GPUS:
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"all|[1-9]\d?|device=[\w.,:/-]+", value, re.ASCII):
        return value
    raise ValueError(f"{_GPUS} is expected")


def _cdi(value: dict[Any, Any]) -> str:
    given = value.get("cdi")
    names = given if isinstance(given, list) else [given]
    if list(value) != ["cdi"] or not names:
        raise ValueError('cdi: and its devices are expected, such as {cdi: all} or {cdi: ["0", "1"]}')
    devices = [_cdi_device(name) for name in names]
    if len(set(devices)) < len(devices):
        raise ValueError("a CDI device is named twice")
    if len(devices) > 1 and any(device.endswith("=all") for device in devices):
        raise ValueError("all has every CDI device in it, and stands alone")
    return ",".join(devices)


def _cdi_device(name: Any) -> str:
    """0 is the first GPU, 0:1 the second MIG device of it."""
    text = str(name) if type(name) is int and 0 <= name < _MOST_GPUS else name
    form = rf"({CDI}[A-Za-z][\w-]*=)?[A-Za-z0-9]([\w.:-]*[A-Za-z0-9])?"
    if isinstance(text, str) and re.fullmatch(form, text, re.ASCII):
        return text if text.startswith(CDI) else f"{CDI}gpu={text}"
    raise ValueError(
        'cdi: all, the number of a GPU, 0:1, a UUID, a name such as "nvidia.com/gpu=0", or a list of these is expected'
    )


def _restart(value: Any) -> str:
    if value is False:  # how YAML reads a bare no
        return "no"
    if isinstance(value, str) and re.fullmatch(r"no|always|unless-stopped|on-failure(:\d{1,3})?", value, re.ASCII):
        return value
    raise ValueError("no, always, unless-stopped or on-failure[:n] is expected")


def _mode(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"0?[0-7]{3}", value):
        value = int(value, 8)
    if type(value) is not int or not 0 <= value <= 0o777:
        raise ValueError('a file mode is expected, such as "0600"')
    if value & 0o007:
        raise ValueError("a file with secrets in it is not for everybody; the last digit of its mode must be 0")
    return value


def _folder_mode(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-3]?[0-7]{3}", value):
        return int(value, 8)
    if type(value) is int and 0 <= value <= 0o3777:  # YAML reads 0755 as octal by itself
        return value
    raise ValueError('the mode of a directory is expected, such as "0755"')


def _mount(value: Any) -> str:
    parts = value.split(":") if isinstance(value, str) else []
    source, target = (*parts, "", "")[:2]
    sound = _is_path(source) or re.fullmatch(_VOLUME, source, re.ASCII)
    if len(parts) not in (2, 3) or not sound or not _is_path(target) or not re.fullmatch(_SUFFIX, ":".join(parts[2:])):
        raise ValueError(
            "source:target is expected, absolute paths or a volume's name and one, with :ro, :z or :Z behind it"
        )
    if any(part.endswith(_FILES) for part in (source, target) if _is_path(part)):
        raise ValueError("looks like a single file; mount its directory, since a container does not see a file renamed")
    return str(value)


def is_read_only(mount: str) -> bool:
    """Whether a container can only read what is mounted so."""
    return "ro" in mount.rpartition(":")[2].split(",")


def is_private(mount: str) -> bool:
    """Whether SELinux lets no other container at what is mounted so."""
    return "Z" in mount.rpartition(":")[2].split(",")


def _dated(value: Any) -> str:
    name = value if isinstance(value, str) else ""
    if name.count("DATE") != 1 or not re.fullmatch(r"[\w@+][\w.@+-]{0,100}", name, re.ASCII):
        raise ValueError("a name with DATE in it is expected, which stands for YYYY-MM-DD, such as azaion-DATE")
    return name


def _model_files(value: Any) -> tuple[str, ...]:
    """One path below a directory, or several."""
    files = value if isinstance(value, list) else [value]
    if not files or len(files) > 10 or not all(isinstance(one, str) and _is_inner(one) for one in files):
        raise ValueError("the path of a file in each directory is expected, such as weights/best.pt, or a list of them")
    return tuple(files)


def _model_place(value: Any) -> str:
    if not isinstance(value, str) or not (_is_path(value) or _is_inner(value)):
        raise ValueError("a path is expected, absolute or below models.folder, such as azaion.pt")
    return value


def _pattern(value: Any) -> str:
    """A shell pattern of command lines that says more than which program interprets them."""
    if not isinstance(value, str) or not re.fullmatch(rf"(?!\s){_LINE}(?<!\s)", value):
        raise ValueError(f"a shell pattern of a command line is expected{_quotes(value)}, such as python* *train.py*")
    try:
        shell_pattern.check(value)
    except shell_pattern.BadPattern as error:
        raise ValueError(f"{value} {error}") from None
    words = [
        word for word in re.findall(r"[^\W\d_]{2,}", re.sub(r"\[[^]]*\]", "", value)) if word.lower() not in _COMMON
    ]
    if not words:
        raise ValueError("it fits all that runs, or all of a language: name a script, such as python* *train.py*")
    return value


def _log_files(value: Any) -> tuple[str, ...]:
    """One pattern, or several."""
    patterns = value if isinstance(value, list) else [value]
    if not patterns or len(patterns) > 10:
        raise ValueError("the path of log files is expected, such as /azaion/logs/*.log, or a list of 1 to 10 of them")
    for one in patterns:
        if not isinstance(one, str) or not re.fullmatch(_LOG_FILES, one, re.ASCII) or {".", ".."} & set(one.split("/")):
            said = "an absolute path is expected, in which * and ? stand for any characters and %Y-%m-%d for a date"
            raise ValueError(f"{said}{_quotes(one)}")
    return tuple(patterns)


def _is_inner(value: str) -> bool:
    return bool(re.fullmatch(_INNER, value, re.ASCII))


def _is_path(value: str) -> bool:
    return bool(re.fullmatch(_PATH, value, re.ASCII)) and not {".", ".."} & set(value.split("/"))


def absolute(value: Any) -> str:
    """A path on a server. Raises ValueError."""
    if not isinstance(value, str) or not _is_path(value):
        raise ValueError("an absolute path is expected, of letters, digits and ._@+-, without .. and a / at its end")
    return value


def _below(value: Any) -> str:
    """A place on the server: absolute, or below the server's root; `.` is the root itself."""
    if value == "." or (isinstance(value, str) and _is_path(value if value.startswith("/") else f"/{value}")):
        return str(value)
    raise ValueError("a path is expected, absolute or below the root, without .. in it")


def _image_tag(value: Any) -> str:
    if isinstance(value, str) and image_tag.is_tag(value):
        return value
    raise ValueError(f"{image_tag.flaw(value if isinstance(value, str) else '')}{_quotes(value)}")


def _result_pattern(value: Any) -> str:
    """The name of a result of a CI, as it is, or a pattern for several."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > _LONGEST_RESULT:
        raise ValueError(f"the name of a result is expected{_quotes(value)}, or a pattern such as ci/woodpecker/push/*")
    try:
        shell_pattern.check(value)
    except shell_pattern.BadPattern as error:
        raise ValueError(f"{value} {error}; a [ that is meant as it stands is written [[]") from None
    return value


def _local(value: Any) -> Path:
    """A path on the laptop, still relative to hosts.yaml; ~ is somebody's home."""
    if not isinstance(value, str) or not value.isprintable() or not value:
        raise ValueError(f"a path is expected{_quotes(value)}")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("the home of that user is not known") from None


def _hops(value: Any) -> str:
    """Gateways, each with a port that there is."""
    for hop in str(_HOPS.parse(value)).split(","):
        port = re.fullmatch(r"(?:[^:]*|.*\]):([0-9]*)", hop)  # after an IPv6 address in brackets alone
        if port and not (port[1] and 0 < int(port[1]) < 1 << 16):
            raise ValueError("a port from 1 to 65535 is expected")
    return str(value)


_PATH = r"(/[\w.@+-]+)+"
_LOG_FILES = r"(/([\w.@+*?-]|%[YymdHMSj])+)+"
_VOLUME = r"[a-zA-Z0-9][\w.-]{1,62}"
_SUFFIX = "((ro|[zZ])|ro,[zZ]|[zZ],ro)?"
_INNER = r"[\w@+][\w.@+-]*(/[\w@+][\w.@+-]*)*"
_LINE = r"[^\x00-\x1f\x7f]{1,300}"
_COMMON = {"python", "py", "pypy", "sh", "bash", "perl", "node", "java", "env", "sudo", "nohup", "usr", "local", "bin"}
_HOST = r"[A-Za-z0-9_\[:][A-Za-z0-9_.:%\[\]-]*"

_HOPS = text(rf"([\w.-]+@)?{_HOST}(,([\w.-]+@)?{_HOST})*", "[user@]host[:port]")

Name = Annotated[
    str,
    text(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,62}", "a name of letters, digits and _.-"),
]
Address = Annotated[str, text(_HOST, "a host name, an address or an alias of ssh_config")]
Hops = Annotated[str, Reads(_hops, _HOPS.schema, _HOPS.says)]
User = Annotated[str, text(r"[A-Za-z_][\w.-]{0,31}\$?", "a login name")]
Program = Annotated[str, text(r"/?[\w.+-]+(/[\w.+-]+)*", "the name or path of a program")]
LocalPath = Annotated[Path, Reads(_local, {"type": "string"}, "a path on the laptop")]
AbsolutePath = Annotated[str, Reads(absolute, {"type": "string", "pattern": f"^{_PATH}$"}, "an absolute path")]
Below = Annotated[str, Reads(_below, {"type": "string"}, "a path, absolute or below the root")]
FileName = Annotated[str, text(r"[\w@+-][\w.@+-]*", "the name of a file")]
DatedName = Annotated[str, Reads(_dated, {"type": "string", "pattern": "DATE"}, "a name with DATE in it")]
ModelFiles = Annotated[
    tuple[str, ...],
    Reads(
        _model_files,
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_INNER}$"},
                {"type": "array", "items": {"type": "string", "pattern": f"^{_INNER}$"}, "minItems": 1, "maxItems": 10},
            ]
        },
        "the path of a file, or a list of them",
    ),
]
ModelPlace = Annotated[
    str,
    Reads(
        _model_place,
        {"type": "string", "pattern": f"^({_PATH}|{_INNER})$"},
        "a path, absolute or below the models' folder",
    ),
]
ProcessPattern = Annotated[
    str,
    Reads(_pattern, {"type": "string", "pattern": f"^{_LINE}$"}, "a shell pattern of a command line"),
]
ServerUser = Annotated[str, text(r"[A-Za-z_][\w.-]{0,31}\$?|\d{1,10}", "a user of the server, by name or number")]
LogFiles = Annotated[
    tuple[str, ...],
    Reads(
        _log_files,
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_LOG_FILES}$"},
                {
                    "type": "array",
                    "items": {"type": "string", "pattern": f"^{_LOG_FILES}$"},
                    "minItems": 1,
                    "maxItems": 10,
                },
            ]
        },
        "a path with `*`, `?` or `%Y-%m-%d`, or a list of them",
    ),
]
LogKey = Annotated[str, text(r"@?[A-Za-z_][\w.@-]{0,58}", "a key of a JSON line")]
KeyPath = Annotated[str, text(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*", "a key, or keys joined by dots")]
ImageLabel = Annotated[str, text(r"[\w./-]+=[\w./:-]*", "a label, key=value")]
Url = Annotated[str, text(r"https?://[\w.\[\]:-]+(/[\w./~-]*)?", "an http:// or https:// address without a query")]
Repository = Annotated[str, text(r"([\w.-]|\{(service|image)\})+(/([\w.-]|\{(service|image)\})+)*", "owner/name")]
Branch = Annotated[str, text(r"[\w][\w./+-]{0,200}", "the name of a branch")]
ResultPattern = Annotated[
    str,
    Reads(
        _result_pattern,
        {"type": "string", "minLength": 1, "maxLength": _LONGEST_RESULT},
        "the name of a result, or a shell pattern",
    ),
]
Socket = Annotated[str, text(r"unix://(/[\w.@+-]+)+", "unix:// and the path of a socket")]
RegistryServer = Annotated[str, text(r"[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?", "host or host:port, without https://")]
Image = Annotated[str, text(r"[a-z0-9]+([._/-]+[a-z0-9]+)*", "an image's name, without registry and tag")]
Tag = Annotated[str, text(image_tag.TAG, "a tag of letters, digits and _.-")]
ImageTag = Annotated[
    str,
    Reads(_image_tag, {"type": "string", "pattern": f"^({image_tag.TAG}|{image_tag.DIGEST})$"}, image_tag.SAYS),
]
Owner = Annotated[str, text(r"\d{1,10}:\d{1,10}", "uid:gid in digits")]
ContainerUser = Annotated[str, text(r"(\w[\w.-]*(:\w[\w.-]*)?)?", "user or user:group, names or numbers")]
Network = Annotated[str, text(r"([a-zA-Z0-9][\w.:-]*)?", "the name of a docker network")]
Memory = Annotated[str, text(r"([1-9]\d*[bkmg]?)?", "an amount such as 512m or 8g")]
LogSize = Annotated[str, text(r"[1-9]\d*[kmg]", "an amount such as 10m")]
Restart = Annotated[
    str,
    Reads(
        _restart,
        {"enum": [False, "no", "always", "unless-stopped", "on-failure"]},
        "no, always, unless-stopped or on-failure[:n]",
    ),
]
Signal = Annotated[str, text(r"(SIG[A-Z0-9+-]+)?", "a signal such as SIGTERM")]
MailAddress = Annotated[str, text(r"[^\s@<>,;\x00-\x1f\x7f]+@[\w.-]+", "a mail address")]
Line = Annotated[str, text(r"[^\x00-\x20\x7f]([^\x00-\x1f\x7f]{0,998}[^\x00-\x20\x7f])?", "one line")]
Variable = Annotated[str, text(r"[A-Za-z_]\w*", "the name of a variable")]
Key = Annotated[str, text(r"[A-Za-z_][\w.-]*", "a key")]
Stream = Annotated[str, text(r"[^\s\x00-\x1f\x7f]{1,255}", "the name of a stream")]
VirtualHost = Annotated[str, text(r"[^\s\x00-\x1f\x7f]{1,255}", "the name of a virtual host")]
_DEVICE = {"type": ["integer", "string"]}
_CDI_SCHEMA = {
    "type": "object",
    "properties": {"cdi": {"anyOf": [_DEVICE, {"type": "array", "items": _DEVICE, "minItems": 1}]}},
    "required": ["cdi"],
    "additionalProperties": False,
}
Gpus = Annotated[str, Reads(_gpus, {"anyOf": [{"type": ["integer", "string"]}, _CDI_SCHEMA]}, _GPUS)]
Mode = Annotated[int, Reads(_mode, {"type": ["integer", "string"]}, 'a file mode such as "0600"')]
FolderMode = Annotated[int, Reads(_folder_mode, {"type": ["integer", "string"]}, 'a mode such as "0755"')]
Mount = Annotated[
    str,
    Reads(_mount, {"type": "string", "pattern": rf"^({_PATH}|{_VOLUME}):{_PATH}(:[rozZ,]+)?$"}, "source:target[:ro,z]"),
]
Port = Annotated[int, whole(1, 65535)]
Percent = Annotated[float, number(0, 100)]
Celsius = Annotated[float, number(1, 150)]
