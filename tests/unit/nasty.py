"""Texts of somebody who wants to be taken for us, and what has to hold of a line of ours that has one of them in it."""

from __future__ import annotations

import re

ROW = "ok        annotation-queue CI  all 9 results are green"

# Behind each of them stands a row as the screen prints it: a line break anywhere would put it onto a line of its own.
BREAKS = ("\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\n\n  ", "\r\r\n")
STEERING = {
    "tabs": "\t" * 20,
    "blanks": " " * 100,
    "other blanks": "\xa0\u2003\u3000" * 20,
    "backspaces": "\b" * 40,
    "a colour": "\x1b[31m",
    "a cleared screen": "\x1b[2J\x1b[H",
    "a C1 sequence": "\x9b2J",
    "a window's title": "\x1b]0;owned\x07",
    "a link of a terminal": "\x1b]8;;http://evil.invalid\x1b\\here\x1b]8;;\x1b\\",
    "a clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "a question to the terminal": "\x1bP$q\x1b\\",
    "text turned round": "\u202e\u2066\u2069",
    "what nobody sees": "\u200b\u200d\u2060\ufeff\xad\u3164\u115f\u2800\u034f\ufe0f\U000e0041\U000e0101",
    "halves of a character": "\ud800\udfff",
    "NULs": "\0" * 50,
    "no characters": "\ufffe\U0010ffff\ue000",
}
MARKUP = {
    "rich": "[red]x[/red] [/] [link=http://evil.invalid]y[/link] [bold :fire: \\[",
    "Markdown": "@everyone `x` **x** __x__ ~~x~~ [y](http://evil.invalid) ![i](http://evil.invalid/i) # x <@1> ||x||",
    "Slack": "<!channel> <!here> <http://evil.invalid|y> *x* _x_ ~x~ `x` @here :fire: &lt;!channel&gt;",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>&#60;b&#62;",
    "a shell": "$(reboot) `reboot`; docker run --privileged -v /:/host evil 'x' \"y\"",
}
# What the name of a file can be, too.
SHORT = {
    **{f"a line break {text!r}": f"a{text}{ROW}" for text in BREAKS},
    **{name: f"a{text}{ROW}" for name, text in STEERING.items()},
    **{f"markup of {name}": f"{text} {ROW}" for name, text in MARKUP.items()},
}
LONG = {
    "a thousand rows": f"a\n{ROW}" * 1000,
    "a megabyte": "x" * 1_000_000,
    "line breaks alone": "\n" * 100_000,
    "nothing that is seen": "\u200b" * 100_000,
}
TEXTS = {**SHORT, **LONG}

_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)


def wrong_with(text: str, most: int) -> str:
    """Why a text is no line of ours, empty when it is one: it may begin another, steer a terminal, hide, never end."""
    if not text.isprintable():
        return f"it holds {next(char for char in text if not char.isprintable())!r}"
    if _UNSEEN.search(text):
        return "it holds what nobody sees"
    if " ".join(text.split()) != text:
        return "its blanks may be columns"
    return f"it has {len(text)} characters" if len(text) > most else ""


def rows(screen: str) -> list[str]:
    """The lines of a screen that read as rows: a level where rows have it, and a column behind it."""
    return [line for line in screen.split("\n") if re.match(r" {0,3}(ok|skipped|warning|critical|unknown) {2,}", line)]
