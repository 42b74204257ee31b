"""What would end a month of training later ends it before the first step: disk, shards, tokenizer, batch (M23)."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from lang1_assets.ops.checksums import READING_THREADS, sha256_of
from lang1_assets.ops.pretraining.config import PretrainConfig, crosses_checkpoint
from lang1_assets.ops.pretraining.start import random_model
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.shards import SPLITS, ShardError, TokenShards
from lang1_assets.ops.tokenizer import fast_tokenizer, tokenizer_sha256
from lang1_assets.ops.training.checkpoints import RESUME_FOLDER
from lang1_assets.ops.training.config import gradient_accumulation_steps
from lang1_assets.ops.training.world import World

VERIFIED_FILE = "verified_shards.json"
TRAJECTORY_FOLDER = "trajectory"
# Adam in fp32: the weights and two moments, 4 bytes each.
OPTIMIZER_BYTES = 12
WEIGHT_BYTES = {"fp32": 4, "bf16": 2}
# Tokenizer, config, metrics and logs, and what a filesystem takes for itself.
SPARE_BYTES = 256 * 2**20

Verified = dict[str, list[int | str]]
"""Path -> [size, time of the last change in ns, sha256] of a shard that was read and found right."""


class DiskSpaceError(ValueError):
    """Less space than the run will need."""


def preflight(config: PretrainConfig, work: Path, world: World, reporter: Reporter) -> None:
    """Everything that can be known to go wrong before a step is spent.

    Raises:
        ValueError: one of them does; the message says what to do.
    """
    gradient_accumulation_steps(config.training, world.size)
    check_vocabulary(config)
    check_disk(config, work, world)
    verify_shards(config, work, world, reporter)


def check_vocabulary(config: PretrainConfig) -> None:
    """Opening shards checks their sizes and their tokenizer's hash; here also that its ids fit the model."""
    sha256, size = tokenizer_sha256(config.tokenizer_folder), fast_tokenizer(config.tokenizer_folder).get_vocab_size()
    if size != config.vocab_size:
        raise ShardError(
            f"{config.tokenizer_folder}: a vocabulary of {size}, and the model is to have {config.vocab_size}; materialize the "
            "tokenizer and the shards again"
        )
    for folder in config.sources.values():
        for split in SPLITS:
            found = TokenShards(folder, split, sha256).vocab_size
            if found != size:
                raise ShardError(
                    f"{folder}: its manifest has a vocabulary of {found}, the tokenizer of {size}; materialize these shards again"
                )


def verify_shards(
    config: PretrainConfig, work: Path, world: World, reporter: Reporter, *, trust_earlier: bool = True
) -> None:
    """Compare every shard's checksum; the ranks share the work.

    Args:
        trust_earlier: leave out those that were right before and have the size and time they had: a resumed run does not
            read terabytes again.

    Raises:
        ShardError: on every rank, naming the first file that differs.
    """
    file = work / VERIFIED_FILE
    known: Verified = json.loads(file.read_text()) if trust_earlier and file.exists() else {}
    expected = {str(path): sha256 for folder in config.sources.values() for path, sha256 in checksums(folder).items()}
    todo = [path for path, sha256 in expected.items() if known.get(path) != stamp(Path(path), sha256)]
    if todo:
        reporter.say(f"comparing the checksums of {len(todo)} of {len(expected)} shards")
    # One list for all: a machine that sees another time of a file would share the work out otherwise, and leave files unread.
    todo = world.gather(todo)[0]
    # Before reading: a run that ends here must not be trusted by the next one.
    if world.rank == 0:
        file.unlink(missing_ok=True)
    with ThreadPoolExecutor(READING_THREADS) as pool:
        mine = todo[world.rank :: world.size]
        digests = dict(zip(mine, pool.map(lambda path: sha256_of(Path(path)), mine), strict=True))
    wrong = [path for path, digest in digests.items() if digest != expected[path]]
    everywhere = sorted(path for share in world.gather(wrong) for path in share)
    if everywhere:
        raise ShardError(
            f"{everywhere[0]}: its checksum is not its manifest's ({len(everywhere)} of {len(expected)} shards differ); it has "
            "changed since it was written: remove its folder and materialize these shards again"
        )
    if world.rank == 0:
        write_verified(file, {path: stamp(Path(path), sha256) for path, sha256 in expected.items()})


def checksums(folder: Path) -> dict[Path, str]:
    return {path: sha256 for split in SPLITS for path, sha256 in TokenShards(folder, split).checksums().items()}


def stamp(path: Path, sha256: str) -> list[int | str]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, sha256]


def write_verified(file: Path, verified: Verified) -> None:
    beside = file.with_suffix(".tmp")
    beside.write_text(json.dumps(verified, indent=1))
    beside.rename(file)


def check_disk(config: PretrainConfig, work: Path, world: World) -> None:
    """Room for the resume points and the trajectory that are still to come; what lies there already counts as room.

    Raises:
        DiskSpaceError: on every rank, with the numbers.
    """
    model = resume_bytes(config), trajectory_bytes(config)
    names = {path.name for path in (work / TRAJECTORY_FOLDER).glob("tokens-*")}
    to_come = num_checkpoints(config) - len(names)
    # One more is being written while the others stand, and one stays for being stable.
    num_resume = config.training.keep_last + 2
    needed = num_resume * model[0] + to_come * model[1] + SPARE_BYTES
    free = world.gather(shutil.disk_usage(work).free + bytes_in(work / RESUME_FOLDER))[0]
    if free < needed:
        raise DiskSpaceError(
            f"{work}: {gigabytes(free)} free and {gigabytes(needed)} needed: {num_resume} resume points of "
            f"{gigabytes(model[0])} and {to_come} checkpoints of the trajectory of {gigabytes(model[1])}; free some space, or "
            "put LANG1_HOME on a larger disk; a run that has not begun may also have fewer checkpoints (pretrain.checkpoint_tokens)"
        )


def resume_bytes(config: PretrainConfig) -> int:
    """Of one checkpoint to resume from: optimizer, and the weights beside it."""
    return num_parameters(config) * (OPTIMIZER_BYTES + WEIGHT_BYTES[config.training.precision])


def trajectory_bytes(config: PretrainConfig) -> int:
    return num_parameters(config) * WEIGHT_BYTES[config.training.precision]


def num_parameters(config: PretrainConfig) -> int:
    # On the device without memory: a model of any size is counted in a moment.
    with torch.device("meta"):
        return int(random_model(config.objective, config.shape, config.vocab_size, config.seed).num_parameters())


def num_checkpoints(config: PretrainConfig) -> int:
    """Of the whole trajectory, the random weights it begins with included."""
    return 1 + sum(crosses_checkpoint(config, step) for step in range(1, config.training.max_steps + 1))


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.2f} GB"
