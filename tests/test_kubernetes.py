"""What goes onto Kubernetes, judged by its own schemas and by Dagster's Kubernetes library. No cluster runs here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import deserialize_value, serialize_value

from lang1_assets.ops.audit.keys import KEY_VARIABLE
from lang1_assets.services import executor
from lang1_assets.services.patient_storage import PatientEventLog, PatientRunStorage
from tests.postgres_server import running_server, server_programs

FOLDER = Path(__file__).parents[1] / "infra" / "kubernetes"
VERSION = "1.31"


def documents() -> list[tuple[str, dict[str, Any]]]:
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    read = [(name, yaml.safe_load_all((FOLDER / name).read_text())) for name in names]
    return [(f"{name}:{held['kind']}/{held['metadata']['name']}", held) for name, all_of in read for held in all_of]


def values() -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / "values.yaml").read_text()))


@pytest.mark.parametrize(("name", "document"), documents(), ids=[name for name, _ in documents()])
def test_manifests_fit_the_schemas_of_kubernetes(name: str, document: dict[str, Any]) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    kubernetes_validate.validate(document, VERSION, strict=True)


def test_pods_have_no_rights_are_limited_and_asked_after() -> None:
    deployments = [held for _, held in documents() if held["kind"] == "Deployment"]
    assert {held["metadata"]["name"] for held in deployments} == {"mlflow", "dask-scheduler", "dask-worker"}
    for held in deployments:
        pod = held["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        security = container["securityContext"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"]
        assert security["allowPrivilegeEscalation"] is False
        assert container["resources"]["limits"]
        assert container["livenessProbe"]
        assert container["readinessProbe"]
        assert re.search(r":\d+\.\d+", container["image"]), "pinned"


def test_no_pod_goes_past_the_image_s_entry() -> None:
    """It sets the umask: `command` would take its place."""
    for held in (held for _, held in documents() if held["kind"] == "Deployment"):
        (container,) = held["spec"]["template"]["spec"]["containers"]
        assert "command" not in container, held["metadata"]["name"]
        assert container["args"][0] in ("mlflow", "dask")


def test_what_lies_outside_can_be_reached_once_its_address_is_filled_in() -> None:
    out = [
        (block["ipBlock"]["cidr"], {port["port"] for port in rule["ports"]})
        for _, held in documents()
        if held["kind"] == "NetworkPolicy"
        for rule in held["spec"].get("egress", [])
        for block in rule["to"]
        if "ipBlock" in block
    ]
    readme = (FOLDER / "README.md").read_text()
    assert all(cidr.removesuffix("/32") in readme for cidr, _ in out), "a person is told what to replace"
    ports = set().union(*(held for _, held in out))
    assert values()["postgresql"]["service"]["port"] in ports
    assert {443, 587} <= ports, "Slack, mail"


def test_the_web_server_s_port_needs_no_rights_and_is_the_one_that_is_let_in_and_asked() -> None:
    webserver = values()["dagsterWebserver"]
    port = webserver["service"]["port"]
    assert port >= 1024
    assert webserver["readinessProbe"]["httpGet"]["port"] == port, "the chart's own is 80"
    policies = {held["metadata"]["name"]: held["spec"] for _, held in documents() if held["kind"] == "NetworkPolicy"}
    (rule,) = policies["people-through-the-ingress"]["ingress"]
    assert [held["port"] for held in rule["ports"]] == [port]
    assert f"`dagster-dagster-webserver` ({port})" in (FOLDER / "README.md").read_text()


def test_nothing_can_be_reached_but_through_the_ingress() -> None:
    services = [held for _, held in documents() if held["kind"] == "Service"]
    assert all(held["spec"]["type"] == "ClusterIP" for held in services)
    policies = {held["metadata"]["name"]: held["spec"] for _, held in documents() if held["kind"] == "NetworkPolicy"}
    assert policies["nothing-by-default"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    from_outside = [
        source
        for spec in policies.values()
        for rule in spec.get("ingress", [])
        for source in rule["from"]
        if "podSelector" not in source
    ]
    assert from_outside
    assert all(list(source) == ["namespaceSelector"] for source in from_outside)


def test_values_hold_no_password_and_open_nothing() -> None:
    held = values()
    assert held["postgresql"]["postgresqlPassword"] == ""
    assert held["generatePostgresqlPasswordSecret"] is False
    assert held["global"]["postgresqlSecretName"]
    assert not held["ingress"]["enabled"]
    assert held["dagsterWebserver"]["service"]["type"] == "ClusterIP"
    text = "".join(path.read_text() for path in FOLDER.glob("*.yaml"))
    assert not re.search(r"://[^/@\s]*:[^/@\s]*@", text), "an address with a password"


def test_dagster_takes_what_its_chart_would_make_of_the_launcher_s_values() -> None:
    container_context = pytest.importorskip("dagster_k8s.container_context")
    from dagster._config import process_config
    from dagster_k8s import K8sRunLauncher
    from dagster_k8s.models import k8s_model_from_dict
    from kubernetes import client

    launcher = values()["runLauncher"]["config"]["k8sRunLauncher"]
    of_pods = launcher["runK8sConfig"]
    given = {
        "service_account_name": "dagster",
        "instance_config_map": "dagster-instance",
        "dagster_home": "/opt/dagster/dagster_home",
        "load_incluster_config": launcher["loadInclusterConfig"],
        "fail_pod_on_run_failure": launcher["failPodOnRunFailure"],
        "run_k8s_config": {
            "job_spec_config": of_pods["jobSpecConfig"],
            "pod_spec_config": of_pods["podSpecConfig"],
        },
    }
    assert process_config(K8sRunLauncher.config_type(), given).success
    (deployment,) = values()["dagster-user-deployments"]["deployments"]
    context = {
        "env_secrets": [secret["name"] for secret in deployment["envSecrets"]],
        "env_vars": [f"{name}={text}" for name, text in deployment["env"].items()],
        "volumes": deployment["volumes"],
        "volume_mounts": deployment["volumeMounts"],
        "resources": deployment["resources"],
        "security_context": deployment["securityContext"],
    }
    made = container_context.K8sContainerContext.create_from_config({"k8s": context})
    assert made.run_k8s_config.container_config["volume_mounts"]
    mounted = [mount["mountPath"] for mount in deployment["volumeMounts"]]
    for variable in (KEY_VARIABLE, "DBT_TARGET_PATH"):
        assert any(deployment["env"][variable].startswith(f"{folder}/") for folder in mounted), variable
    for volume in deployment["volumes"]:
        # An unknown key is an error here, and would be a pod that never starts there.
        assert k8s_model_from_dict(client.V1Volume, snake_case(volume)).name == volume["name"]


def of_the_chart(server: dict[str, str], held: dict[str, Any]) -> str:
    """A `dagster.yaml` as the chart writes it: three storages, then what `additionalInstanceConfig` holds."""
    config = {
        "postgres_db": {
            "username": server["LANG1_POSTGRES_USER"],
            "password": {"env": "DAGSTER_PG_PASSWORD"},
            "hostname": server["LANG1_POSTGRES_HOST"],
            "db_name": server["LANG1_POSTGRES_DATABASE"],
            "port": int(server["LANG1_POSTGRES_PORT"]),
            "params": {},
            "scheme": held["postgresql"]["postgresqlScheme"],
        }
    }
    storages = {
        "schedule_storage": ("dagster_postgres.schedule_storage", "PostgresScheduleStorage"),
        "run_storage": ("dagster_postgres.run_storage", "PostgresRunStorage"),
        "event_log_storage": ("dagster_postgres.event_log", "PostgresEventLogStorage"),
    }
    text = {name: {"module": module, "class": made, "config": config} for name, (module, made) in storages.items()}
    return yaml.safe_dump(text | {"telemetry": {"enabled": False}}) + yaml.safe_dump(held["additionalInstanceConfig"])


@pytest.mark.skipif(server_programs() is None, reason="no PostgreSQL server on this machine")
def test_every_process_of_the_chart_waits_for_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server(tmp_path / "server") as server:
        monkeypatch.setenv("DAGSTER_PG_PASSWORD", server["LANG1_POSTGRES_PASSWORD"])
        (tmp_path / "dagster.yaml").write_text(of_the_chart(server, values()))
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            assert isinstance(instance.event_log_storage, PatientEventLog)
            assert isinstance(instance.run_storage, PatientRunStorage)
            run = instance.add_run(dg.DagsterRun(job_name="demo"))
            # As a run's pod gets it: in its arguments.
            handed_on = serialize_value(instance.get_ref())
        with dg.DagsterInstance.from_ref(deserialize_value(handed_on, InstanceRef)) as in_pod:
            assert isinstance(in_pod.event_log_storage, PatientEventLog)
            in_pod.report_run_canceled(run)
            held = in_pod.get_run_by_id(run.run_id)
            assert held is not None
            assert held.status == dg.DagsterRunStatus.CANCELED


def snake_case(held: Any) -> Any:
    if isinstance(held, list):
        return [snake_case(item) for item in held]
    if not isinstance(held, dict):
        return held
    return {re.sub(r"(?<=[a-z])([A-Z])", r"_\1", key).lower(): snake_case(text) for key, text in held.items()}


def test_steps_are_processes_unless_kubernetes_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(executor.EXECUTOR_VARIABLE, raising=False)
    assert executor.chosen_executor([]) is dg.multi_or_in_process_executor
    monkeypatch.setenv(executor.EXECUTOR_VARIABLE, "kubernets")
    with pytest.raises(executor.ExecutorError, match="'kubernets' is none; expected processes or kubernetes"):
        executor.chosen_executor([])


def test_a_step_that_uses_the_accelerator_is_a_pod_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dagster_k8s")

    @dg.asset(pool="accelerator")
    def trained() -> None: ...

    @dg.asset
    def counted() -> None: ...

    monkeypatch.setenv(executor.EXECUTOR_VARIABLE, "kubernetes")
    made = executor.chosen_executor([trained, counted, dg.AssetSpec("elsewhere")])
    assert made.name == "k8s"
    steps = executor.gpu_steps([trained, counted, dg.AssetSpec("elsewhere")])
    assert list(steps) == ["trained"]
    defs = dg.Definitions(assets=[trained, counted], executor=made)
    assert defs.resolve_implicit_global_asset_job_def().executor_def.name == "k8s"
