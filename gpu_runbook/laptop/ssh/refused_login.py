"""What is said when nobody could be logged in: who has not accepted what, and what helps."""

from __future__ import annotations

from pathlib import Path

from gpu_runbook.laptop.errors import CannotConnect
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.values import dataclass

NAME_ONE = "name one as key: in hosts.yaml or with fab -i, or start an agent and ssh-add one"


@dataclass(frozen=True)
class Attempted:
    """What became of one login of a user at a server.

    `tried` are keys, and the password, as a person calls them; `unsigned` are keys that the server takes, each with why
    its agent has not signed; `accepted` is one after which the server wants something more. `takes` are the ways to log
    in that the server has named. `locked` are keys without their passphrase, `skipped` says why others were not
    offered; `empty` is an agent without keys. `connected` is whether the server has not hung up.
    """

    server: str
    user: str
    tried: tuple[str, ...] = ()
    unsigned: tuple[str, ...] = ()
    accepted: str = ""
    takes: tuple[str, ...] = ()
    locked: tuple[Path, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    empty: Path | None = None
    password: bool = False
    connected: bool = True

    @property
    def unlock(self) -> str:
        return f"ssh-add {' '.join(map(str, self.locked))}, or fab --prompt-for-passphrase"

    @property
    def others(self) -> str:
        """What else there would have been."""
        return "".join(f"; {why}" for why, _ in self.skipped)


def explained(login: Attempted) -> CannotConnect:
    """The error for it: the nearest to being accepted comes first."""
    if login.accepted:
        return _second_factor(login)
    if login.unsigned:
        return CannotConnect(
            f"{login.server} would let {login.user} in with {'; with '.join(login.unsigned)}",
            "unlock the agent, confirm what it asks, or touch the key, and run it again; ssh-add -T KEY.pub tries "
            "whether it signs",
        )
    if login.locked and not login.tried:
        return CannotConnect(
            f"{login.server}: the key {', '.join(map(str, login.locked))} is encrypted and no passphrase was given"
            f"{login.others}",
            login.unlock,
        )
    if login.takes and "publickey" not in login.takes:
        return _takes_no_keys(login)
    if not login.tried:
        empty = f"; the agent {login.empty} holds none" if login.empty else ""
        return CannotConnect(
            f"{login.server}: there is no key to log in with as {login.user}{login.others}{empty}",
            next((remedy for _, remedy in login.skipped if remedy), NAME_ONE),
        )
    return _not_accepted(login)


def _not_accepted(login: Attempted) -> CannotConnect:
    encrypted = f"; {', '.join(map(str, login.locked))} is encrypted ({login.unlock})" if login.locked else ""
    tried = f"tried {', '.join(login.tried)}{encrypted}{login.others}"
    if not login.connected:
        count = f"{len(login.tried)} keys" if len(login.tried) > 1 else "1 key"
        return CannotConnect(
            f"{login.server} hung up on {login.user} after {count}: {tried}",
            "its sshd's MaxAuthTries: name the right one as key: in hosts.yaml, or with IdentityFile and "
            "IdentitiesOnly in ssh_config; else the log of its sshd says why",
        )
    hint = f"put the public key into ~{login.user}/.ssh/authorized_keys on the server, or name another with fab -i"
    return CannotConnect(
        f"{login.server} did not accept {login.user}: {tried}",
        "is the password right?" if login.tried == ("the password",) else hint,
    )


def _second_factor(login: Attempted) -> CannotConnect:
    """The key, or the password, was right, and the server asks for something more."""
    wanted = quoted(" or ".join(login.takes))
    by_word = {"password", "keyboard-interactive"} & set(login.takes)
    alone = (
        f"a code cannot be typed here: let {login.user} in with a key alone, by AuthenticationMethods in a Match User "
        "of the server's sshd_config"
    )
    wrong, hint = "", alone
    if by_word and login.password:
        wrong = "; the password that was typed is not what it wants"
    elif "password" in login.takes:
        hint = "fab --prompt-for-login-password"
    elif by_word:
        hint = f"if it is the password: fab --prompt-for-login-password; {alone}"
    return CannotConnect(
        f"{login.server} accepted {login.accepted} of {login.user} and wants a second factor: {wanted}{wrong}", hint
    )


def _takes_no_keys(login: Attempted) -> CannotConnect:
    tried = f"; tried {', '.join(login.tried)}" if login.tried else ""
    if "password" in login.takes and not login.password:
        hint = "fab --prompt-for-login-password; or PubkeyAuthentication yes in its sshd_config"
    else:
        hint = f"let {login.user} in with a key: PubkeyAuthentication yes in its sshd_config"
    return CannotConnect(
        f"{login.server} takes no keys of {login.user}, it takes {quoted(', '.join(login.takes))}{tried}", hint
    )
