"""The containers' and the services' files, judged by the programs that will read them: Docker Compose, systemd, Dagster."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lang1_assets.ops.audit.keys import KEY_VARIABLE
from lang1_assets.services import mlflow_server
from lang1_assets.services.lineup import CONFIGURATION, SAVED_BEFORE_SECONDS, dagster_configuration
from lang1_assets.settings import PROFILE_FOLDER, load_settings
from tests.infrastructure import INFRA, PATH, program

GIVEN = {
    "LANG1_HOST": "lang1.hospital.example",
    "LANG1_SECRETS": "/srv/lang1/secrets",
    "LANG1_PROFILE_FOLDER": "/srv/lang1/profile",
    "LANG1_RECORDS": "/srv/lang1/records",
    "LANG1_LANDING": "/srv/lang1/landing",
}
SERVICES = {"postgres", "code_server", "daemon", "webserver", "mlflow", "dask_scheduler", "dask_worker", "proxy"}


def compose(*words: str, without: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": PATH, "HOME": "/tmp"} | {name: text for name, text in GIVEN.items() if name != without}
    command = [program("docker-compose"), *words]
    return subprocess.run(command, env=environment, cwd=INFRA, capture_output=True, text=True)


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    done = compose("-f", "compose.yaml", "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("more", ["compose.gpu.yaml", "compose.alerts.yaml"])
def test_compose_takes_each_addition(more: str) -> None:
    done = compose("-f", "compose.yaml", "-f", more, "config", "--quiet")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", GIVEN)
def test_what_has_no_safe_default_must_be_given(name: str) -> None:
    done = compose("-f", "compose.yaml", "config", "--quiet", without=name)
    assert done.returncode != 0
    assert f"required variable {name} is missing" in done.stderr


def test_every_service_is_there_checked_limited_and_without_rights(composed: dict[str, Any]) -> None:
    assert set(composed["services"]) == SERVICES
    for name, service in composed["services"].items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= set(limits), name
        if name != "postgres":
            assert service["user"] == "10001:10001", name
            assert "cap_add" not in service, name


def test_only_the_proxy_can_be_reached_and_nothing_else_reaches_out(composed: dict[str, Any]) -> None:
    published = {name for name, service in composed["services"].items() if service.get("ports")}
    assert published == {"proxy"}
    (port,) = composed["services"]["proxy"]["ports"]
    assert port["host_ip"] == "127.0.0.1", "unless somebody says otherwise"
    assert composed["networks"]["inside"]["internal"]
    outside = {name for name, service in composed["services"].items() if set(service["networks"]) != {"inside"}}
    assert outside == {"proxy"}
    for name, service in composed["services"].items():
        assert "network_mode" not in service, name
        assert not any("docker.sock" in volume.get("source", "") for volume in service.get("volumes", [])), name


def test_images_are_pinned(composed: dict[str, Any]) -> None:
    images = {service["image"] for service in composed["services"].values()}
    for image in images:
        assert re.search(r":\d+\.\d+", image), f"{image} has no version"
    bases = re.findall(r"^(?:ARG PYTHON=|FROM )([a-z]\S+)", (INFRA / "Containerfile").read_text(), re.M)
    assert bases
    assert all(re.search(r":\d+\.\d+\.\d+", base) for base in bases)


def test_no_password_is_written_down_and_none_reaches_who_does_not_need_it(composed: dict[str, Any]) -> None:
    for name, service in composed["services"].items():
        for key, value in (service.get("environment") or {}).items():
            assert key.endswith("_FILE") or not re.search(r"PASSWORD|TOKEN|SECRET", key), f"{name}: {key}"
            assert not re.search(r"://[^/@\s]*:[^/@\s]*@", str(value)), f"{name}: {key} holds a password"
    needed = {
        name: {held["source"] for held in service.get("secrets", [])} for name, service in composed["services"].items()
    }
    assert needed["proxy"] == {"users", "tls_certificate", "tls_key"}
    assert needed["mlflow"] == {"lang1_mlflow"}
    assert needed["webserver"] == {"lang1_dagster"}
    assert needed["dask_worker"] == {"dask_ca", "dask"}
    assert {name for name, secrets in needed.items() if "lang1_admin" in secrets} == {"postgres"}
    assert all("file" in secret for secret in composed["secrets"].values())


def test_runs_seal_the_audit_and_nobody_else_has_the_key(composed: dict[str, Any]) -> None:
    has_secret = {
        name
        for name, service in composed["services"].items()
        if "audit_key" in {held["source"] for held in service.get("secrets", [])}
    }
    told = {
        name: (service.get("environment") or {}).get(KEY_VARIABLE) for name, service in composed["services"].items()
    }
    assert has_secret == {"daemon"} == {name for name, path in told.items() if path is not None}
    assert told["daemon"] == "/run/secrets/audit_key"


def test_what_sql_is_compiled_into_can_be_written(composed: dict[str, Any]) -> None:
    """The image's folders cannot: dbt's own would end the code server before it has begun."""
    for name in ("code_server", "daemon"):
        assert composed["services"][name]["environment"]["DBT_TARGET_PATH"].startswith("/lang1/"), name


def test_records_are_mounted_for_reading_alone(composed: dict[str, Any]) -> None:
    for name, service in composed["services"].items():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert volume.get("read_only"), f"{name}: {volume['target']}"
    with_records = {
        name
        for name, service in composed["services"].items()
        if any(volume["target"] == "/records" for volume in service.get("volumes", []))
    }
    assert with_records == {"code_server", "daemon"}


def test_mlflow_sees_its_own_folder_alone_and_somebody_has_made_it(composed: dict[str, Any]) -> None:
    """Whoever may log in can have it hand out any file that it sees."""
    (held,) = composed["services"]["mlflow"]["volumes"]
    assert (held["source"], held["target"], held["read_only"]) == ("home", "/lang1/mlflow", True)
    assert held["volume"]["subpath"] == "mlflow"
    makes_it = composed["services"]["code_server"]
    assert makes_it["environment"]["DAGSTER_HOME"].startswith("/lang1/"), "its entry makes folders of the home"
    assert [volume["target"] for volume in makes_it["volumes"] if volume["source"] == "home"] == ["/lang1"]
    assert composed["services"]["mlflow"]["depends_on"]["code_server"]["condition"] == "service_healthy"


def test_runs_are_asked_to_save_before_the_daemon_s_container_ends(composed: dict[str, Any]) -> None:
    daemon = composed["services"]["daemon"]
    assert daemon["command"][:3] == ["python", "-m", "lang1_assets.services.container_daemon"]
    assert {"postgres", "mlflow"} <= set(daemon["depends_on"]), "those end after it"


def test_who_stops_runs_knows_their_processes(composed: dict[str, Any]) -> None:
    daemon, webserver = (composed["services"][name] for name in ("daemon", "webserver"))
    assert webserver["pid"] == "service:daemon"
    assert webserver["hostname"] == daemon["hostname"], "a process of another host is never said to be gone"


def test_a_stopped_run_has_the_time_that_the_slowest_profile_needs_to_save(composed: dict[str, Any]) -> None:
    profiles = sorted(PROFILE_FOLDER.glob("*.yaml"))
    needed = max(load_settings(str(path)).launch.save_seconds for path in profiles) + SAVED_BEFORE_SECONDS
    assert needed > 2_000
    for name in ("dagster.yaml", "dagster-server.yaml"):
        held = yaml.safe_load((INFRA / name).read_text())
        assert held["run_monitoring"]["cancel_timeout_seconds"] >= needed, name
    given = re.fullmatch(r"(\d+)m0s", composed["services"]["daemon"]["stop_grace_period"])
    assert given is not None
    assert int(given[1]) * 60 >= needed
    for name in ("lang1.service", "lang1-containers.service"):
        assert int(unit(name)["Service"]["TimeoutStopSec"]) >= needed, name
    chart = yaml.safe_load((INFRA / "kubernetes" / "values.yaml").read_text())
    assert chart["dagsterDaemon"]["runMonitoring"]["cancelTimeoutSeconds"] >= needed
    of_pods = chart["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]["podSpecConfig"]
    assert of_pods["termination_grace_period_seconds"] >= needed


def test_the_services_of_one_machine_give_what_their_profile_says() -> None:
    written, kept = yaml.safe_load(dagster_configuration(900)), yaml.safe_load(CONFIGURATION.read_text())
    assert written["run_monitoring"].pop("cancel_timeout_seconds") == 900 + SAVED_BEFORE_SECONDS
    assert kept["run_monitoring"].pop("cancel_timeout_seconds")
    assert written == kept


def test_services_that_were_stopped_stay_so() -> None:
    assert unit("lang1.service")["Service"]["Restart"] == "on-failure", "`lang1 serve --stop` ends with 0"


def unit(name: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None)
    read.read(INFRA / "systemd" / name)
    return read


def test_services_of_the_containers_start_the_same_programs_as_those_of_one_machine(composed: dict[str, Any]) -> None:
    """Options that Dagster, MLflow and Dask no longer know would be found by the test of `lang1 serve` alone."""
    modules = [INFRA.parent / "lang1_assets" / "services" / name for name in ("lineup.py", "mlflow_server.py")]
    lineup = "".join(module.read_text() for module in modules)
    for name in ("code_server", "mlflow", "dask_scheduler", "dask_worker"):
        options = {word for word in composed["services"][name]["command"] if word.startswith("--")}
        unknown = {word for word in options if f'"{word}"' not in lineup} - {"--static-prefix"}
        assert not unknown, f"{name}: {unknown}"


def test_every_mlflow_server_is_a_tracking_server_alone() -> None:
    services = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
    (deployment, *_) = yaml.safe_load_all((INFRA / "kubernetes" / "mlflow.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    in_pod = {row["name"]: row.get("value") for row in container["env"]}
    assert mlflow_server.ENVIRONMENT.items() <= services["mlflow"]["environment"].items()
    assert mlflow_server.ENVIRONMENT.items() <= in_pod.items()


def test_dagster_reads_the_services_configuration(tmp_path: Path) -> None:
    from dagster._core.instance.config import dagster_instance_config

    for name in ("dagster.yaml", "dagster-server.yaml"):
        shutil.copyfile(INFRA / name, tmp_path / "dagster.yaml")
        config, _ = dagster_instance_config(str(tmp_path))
        assert config["concurrency"]["pools"] == {"default_limit": 1, "granularity": "op"}, name
    assert config["run_retries"]["enabled"]
    assert not config["run_retries"]["retry_on_asset_or_op_failure"]
    assert config["concurrency"]["runs"]["tag_concurrency_limits"] == [{"key": "dagster/backfill", "limit": 2}]
    raw = yaml.safe_load((INFRA / "dagster-server.yaml").read_text())
    assert raw["storage"]["custom"]["config"] == {"postgres_url": {"env": "LANG1_DAGSTER_DATABASE"}}
