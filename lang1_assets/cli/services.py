"""The services that people look at, and what happens while they are open: a new month of the embedded hospital."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from lang1_assets.settings import Settings, lang1_home

DAGSTER_PORT, MLFLOW_PORT = 3000, 5000


def run_ui(settings: Settings, arguments: argparse.Namespace) -> int:
    """Dagster and MLflow until Ctrl-C; both end together."""
    home = lang1_home()
    binaries = Path(sys.executable).parent
    mlflow = [
        str(binaries / "mlflow"),
        "server",
        "--backend-store-uri",
        f"sqlite:///{home / 'mlflow' / 'mlflow.db'}",
        "--default-artifact-root",
        str(home / "mlflow" / "artifacts"),
        "--host=127.0.0.1",
        f"--port={MLFLOW_PORT}",
        "--workers=1",
    ]
    dagster = [str(binaries / "dagster"), "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(DAGSTER_PORT)]
    (home / "mlflow").mkdir(exist_ok=True)
    # Set before they start: services of a shell's background job would inherit that SIGINT is ignored, and Dagster then
    # takes SIGTERM for it and never ends.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    processes = [subprocess.Popen(command, start_new_session=True) for command in (mlflow, dagster)]
    print(f"Dagster: http://127.0.0.1:{DAGSTER_PORT}   MLflow: http://127.0.0.1:{MLFLOW_PORT}   (Ctrl-C ends both)")
    try:
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("ending")
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    return max(process.wait() for process in processes) and 1


def write_new_month(settings: Settings, arguments: argparse.Namespace) -> int:
    from lang1_assets.operate import COMPLETE_MARKER, MONTH, landing_folder
    from lang1_assets.ops.hospital import HospitalConfig, write_month_export

    if not settings.is_synthetic:
        sys.exit(f"profile '{settings.name}' reads a hospital's own exports; a synthetic month does not belong there")
    if not MONTH.fullmatch(arguments.month) or arguments.month < "2025-01":
        sys.exit(f"month '{arguments.month}': expected YYYY-MM from 2025-01 on, such as 2025-02")
    year, month = map(int, arguments.month.split("-"))
    folder = landing_folder(settings) / arguments.month
    beside = folder.with_name(f".{arguments.month}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    config = HospitalConfig(
        num_encounters=settings.source.num_encounters, seed=settings.seed, dirt_rate=settings.source.dirt_rate
    )
    write_month_export(beside, config, year, month)
    (beside / COMPLETE_MARKER).touch()
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)
    print(f"{folder}: one synthetic month; the sensor 'landing' will notice it")
    return 0
