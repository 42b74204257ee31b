"""What containers run, run here: making their secrets, the proxy, the databases' script, the image's entry."""

import base64
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lang1_assets.ops.audit.keys import read_key
from lang1_assets.services.certificates import make_certificates
from lang1_assets.services.container_secrets import make_secrets
from tests import postgres_server
from tests.infrastructure import INFRA, PATH, program
from tests.services.supervised import ANSWERING
from tests.services.test_supervisor import free_port, until


def test_secrets_are_made_once_and_what_people_choose_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    missing = make_secrets(folder)
    assert [line.split(":")[0].rpartition("/")[2] for line in missing] == ["users", "tls.crt", "tls.key"]
    first = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert set(first) == {"lang1_admin", "lang1_dagster", "lang1_mlflow", "audit_key", "ca.pem", "dask.pem"}
    assert read_key(folder / "audit_key")
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*"))
    assert len({first[name] for name in ("lang1_admin", "lang1_dagster", "lang1_mlflow", "audit_key")}) == 4
    make_secrets(folder)
    assert first == {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def proxy(tmp_path: Path, users: str | None) -> Iterator[str]:
    """Our Caddyfile on a free port, in front of a program that answers everything; the address, or how it ended."""
    authority, signed = make_certificates()
    (tmp_path / "tls.pem").write_bytes(signed + authority)
    (tmp_path / "ca.pem").write_bytes(authority)
    if users is not None:
        (tmp_path / "users").write_text(users)
    port, health, upstream = free_port(), free_port(), free_port()
    text = (INFRA / "proxy" / "Caddyfile").read_text().replace(":8443", f":{port}").replace(":8081", f":{health}")
    (tmp_path / "Caddyfile").write_text(text)
    environment = {
        "PATH": PATH,
        "HOME": str(tmp_path),
        "LANG1_TLS_CERTIFICATE": str(tmp_path / "tls.pem"),
        "LANG1_TLS_KEY": str(tmp_path / "tls.pem"),
        "LANG1_USERS": str(tmp_path / "users"),
        "LANG1_DAGSTER_UPSTREAM": f"127.0.0.1:{upstream}",
        "LANG1_MLFLOW_UPSTREAM": f"127.0.0.1:{upstream}",
    }
    words = [program("caddy"), "run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    behind = subprocess.Popen([sys.executable, "-c", ANSWERING, str(upstream), str(tmp_path / "none")])
    running = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
    try:
        until(lambda: running.poll() is not None or (listens(health) and listens(upstream)), "the proxy")
        yield f"https://127.0.0.1:{port}" if running.poll() is None else f"ended with {running.returncode}"
    finally:
        for process in (running, behind):
            process.kill()
            process.wait()


def listens(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def status(address: str, folder: Path, user: str | None = None, method: str = "GET", **given: str) -> int:
    headers = {} if user is None else {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
    headers |= {f"Sec-Fetch-{name.title()}": text for name, text in given.items()}
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(urllib.request.Request(address, headers=headers, method=method), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_proxy_lets_nobody_in_without_a_password(tmp_path: Path) -> None:
    words = [
        program("caddy"),
        "hash-password",
        "--algorithm",
        "bcrypt",
        "--bcrypt-cost",
        "8",
        "--plaintext",
        "correct horse",
    ]
    hashed = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    with proxy(tmp_path, f"alice {hashed}\n") as address:
        for path in ("/", "/graphql", "/mlflow/", "/mlflow/ajax-api/2.0/mlflow/experiments/search", "/health"):
            assert status(address + path, tmp_path) == 401, path
        assert status(f"{address}/", tmp_path, "alice:wrong") == 401
        assert status(f"{address}/", tmp_path, "alice:correct horse") == 200
        assert status(f"{address}/mlflow/", tmp_path, "alice:correct horse") == 200
        what_pages_of_others_may_do(address, tmp_path)


def what_pages_of_others_may_do(address: str, folder: Path) -> None:
    """Alice's browser sends her password along; it also says who asks."""

    def asked(path: str, method: str = "GET", **given: str) -> int:
        return status(address + path, folder, "alice:correct horse", method, **given)

    change = "/graphql?query=mutation"
    assert asked("/runs/1", site="cross-site", mode="navigate") == 200, "a link in a message"
    assert asked(change, site="same-origin", mode="cors") == 200
    assert asked(change, site="none", mode="navigate") == 200, "typed by herself"
    for site in ("cross-site", "same-site"):
        assert asked(change, site=site, mode="navigate") == 403, "a link"
        assert asked(change, site=site, mode="no-cors") == 403, "an image"
        assert asked("/report_asset_materialization/a", "HEAD", site=site, mode="navigate") == 403, "a form"
        assert asked("/", site=site, mode="websocket") == 403
    weights = "/mlflow/model-versions/get-artifact?name=tiny-joint&version=1&path=model/model.safetensors"
    assert asked(weights, site="same-origin", mode="navigate") == 403


def test_no_users_means_nobody_and_no_file_no_proxy(tmp_path: Path) -> None:
    with proxy(tmp_path, "") as address:
        assert status(f"{address}/", tmp_path) == 401
        assert status(f"{address}/", tmp_path, ":") == 401
    (tmp_path / "users").unlink()
    with proxy(tmp_path, None) as said:
        assert said == "ended with 1"


@pytest.mark.skipif(postgres_server.server_programs() is None, reason="no PostgreSQL server on this machine")
def test_the_databases_of_the_containers_are_their_users_alone(tmp_path: Path) -> None:
    import psycopg2

    secrets = tmp_path / "secrets"
    make_secrets(secrets)
    # Whatever a password holds: quotes end no statement, colons no row of libpq's file.
    (secrets / "lang1_dagster").write_text('it\'s : a \\ "$HOME"\n')
    programs = postgres_server.server_programs()
    with postgres_server.running_server(tmp_path / "server") as server:
        (secrets / "lang1_admin").write_text(server["LANG1_POSTGRES_PASSWORD"])
        environment = {
            "PATH": f"{programs}:{PATH}",
            "PGHOST": "127.0.0.1",
            "PGPORT": server["LANG1_POSTGRES_PORT"],
            "POSTGRES_USER": server["LANG1_POSTGRES_USER"],
            "POSTGRES_PASSWORD_FILE": str(secrets / "lang1_admin"),
            "LANG1_SECRETS_FOLDER": str(secrets),
        }
        done = subprocess.run(
            [str(INFRA / "postgres" / "databases.sh")], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        passfile = run_entrypoint(tmp_path, environment)
        for database in ("lang1_dagster", "lang1_mlflow"):
            with psycopg2.connect(
                host="127.0.0.1",
                port=server["LANG1_POSTGRES_PORT"],
                user=database,
                dbname=database,
                passfile=str(passfile),
            ) as connection:
                connection.cursor().execute("create table of_mine (a int)")
            connection.close()
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            psycopg2.connect(
                host="127.0.0.1",
                port=server["LANG1_POSTGRES_PORT"],
                user="lang1_mlflow",
                dbname="lang1_dagster",
                password=(secrets / "lang1_mlflow").read_text().strip(),
            )


def run_entrypoint(tmp_path: Path, environment: dict[str, str]) -> Path:
    """libpq's password file as the image's entry writes it."""
    text = (INFRA / "entrypoint.sh").read_text().replace("/tmp/pgpass", str(tmp_path / "pgpass"))
    script = tmp_path / "entrypoint.sh"
    script.write_text(text)
    done = subprocess.run(
        ["sh", str(script), "printenv", "PGPASSFILE"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    passfile = Path(done.stdout.strip())
    assert passfile.stat().st_mode & 0o077 == 0
    return passfile


def test_the_image_s_entry_leaves_the_chart_s_configuration_alone(tmp_path: Path) -> None:
    """Kubernetes mounts a `dagster.yaml` where only root writes: a pod whose entry wrote there would never start."""
    home, elsewhere = tmp_path / "home", tmp_path / "dagster_home"
    for folder in (home, elsewhere):
        folder.mkdir()
    (elsewhere / "dagster.yaml").write_text("of the chart")
    environment = {"PATH": PATH, "LANG1_HOME": str(home), "LANG1_SECRETS_FOLDER": str(tmp_path)}
    environment |= {"LANG1_DAGSTER_CONFIG": str(INFRA / "dagster-server.yaml")}
    run_entrypoint(tmp_path, environment | {"DAGSTER_HOME": str(elsewhere)})
    assert [path.name for path in elsewhere.iterdir()] == ["dagster.yaml"]
    assert (elsewhere / "dagster.yaml").read_text() == "of the chart"
    run_entrypoint(tmp_path, environment | {"DAGSTER_HOME": str(home / "serve" / "dagster")})
    copied = (home / "serve" / "dagster" / "dagster.yaml").read_text()
    assert copied == (INFRA / "dagster-server.yaml").read_text()
    assert (home / "mlflow" / "artifacts").is_dir(), "MLflow's container sees nothing else, and cannot make it"
