"""`lang1 serve` as a whole: a real PostgreSQL, real services, real kills. What a test leaves running the next one uses."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import psutil
import pytest

from lang1_assets.corpus import extract
from lang1_assets.settings import load_settings
from tests import postgres_server
from tests.ended import has_ended
from tests.services.test_supervisor import until
from tests.serving import MINI, NAMES, PATIENCE_SECONDS, Served, serving

pytestmark = pytest.mark.skipif(
    postgres_server.server_programs() is None, reason="no PostgreSQL server on this machine (Debian: postgresql)"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("serving")) as started:
        yield started


def test_nobody_else_can_reach_or_read_them(served: Served) -> None:
    addresses = set()
    for name, row in served.rows().items():
        for process in (parent := psutil.Process(row["pid"]), *parent.children(recursive=True)):
            addresses |= {(name, address) for address in listening(process)}
    assert {name for name, _ in addresses} >= NAMES - {"daemon"}
    assert {address for _, address in addresses} == {"127.0.0.1"}
    secrets = [path.read_text().strip() for path in served.places.secrets.iterdir() if path.name.startswith("lang1_")]
    assert len(secrets) == 3
    for process in served.processes():
        assert not any(secret in seen_of(process) for secret in secrets), f"a password can be seen of {process}"
    for path in served.places.logs.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
        assert not any(secret in path.read_text() for secret in secrets), path


def test_mlflow_offers_neither_a_shell_nor_a_gateway(served: Served) -> None:
    address = f"http://127.0.0.1:{served.mlflow_port}"
    with urllib.request.urlopen(f"{address}/version") as answer:
        assert answer.status == 200
    for path in ("mlflow/assistant/config", "mlflow/assistant/message", "jobs/1"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/ajax-api/3.0/{path}")
    with urllib.request.urlopen(f"{address}/ajax-api/3.0/mlflow/server-info") as answer:
        assert json.load(answer)["features_enabled"]["gateway"] is False
    assert not [process for process in served.processes() if "huey" in seen_of(process)]


def listening(process: psutil.Process) -> set[str]:
    """Addresses; none of a process that has ended in the meantime, as PostgreSQL's do all the time."""
    with contextlib.suppress(psutil.NoSuchProcess):
        held = [held.laddr.ip for held in process.net_connections() if held.status == psutil.CONN_LISTEN]
        # gRPC listens to IPv4 by a socket of IPv6.
        return {address.removeprefix("::ffff:") for address in held}
    return set()


def seen_of(process: psutil.Process) -> str:
    """Its command and its environment."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join([*process.cmdline(), *process.environ().values()])
    return ""


def test_a_run_whose_worker_is_killed_is_made_all_the_same(served: Served) -> None:
    first = served.launch("__ASSET_JOB", "hospital_exports")
    kept = served.places.run_workers / f"{first}.worker"
    until(lambda: kept.exists() and served.status(first) == "STARTED", "the run to start", PATIENCE_SECONDS)
    worker = psutil.Process(int(kept.read_text().split()[3]))
    assert worker.ppid() == served.rows()["daemon"]["pid"]
    steps = worker.children(recursive=True)
    worker.kill()
    until(lambda: served.status(first) == "FAILURE", "run monitoring to notice", PATIENCE_SECONDS)
    assert all(has_ended(step.pid) for step in steps)
    retried = until(
        lambda: [run for run in served.runs() if run["rootRunId"] == first and run["runId"] != first], "a retry", 120
    )
    until(lambda: served.status(retried[0]["runId"]) == "SUCCESS", "the retry to succeed", PATIENCE_SECONDS)
    (made,) = (served.places.home / "artifacts" / "mini").glob("hospital_exports")
    assert made.is_dir()


@pytest.mark.parametrize("name", ["code_server", "daemon", "dask_worker_0", "postgres"])
def test_what_is_killed_comes_back_and_serves_again(served: Served, name: str) -> None:
    before = served.rows()
    os.kill(before[name]["pid"], signal.SIGKILL)
    until(lambda: served.rows()[name]["starts"] == before[name]["starts"] + 1, f"{name} to be started", 120)
    until(served.all_answer, "all to answer again", PATIENCE_SECONDS)
    assert served.rows()[name]["pid"] != before[name]["pid"]
    assert served.runs(), "what PostgreSQL holds is still there"


def test_a_run_goes_on_while_code_server_and_daemon_are_killed(served: Served) -> None:
    tables = [key.path[-1] for key in extract.warehouse(load_settings(str(MINI))).keys]
    run = served.launch("__ASSET_JOB", "hospital_exports", *tables, "clean_notes")
    until(lambda: served.status(run) == "STARTED", "the run to start", PATIENCE_SECONDS)
    for name in ("code_server", "daemon"):
        os.kill(served.rows()[name]["pid"], signal.SIGKILL)
    until(lambda: served.status(run) not in ("STARTED", "STARTING"), "the run to end", PATIENCE_SECONDS)
    assert served.status(run) == "SUCCESS"
    assert [held["runId"] for held in served.runs() if held["rootRunId"] == run] == [], "nothing was started again"
    assert "Receive client connection" in served.log("dask_scheduler"), "notes were cleaned on the cluster"
    until(served.all_answer, "all to answer again", PATIENCE_SECONDS)


def test_a_second_supervisor_of_the_same_home_is_refused(served: Served) -> None:
    done = lang1(served, "serve")
    assert done.returncode != 0
    assert f"run already, under process {served.supervisor.pid}" in done.stderr
    assert lang1(served, "serve", "--status").returncode == 0


def test_an_orderly_end_leaves_nothing(served: Served) -> None:
    pids = [row["pid"] for row in served.rows().values()]
    done = lang1(served, "serve", "--stop")
    assert done.returncode == 0, done.stderr
    assert served.supervisor.wait(60) == 0
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert served.processes() == []
    assert lang1(served, "serve", "--status").returncode == 1
    assert "database system is shut down" in served.log("postgres")


def lang1(served: Served, *words: str) -> subprocess.CompletedProcess[str]:
    profile = served.places.home.parent / "profile.yaml"
    environment = {**os.environ, "LANG1_HOME": str(served.places.home), "LANG1_PROFILE": str(profile)}
    command = [sys.executable, "-m", "lang1_assets.cli", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
