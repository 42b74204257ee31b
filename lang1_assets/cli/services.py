"""The services that people look at, and what happens while they are open: a new month of the embedded hospital."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from lang1_assets.resources.mlflow_client import open_client
from lang1_assets.services import mlflow_server
from lang1_assets.settings import Settings, lang1_home

DAGSTER_PORT, MLFLOW_PORT = 3000, 5000


def run_ui(settings: Settings, arguments: argparse.Namespace) -> int:
    """Dagster and MLflow until Ctrl-C, SIGTERM, or the end of the terminal; both end together."""
    home = lang1_home()
    binaries = Path(sys.executable).parent
    database = f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"
    mlflow = mlflow_server.server_command(database, home / "mlflow" / "artifacts", "127.0.0.1", MLFLOW_PORT)
    dagster = [str(binaries / "dagster"), "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(DAGSTER_PORT)]
    # Before the server: a study may begin while it creates its tables.
    open_client(database)
    # Set before they start: services of a shell's background job would inherit that SIGINT is ignored, and Dagster then
    # takes SIGTERM for it and never ends.
    # `nohup` means what it says.
    hangs_up = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, *hangs_up):
        # No exception: a terminal that is closed hangs up twice, and the second one would come while the services are being ended.
        signal.signal(number, lambda received, frame: asked.append(received))
    environment = os.environ | mlflow_server.ENVIRONMENT
    processes = [subprocess.Popen(command, env=environment, start_new_session=True) for command in (mlflow, dagster)]
    # Without its last part, MLflow opens experiments on a page of traces, which are of language models in use.
    mlflow_page = f"http://127.0.0.1:{MLFLOW_PORT}/#/experiments?workflowType=machine_learning"
    print(f"Dagster: http://127.0.0.1:{DAGSTER_PORT}   MLflow: {mlflow_page}   (Ctrl-C ends both)")
    while not asked and all(process.poll() is None for process in processes):
        time.sleep(0.5)
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    # A second Ctrl-C waits for nobody.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # There may be no terminal any more.
    with suppress(OSError):
        print("ending", flush=True)
    return max(process.wait() for process in processes) and 1


def write_new_month(settings: Settings, arguments: argparse.Namespace) -> int:
    from lang1_assets.months.landed import landing_place
    from lang1_assets.ops.hospital import HospitalConfig
    from lang1_assets.ops.landing.months import MONTH
    from lang1_assets.ops.landing.synthetic import FIRST_MONTH, write_export

    if not settings.is_synthetic:
        sys.exit(f"profile '{settings.name}' reads a hospital's own exports; a synthetic month does not belong there")
    for month in arguments.months:
        if not MONTH.fullmatch(month) or month < FIRST_MONTH:
            sys.exit(f"month '{month}': expected YYYY-MM from {FIRST_MONTH} on, such as 2025-02")
    place = landing_place(settings)
    if "://" in place:
        sys.exit(f"operate.landing is {place}: synthetic months are written into a folder only")
    config = HospitalConfig(
        num_encounters=settings.source.num_encounters, seed=settings.seed, dirt_rate=settings.source.dirt_rate
    )
    for month in arguments.months:
        folder = Path(place) / month
        beside = folder.with_name(f".{month}.partial")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        write_export(beside, config, month)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
        print(f"{folder}: one synthetic month; the sensor 'landing' will notice it")
    return 0
