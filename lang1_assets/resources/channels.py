"""The ways to a person: a Slack webhook and e-mail. What is down keeps nothing from the others and fails nobody.

Addresses and passwords are read when they are used, from the environment or from files that it names (`NAME_FILE`), and are
neither kept nor logged. Dagster's own e-mail sensor and dagster-slack were looked at: the first takes its password when the
definitions are loaded, sends the error's text and fails with the mail server; the second wants a bot's token, not a webhook.
"""

from __future__ import annotations

import os
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path

import orjson

SLACK, MAIL = "Slack", "e-mail"
WEBHOOK_VARIABLE = "LANG1_SLACK_WEBHOOK"
PASSWORD_VARIABLE = "LANG1_SMTP_PASSWORD"
TIMEOUT_SECONDS = 5.0
MAX_TEXT_CHARACTERS = 2_000
PORTS = {"starttls": 587, "ssl": 465, "none": 25}


class SettingError(ValueError):
    """A variable is missing or not what it should be; its text names the variable and never a value."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What a person is told: names, numbers and where to look; never what a note, a job or an exception says."""

    subject: str
    lines: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)[:MAX_TEXT_CHARACTERS]


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """Where mail is handed in, as `LANG1_SMTP_*` and `LANG1_MAIL_*` say."""

    host: str
    port: int
    security: str
    """`starttls`, `ssl`, or `none` for a relay on a network of one's own; it is never changed for less."""
    sender: str
    recipients: tuple[str, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    """Certificates of the hospital's own authority; default: those of the system."""

    def send(self, notice: Notice) -> None:
        """Hand it in.

        Raises:
            OSError: the server cannot be reached, has no certificate that is trusted, or refuses (`smtplib.SMTPException`).
        """
        with self._connect() as client:
            if self.user is not None and self.password is not None:
                client.login(self.user, self.password)
            refused = client.send_message(self._message(notice), self.sender, list(self.recipients))
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)

    def _connect(self) -> smtplib.SMTP:
        if self.security == "none":
            return smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.security == "ssl":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_SECONDS, context=context)
        client = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
        try:
            client.starttls(context=context)
        except BaseException:
            client.close()
            raise
        return client

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = one_line(f"[Lang1] {notice.subject}")
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        # Without a domain, the name of this machine would be looked up, which can take long.
        message["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2] or "lang1")
        # So that no vacation notice answers.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notice.text)
        return message


def deliver(notice: Notice, say: Callable[[str], None]) -> list[str]:
    """Hand a notice to every channel that is set up.

    Args:
        say: told of a channel that did not take it, and which variables to look at.

    Returns:
        The channels that took it.
    """
    taken = []
    for name, (send, variables) in {
        SLACK: (to_slack, WEBHOOK_VARIABLE),
        MAIL: (to_mail, "LANG1_SMTP_* and LANG1_MAIL_*"),
    }.items():
        try:
            if send(notice):
                taken.append(name)
        except Exception as error:
            # A month of training does not end because Slack is down. The error's own words may hold an address or a password.
            say(f"the alert did not reach {name} ({reason(error)}); check {variables}")
    return taken


def to_slack(notice: Notice) -> bool:
    """Post to the webhook; False where there is none."""
    webhook = secret(WEBHOOK_VARIABLE)
    if webhook is None:
        return False
    text = f":warning: *{escaped(one_line(notice.subject))}*\n{escaped(notice.text)}"
    body = orjson.dumps({"text": text[:MAX_TEXT_CHARACTERS]})
    request = urllib.request.Request(webhook, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
        return True


def to_mail(notice: Notice) -> bool:
    """Hand it to the mail server; False where there is none."""
    server = mail_server()
    if server is None:
        return False
    server.send(notice)
    return True


def mail_server() -> MailServer | None:
    """What the environment says; None without `LANG1_SMTP_HOST`.

    Raises:
        SettingError: a variable is missing or wrong.
    """
    host = os.environ.get("LANG1_SMTP_HOST")
    if not host:
        return None
    security = os.environ.get("LANG1_SMTP_SECURITY", "starttls")
    if security not in PORTS:
        raise SettingError(f"LANG1_SMTP_SECURITY: expected one of {', '.join(PORTS)}")
    port = os.environ.get("LANG1_SMTP_PORT", str(PORTS[security]))
    if not port.isdigit():
        raise SettingError("LANG1_SMTP_PORT: expected a number")
    user, password = os.environ.get("LANG1_SMTP_USER") or None, secret(PASSWORD_VARIABLE)
    if (user is None) != (password is None):
        raise SettingError(
            f"LANG1_SMTP_USER and {PASSWORD_VARIABLE} (or {PASSWORD_VARIABLE}_FILE): expected both or neither"
        )
    if user is not None and security == "none":
        raise SettingError("LANG1_SMTP_SECURITY: a password is not sent in clear; expected starttls or ssl")
    return MailServer(
        host=host,
        port=int(port),
        security=security,
        sender=required("LANG1_MAIL_FROM"),
        recipients=tuple(filter(None, (part.strip() for part in required("LANG1_MAIL_TO").split(",")))),
        user=user,
        password=password,
        ca_file=os.environ.get("LANG1_SMTP_CA_FILE") or None,
    )


def secret(name: str) -> str | None:
    """A value from the environment, or from the file that `NAME_FILE` names; None where neither is set.

    Raises:
        SettingError: the file cannot be read.
    """
    file = os.environ.get(f"{name}_FILE")
    if not file:
        return os.environ.get(name) or None
    try:
        return Path(file).read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        raise SettingError(f"{name}_FILE: the file cannot be read") from None


def required(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise SettingError(f"{name}: expected an address")
    return value


def reason(error: BaseException) -> str:
    """What can be said of a failure without its words."""
    if isinstance(error, SettingError):
        return str(error)
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__} {error.smtp_code}"
    inner = getattr(error, "reason", None)
    return type(inner if isinstance(inner, BaseException) else error).__name__


def one_line(text: str) -> str:
    """A header ends at a line break."""
    return " ".join(text.split())


def escaped(text: str) -> str:
    """Slack's control characters: a partition named `<!channel>` calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
