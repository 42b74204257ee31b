"""One job file, three ways to start it, the same losses to the last digit."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lang1_assets.resources.launcher import TrainingLauncher
from lang1_assets.resources.launcher.processes import free_port
from lang1_assets.settings.launch import Launch
from tests.ops.launching import last_values, log_of, summary_of
from tests.resources.launcher import imitated_slurm
from tests.resources.launcher.running import install_ssh
from tests.slurm_cluster import slurm_cluster, why_not

MODULE = "lang1_assets.ops.pretraining"
# Otherwise each way would give a rank the threads that it finds free, and sums of floats depend on them.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def short(config: dict[str, Any]) -> dict[str, Any]:
    return {**config, "training": {**config["training"], "max_steps": 4}}


def run(work: Path, config: dict[str, Any], launch: Launch) -> None:
    @dg.asset
    def training(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        TrainingLauncher().run(
            context,
            module=MODULE,
            config=config,
            work=work,
            num_cpu_ranks=2,
            on_metrics=lambda rows: None,
            launch=launch,
        )
        return dg.MaterializeResult()

    try:
        dg.materialize([training])
    except dg.Failure as error:
        raise AssertionError(f"{error.description}\n{log_of(work)[-3000:]}") from None


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, short: dict[str, Any]) -> Path:
    work = tmp_path_factory.mktemp("local")
    run(work, short, Launch(environment=ONE_THREAD))
    return work


@pytest.fixture(params=["hostfile", "slurm"])
def launch(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    """Two ranks on CPU; under a real Slurm where there is one, else under stand-ins for its commands."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    if request.param == "hostfile":
        install_ssh(folder)
        hostfile = tmp_path / "hostfile"
        hostfile.write_text("localhost slots=1\n127.0.0.1 slots=1\n")
        yield Launch(kind="hostfile", hostfile=hostfile, master_port=free_port(), environment=ONE_THREAD)
        return
    with ExitStack() as cluster:
        if why_not() is not None:
            imitated_slurm.install(folder)
            monkeypatch.setenv("IMITATED_SLURM", str(folder))
        else:
            (tmp_path / "cluster").mkdir()
            for name, value in cluster.enter_context(slurm_cluster(tmp_path / "cluster")).items():
                monkeypatch.setenv(name, value)
        asked = {"gpus_per_node": 0, "cpus_per_rank": 1, "poll_seconds": 0.3}
        yield Launch.model_validate({"kind": "slurm", "slurm": asked, "environment": ONE_THREAD})


def test_every_way_gives_the_losses_of_the_local_one(
    local: Path, short: dict[str, Any], launch: Launch, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    run(work, short, launch)
    assert (work / "job.json").read_text() == (local / "job.json").read_text()
    assert summary_of(work) == summary_of(local)
    assert summary_of(work)["num_ranks"] == 2
    losses = {key: value for key, value in last_values(local).items() if "loss" in key[1]}
    assert len(losses) >= 4
    assert {key: value for key, value in last_values(work).items() if "loss" in key[1]} == losses
