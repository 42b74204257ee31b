"""PostgreSQL of the services: whose server it is, what is written where, and that passwords are said nowhere."""

import os
import ssl
from pathlib import Path

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lang1_assets.services import postgres
from lang1_assets.services.certificates import kept_certificates, make_certificates
from lang1_assets.services.passwords import kept_password, write_private
from lang1_assets.settings.serve import Serve
from tests import postgres_server

needs_server = pytest.mark.skipif(
    postgres_server.server_programs() is None, reason="no PostgreSQL server on this machine"
)


def test_an_address_is_taken_apart_and_its_password_kept_in_a_file_alone(tmp_path: Path) -> None:
    server = postgres.server_elsewhere("postgresql://lang1:p%40ss%3Aw@db.hospital.example:5439/admin", tmp_path)
    assert (server.host, server.port, server.maintenance_database) == ("db.hospital.example", 5439, "admin")
    assert server.url("lang1_mlflow") == "postgresql+psycopg2://lang1@db.hospital.example:5439/lang1_mlflow"
    rows = server.password_file.read_text().splitlines()
    assert rows == [rf"db.hospital.example:5439:{name}:lang1:p@ss\:w" for name in ("lang1_dagster", "lang1_mlflow")]
    assert server.password_file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "url", ["mysql://a:secret@h/d", "postgresql://h/d", "secret", "postgresql://a:secret@h:port/d"]
)
def test_a_wrong_address_is_not_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(postgres.PostgresError, match="LANG1_POSTGRES_URL") as raised:
        postgres.server_elsewhere(url, tmp_path)
    assert "secret" not in str(raised.value)


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1))
def test_libpq_reads_a_field_as_it_was_written(field: str) -> None:
    row = postgres.escaped(field) + ":"
    read, place = "", 0
    while row[place] != ":":
        place += row[place] == "\\"
        read += row[place]
        place += 1
    assert read == field
    assert place == len(row) - 1


def test_a_password_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "one"
    first = kept_password(path)
    assert len(first) >= 32
    assert kept_password(path) == first
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    write_private(path, "another")
    assert kept_password(path) == "another"
    assert [held.name for held in path.parent.iterdir()] == ["one"]


@pytest.fixture(scope="module")
def programs() -> Path:
    found = postgres_server.server_programs()
    assert found is not None
    return found


@needs_server
def test_databases_on_a_server_that_is_somebody_else_s(tmp_path: Path) -> None:
    with postgres_server.running_server(tmp_path / "server") as given_server:
        user, password, port = (given_server[f"LANG1_POSTGRES_{name}"] for name in ("USER", "PASSWORD", "PORT"))
        server = postgres.server_elsewhere(f"postgresql://{user}:{password}@127.0.0.1:{port}/postgres", tmp_path / "s")
        for _ in range(2):
            postgres.make_databases(server, {})
        for database in postgres.DATABASES:
            connection = psycopg2.connect(
                host="127.0.0.1", port=port, user=user, dbname=database, passfile=str(server.password_file)
            )
            connection.close()
        wrong = postgres.server_elsewhere(f"postgresql://{user}:not-the-word@127.0.0.1:{port}/postgres", tmp_path / "w")
        with pytest.raises(postgres.PostgresError, match=f"user '{user}' must be able to make") as raised:
            postgres.make_databases(wrong, {})
        assert "not-the-word" not in str(raised.value)


@needs_server
def test_files_of_another_version_are_not_touched(tmp_path: Path, programs: Path) -> None:
    folder = tmp_path / "postgres"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(postgres.PostgresError, match="was made by PostgreSQL 9, and this machine has"):
        postgres.find_programs(programs, folder)
    (folder / "data" / "PG_VERSION").write_text(f"{postgres.version_of(programs)}\n")
    assert postgres.find_programs(None, folder).joinpath("initdb").exists()


def test_without_a_server_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(postgres.PostgresError, match=r"apt-get install postgresql.*serve\.postgres_programs"):
        postgres.find_programs(tmp_path, tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root hands over")
def test_root_opens_its_home_to_the_server_and_nothing_above(tmp_path: Path) -> None:
    home = tmp_path / "closed" / "home"
    (home / "postgres").mkdir(parents=True)
    for folder in (home, home.parent):
        folder.chmod(0o700)
    with pytest.raises(postgres.PostgresError, match=f"may not pass {home.parent}; run this as an ordinary user"):
        postgres.let_server_user_in(home / "postgres", home)
    assert home.stat().st_mode & 0o077 == 0o001, "to pass, and not to look"
    assert home.parent.stat().st_mode & 0o077 == 0


def test_dask_s_certificates_are_made_once_and_trust_nobody_else(tmp_path: Path) -> None:
    variables = kept_certificates(tmp_path / "dask")
    mine = tmp_path / "dask" / "dask.pem"
    first = mine.read_bytes()
    assert kept_certificates(tmp_path / "dask") == variables
    assert mine.read_bytes() == first
    assert shake_hands(tmp_path / "dask" / "ca.pem", mine)
    _, stranger = make_certificates()
    write_private(tmp_path / "stranger.pem", stranger)
    assert not shake_hands(tmp_path / "dask" / "ca.pem", tmp_path / "stranger.pem")
    assert not shake_hands(tmp_path / "dask" / "ca.pem", None)


def shake_hands(authority: Path, of_client: Path | None) -> bool:
    """Whether a server that asks for a certificate, as Dask's does, takes this client; all in memory."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(str(authority.with_name("dask.pem")))
    client = ssl.create_default_context(cafile=str(authority))
    if of_client is not None:
        client.load_cert_chain(str(of_client))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = set(ends)
    for end in ends * 4:
        try:
            end.do_handshake()
            waiting.discard(end)
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return False
    return not waiting


def test_two_services_share_no_port() -> None:
    assert Serve(num_dask_workers=3).dask_worker_ports == (8788, 8789, 8790)
    with pytest.raises(ValidationError, match="port 5000 is given to two services"):
        Serve(dagster_port=5000)
    with pytest.raises(ValidationError, match="port 8788 is given to two services"):
        Serve(mlflow_port=8788)
