"""Checkpoints from which an interrupted run goes on: whole or not there, checked when read, few kept (M25).

Each is a folder `resume/step-NNNNNNNN` as DeepSpeed writes it, and a manifest of its files, written last. Without its
manifest a checkpoint does not exist; with one, every byte is compared before it is loaded.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist

from lang1_assets.ops.checksums import sha256_of
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.training.reshaping import load_for_other_ranks
from lang1_assets.ops.training.world import World

RESUME_FOLDER = "resume"
MANIFEST_FILE = "manifest.json"
HASHING_THREADS = 4


class CheckpointError(ValueError):
    """No checkpoint that can be trusted; the message says which were looked at and what to do."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a checkpoint consists of."""

    step: int
    num_ranks: int
    zero_stage: int
    files: dict[str, tuple[int, str]]
    """Size in bytes and sha256 of each file, by its path inside of the folder."""


def save_resume(
    engine: Any,
    work: Path,
    step: int,
    state: dict[str, Any],
    world: World,
    *,
    keep_last: int,
    stable_step: int | None = None,
) -> None:
    """Everything needed to go on: weights, optimizer, and the loop's own state.

    Args:
        keep_last: checkpoints that stay, this one included.
        stable_step: the newest checkpoint at or before this step stays as well: what a spike goes back to.

    Raises:
        OSError: it could not be written, as on a full disk; those before it are untouched.
    """
    folder = work / RESUME_FOLDER / name_of(step)
    if world.rank == 0:
        # An earlier attempt at this step: its manifest must not vouch for files that are being replaced.
        shutil.rmtree(folder, ignore_errors=True)
    dist.barrier()
    try:
        engine.save_checkpoint(str(folder.parent), tag=folder.name, client_state={"loop": state}, save_latest=False)
    except (OSError, RuntimeError) as error:
        # torch reports a full disk as a RuntimeError of its archive writer.
        raise OSError(
            f"{folder}: the checkpoint could not be written ({first_line(error)}); free some space"
        ) from error
    dist.barrier()
    write_manifest(engine, folder, step, world)
    if world.rank == 0:
        remove_old(folder.parent, step, keep_last, stable_step)
    dist.barrier()


def write_manifest(engine: Any, folder: Path, step: int, world: World) -> None:
    """Ranks share the hashing; rank 0 writes it down once all have theirs."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    shares = world.gather(hashed(folder, files[world.rank :: world.size]))
    if world.rank == 0:
        known = {name: entry for share in shares for name, entry in share.items()}
        stage = engine.zero_optimization_stage()
        manifest = Manifest(step=step, num_ranks=world.size, zero_stage=stage, files=dict(sorted(known.items())))
        beside = folder / f"{MANIFEST_FILE}.tmp"
        beside.write_text(json.dumps(asdict(manifest), indent=1))
        beside.rename(folder / MANIFEST_FILE)


def hashed(folder: Path, files: Iterable[Path]) -> dict[str, tuple[int, str]]:
    """Size and sha256 of each file; hashing leaves the interpreter's lock, so threads help."""
    files = list(files)
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        digests = list(pool.map(sha256_of, files))
    return {
        str(path.relative_to(folder)): (path.stat().st_size, digest)
        for path, digest in zip(files, digests, strict=True)
    }


def load_resume(
    engine: Any, work: Path, world: World, reporter: Reporter, *, at_most: int | None = None
) -> dict[str, Any] | None:
    """Go back to the newest checkpoint that is whole; the loop's state, or None where nothing was ever saved.

    Args:
        reporter: each checkpoint that is damaged is an alert.
        at_most: the newest step that will do. Where none is that old, the oldest one is taken.

    Raises:
        CheckpointError: there are checkpoints, and none is whole.
    """
    found = in_order_of_trust(world.gather(finished(work / RESUME_FOLDER))[0], at_most)
    for manifest in found:
        folder = work / RESUME_FOLDER / name_of(manifest.step)
        damage = first_damage(folder, manifest, world)
        if damage is None:
            return load(engine, folder, manifest, world, reporter)
        text = f"checkpoint {folder.name} is damaged ({damage}); trying the one before it"
        reporter.alert("checkpoint_damaged", text, step=manifest.step)
    if found:
        names = ", ".join(name_of(manifest.step) for manifest in found)
        raise CheckpointError(
            f"{work / RESUME_FOLDER}: none of {names} is whole; remove this folder to train from the start, or bring it "
            "back from a copy"
        )
    return None


def in_order_of_trust(found: list[Manifest], at_most: int | None) -> list[Manifest]:
    """The newest first; those that are too new only after all others, the oldest of them first."""
    old_enough = [manifest for manifest in found if at_most is None or manifest.step <= at_most]
    return old_enough[::-1] + [manifest for manifest in found if manifest not in old_enough]


def load(engine: Any, folder: Path, manifest: Manifest, world: World, reporter: Reporter) -> dict[str, Any]:
    if manifest.zero_stage == 0 or manifest.num_ranks == world.size:
        _, client_state = engine.load_checkpoint(str(folder.parent), tag=folder.name)
    else:
        reporter.say(f"checkpoint {folder.name} is of {manifest.num_ranks} rank(s): converting it for {world.size}")
        client_state = load_for_other_ranks(engine, folder, world)
    state: dict[str, Any] = client_state["loop"]
    return state


def first_damage(folder: Path, manifest: Manifest, world: World) -> str | None:
    """What is wrong with a checkpoint, the same on every rank; the ranks share the reading."""
    names = list(manifest.files)[world.rank :: world.size]
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        own = list(pool.map(lambda name: damage_of(folder / name, *manifest.files[name]), names))
    return next((damage for damages in world.gather(own) for damage in damages if damage is not None), None)


def damage_of(path: Path, size: int, sha256: str) -> str | None:
    if not path.exists():
        return f"{path.name} is missing"
    if path.stat().st_size != size:
        return f"{path.name} has {path.stat().st_size} bytes, its manifest says {size}"
    return None if sha256_of(path) == sha256 else f"{path.name} has another checksum than its manifest says"


def finished(folder: Path) -> list[Manifest]:
    """The checkpoints that have a manifest, oldest first; one that cannot be read counts as a checkpoint without files."""
    return [read_manifest(path) for path in sorted(folder.glob(f"step-*/{MANIFEST_FILE}"))]


def read_manifest(path: Path) -> Manifest:
    step = int(path.parent.name.removeprefix("step-"))
    try:
        return Manifest(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        # A name that no file has: it is looked for, not found, and the checkpoint is named as damaged.
        return Manifest(step=step, num_ranks=0, zero_stage=0, files={f"what {MANIFEST_FILE} lists": (0, "")})


def remove_old(folder: Path, step: int, keep_last: int, stable_step: int | None) -> None:
    """By name and not by age: a checkpoint that was cut off half-way may have a higher step than those that are whole.

    One that is later than `step`, which was saved just now, was found damaged: it must not push out those before it.
    """
    steps = [manifest.step for manifest in finished(folder) if manifest.step <= step]
    stable = [step for step in steps if stable_step is not None and step <= stable_step]
    kept = {name_of(step) for step in [*steps[-keep_last:], *stable[-1:]]}
    # A conversion for another number of ranks that was cut off stays as well, as large as a checkpoint.
    for old in (*folder.glob("step-*"), *folder.glob("universal-step-*")):
        if old.name not in kept:
            remove(old)


def remove_newer(work: Path, step: int) -> None:
    """The checkpoints after `step`: the run went back to before them."""
    for old in (work / RESUME_FOLDER).glob("step-*"):
        if old.name > name_of(step):
            remove(old)


def remove(folder: Path) -> None:
    # Its manifest first: what is half removed must not look finished.
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def name_of(step: int) -> str:
    return f"step-{step:08d}"


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
