"""Whether a service answers, asked the way its users ask it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from lang1_assets.services.service import Check

TIMEOUT_SECONDS = 10.0
HEARTBEAT_SECONDS = 300.0
"""Dagster's daemon notes that it is alive every 30 seconds."""
DAEMON_QUERY = "{ instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } } }"
# No proxy of the environment stands between two processes of one machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers_http(url: str) -> Check:
    """It says 200 to a GET."""

    def check() -> str | None:
        try:
            with OPENER.open(url, timeout=TIMEOUT_SECONDS):
                return None
        except (OSError, ValueError) as error:
            return reason(error)

    return check


def answers_grpc(port: int) -> Check:
    """Dagster's code server says SERVING by gRPC's own health protocol."""

    def check() -> str | None:
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service="DagsterApi"), timeout=TIMEOUT_SECONDS
                )
            except grpc.RpcError as error:
                return str(error.code().name)
        return None if answer.status == health_pb2.HealthCheckResponse.SERVING else "not serving"

    return check


def answers_postgres(programs: Path, port: int) -> Check:
    def check() -> str | None:
        words = [
            str(programs / "pg_isready"),
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-t",
            str(int(TIMEOUT_SECONDS)),
        ]
        code = subprocess.run(words, check=False, timeout=2 * TIMEOUT_SECONDS).returncode
        return {0: None, 1: "starting, or recovering", 2: "no answer"}.get(code, f"pg_isready ended with code {code}")

    return check


def daemon_is_alive(webserver_url: str) -> Check:
    """Each of its threads has been heard of within five minutes.

    The web server tells; where that is away, nothing is known about the daemon, which is no reason to end it.
    """

    def check() -> str | None:
        try:
            statuses = _daemon_statuses(webserver_url)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        heard = {row["daemonType"]: row["lastHeartbeatTime"] for row in statuses if row["required"]}
        silent = [kind for kind, last in heard.items() if time.time() - (last or 0.0) > HEARTBEAT_SECONDS]
        return f"nothing heard of {', '.join(sorted(silent))}" if silent else None

    return check


def _daemon_statuses(webserver_url: str) -> list[dict[str, Any]]:
    body = json.dumps({"query": DAEMON_QUERY}).encode()
    request = urllib.request.Request(
        f"{webserver_url}/graphql", data=body, headers={"Content-Type": "application/json"}
    )
    with OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
        rows = json.load(answer)["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    return list(rows)


def reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    inner = getattr(error, "reason", error)
    return getattr(inner, "strerror", None) or type(inner).__name__


def main() -> None:
    """For containers: whether an address answers."""
    sys.exit(answers_http(sys.argv[1])())


if __name__ == "__main__":
    main()
