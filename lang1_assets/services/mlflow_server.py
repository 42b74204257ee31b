"""MLflow's server as a tracking server and nothing beside it.

Version 3.17 brings an assistant that gives whoever reaches it from the same machine a shell as the server's user, a gateway to
language models outside, and seven processes that wait for jobs of theirs. Under gunicorn the server has no routes for them; gateway
and jobs have switches of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

ENVIRONMENT: Mapping[str, str] = {
    # Threads: a page asks for a dozen things at once.
    "MLFLOW_GUNICORN_OPTS": "--threads 8 --timeout 120 --log-level warning",
    "MLFLOW_ENABLE_AI_GATEWAY": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""For every place that starts the server; `infra/compose.yaml` and `infra/kubernetes/mlflow.yaml` say the same."""


def server_command(backend_uri: str, artifacts: Path, host: str, port: int, *words: str) -> tuple[str, ...]:
    """The server of one machine; it needs `ENVIRONMENT`."""
    return (
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend_uri),
        *("--default-artifact-root", str(artifacts), "--host", host, "--port", str(port), "--workers", "1"),
        *words,
    )
