"""Slack and e-mail against real servers on this machine: TLS, passwords, refusals, servers that are down or silent."""

import datetime
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lang1_assets.resources import channels
from lang1_assets.resources.channels import (
    MAIL,
    PASSWORD_VARIABLE,
    SLACK,
    WEBHOOK_VARIABLE,
    Notice,
    deliver,
    mail_server,
)
from lang1_assets.resources.launcher.processes import free_port
from tests.slack_webhook import Slack, forget_channels, running_webhook

NOTICE = Notice(subject="run failed: finetuned_joint lang1-tiny", lines=("Profile tiny", "finetuned_joint: ValueError"))
PASSWORD = "kept-by-nobody"


@pytest.fixture(autouse=True)
def no_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_channels(monkeypatch)


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    with running_webhook(monkeypatch) as slack:
        yield slack


class Mailbox:
    """What a mail server was handed, and whom it refuses."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.logins: list[tuple[str, bool]] = []
        self.refused: tuple[str, ...] = ()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        message = message_from_bytes(envelope.content)
        message["X-Recipients"] = ", ".join(envelope.rcpt_tos)
        message["X-TLS"] = str(server.transport.get_extra_info("ssl_object") is not None)
        self.messages.append(message)
        return "250 OK"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        right = data.password == PASSWORD.encode()
        self.logins.append((data.login.decode(), right))
        return AuthResult(success=right, handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, signed by itself: as a hospital's own authority, nobody knows it who is not told."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "mail.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def serve(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start a mail server and point the environment at it."""
    started: list[Controller] = []

    def start(security: str, *, with_login: bool = False, offers_tls: bool = True) -> Mailbox:
        mailbox = Mailbox()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        options: dict[str, Any] = {"authenticator": mailbox.authenticate, "auth_required": True} if with_login else {}
        if security == "ssl":
            # Without it, aiosmtpd wants STARTTLS before a password, inside the TLS that there is already.
            options |= {"ssl_context": context, "auth_require_tls": False}
        elif security == "starttls" and offers_tls:
            options |= {"tls_context": context, "require_starttls": True}
        controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        started.append(controller)
        for name, value in {
            "LANG1_SMTP_HOST": "127.0.0.1",
            "LANG1_SMTP_PORT": str(controller.port),
            "LANG1_SMTP_SECURITY": security,
            "LANG1_SMTP_CA_FILE": str(certificate),
            "LANG1_MAIL_FROM": "lang1@hospital.test",
            "LANG1_MAIL_TO": "ward@hospital.test, night@hospital.test",
        }.items():
            monkeypatch.setenv(name, value)
        return mailbox

    yield start
    for controller in started:
        controller.stop()


def sent(notice: Notice = NOTICE) -> tuple[list[str], str]:
    said: list[str] = []
    return deliver(notice, said.append), "\n".join(said)


@pytest.mark.parametrize(("security", "is_secret"), [("starttls", True), ("ssl", True), ("none", False)])
def test_a_message_arrives(serve: Any, security: str, is_secret: bool) -> None:
    mailbox = serve(security)
    assert sent() == ([MAIL], "")
    (message,) = mailbox.messages
    assert message["Subject"] == "[Lang1] run failed: finetuned_joint lang1-tiny"
    assert message["From"] == "lang1@hospital.test"
    assert message["X-Recipients"] == "ward@hospital.test, night@hospital.test"
    assert message.get_payload().split() == ["Profile", "tiny", "finetuned_joint:", "ValueError"]
    assert message["X-TLS"] == str(is_secret)


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_a_password_from_a_file_is_what_the_server_is_given(
    serve: Any, security: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mailbox = serve(security, with_login=True)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("LANG1_SMTP_USER", "lang1")
    monkeypatch.setenv(f"{PASSWORD_VARIABLE}_FILE", str(tmp_path / "password"))
    assert sent() == ([MAIL], "")
    assert mailbox.logins == [("lang1", True)]
    assert len(mailbox.messages) == 1
    server = mail_server()
    assert server is not None
    assert PASSWORD not in repr(server)


def test_a_wrong_password_is_said_without_it(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = serve("starttls", with_login=True)
    monkeypatch.setenv("LANG1_SMTP_USER", "lang1")
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong-word")
    taken, said = sent()
    assert taken == []
    assert said == ("the alert did not reach e-mail (SMTPAuthenticationError 535); check LANG1_SMTP_* and LANG1_MAIL_*")
    assert mailbox.messages == []


def test_a_server_without_tls_is_given_nothing(serve: Any) -> None:
    mailbox = serve("starttls", offers_tls=False)
    assert sent()[1].startswith("the alert did not reach e-mail (SMTPNotSupportedError)")
    assert mailbox.messages == []


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_a_certificate_of_nobody_known_is_given_nothing(
    serve: Any, security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox = serve(security)
    monkeypatch.delenv("LANG1_SMTP_CA_FILE")
    assert sent()[1].startswith("the alert did not reach e-mail (SSLCertVerificationError)")
    assert mailbox.messages == []


def test_one_of_two_readers_who_is_refused_is_said(serve: Any) -> None:
    mailbox = serve("none")
    mailbox.refused = ("night@hospital.test",)
    taken, said = sent()
    assert said.startswith("the alert did not reach e-mail (SMTPRecipientsRefused)")
    assert taken == []
    assert [message["X-Recipients"] for message in mailbox.messages] == ["ward@hospital.test"]


def test_a_dead_slack_keeps_no_mail_back(serve: Any, slack: Slack) -> None:
    mailbox = serve("none")
    slack.status = 500
    taken, said = sent()
    assert taken == [MAIL]
    assert said == f"the alert did not reach Slack (HTTP 500); check {WEBHOOK_VARIABLE}"
    assert len(mailbox.messages) == 1


def test_a_dead_mail_server_keeps_nothing_from_slack(serve: Any, slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    serve("none")
    monkeypatch.setenv("LANG1_SMTP_PORT", "9")
    taken, said = sent()
    assert taken == [SLACK]
    assert said.startswith("the alert did not reach e-mail (ConnectionRefusedError)")
    assert slack.received == [
        {
            "text": ":warning: *run failed: finetuned_joint lang1-tiny*\nProfile tiny\nfinetuned_joint: ValueError",
        }
    ]


def test_a_silent_mail_server_is_not_waited_for(slack: Slack, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and never greets."""
    serve("none")
    monkeypatch.setattr(channels, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("LANG1_SMTP_PORT", str(silent.getsockname()[1]))
        started = time.monotonic()
        assert "SMTPServerDisconnected" in sent()[1]
        assert time.monotonic() - started < 3


def test_a_webhook_from_a_file(slack: Slack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "webhook").write_text(slack.url + "\n")
    monkeypatch.delenv(WEBHOOK_VARIABLE)
    monkeypatch.setenv(f"{WEBHOOK_VARIABLE}_FILE", str(tmp_path / "webhook"))
    assert sent() == ([SLACK], "")


def test_a_secret_s_file_that_is_gone_is_said_by_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(f"{WEBHOOK_VARIABLE}_FILE", str(tmp_path / "gone"))
    assert sent()[1] == (
        f"the alert did not reach Slack ({WEBHOOK_VARIABLE}_FILE: the file cannot be read); check {WEBHOOK_VARIABLE}"
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"LANG1_SMTP_SECURITY": "tls"}, "LANG1_SMTP_SECURITY: expected one of starttls, ssl, none"),
        ({"LANG1_SMTP_PORT": "smtp"}, "LANG1_SMTP_PORT: expected a number"),
        ({"LANG1_MAIL_TO": " "}, "LANG1_MAIL_TO: expected an address"),
        ({"LANG1_SMTP_USER": "lang1"}, "expected both or neither"),
        ({"LANG1_SMTP_USER": "lang1", PASSWORD_VARIABLE: PASSWORD}, "a password is not sent in clear"),
    ],
)
def test_what_is_set_wrong_is_named(
    serve: Any, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], said: str
) -> None:
    mailbox = serve("none")
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    text = sent()[1]
    assert said in text
    assert PASSWORD not in text
    assert mailbox.messages == []


def test_names_cannot_break_a_header_or_call_a_channel(serve: Any, slack: Slack) -> None:
    mailbox = serve("none")
    sent(Notice(subject="a\r\nBcc: x@y.test", lines=("<!channel> & <http://evil|here>",)))
    (message,) = mailbox.messages
    assert message["Subject"] == "[Lang1] a Bcc: x@y.test"
    assert message["Bcc"] is None
    assert slack.received[0]["text"] == (":warning: *a Bcc: x@y.test*\n&lt;!channel&gt; &amp; &lt;http://evil|here&gt;")


def test_nobody_is_told_where_nothing_is_set_up() -> None:
    assert sent() == ([], "")
