"""The entries `ci` and `scan` of hosts.yaml; each class is also the rule by which its entry is read."""

from __future__ import annotations

from typing import Annotated, Literal

from gpu_runbook.laptop.inventory import fields
from gpu_runbook.laptop.inventory.address import strange_word
from gpu_runbook.laptop.inventory.strict import Strict, about
from gpu_runbook.protocol.values import dataclass, field

# Names of tokens that are made for forges: hosts.yaml, which others write too, gets at nothing else of the environment.
OF_THE_ENVIRONMENT = ("CI_TOKEN", "FORGEJO_TOKEN", "GH_TOKEN", "GITEA_TOKEN", "GITHUB_TOKEN")


@dataclass(frozen=True, kw_only=True)
class Ci(Strict):
    """Where it is asked whether the code of an image is green. {service} and {image} are put into texts."""

    forge: Literal["github", "gitea"] | None = field(
        default=None, metadata=about("gitea is from 1.20 on, and for Forgejo as well.")
    )
    repository: fields.Repository = field(default="{image}", metadata=about("owner/name at the forge."))
    address: fields.Url | None = field(
        default=None,
        metadata=about("The forge, without it https://api.github.com; a GitHub of your own ends in /api/v3."),
    )
    branch: fields.Branch = field(
        default="dev", metadata=about("What an image's commit must be on; its head, for an image that names none.")
    )
    token_variable: fields.Variable = field(
        default="CI_TOKEN",
        metadata=about(f"Of .env; one of {', '.join(OF_THE_ENVIRONMENT)} of the environment as well, which wins."),
    )
    required: tuple[fields.ResultPattern, ...] = field(
        default=(),
        metadata=about(
            "Results that count, by name or by a shell pattern such as ci/woodpecker/push/*. Of each, one must be "
            "there and green, and the others that it matches green or skipped. Without it all results count."
        ),
    )
    command: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "Instead of a forge: exit status 0 says green, and of the branch; REVISION, BRANCH, SERVICE, IMAGE are set."
        ),
    )
    timeout: Annotated[int, fields.duration(1, 120)] = field(default=10, metadata=about("For one answer."))

    @property
    def token_place(self) -> str:
        """Where a token is looked for."""
        return f"{self.token_variable} of .env{' or the environment' * (self.token_variable in OF_THE_ENVIRONMENT)}"

    def __post_init__(self) -> None:
        if bool(self.forge) == bool(self.command):
            raise ValueError("either forge or command is expected")
        if self.forge == "gitea" and not self.address:
            raise ValueError("a gitea needs its address")
        _known_words("command", self.command)


@dataclass(frozen=True, kw_only=True)
class Scan(Strict):
    """The security scan of an image: a report of Trivy or Grype as JSON, or a command that prints one."""

    report: fields.LocalPath | None = field(
        default=None, metadata=about("Relative to this file; {service} and {tag} are put in.")
    )
    command: tuple[str, ...] = field(default=(), metadata=about("{image} is put in, repository@digest."))
    max_age: Annotated[int, fields.duration(60, 31_536_000)] = field(
        default=604_800, metadata=about("How old a report may be.")
    )
    allow: fields.LocalPath | None = field(
        default=None, metadata=about("A YAML list of accepted findings: id, expires, reason, and package.")
    )
    timeout: Annotated[int, fields.duration(1, 3600)] = field(default=300, metadata=about("For the command."))

    def __post_init__(self) -> None:
        if bool(self.report) == bool(self.command):
            raise ValueError("either report or command is expected")
        _known_words("command", self.command)
        if self.report and not self.report.is_absolute():  # else the folder of hosts.yaml is in it, whatever its name
            _known_words("report", (str(self.report),))


def _known_words(key: str, texts: tuple[str, ...]) -> None:
    """A brace that nothing is put into is found while hosts.yaml is read, and not once everything else is done."""
    for text in texts:
        wrong = "holds a NUL character" if "\0" in text else strange_word(text)
        if wrong:
            raise ValueError(f"{key}: {wrong}")
