"""A webhook on this machine in Slack's place, and an environment in which no other channel is set up."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lang1_assets.resources.channels import WEBHOOK_VARIABLE

SMTP = ("HOST", "PORT", "SECURITY", "USER", "PASSWORD", "PASSWORD_FILE", "CA_FILE")


@dataclass
class Slack:
    url: str
    status: int = 200
    seconds: float = 0.0
    received: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def running_webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    """The only channel that the environment names."""
    forget_channels(monkeypatch)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            slack.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(slack.seconds)
            assert self.headers["Content-Type"] == "application/json"
            self.send_response(slack.status)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    slack = Slack(f"http://127.0.0.1:{server.server_port}/services/T0/B0/secret")
    monkeypatch.setenv(WEBHOOK_VARIABLE, slack.url)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield slack
    finally:
        server.shutdown()
        server.server_close()


def forget_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"LANG1_SMTP_{name}" for name in SMTP]
    for name in (*names, WEBHOOK_VARIABLE, f"{WEBHOOK_VARIABLE}_FILE", "LANG1_MAIL_FROM", "LANG1_MAIL_TO"):
        monkeypatch.delenv(name, raising=False)
