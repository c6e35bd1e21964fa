"""One mail through a mail server."""

from __future__ import annotations

import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.schedule import Mail
from gpu_runbook.server.schedule.notify.errors import REFUSED, TRIES, UNREAD, Undelivered, tries, why
from gpu_runbook.server.schedule.notify.message import Message

SAID = 200  # characters of what a mail server says


def letter(mail: Mail, message: Message) -> bytes:
    """An alert as a mail."""
    made = EmailMessage()
    made["Subject"] = message.title
    made["From"] = mail.sender
    made["To"] = ", ".join(mail.recipients)
    made["Date"] = formatdate()
    made["Message-ID"] = make_msgid(domain=socket.gethostname())
    made["Auto-Submitted"] = "auto-generated"  # so that nobody's holiday note answers
    made.set_content(message.text + "\n")
    return made.as_bytes(policy=made.policy.clone(linesep="\r\n"))


def plain_letter(mail: Mail, sentence: str) -> bytes:
    """A sentence of plain ASCII as a mail, written by hand."""
    head = {"Subject": sentence, "From": mail.sender, "To": ", ".join(mail.recipients), "Date": formatdate()}
    lines = [*(f"{name}: {value}" for name, value in head.items()), "Auto-Submitted: auto-generated", "", sentence, ""]
    return "\r\n".join(lines).encode()


def send(mail: Mail, data: bytes, seconds: float) -> str:
    """Send a mail to all recipients; what became of it as a sentence. Raises Undelivered when nobody gets it."""
    place = f"{mail.host}:{mail.port}"
    try:
        with _connected(mail, seconds) as server:
            if mail.security == "starttls":
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
            if mail.user:
                server.login(mail.user, mail.password)
            refused = server.sendmail(mail.sender, mail.recipients, data)
    except smtplib.SMTPRecipientsRefused as error:
        said = f"{place} takes mail for none of the recipients: {_first(error.recipients)}"
        raise Undelivered(said, UNREAD) from None
    except smtplib.SMTPAuthenticationError as error:
        said = f"{place} refused the login of {mail.user}: {_said(error.smtp_code, error.smtp_error)}"
        raise Undelivered(said, UNREAD) from None
    except (smtplib.SMTPConnectError, smtplib.SMTPHeloError) as error:
        raise Undelivered(f"{place} said no: {_said(error.smtp_code, error.smtp_error)}", UNREAD) from None
    except smtplib.SMTPResponseException as error:
        said = f"{place} said no: {_said(error.smtp_code, error.smtp_error)}"
        raise Undelivered(said, REFUSED if error.smtp_code >= 500 else TRIES) from None
    except smtplib.SMTPNotSupportedError as error:
        raise Undelivered(f"{place} cannot do what hosts.yaml asks for: {error}", UNREAD) from None
    except smtplib.SMTPException as error:  # smtplib makes one of them of a line that fails or falls silent
        cause = error.__context__
        said = why(cause, seconds) if isinstance(cause, OSError) else f"broke off ({type(error).__name__})"
        raise Undelivered(f"{place} {said}", tries(cause)) from None
    except (OSError, ValueError) as error:
        raise Undelivered(f"{place} {why(error, seconds)}", tries(error)) from None
    if refused:
        return f"{place} has taken it, but not for {', '.join(refused)}: {_first(refused)}"
    return f"{place} has taken it"


def _connected(mail: Mail, seconds: float) -> smtplib.SMTP:
    own_name = socket.gethostname()  # else the resolver is asked for a better one, and nothing bounds that
    if mail.security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(mail.host, mail.port, own_name, timeout=seconds, context=context)
    return smtplib.SMTP(mail.host, mail.port, own_name, timeout=seconds)


def _first(refused: Any) -> str:
    (code, text), *_ = refused.values()
    return _said(code, text)


def _said(code: int, text: Any) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return f"{code} {quoted(words, SAID)}"
