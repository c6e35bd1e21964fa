"""The forms of what travels and is kept: ids, digests, times, paths and their like, as annotations that are checked.

A field `container: ContainerId` is a text for whoever reads or writes it; `protocol.codec` lets no other text in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from typing import Annotated as Annotated  # novm: nobody runs that
else:

    class Annotated:
        """typing's own came with Python 3.9. Here what is annotated is the form itself, whatever the Python."""

        def __class_getitem__(cls, pair):
            return pair[1]


class Form:
    """A narrower `kind`: called with any value, it says whether that is of the kind and has the form."""

    def __init__(self, kind: type, says: str, fits: Callable[[Any], Any]) -> None:
        self.kind = kind
        self.says = says  # what a value is that has it
        self._fits = fits

    def __call__(self, value: Any) -> bool:
        return type(value) is self.kind and bool(self._fits(value))


def text(says: str, pattern: str, sound: Callable[[str], bool] = bool) -> Form:
    """A text that matches all of a pattern, by ASCII's letters and digits, and is `sound` where no pattern can tell."""
    return Form(str, says, lambda value: re.fullmatch(pattern, value, re.ASCII) and sound(value))


def number(kind: type, says: str, low: int, high: int) -> Form:
    """A number between two bounds, both of which are allowed."""
    return Form(kind, says, lambda value: low <= value <= high)


def maybe(form: Any) -> Form:
    """The same, or an empty text."""
    return Form(str, f"{form.says} or nothing", lambda value: not value or form(value))


def has(form: Any, value: Any) -> bool:
    """Whether a value has a form: to a type checker an annotation is nothing that can be called."""
    return bool(form(value))


def kept(form: Any, value: Any) -> str:
    """A text that has the form, and nothing in the place of any other."""
    return str(value) if form(value) else ""


def _is_moment(text: str) -> bool:
    from datetime import datetime  # not every program asks

    try:
        datetime.fromisoformat(text[:19])
    except ValueError:
        return False
    return True


def _may_own(text: str) -> bool:
    """Whether there can be such a user and group; the kernel takes the number behind the last one for "as it is"."""
    return all(int(part) < 0xFFFFFFFF for part in text.split(":"))


_HEX = "[0-9a-f]{64}"
RUN = r"[0-9]{8}-[0-9]{6}(-[0-9a-f]{4}){1,46}"  # one group; more by an older version and a clock set back
_NAME = r"[a-zA-Z0-9][\w.-]"
_REPOSITORY = r"[a-zA-Z0-9][\w./:-]{0,400}"
_PLACE = r"/[^\0-\x1f\x7f-\x9f]{0,4095}"

ServiceName = Annotated[str, text("the name of a service", _NAME + "{0,62}")]
ContainerName = Annotated[str, text("the name of a container", _NAME + "{0,400}")]
ContainerId = Annotated[str, text("a container id", _HEX)]
Digest = Annotated[str, text("a digest", f"sha256:{_HEX}")]
ImageId = Annotated[str, text("an image id", f"(sha256:)?{_HEX}")]
Image = Annotated[str, text("an image with its digest or an id", f"(({_REPOSITORY}@)?sha256:)?{_HEX}")]
MaybeImage = Annotated[str, maybe(Image)]
Pinned = Annotated[str, text("an image with its digest", f"{_REPOSITORY}@sha256:{_HEX}")]
Reference = Annotated[str, text("the name of an image", _REPOSITORY)]
Asked = Annotated[str, text("an image with its tag or digest", f"{_REPOSITORY}(@sha256:{_HEX})?")]
Revision = Annotated[str, text("a commit", "[0-9a-f]{7,64}")]
RunId = Annotated[str, text("a run id", RUN)]
ReleaseId = Annotated[str, text("a release id", f"(adopted-)?{RUN}")]
MaybeRelease = Annotated[str, maybe(ReleaseId)]
Restart = Annotated[str, text("a restart policy", r"no|always|unless-stopped|on-failure(:\d{1,10})?")]
Time = Annotated[str, text("a time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", _is_moment)]
MaybeTime = Annotated[str, maybe(Time)]
Owner = Annotated[str, text("uid:gid", r"\d{1,10}(:\d{1,10})?", _may_own)]
Place = Annotated[str, text("a path", _PLACE)]
MaybePlace = Annotated[str, maybe(Place)]
Path = Annotated[str, text("a path without .. in it", r"(?!.*/\.\.(/|$))" + _PLACE)]
EnvName = Annotated[str, text("the name of a variable", r"[A-Za-z_]\w{0,254}")]
KeyedHash = Annotated[str, maybe(text("a keyed hash", "[0-9a-f]{16}"))]  # nothing while a server has no salt
SpecHash = Annotated[str, text("the hash of a spec", "[0-9a-f]{12}")]
Level = Annotated[str, text("a level", "ok|warning|critical|unknown|skipped")]
KeptLevel = Annotated[str, text("a level", "[a-z][a-z-]{0,19}")]  # as another version may have left it
Kind = Annotated[str, text("a kind of service", "consumer|batch")]
Action = Annotated[str, text("what a plan does", "deploy|rollback|restart|stop")]
Change = Annotated[str, text("a change", "none|place|replace|restart|stop|tag")]
Outcome = Annotated[str, text("the outcome of a watch", "proven|unproven|adopted")]
RunPhase = Annotated[str, text("the state of a run", "under-way|ended|cut-off")]
Base64 = Annotated[str, text("base64", "[A-Za-z0-9+/]*={0,2}", lambda value: len(value) % 4 == 0)]
# One word for `docker create`, without those by which a container is known, kept and made.
Option = Annotated[
    str,
    text(
        "an option of docker create",
        r"--(?!(name|restart|label|label-file|env-file|rm|detach|pull|cidfile)=)[a-z][a-z0-9-]*=[^\0-\x1f\x7f]{1,4096}",
    ),
]
Offset = Annotated[int, number(int, "an offset", 0, (1 << 64) - 1)]
Count = Annotated[int, number(int, "a count", 0, (1 << 64) - 1)]
Grace = Annotated[int, number(int, "seconds of at most a day", 0, 86400)]
Span = Annotated[float, number(float, "seconds of at most a day", 0, 86400)]
Mode = Annotated[int, number(int, "a file mode", 0, 0o7777)]
Port = Annotated[int, number(int, "a port", 1, 65535)]


NONE = type(None)  # what may be null, in a shape


def minute(at: str) -> str:
    """A Time to the minute, as people read it."""
    return at[:16].replace("T", " ")


def fits(shape: Any, data: Any) -> bool:
    """A shape is a type, a form, a mapping of what must be there, a list of it, which may be null, or several."""
    if isinstance(shape, dict):
        return isinstance(data, dict) and all(fits(inner, data.get(key)) for key, inner in shape.items())
    if isinstance(shape, list):
        return data is None or (isinstance(data, list) and all(fits(shape[0], entry) for entry in data))
    if isinstance(shape, tuple):
        return any(fits(one, data) for one in shape)
    return has(shape, data) if isinstance(shape, Form) else isinstance(data, shape)
