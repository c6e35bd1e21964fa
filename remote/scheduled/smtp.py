"""One mail through a mail server."""

from __future__ import annotations

import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from remote.scheduled.message import Message
from remote.scheduled.settings import Mail
from remote.scheduled.untaken import Untaken, why

SAID = 200  # characters of what a mail server says


def send(mail: Mail, message: Message, seconds: float) -> str:
    """Send an alert to all recipients; what became of it as a sentence. Raises Untaken when nobody gets it."""
    place = f"{mail.host}:{mail.port}"
    try:
        with _connected(mail, seconds) as server:
            if mail.security == "starttls":
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
            if mail.user:
                server.login(mail.user, mail.password)
            refused = server.send_message(_composed(mail, message))
    except smtplib.SMTPRecipientsRefused as error:
        raise Untaken(f"{place} takes mail for none of the recipients: {_first(error.recipients)}") from None
    except smtplib.SMTPAuthenticationError as error:
        raise Untaken(f"{place} refused the login of {mail.user}: {_said(error.smtp_code, error.smtp_error)}") from None
    except smtplib.SMTPResponseException as error:
        raise Untaken(f"{place} said no: {_said(error.smtp_code, error.smtp_error)}") from None
    except smtplib.SMTPNotSupportedError as error:
        raise Untaken(f"{place} cannot do what hosts.yaml asks for: {error}") from None
    except smtplib.SMTPException as error:  # smtplib makes one of them of a line that fails or falls silent
        cause = error.__context__
        said = why(cause, seconds) if isinstance(cause, OSError) else f"broke off ({type(error).__name__})"
        raise Untaken(f"{place} {said}") from None
    except (OSError, ValueError) as error:
        raise Untaken(f"{place} {why(error, seconds)}") from None
    if refused:
        return f"{place} has taken it, but not for {', '.join(refused)}: {_first(refused)}"
    return f"{place} has taken it"


def _connected(mail: Mail, seconds: float) -> smtplib.SMTP:
    own_name = socket.gethostname()  # else the resolver is asked for a better one, and nothing bounds that
    if mail.security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(mail.host, mail.port, own_name, timeout=seconds, context=context)
    return smtplib.SMTP(mail.host, mail.port, own_name, timeout=seconds)


def _composed(mail: Mail, message: Message) -> EmailMessage:
    letter = EmailMessage()
    letter["Subject"] = message.title
    letter["From"] = mail.sender
    letter["To"] = ", ".join(mail.recipients)
    letter["Date"] = formatdate()
    letter["Message-ID"] = make_msgid(domain=socket.gethostname())
    letter["Auto-Submitted"] = "auto-generated"  # so that nobody's holiday note answers
    letter.set_content(message.text + "\n")
    return letter


def _first(refused: Any) -> str:
    (code, text), *_ = refused.values()
    return _said(code, text)


def _said(code: int, text: Any) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return f"{code} {' '.join(words.split())}"[:SAID]
