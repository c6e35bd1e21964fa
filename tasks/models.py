"""fab models, fab models.use, fab models.rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import ModelsAnswer, ModelUseAnswer
    from gpu_runbook.laptop.commands.models import ModelWish
    from gpu_runbook.laptop.ssh.session import Session

DRY_RUN = "verify the model, say what would change, and end"


@shared.task(
    name="list",
    default=True,
    help={
        "verify": "read every byte of every model, and compare checksums",
        "hosts": shared.HOSTS,
        "json": shared.JSON,
        "debug": shared.DEBUG,
    },
)
@shared.guarded
def show(context: Any, verify: bool = False, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """The dated models on the servers: size, whether they are whole, which one is chosen."""
    from gpu_runbook.laptop.commands import models, models_text
    from gpu_runbook.protocol.models import ALL

    from .invocation import Invocation, print_json

    invocation = Invocation(context, hosts, None, json, purpose="ask")
    known = models.terms(invocation.inventory)

    def ask(session: Session) -> ModelsAnswer:
        server = session.host.name
        place = invocation.host(session).place
        with invocation.screen.working(f"{server}: {'reading' if verify else 'looking'}") as passing:
            found = models.listed(session, place, known, ALL if verify else "", passing)
        for text, style in models_text.lines(server, known.folder, found):
            invocation.screen.say(text, style)
        return models_text.as_result(server, known.folder, found)

    results = invocation.ask_each(ask)
    if json:
        print_json({"servers": results})


@shared.task(
    positional=["date"],
    help={
        "date": "the name of the model's directory, such as 2026-04-20",
        "dry-run": DRY_RUN,
        "force": "also a model that was written again since it was verified, and a config that was edited by hand",
        "hosts": shared.HOSTS,
        "json": shared.JSON,
        "debug": shared.DEBUG,
    },
)
@shared.guarded
def use(
    context: Any,
    date: str,
    hosts: str | None = None,
    dry_run: bool = False,
    force: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Verify a model and point the servers' configs at it; no container is restarted."""
    from gpu_runbook.laptop.commands.models import ModelWish

    from .invocation import given

    _choose(context, ModelWish(given("DATE", date) or "", force, dry_run), hosts, json)


@shared.task(
    help={
        "dry-run": DRY_RUN,
        "force": "also when the config was edited by hand",
        "hosts": shared.HOSTS,
        "json": shared.JSON,
        "debug": shared.DEBUG,
    }
)
@shared.guarded
def rollback(
    context: Any,
    hosts: str | None = None,
    dry_run: bool = False,
    force: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Go back to the model that was chosen before; a second time goes further back."""
    from gpu_runbook.laptop.commands.models import ModelWish

    _choose(context, ModelWish("", force, dry_run), hosts, json)


def _choose(context: Any, wish: ModelWish, hosts: str | None, json: bool) -> None:
    """One server after the other; the first failure ends it."""
    from gpu_runbook.laptop.commands import models

    from .invocation import Invocation, print_json

    invocation = Invocation(context, hosts, None, json, purpose="ask")
    known = models.checked(invocation.inventory, wish.date or None)

    def change(session: Session) -> ModelUseAnswer:
        return models.choose(session, invocation.inventory, invocation.host(session), known, wish, invocation.screen)

    results = invocation.change_each(change)
    if json:
        print_json({"servers": results})
