"""A PostgreSQL server of its own for tests: made in a temporary folder, on a free port, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD, DATABASE = "lang1_test", "secret-of-the-test", "hospital"


def server_programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are: Debian keeps them off the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    folders += [Path(on_path).parent] if on_path else []
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextmanager
def running_server(folder: Path) -> Iterator[dict[str, str]]:
    """The environment that leads to a running server; the server refuses to run as root, so root hands over to `nobody`."""
    programs = server_programs()
    assert programs is not None, "the caller skips without a server"
    data, password_file = folder / "data", folder / "password"
    folder.mkdir(parents=True, exist_ok=True)
    password_file.write_text(PASSWORD)
    prefix: list[str] = []
    if os.getuid() == 0:
        for parent in (folder, *folder.parents[:4]):
            parent.chmod(parent.stat().st_mode | 0o055)
        shutil.chown(folder, "nobody")
        shutil.chown(password_file, "nobody")
        prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(program: str, *arguments: str) -> None:
        command = [*prefix, str(programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder, timeout=120)

    call(
        "initdb",
        "-D",
        str(data),
        "-U",
        USER,
        "--pwfile",
        str(password_file),
        "-A",
        "scram-sha-256",
        "-E",
        "UTF8",
        "--no-sync",
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    call("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    environment = {
        "LANG1_POSTGRES_HOST": "127.0.0.1",
        "LANG1_POSTGRES_PORT": str(port),
        "LANG1_POSTGRES_USER": USER,
        "LANG1_POSTGRES_PASSWORD": PASSWORD,
        "LANG1_POSTGRES_DATABASE": "postgres",
    }
    try:
        yield environment
    finally:
        with contextlib.suppress(subprocess.SubprocessError):
            call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
