"""What known services want a webhook's JSON to look like."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class Preset:
    """A body with words in braces, and how many characters of {text} the service takes."""

    body: Any
    limit: int


# By the services' own documentation: Slack incoming webhooks, Discord's "execute webhook", ntfy's "publish as JSON",
# Teams' workflow "post to a channel when a webhook request is received".
PRESETS = {
    "slack": Preset({"text": "*{title_escaped}*\n{text_escaped}"}, 3500),
    "discord": Preset({"content": "**{title_markdown}**\n{text_markdown}", "allowed_mentions": {"parse": []}}, 1500),
    "ntfy": Preset({"title": "{title}", "message": "{text}", "priority": "{priority}", "tags": ["{tag}"]}, 3500),
    "teams": Preset(
        {
            "type": "message",
            "attachments": [
                {
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "contentUrl": None,
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.2",
                        "body": "{card}",
                    },
                }
            ],
        },
        3500,
    ),
    "webhook": Preset(
        {
            "server": "{server}",
            "at": "{at}",
            "level": "{level}",
            "title": "{title}",
            "text": "{text}",
            "rows": "{rows}",
        },
        20_000,
    ),
}


def with_topic(url: str, body: Any) -> tuple[str, Any]:
    """ntfy takes JSON at its root, with the topic in it: both out of the address that it shows people."""
    parts = urlsplit(url)
    folder, _, topic = parts.path.rpartition("/")
    return urlunsplit(parts._replace(path=f"{folder}/")), {"topic": topic, **body}
