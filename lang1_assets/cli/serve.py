"""`lang1 serve`: Dagster, MLflow, Dask and PostgreSQL as services that stay up."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time

from lang1_assets.services.lineup import Places, all_services, prepare
from lang1_assets.services.postgres import PostgresError
from lang1_assets.services.supervisor import AlreadyRunningError, Supervisor, only_one, supervisor_of
from lang1_assets.settings import Settings, lang1_home

EXTRA_SAVE_SECONDS = 30.0
"""For a run's steps to end after their training has saved."""


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--stop", action="store_true", help="end the services of this home, and wait until they have")
    command.add_argument("--status", action="store_true", help="which services run and answer; fails when one does not")


def run_serve(settings: Settings, arguments: argparse.Namespace) -> int:
    places = Places(home=lang1_home())
    if arguments.status:
        return show_status(places)
    if arguments.stop:
        return stop(places)
    return serve(settings, places)


def serve(settings: Settings, places: Places) -> int:
    """Until SIGTERM or Ctrl-C."""
    # Logs, databases, sockets: nothing that the services write is anybody else's to read.
    os.umask(0o077)
    try:
        places.serve.mkdir(parents=True, exist_ok=True, mode=0o700)
        with only_one(places.lock):
            # Not before: what runs already has its configuration there.
            prepare(places, settings.serve, settings.launch.save_seconds)
            services = all_services(places, settings.serve, os.environ)
            supervisor = Supervisor(places, services, settings.serve, settings.launch.save_seconds + EXTRA_SAVE_SECONDS)
            print(f"starting {len(services)} services; logs: {places.logs}", flush=True)
            supervisor.run(lambda: print_addresses(settings))
    except (PostgresError, AlreadyRunningError) as error:
        sys.exit(str(error))
    print("all services have ended")
    return 0


def print_addresses(settings: Settings) -> None:
    print(
        f"Dagster: http://127.0.0.1:{settings.serve.dagster_port}   MLflow: http://127.0.0.1:{settings.serve.mlflow_port}"
        "   (Ctrl-C, SIGTERM or `lang1 serve --stop` ends everything)",
        flush=True,
    )


def show_status(places: Places) -> int:
    supervisor = supervisor_of(places.lock)
    if supervisor is None:
        print(f"no services run for {places.home}")
        return 1
    rows = json.loads(places.processes.read_text()) if places.processes.exists() else {}
    for name, row in rows.items():
        state = "answers" if row["answers"] else "starting" if row["pid"] else "waits"
        print(f"{name:<16} {state:<9} pid {row['pid'] or '-':<8} port {row['port'] or '-':<6} starts {row['starts']}")
    print(f"supervisor: pid {supervisor}")
    return 0 if rows and all(row["answers"] for row in rows.values()) else 1


def stop(places: Places) -> int:
    supervisor = supervisor_of(places.lock)
    if supervisor is None:
        print(f"no services run for {places.home}")
        return 0
    os.kill(supervisor, signal.SIGTERM)
    print("ending; runs in progress save first", flush=True)
    while supervisor_of(places.lock) == supervisor:
        time.sleep(0.5)
    print("all services have ended")
    return 0
