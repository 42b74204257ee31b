"""A supervisor over services of a few lines, as a program: `python -m tests.services.supervised HOME SERVICES_JSON`."""

import json
import os
import sys
import urllib.request
from pathlib import Path

from lang1_assets.services.lineup import Places
from lang1_assets.services.service import Check, Service
from lang1_assets.services.supervisor import Supervisor, only_one
from lang1_assets.settings.serve import Serve

ANSWERING = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        while os.path.exists(sys.argv[2]): pass
        self.send_response(200); self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""It answers until the file named second exists."""


def asks(port: int) -> Check:
    def check() -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=0.5):
                return None
        except OSError as error:
            return type(error).__name__

    return check


def service(home: Path, row: dict) -> Service:
    silent = home / f"{row['name']}.silent"
    command = row.get("command") or [sys.executable, "-c", ANSWERING, str(row["port"]), str(silent)]
    return Service(
        name=row["name"],
        command=tuple(command),
        port=row["port"],
        check=asks(row["port"]),
        environment=dict(os.environ),
        after=tuple(row.get("after", ())),
        stop_seconds=row.get("stop_seconds", 5.0),
    )


def main() -> None:
    home, rows = Path(sys.argv[1]), json.loads(sys.argv[2])
    places = Places(home=home)
    for folder in (places.logs, places.run_workers):
        folder.mkdir(parents=True, exist_ok=True)
    serve = Serve(start_seconds=20, check_seconds=0.2)
    with only_one(places.lock):
        supervisor = Supervisor(places, [service(home, row) for row in rows], serve, save_seconds=10.0)
        supervisor.run(lambda: (home / "ready").touch())


if __name__ == "__main__":
    main()
