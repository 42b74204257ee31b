"""PostgreSQL for Dagster's and MLflow's state: a cluster of this home's own, or databases on a server that is there.

Passwords stand in libpq's password file alone (mode 0600): not in an address, a command or a variable.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lang1_assets.services.health import answers_postgres
from lang1_assets.services.passwords import kept_password, write_private
from lang1_assets.services.service import Check

URL_VARIABLE = "LANG1_POSTGRES_URL"
DAGSTER, MLFLOW = "lang1_dagster", "lang1_mlflow"
DATABASES = (DAGSTER, MLFLOW)
ADMINISTRATOR = "lang1_admin"
MAX_CONNECTIONS = 200
"""Dagster opens some for each run and step, beside those of the services."""
DUPLICATE = "42P04", "42710"


class PostgresError(ValueError):
    """A database cannot be had as asked; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where the databases are, and who connects."""

    host: str
    port: int
    users: Mapping[str, str]
    """Database -> the user that owns it."""
    password_file: Path
    """libpq's: the users of the databases."""
    administrator: str
    administrator_password: str
    maintenance_database: str = "postgres"

    def url(self, database: str) -> str:
        """As SQLAlchemy takes it; whoever connects has the password from PGPASSFILE."""
        return f"postgresql+psycopg2://{self.users[database]}@{self.host}:{self.port}/{database}"

    def write_password_file(self, passwords: Mapping[str, str]) -> None:
        rows = [
            ":".join(map(escaped, (self.host, str(self.port), database, user, passwords[user])))
            for database, user in self.users.items()
        ]
        write_private(self.password_file, "\n".join(rows) + "\n")


def escaped(field: str) -> str:
    return field.replace("\\", "\\\\").replace(":", "\\:")


def server_elsewhere(url: str, secrets: Path) -> Server:
    """The server that `LANG1_POSTGRES_URL` names: postgresql://USER:PASSWORD@HOST:PORT/DATABASE.

    Raises:
        PostgresError: the address lacks a part; it is not repeated, for it may hold a password.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or 5432
    except ValueError:
        raise PostgresError(f"{URL_VARIABLE}: the port is no number") from None
    if not parts.scheme.startswith("postgres") or not parts.hostname or not parts.username:
        raise PostgresError(f"{URL_VARIABLE}: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    user, password = unquote(parts.username), unquote(parts.password or "")
    server = Server(
        host=parts.hostname,
        port=port,
        users=dict.fromkeys(DATABASES, user),
        password_file=secrets / "pgpass",
        administrator=user,
        administrator_password=password,
        maintenance_database=parts.path.strip("/") or "postgres",
    )
    server.write_password_file({user: password})
    return server


def own_server(port: int, secrets: Path) -> Server:
    """The server of this home, with users and passwords of its own."""
    server = Server(
        host="127.0.0.1",
        port=port,
        users={database: database for database in DATABASES},
        password_file=secrets / "pgpass",
        administrator=ADMINISTRATOR,
        administrator_password=kept_password(secrets / ADMINISTRATOR),
    )
    server.write_password_file({user: kept_password(secrets / user) for user in DATABASES})
    return server


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The files of a server of our own, and its programs."""

    home: Path
    """Of the services; as root, the server's user is let through it."""
    folder: Path
    programs: Path
    port: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def check(self) -> Check:
        return answers_postgres(self.programs, self.port)

    @property
    def command(self) -> tuple[str, ...]:
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": MAX_CONNECTIONS,
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return (*as_user(server_user()), str(self.programs / "postgres"), "-D", str(self.data), *words)

    def make(self, password: str) -> None:
        """Lay the files out when they are not there; whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        let_server_user_in(self.folder, self.home)
        if self.data.exists():
            return
        beside, password_file = self.folder / "data.partial", self.folder / "password"
        shutil.rmtree(beside, ignore_errors=True)
        write_private(password_file, password)
        give_to_server_user(password_file)
        options = ["-U", ADMINISTRATOR, "--pwfile", str(password_file), "-A", "scram-sha-256", "-E", "UTF8"]
        # Names of the machine's language would decide the order of texts: "C" everywhere.
        words = [*as_user(server_user()), str(self.programs / "initdb"), "-D", str(beside), "--locale=C", *options]
        done = subprocess.run(words, capture_output=True, text=True, cwd=self.folder)
        password_file.unlink()
        if done.returncode:
            raise PostgresError(f"initdb in {self.folder}: {done.stderr.strip()}")
        beside.rename(self.data)


def find_programs(asked: Path | None, folder: Path) -> Path:
    """Where `initdb` and `postgres` are, of the version that the files were made with.

    Raises:
        PostgresError: there are none, or only of another version.
    """
    folders = [asked] if asked is not None else [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    on_path = shutil.which("initdb")
    folders += [Path(on_path).resolve().parent] if on_path and asked is None else []
    found = [path for path in folders if (path / "initdb").exists() and (path / "postgres").exists()]
    if not found:
        raise PostgresError(
            "there is no PostgreSQL server on this machine; install one (Debian: apt-get install postgresql), say where its "
            f"programs are with serve.postgres_programs, or name a running server in {URL_VARIABLE}"
        )
    made_with = folder / "data" / "PG_VERSION"
    if not made_with.exists():
        return found[0]
    version = made_with.read_text().strip()
    fitting = [path for path in found if version_of(path) == version]
    if not fitting:
        raise PostgresError(
            f"{folder} was made by PostgreSQL {version}, and this machine has {', '.join(map(version_of, found))}; install "
            f"{version}, or move the data over as docs/operations.md says"
        )
    return fitting[0]


def version_of(programs: Path) -> str:
    """The major version, such as 15."""
    words = [str(programs / "postgres"), "--version"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[2].partition(".")[0]


def make_databases(server: Server, passwords: Mapping[str, str]) -> None:
    """Databases where they are missing; on our own server their users too, and each database is its user's alone.

    Args:
        passwords: of the users that are to be made; none on a server that is somebody else's.

    Raises:
        PostgresError: the server refuses.
    """
    import psycopg2
    from psycopg2 import sql

    try:
        with closing(
            psycopg2.connect(
                host=server.host,
                port=server.port,
                user=server.administrator,
                password=server.administrator_password,
                dbname=server.maintenance_database,
                connect_timeout=10,
            )
        ) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for user, password in passwords.items():
                    _unless_there(cursor, sql.SQL("create role {}").format(sql.Identifier(user)))
                    change = sql.SQL("alter role {} login password {}")
                    cursor.execute(change.format(sql.Identifier(user), sql.Literal(password)))
                for database, user in server.users.items():
                    names = sql.Identifier(database), sql.Identifier(user)
                    _make_database(cursor, database, sql.SQL("create database {} owner {}").format(*names))
                    if passwords:
                        cursor.execute(sql.SQL("revoke all on database {} from public").format(names[0]))
    except psycopg2.Error as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PostgresError(
            f"PostgreSQL at {server.host}:{server.port}: {said}; user '{server.administrator}' must be able to make the "
            f"databases {' and '.join(DATABASES)}, or own them"
        ) from None


def _make_database(cursor: Any, name: str, statement: Any) -> None:
    cursor.execute("select 1 from pg_database where datname = %s", (name,))
    if cursor.fetchone() is None:
        _unless_there(cursor, statement)


def _unless_there(cursor: Any, statement: Any) -> None:
    import psycopg2

    try:
        cursor.execute(statement)
    except psycopg2.Error as error:
        if error.pgcode not in DUPLICATE:
            raise


def server_user() -> str | None:
    """Who runs the server: whoever starts it. PostgreSQL refuses to be root's, so root hands over."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def as_user(user: str | None) -> list[str]:
    if user is None:
        return []
    # The kernel forgets what to send at the parent's death when the user changes: said here once more.
    as_whom = [f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]
    return ["setpriv", *as_whom, "--pdeathsig", "INT", "--"]


def give_to_server_user(path: Path) -> None:
    user = server_user()
    if user is not None:
        shutil.chown(path, user)


def let_server_user_in(folder: Path, home: Path) -> None:
    """As root: the folder is the server's user's, who may pass (not list) the folders of this home on the way to it.

    Raises:
        PostgresError: a folder outside this home lets nobody pass.
    """
    if server_user() is None:
        return
    give_to_server_user(folder)
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if mode & 0o001:
            continue
        if not parent.is_relative_to(home):
            raise PostgresError(
                f"PostgreSQL runs as '{server_user()}' here, who may not pass {parent}; run this as an ordinary user, or set "
                "serve.postgres_folder to a folder elsewhere"
            )
        parent.chmod(mode | 0o001)
