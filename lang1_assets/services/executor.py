"""Where the steps of a run are: processes beside it, or on Kubernetes a pod each, with a GPU for those that use one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

EXECUTOR_VARIABLE = "LANG1_EXECUTOR"
PROCESSES, KUBERNETES = "processes", "kubernetes"
ACCELERATOR = "accelerator"
ONE_GPU = {"container_config": {"resources": {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 1}}}}


class ExecutorError(ValueError):
    """LANG1_EXECUTOR names none."""


def steps_are_pods() -> bool:
    """Whether `LANG1_EXECUTOR` says so.

    Raises:
        ExecutorError: it says something else.
    """
    named = os.environ.get(EXECUTOR_VARIABLE) or PROCESSES
    if named not in (PROCESSES, KUBERNETES):
        raise ExecutorError(f"{EXECUTOR_VARIABLE}: '{named}' is none; expected {PROCESSES} or {KUBERNETES}")
    return named == KUBERNETES


def chosen_executor(assets: Iterable[Any]) -> dg.ExecutorDefinition:
    """The executor of every job.

    Args:
        assets: those with the pool `accelerator` ask Kubernetes for a GPU; a job that is launched over more GPUs than one pod
            has goes to Slurm or to a hostfile (`launch`).
    """
    if not steps_are_pods():
        return dg.multi_or_in_process_executor
    # Not where nobody asks for it: the client of Kubernetes takes a second to import.
    from dagster_k8s import k8s_job_executor

    return k8s_job_executor.configured({"per_step_k8s_config": gpu_steps(assets)})


def gpu_steps(assets: Iterable[Any]) -> Mapping[str, Any]:
    """What each step that uses the accelerator asks for."""
    return {
        asset.op.name: ONE_GPU
        for asset in assets
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable and asset.op.pool == ACCELERATOR
    }
