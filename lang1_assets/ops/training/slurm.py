"""A rank's place among the others, from what Slurm says to each process that `srun` starts."""

from __future__ import annotations

import re
from collections.abc import MutableMapping

# Below the ports that the kernel gives out by itself (from 32,768), above those of services.
FIRST_PORT, NUM_PORTS = 12_000, 20_000


def join_slurm_step(environment: MutableMapping[str, str]) -> None:
    """Write RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_SIZE, MASTER_ADDR and MASTER_PORT from Slurm's variables.

    A launcher's own variables win: a shell inside of a Slurm job has Slurm's too. So does a MASTER_ADDR or MASTER_PORT that
    somebody set.

    Raises:
        ValueError: `srun` started this process, but did not say where the ranks meet.
    """
    if "RANK" in environment or "SLURM_PROCID" not in environment:
        return
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
    if not nodes and "MASTER_ADDR" not in environment:
        raise ValueError(
            "SLURM_JOB_NODELIST is not set: no node to meet at; start the job with srun, or set MASTER_ADDR"
        )
    environment["RANK"] = environment["SLURM_PROCID"]
    environment["WORLD_SIZE"] = environment["SLURM_NTASKS"]
    environment["LOCAL_RANK"] = local_device(environment)
    environment["LOCAL_SIZE"] = environment.get("SLURM_STEP_TASKS_PER_NODE", "1").split("(")[0].split(",")[0]
    environment.setdefault("MASTER_ADDR", first_node(nodes))
    environment.setdefault("MASTER_PORT", str(FIRST_PORT + int(environment.get("SLURM_JOB_ID", "0")) % NUM_PORTS))


def local_device(environment: MutableMapping[str, str]) -> str:
    """The GPU of this rank among those it sees: with `--gpus-per-task` it sees one alone, which is number 0."""
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    sees_one = visible != "" and "," not in visible
    return "0" if sees_one else environment["SLURM_LOCALID"]


def first_node(nodes: str) -> str:
    """The first of a list as Slurm writes it: `gpu[03-05,9],login` begins with `gpu03`."""
    depth, end = 0, len(nodes)
    for position, character in enumerate(nodes):
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            end = position
            break
    return re.sub(r"\[([^],-]+)[^]]*\]", r"\1", nodes[:end])
