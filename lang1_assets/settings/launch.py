"""Where training jobs run: this machine, the hosts of a file, or Slurm (M61, M66)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lang1_assets.settings.section import PositiveInt, Section

TIME_LIMIT = r"^(\d+|\d+:\d{2}(:\d{2})?|\d+-\d{1,2}(:\d{2}){0,2})$"


class Slurm(Section):
    """What is asked of Slurm; the asset hands it to `sbatch`."""

    nodes: PositiveInt = 1
    gpus_per_node: Annotated[int, Field(ge=0)] = 8
    """One rank each. 0 trains on CPU, with `num_cpu_ranks` on each node."""
    cpus_per_rank: PositiveInt = 12
    time_limit: Annotated[str, Field(pattern=TIME_LIMIT)] = "1-00:00:00"
    """Of one stretch, as Slurm writes it (`days-hours:minutes:seconds`): a longer run saves, and takes its place in the
    queue again."""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    options: tuple[str, ...] = ()
    """More options of `sbatch`, such as `--constraint=h100`."""
    poll_seconds: Annotated[float, Field(gt=0)] = 15.0
    """Between two looks at the queue and at the job's metrics."""


class Launch(Section):
    """Where training jobs run. What a model becomes does not depend on it, so changing it makes nothing out of date."""

    kind: Literal["local", "hostfile", "slurm"] = "local"
    """`local`: every GPU of this machine. `hostfile`: every slot of the hosts in a file, over ssh. `slurm`: a batch job."""
    hostfile: Path | None = None
    """DeepSpeed's format, a host a line: `gpu-1 slots=8`."""
    ssh_options: tuple[str, ...] = ()
    """More options of `ssh`, such as `-i` and a key's path."""
    master_address: str | None = None
    """Where the ranks meet; default: the first host of the file, or the first node of the Slurm job."""
    master_port: Annotated[int, Field(ge=1024, le=65_535)] = 29_500
    """The port there, free on that host (with `hostfile`; `local` takes any free one, Slurm's depends on the job's number)."""
    environment: dict[str, str] = {}
    """Variables for every rank, such as NCCL_SOCKET_IFNAME."""
    save_seconds: PositiveInt = 300
    """How long a stopped job may take for the rest of its step and for saving; under Slurm also how long before its time limit
    it begins to."""
    slurm: Slurm = Slurm()
    slurm_script: Path | None = None
    """In the place of `infra/slurm/pretrain.sbatch`."""

    @model_validator(mode="after")
    def _hostfile_when_needed(self) -> Launch:
        if self.kind == "hostfile" and self.hostfile is None:
            raise ValueError("kind 'hostfile' needs hostfile: a file with a line such as 'gpu-1 slots=8' for each host")
        if self.kind != "hostfile" and self.hostfile is not None:
            raise ValueError(f"hostfile is given, but kind is '{self.kind}'; set kind: hostfile or remove the file")
        return self
