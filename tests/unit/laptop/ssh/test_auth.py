"""One key's login, message by message: what is sent when, what is signed, and what ends the waiting."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from paramiko import AuthenticationException, BadAuthenticationType, Message, PKey, RSAKey, SSHException
from paramiko.common import MSG_SERVICE_ACCEPT, MSG_SERVICE_REQUEST, MSG_USERAUTH_PK_OK, MSG_USERAUTH_REQUEST
from paramiko.ssh_exception import PartialAuthentication

from gpu_runbook.laptop.errors import CannotConnect
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.ssh.agent import AgentFailure, AgentKey
from gpu_runbook.laptop.ssh.auth import SILENT, KeyLogin, Login
from gpu_runbook.laptop.ssh.config import Hop
from gpu_runbook.laptop.ssh.identities import Credentials, Identities, Offer
from gpu_runbook.laptop.ssh.key_ring import KeyRing
from tests.unit.laptop.ssh.keys import ed25519

KEY = ed25519()
RSA = RSAKey(key=rsa.generate_private_key(65537, 2048))


class Server:
    """A transport whose server answers each message in the way that is named for it, at once; or not at all."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.sent: list[str] = []
        self.active = True
        self.auth_timeout = 0.3
        self.auth_handler: Any = None
        self.session_id = b"a session"
        self.lock = threading.Lock()
        self.preferred_pubkeys = ("ssh-ed25519", "rsa-sha2-512")
        self.server_extensions: dict[str, bytes] = {}
        self._agreed_pubkey_algorithm = ""
        self._said: list[Exception] = []

    def _log(self, *said: object) -> None: ...

    def is_active(self) -> bool:
        return self.active

    def get_exception(self) -> Exception | None:
        return self._said.pop() if self._said else None

    def _send_message(self, message: Message) -> None:
        fields = Message(message.asbytes())
        kind = fields.get_byte()[0]
        what = "service" if kind == MSG_SERVICE_REQUEST else "login"
        if kind == MSG_USERAUTH_REQUEST:
            for _ in ("the user", "the service", "publickey"):
                fields.get_text()
            what = "login" if fields.get_boolean() else "question"
        self.sent.append(what)
        getattr(self, f"_{self.answers.get(what, 'nothing')}")()

    def _nothing(self) -> None: ...

    def _granted(self) -> None:
        self.auth_handler._client_handler_table[MSG_SERVICE_ACCEPT](Message())

    def _wanted(self) -> None:
        self.auth_handler._client_handler_table[MSG_USERAUTH_PK_OK](Message())

    def _welcome(self) -> None:
        self.auth_handler.authenticated = True
        self.auth_handler.auth_event.set()

    def _refused(self) -> None:
        self.auth_handler.auth_event.set()

    def _other(self) -> None:
        self._said.append(BadAuthenticationType("", ["password", "gssapi-with-mic"]))
        self.auth_handler.auth_event.set()

    def _one_more_key(self) -> None:
        self._said.append(PartialAuthentication(["publickey"]))
        self.auth_handler.auth_event.set()

    def _code(self) -> None:
        self._said.append(PartialAuthentication(["keyboard-interactive"]))
        self.auth_handler.auth_event.set()

    def _gone(self) -> None:
        self.active = False


class Agent:
    """Signs with a key, or does not."""

    def __init__(self, failure: str = "") -> None:
        self.signed = 0
        self._failure = failure

    def sign(self, blob: bytes, data: bytes, flags: int) -> bytes:
        self.signed += 1
        if self._failure:
            raise AgentFailure(self._failure)
        return b"a signature"


def log_in(server: Server, key: PKey) -> list[str]:
    transport: Any = server
    return KeyLogin(transport, "me", Offer("a key", key)).log_in()


def of_agent(agent: Any = None) -> AgentKey:
    held: Any = agent or Agent()
    return AgentKey(held, KEY.asbytes(), "mine")


def test_a_key_of_a_file_logs_in_at_once_without_waiting_for_the_service() -> None:
    server = Server(login="welcome")
    assert log_in(server, KEY) == []
    assert server.sent == ["service", "login"]


def test_an_rsa_key_waits_for_what_the_server_says_of_its_signatures() -> None:
    server = Server(service="granted", login="welcome")
    assert log_in(server, RSA) == []
    assert server.sent == ["service", "login"]
    deaf = Server()
    with pytest.raises(SSHException, match=SILENT):
        log_in(deaf, RSA)
    assert deaf.sent == ["service"]


def test_an_agent_signs_once_the_server_wants_its_key() -> None:
    agent = Agent()
    server = Server(question="wanted", login="welcome")
    assert log_in(server, of_agent(agent)) == []
    assert (server.sent, agent.signed) == (["service", "question", "login"], 1)


def test_an_agent_is_not_asked_to_sign_for_a_server_that_does_not_want_its_key() -> None:
    agent = Agent()
    server = Server(question="refused")
    with pytest.raises(AuthenticationException, match="Authentication failed"):
        log_in(server, of_agent(agent))
    assert (server.sent, agent.signed) == (["service", "question"], 0)


@pytest.mark.parametrize(("answer", "said"), [("nothing", SILENT), ("gone", "the connection has ended")])
def test_a_server_that_does_not_answer_the_question_is_not_waited_for_without_end(answer: str, said: str) -> None:
    with pytest.raises(SSHException, match=said):
        log_in(Server(question=answer), of_agent())


def test_a_signature_that_fails_sends_nothing() -> None:
    server = Server(question="wanted")
    with pytest.raises(AgentFailure, match="the agent refused"):
        log_in(server, of_agent(Agent("the agent refused")))
    assert server.sent == ["service", "question"]


class Offered(Identities):
    """What is offered is given."""

    def __init__(self, *keys: PKey) -> None:
        super().__init__(Credentials(KeyRing()), Hop("gpu-1", 22, "me"))
        self.keys = keys
        self.closed = False

    def offers(self) -> Any:
        return (Offer(f"key {number}", key) for number, key in enumerate(self.keys))

    def close(self) -> None:
        self.closed = True


def refusal(server: Any, identities: Identities, password: str = "") -> CannotConnect:
    credentials = Credentials(KeyRing(), password=Secret(password) if password else None)
    login = Login("gpu-1", "me", identities, credentials, 3)
    with pytest.raises(CannotConnect) as raised:
        login.authenticate(server)
    return raised.value


def test_silence_is_told_as_that_and_ends_the_login() -> None:
    server = Server()
    keys = Offered(KEY, ed25519())
    assert refusal(server, keys).message == "gpu-1: the login was not answered within 3 s"
    assert (server.sent, keys.closed) == (["service", "login"], True)


def test_a_server_that_hangs_up_is_offered_no_more() -> None:
    server = Server(login="gone")
    assert (
        refusal(server, Offered(KEY, ed25519()), "swordfish").message == "gpu-1 hung up on me after 1 key: tried key 0"
    )


def test_a_key_that_is_not_signed_with_is_none_of_those_that_were_tried() -> None:
    server = Server(question="wanted", login="refused")
    keys = Offered(of_agent(Agent("the agent refused to sign")), KEY)
    assert refusal(server, keys).message == "gpu-1 would let me in with key 0, and the agent refused to sign"
    assert server.sent == ["service", "question", "service", "login"]


def test_a_server_that_takes_no_keys_is_offered_no_more_and_told_with_what_it_takes() -> None:
    server = Server(login="other")
    error = refusal(server, Offered(KEY, ed25519()))
    assert error.message == 'gpu-1 takes no keys of me, it takes "password, gssapi-with-mic"; tried key 0'
    assert server.sent == ["service", "login"]


@pytest.mark.parametrize(
    ("answer", "accepted", "wants", "logins"),
    [("one_more_key", "key 1", "publickey", 2), ("code", "key 0", "keyboard-interactive", 1)],
)
def test_after_a_key_that_is_accepted_the_next_is_offered_where_one_more_is_wanted(
    answer: str, accepted: str, wants: str, logins: int
) -> None:
    server = Server(login=answer)
    error = refusal(server, Offered(KEY, ed25519()))
    assert error.message == f'gpu-1 accepted {accepted} of me and wants a second factor: "{wants}"'
    assert server.sent.count("login") == logins


def test_a_password_that_is_accepted_first_is_told_as_that() -> None:
    server = SimpleNamespace(is_active=lambda: True, auth_password=lambda user, password: ["keyboard-interactive"])
    error = refusal(server, Offered(), "swordfish")
    assert error.message.startswith("gpu-1 accepted the password of me and wants a second factor")


def test_of_a_password_silence_is_told_too() -> None:
    def silent(user: str, password: str) -> None:
        raise AuthenticationException(SILENT)

    server = SimpleNamespace(is_active=lambda: True, auth_password=silent)
    assert "not answered within" in refusal(server, Offered(), "swordfish").message
