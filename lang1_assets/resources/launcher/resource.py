"""The resource that assets launch jobs with."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.pipes.utils import PipesFileContextInjector, PipesFileMessageReader, open_pipes_session

from lang1_assets.ops.training.config import accumulation_steps
from lang1_assets.resources.launcher import hosts, processes, slurm
from lang1_assets.resources.launcher.files import (
    ALERTS_FILE,
    CONFIG_FILE,
    LOG_FILE,
    METRICS_FILE,
    MetricsReader,
    OnMetrics,
    hand_on,
    ignored,
    last_line,
    reason_of,
    tail,
)
from lang1_assets.resources.launcher.jobs import LaunchError, StartedJob
from lang1_assets.settings.launch import Launch

STOPPING = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}
_stopped_runs: set[str] = set()
"""Runs of which this process was told to stop a job."""


class TrainingLauncher(dg.ConfigurableResource):
    """Runs a job module on this machine, on the hosts of a file or under Slurm, and follows it to its end."""

    grace_seconds: float = 20.0
    """Time that what is left of a failed job has before it is killed; `launch.save_seconds` is that of a stopped one."""

    def run(
        self,
        context: dg.AssetExecutionContext,
        *,
        module: str,
        config: Mapping[str, Any],
        work: Path,
        num_cpu_ranks: int,
        on_metrics: OnMetrics,
        on_alerts: OnMetrics = ignored,
        launch: Launch | None = None,
    ) -> None:
        """Run a job to its end.

        Args:
            module: the job's module, such as `lang1_assets.ops.pretraining`.
            config: the job's settings; written to `work/job.json`.
            work: the job's folder; a job that was interrupted goes on from what lies there.
            num_cpu_ranks: ranks of this machine, or of each node, where there is no GPU.
            on_metrics: given each new batch of rows of `metrics.jsonl` while the job runs.
            on_alerts: the same for `alerts.jsonl`.
            launch: where it runs; this machine by default.

        Raises:
            dagster.Failure: the job cannot be started as the profile says, or ended with an error; the end of its log is in
                the message.
        """
        if context.run_id in _stopped_runs:
            # All steps of a run from the terminal are in one process, and the job that was stopped is a failure there, which
            # other steps survive: without this, Ctrl-C ended one training and began the next.
            raise dg.Failure("not begun: the run was stopped", allow_retries=False)
        launch = launch or Launch()
        try:
            readers = [(MetricsReader(work / METRICS_FILE), on_metrics), (MetricsReader(work / ALERTS_FILE), on_alerts)]
        except LaunchError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        # Dagster marks this as preview and says so at every launch; the version is pinned in the lock file.
        warnings.filterwarnings("ignore", message=".*expected_writer_count.*")
        with open_pipes_session(
            context=context,
            context_injector=PipesFileContextInjector(str(work / "pipes_context.json")),
            message_reader=PipesFileMessageReader(str(work / "pipes_messages.jsonl")),
        ) as session:
            environment = {**os.environ, **session.get_bootstrap_env_vars()}
            try:
                job = self._start(module, config, work, num_cpu_ranks, launch, environment, context.log.warning)
            except LaunchError as error:
                raise dg.Failure(str(error), allow_retries=False) from None
            context.log.info(f"{module} runs on {job.describe()}")
            code = self._follow(context, job, readers)
        if code == 0:
            hand_on(readers)
        else:
            try_to_hand_on(context, readers)
        if code == processes.INPUT_ERROR_EXIT_CODE:
            raise dg.Failure(f"{module}: {last_line(work / LOG_FILE)}", allow_retries=False)
        if code != 0:
            raise dg.Failure(
                f"{module} on {job.describe()} ended with code {code}: {reason_of(work / LOG_FILE)}. Run it again to go on "
                f"from its last checkpoint. The end of {work / LOG_FILE}:\n{tail(work / LOG_FILE)}"
            )

    @staticmethod
    def hand_on_rest(work: Path, *, on_metrics: OnMetrics, on_alerts: OnMetrics = ignored) -> None:
        """What a job that is over wrote down and nobody took.

        Raises:
            dagster.Failure: from what is kept it cannot be told which rows were handed on.
        """
        try:
            hand_on([(MetricsReader(work / METRICS_FILE), on_metrics), (MetricsReader(work / ALERTS_FILE), on_alerts)])
        except LaunchError as error:
            raise dg.Failure(str(error), allow_retries=False) from None

    def _start(
        self,
        module: str,
        config: Mapping[str, Any],
        work: Path,
        num_cpu_ranks: int,
        launch: Launch,
        environment: Mapping[str, str],
        say: Callable[[str], None],
    ) -> StartedJob:
        config_file = work / CONFIG_FILE
        job = slurm.attach(work, launch.slurm.poll_seconds, launch.save_seconds)
        if job is not None and launch.kind == "slurm":
            return job
        if job is not None:
            job.require_over()
        config_file.write_text(json.dumps(config, indent=1, default=str))
        if launch.kind == "slurm":
            return self._start_slurm(module, config, config_file, num_cpu_ranks, launch, environment)
        if launch.kind == "hostfile":
            return self._start_hosts(module, config, config_file, launch, environment)
        ranks = processes.num_gpus() or num_cpu_ranks
        check_batches(config, ranks, "this machine")
        on_cpu = {} if processes.num_gpus() else processes.cpu_environment(ranks)
        command = processes.launcher_command(module, config_file, {"localhost": ranks})
        commands = {"this machine": processes.leashed(command, self._times(launch))}
        return processes.start_held(
            commands,
            {**environment, **on_cpu, **launch.environment},
            work / LOG_FILE,
            self._times(launch),
            lambda: say("a job of this folder whose step was killed is saving; waiting for it"),
        )

    def _times(self, launch: Launch) -> processes.Times:
        return processes.Times(save_seconds=launch.save_seconds, grace_seconds=self.grace_seconds)

    def _start_hosts(
        self,
        module: str,
        config: Mapping[str, Any],
        config_file: Path,
        launch: Launch,
        environment: Mapping[str, str],
    ) -> StartedJob:
        assert launch.hostfile is not None, "the profile requires a file for kind 'hostfile'"
        named = hosts.read_hostfile(launch.hostfile)
        check_batches(config, sum(host.slots for host in named), str(launch.hostfile))
        found = hosts.probe(named, launch.ssh_options, config_file)
        slots = {host.name: host.slots for host in named}
        with_gpus = any(item.gpus for item in found.values())
        commands = {}
        for node, host in enumerate(named):
            on_cpu = {} if with_gpus else processes.cpu_environment(host.slots, found[host.name].cores)
            own = {**hosts.passed_on(environment), **on_cpu, **launch.environment}
            command = processes.launcher_command(
                module,
                config_file,
                slots,
                node=node,
                master_address=launch.master_address or named[0].address,
                master_port=launch.master_port,
            )
            commands[host.name] = hosts.remote_command(host, launch.ssh_options, command, own, self._times(launch))
        return processes.start_held(commands, environment, config_file.parent / LOG_FILE, self._times(launch))

    def _start_slurm(
        self,
        module: str,
        config: Mapping[str, Any],
        config_file: Path,
        num_cpu_ranks: int,
        launch: Launch,
        environment: Mapping[str, str],
    ) -> StartedJob:
        asked = launch.slurm
        request = slurm.Request(
            **asked.model_dump(exclude={"poll_seconds"}),
            save_seconds=launch.save_seconds,
            ranks_per_node=asked.gpus_per_node or num_cpu_ranks,
            script=launch.slurm_script or slurm.SCRIPT,
        )
        check_batches(
            config, request.num_ranks, f"launch.slurm: {request.nodes} nodes of {request.ranks_per_node} ranks"
        )
        own = {} if asked.gpus_per_node else processes.cpu_environment(1, asked.cpus_per_rank)
        if launch.master_address is not None:
            own["MASTER_ADDR"] = launch.master_address
        return slurm.submit(
            module, config_file, request, {**environment, **own, **launch.environment}, asked.poll_seconds
        )

    def _follow(
        self, context: dg.AssetExecutionContext, job: StartedJob, readers: Sequence[tuple[MetricsReader, OnMetrics]]
    ) -> int:
        # A loop, not wait(): Dagster interrupts this thread with an exception, and wait() would hold it back.
        taken = True
        try:
            while (code := job.exit_code()) is None:
                time.sleep(job.poll_seconds)
                taken = try_to_hand_on(context, readers, warn=taken)
            return code
        except dg.DagsterExecutionInterruptedError as interrupted:
            _stopped_runs.add(context.run_id)
            # As it is, Dagster's retry policy would take a person's stop for a crash and start the job again.
            if job.outlives_dagster and not was_stopped(context):
                raise dg.Failure(
                    f"Dagster is ending; {job.describe()} goes on. Run this again to follow it", allow_retries=False
                ) from interrupted
            job.stop(self.grace_seconds)
            raise dg.Failure(
                "stopped; run it again to go on from the last checkpoint", allow_retries=False
            ) from interrupted
        except BaseException:
            if not job.outlives_dagster:
                job.stop(self.grace_seconds)
            raise


def try_to_hand_on(
    context: dg.AssetExecutionContext, readers: Sequence[tuple[MetricsReader, OnMetrics]], *, warn: bool = True
) -> bool:
    """A month of training does not end because MLflow is down: what was not taken is handed on at the next look.

    Returns:
        Whether all of it was taken.
    """
    taken = True
    for reader, receiver in readers:
        try:
            reader.hand_on(receiver)
        except Exception as error:
            if warn:
                context.log.warning(f"what the job reports was not taken ({type(error).__name__}); trying on")
            taken = False
    return taken


def was_stopped(context: dg.AssetExecutionContext) -> bool:
    """Whether a person stopped the run, and not merely the process that it runs in."""
    run = context.instance.get_run_by_id(context.run_id)
    return run is not None and run.status in STOPPING


def check_batches(config: Mapping[str, Any], ranks: int, where: str) -> None:
    """Before anything starts: the batch of the job's `training` settings must divide by the ranks."""
    training = config.get("training")
    if training is None:
        return
    try:
        accumulation_steps(training["global_batch_size"], training["micro_batch_size"], ranks)
    except ValueError as error:
        raise LaunchError(f"{error} ({where})") from None
