"""Forges that refuse, talk nonsense, say nothing, or lead elsewhere: one sentence, in time, and no token lost."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gpu_runbook.laptop.gates import http
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.protocol.check import OK, UNKNOWN
from tests.gates import forge as forges
from tests.gates.asking import GITEA, ROOT, TOKEN, ask, by_command
from tests.gates.forge import HEAD, REPOSITORY, Forge, gitea_status, run, says, status


@pytest.mark.parametrize("kind", ["github", "gitea"])
@pytest.mark.parametrize(
    ("status_code", "headers", "sentence"),
    [
        (404, {}, f"knows no branch dev in {REPOSITORY}"),
        (401, {}, f"does not accept the token for {REPOSITORY} (HTTP 401)"),
        (403, {}, f"does not accept the token for {REPOSITORY} (HTTP 403)"),
        (403, {"X_RateLimit_Remaining": 0}, "was asked too often"),
        (429, {}, "was asked too often"),
        (418, {}, "answers HTTP 418"),
        (500, {}, "answers HTTP 500"),
    ],
)
def test_refusals_are_told_by_what_to_do(
    forge: Forge, kind: str, status_code: int, headers: dict[str, Any], sentence: str
) -> None:
    for root in (ROOT, GITEA):
        forge.on(f"{root}/branches/dev", says({"message": TOKEN.reveal()}, status_code, **headers))
    row = ask(forge, kind)
    assert (row.level, sentence in row.sentence) == (UNKNOWN, True), row
    assert len(forge.asked) == (3 if status_code == 500 else 1)
    if status_code in (401, 403, 404, 429):
        assert "CI_TOKEN" in row.hint


def test_without_a_token_none_is_sent_and_one_is_asked_for(forge: Forge) -> None:
    forge.on(f"{ROOT}/branches/dev", says({}, 401))
    row = ask(forge, token=None, token_variable="FORGE_TOKEN")
    assert "wants a token" in row.sentence and "FORGE_TOKEN" in row.hint
    assert forge.tokens == set()


def test_a_forge_in_trouble_is_asked_again(forge: Forge) -> None:
    forges.github(forge, [], [run("build")])
    trouble = [says(b"<html>502</html>", 502), says(b"", 503)]
    forge.on(f"{ROOT}/branches/dev", *trouble, *forge.answers[f"{ROOT}/branches/dev"])
    assert ask(forge).level == OK


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (says(b"<html><title>Sign in</title>"), "it is no JSON"),
        (says(b""), "it is empty"),
        (says(b'{"commit": {"sha": "1a2b'), "it is cut off or damaged"),
        (says([]), "commit was expected in a mapping"),
        (says({"commit": HEAD}), "commit is not a mapping"),
        (says({"commit": {"sha": 7}}), "sha is not a text"),
        (says({"commit": {}}), "sha is missing"),
        (says({"commit": {"sha": "HEAD"}}), "the commit is no 40 or 64 hexadecimal digits"),
        (says(b"[" * 100_000), "it is "),
        (says({"commit": {"sha": HEAD}}, Content_Length=9999), "answers less than it announces"),
        (says(b" " * (4 << 20) + b"{}"), "answers more than 4 MiB"),
        (forges.endless, "answers more than 4 MiB"),
        (forges.hangs_up, "hangs up without an answer"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n"), "answers what is no HTTP"),
        (says({}, 302, Location="/repos"), "knows no branch dev"),
        (says({}, 301, Location=f"{ROOT}/branches/dev"), "redirects in a circle"),
        (says({}, 302, Location="ftp://127.0.0.1/x"), "redirects to ftp://127.0.0.1, where nothing is sent"),
        (says({}, 302, Location="http://[bad"), "redirects to what is no address"),
        (says({}, 302), "redirects in a circle"),
    ],
)  # fmt: skip
def test_nonsense_is_unknown_in_one_sentence(forge: Forge, answer: forges.Behaviour, sentence: str) -> None:
    forge.on(f"{ROOT}/branches/dev", answer)
    row = ask(forge, timeout=5)
    assert (row.level, sentence in row.sentence) == (UNKNOWN, True), row


@pytest.mark.parametrize(
    "wrong", [{"statuses": 7}, {"statuses": [7]}, {"statuses": [{"context": "a"}]}, {"total_count": "1"}, 7]
)
def test_statuses_of_the_wrong_types_are_unknown(forge: Forge, wrong: Any) -> None:
    forges.github(forge, [], [run("build")])
    forges.gitea(forge, says(wrong))
    forge.on(f"{ROOT}/commits/{HEAD}/status", says(wrong))
    for kind in ("github", "gitea"):
        row = ask(forge, kind)
        assert (row.level, "makes no sense" in row.sentence) == (UNKNOWN, True), row


def test_a_repository_that_was_renamed_is_followed_on_the_same_host(forge: Forge) -> None:
    forges.github(forge, [], [run("build")])
    forge.on("/repositories/1/branches/dev", *forge.answers[f"{ROOT}/branches/dev"])
    forge.on(f"{ROOT}/branches/dev", says({}, 301, Location=f"{forge.address}/repositories/1/branches/dev"))
    assert ask(forge).level == OK


def test_the_token_does_not_go_to_another_host(forge: Forge) -> None:
    with forges.forge() as elsewhere:
        forges.github(elsewhere, [], [run("build")])
        forge.on(f"{ROOT}/branches/dev", says({}, 302, Location=f"{elsewhere.address}{ROOT}/branches/dev"))
        row = ask(forge)
    assert (row.level, "redirects to http://127.0.0.1" in row.sentence) == (UNKNOWN, True)
    assert forge.tokens == {f"Bearer {TOKEN.reveal()}"}
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    "location",
    [
        "http://git.lan/x",  # what was safe on its way would be in the clear
        "http://git.lan:443/x",
        "https://git.lan:8443/x",
        "https://git.lan.elsewhere/x",
        "https://git.lan@elsewhere/x",
        "//elsewhere/x",
    ],
)
def test_a_redirect_to_another_scheme_host_or_port_is_not_followed(location: str) -> None:
    assert http._same_origin("https://git.lan/api", "https://git.lan:443/x") == "https://git.lan:443/x"
    with pytest.raises(http.NoAnswer, match="where nothing is sent"):
        http._same_origin("https://git.lan/api", location)


def test_who_never_comes_to_an_end_is_left(forge: Forge) -> None:
    """Silence, a head and a body that drip, and pages that are each just in time."""
    head = b"HTTP/1.0 200 OK\r\n"
    peers: dict[str, forges.Behaviour] = {
        "never": forges.never,
        "status line": forges.drips(b"HTTP/1.0 2"),
        "head": forges.drips(head, b"X-A: b\r\n"),
        "continue": forges.drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "body": forges.drips(head + b"\r\n{"),
        "chunks": forges.drips(head.replace(b"1.0", b"1.1") + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
    }
    for branch, peer in peers.items():
        forge.on(f"{GITEA}/branches/{branch.replace(' ', '%20')}", peer)
    counted = iter(range(100_000))

    def late(handler: forges.Handler) -> None:
        forge.over.wait(0.6)
        says({"statuses": [gitea_status(f"ci/{next(counted)}")]})(handler)

    forges.gitea(forge, late)
    with ThreadPoolExecutor(len(peers) + 1) as pool:
        rows = list(pool.map(lambda branch: ask(forge, "gitea", branch=branch, timeout=1), [*peers, "dev"]))
    assert {row.level for row in rows} == {UNKNOWN}
    assert [row.sentence.partition(" ")[2] for row in rows] == [
        *["did not answer within 1 s"] * len(peers), "did not come to an end within 4 s"
    ]  # fmt: skip
    # Nothing goes on reading what drips: the connections were hung up, while the peers would go on.
    asking = [thread for thread in threading.enumerate() if thread.name.startswith(f"GET {forge.address}")]
    for thread in asking:
        thread.join(10)
    assert [thread.name for thread in asking if thread.is_alive()] == []


def test_an_address_where_nobody_is(forge: Forge) -> None:
    with forges.forge() as gone:
        pass
    row = ask(gone)
    assert (row.level, "cannot be reached: Connection refused" in row.sentence) == (UNKNOWN, True)
    row = ask(dataclasses.replace(gone, address="http://forge.invalid"))
    assert (row.level, row.sentence) == (UNKNOWN, "forge.invalid has a name that is not known here")


def test_a_token_that_could_add_a_header_is_not_sent(forge: Forge) -> None:
    row = ask(forge, token=Secret("abcdefgh\r\nX-Other: 1"))
    assert (row.level, "CI_TOKEN has blanks" in row.sentence, forge.asked) == (UNKNOWN, True, [])
    assert "abcdefgh" not in repr(row)


def test_a_forge_that_repeats_the_token_does_not_bring_it_to_the_screen(forge: Forge) -> None:
    forges.github(forge, [status(f"said {TOKEN.reveal()}", "failure")], [])
    assert 'failed: "said •••"' in ask(forge).sentence
    forges.github(forge, [status("x" * 40 + TOKEN.reveal(), "failure")], [])
    assert TOKEN.reveal()[:6] not in ask(forge).sentence
    row = by_command("sh", "-c", f"echo {'x' * 190}{TOKEN.reveal()}; exit 1")
    assert TOKEN.reveal()[:6] not in row.sentence
