"""Both measures for every checkpoint of a run, as rows of one table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import binomtest

from lang1_assets.ops.evaluation import load_for_scoring
from lang1_assets.ops.memorization.canaries import Canary, read_canaries
from lang1_assets.ops.memorization.exposure import Exposure, exposures
from lang1_assets.ops.memorization.sequences import (
    Planted,
    Tokens,
    find_planted,
    held_out_sequences,
    times_seen,
    trained_sequences,
    windows_drawn,
)
from lang1_assets.ops.memorization.verbatim import continued_verbatim
from lang1_assets.ops.mixture import Mixture
from lang1_assets.ops.pretraining.config import PretrainConfig
from lang1_assets.ops.pretraining.recovery import LeftOutData
from lang1_assets.ops.shards import TokenShards
from lang1_assets.ops.trajectory import tokens_of

EXPOSURE, TRAINED, HELD_OUT = "exposure", "verbatim_trained", "verbatim_held_out"
SCHEMA = pl.Schema(
    {
        "checkpoint": pl.String,
        "tokens": pl.Int64,
        "kind": pl.String,
        "canary": pl.Int64,
        "repeats": pl.Int64,
        "times_seen": pl.Int64,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "p_value": pl.Float64,
        "n": pl.Int64,
    }
)
"""One row a canary and checkpoint (`exposure`: bits, with the interval of the sampled rank, its p-value, `n` others) and one a
kind of text and checkpoint (`verbatim_*`: share of `n` sequences, with a 95 % interval after Wilson 1927). No text, no name,
no number of a canary."""


@dataclass(frozen=True, kw_only=True)
class MemorizationConfig:
    """How it is measured; `settings.Memorization` says what each field means."""

    prompt_tokens: int
    continuation_tokens: int
    num_sequences: int
    num_others: int
    """Random numbers among which a canary is ranked."""
    batch_size: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Probes:
    """What every checkpoint is asked, made once."""

    canaries: list[Canary]
    seen: list[NDArray[np.int64]]
    """Of each checkpoint: how often each canary was in a window drawn until then."""
    trained: Tokens
    held_out: Tokens


def measure_memorization(
    folders: Sequence[Path],
    run: PretrainConfig,
    corpora: Sequence[str],
    config: MemorizationConfig,
    on_progress: Callable[[str], None],
) -> pl.DataFrame:
    """Rows of `SCHEMA` for the checkpoints in `folders`, named `tokens-N`.

    Args:
        run: what the run was: its shards and the order in which it drew from them.
        corpora: the corpora to look at: those that hold notes.
    """
    probes = prepare(folders, run, corpora, config)
    frames = []
    for folder, seen in zip(folders, probes.seen, strict=True):
        model = load_for_scoring(folder)
        rows = exposure_rows(model, run.tokenizer_folder, probes, seen, config)
        for kind, sequences in ((TRAINED, probes.trained), (HELD_OUT, probes.held_out)):
            rows += verbatim_rows(kind, model, sequences, config)
        named = {"checkpoint": folder.name, "tokens": tokens_of(folder.name)}
        frames.append(pl.DataFrame([{**named, **row} for row in rows], schema=SCHEMA))
        on_progress(f"{folder.name}: {len(probes.canaries)} canaries, {len(probes.trained)} training sequences")
    return pl.concat(frames)


def samples_between(steps: Sequence[int], left_out: LeftOutData, global_batch_size: int) -> list[list[range]]:
    """Of each checkpoint: the samples drawn since the one before it, without those that the run went back over."""
    samples: list[list[range]] = []
    step, data_step = 0, 0
    for last in steps:
        samples.append([])
        while step < last:
            first = left_out.next_data_step(data_step)
            stop = int(min(left_out.next_gap(first), first + last - step))
            samples[-1].append(range(first * global_batch_size, stop * global_batch_size))
            step, data_step = step + stop - first, stop
    return samples


def prepare(folders: Sequence[Path], run: PretrainConfig, corpora: Sequence[str], config: MemorizationConfig) -> Probes:
    """Sequences of the whole run for all checkpoints: an early one has not seen all of them yet."""
    context, length = run.shape.context_length, config.prompt_tokens + config.continuation_tokens
    mixture = Mixture(
        {name: TokenShards(folder, "train") for name, folder in run.sources.items()}, run.weights, context, run.seed
    )
    steps = [tokens_of(folder.name) // run.tokens_per_step for folder in folders]
    samples_of = samples_between(steps, LeftOutData(folders[0].parent.parent), run.training.global_batch_size)
    rng = np.random.default_rng([config.seed, 93])
    share = -(-config.num_sequences // len(corpora))
    trained, held_out = [], []
    canaries: list[Canary] = []
    seen: list[NDArray[np.int64]] = []
    for corpus in corpora:
        shards, folder = TokenShards(run.sources[corpus], "train"), run.sources[corpus]
        planted = find_planted(folder, shards, run.tokenizer_folder)
        drawn = np.cumsum([windows_drawn(mixture, corpus, samples) for samples in samples_of], axis=0)
        canaries = read_canaries(folder)
        counts = [counts_of(canaries, planted, by_then, context) for by_then in drawn]
        # The same canaries are in every corpus of notes.
        seen = [before + now for before, now in zip(seen, counts, strict=True)] if seen else counts
        trained.append(trained_sequences(shards, drawn[-1], context, planted, share, length, rng))
        held_out.append(held_out_sequences(TokenShards(folder, "val"), share, length))
    return Probes(canaries=canaries, seen=seen, trained=np.concatenate(trained), held_out=np.concatenate(held_out))


def counts_of(
    canaries: Sequence[Canary], planted: Planted, drawn: NDArray[np.int64], context: int
) -> NDArray[np.int64]:
    return np.array([times_seen(canary, planted, drawn, context) for canary in canaries], dtype=np.int64)


def exposure_rows(
    model: Any, tokenizer_folder: Path, probes: Probes, seen: NDArray[np.int64], config: MemorizationConfig
) -> list[dict[str, Any]]:
    found = exposures(model, tokenizer_folder, probes.canaries, config.num_others, config.seed)
    return [
        {
            "kind": EXPOSURE,
            "canary": number,
            "repeats": canary.repeats,
            "times_seen": int(count),
            "value": exposure.bits,
            **exposure_interval(exposure, config.num_others),
            "p_value": exposure.p_value,
            "n": config.num_others,
        }
        for number, (canary, count, exposure) in enumerate(zip(probes.canaries, seen, found, strict=True))
    ]


def exposure_interval(exposure: Exposure, num_others: int) -> dict[str, float]:
    """`low` and `high`: 95 % bounds of a sampled rank's share of R after Clopper and Pearson (1934), in bits."""
    num = num_others + 1
    share = binomtest(round(exposure.p_value * num), num).proportion_ci(method="exact")
    return {"low": -math.log2(share.high), "high": -math.log2(share.low)}


def verbatim_rows(kind: str, model: Any, sequences: Tokens, config: MemorizationConfig) -> list[dict[str, Any]]:
    """One row, or none where there is no sequence."""
    if len(sequences) == 0:
        return []
    found = continued_verbatim(model, sequences, config.prompt_tokens, config.batch_size)
    interval = binomtest(int(found.sum()), len(found)).proportion_ci(method="wilson")
    value, low, high = float(found.mean()), float(interval.low), float(interval.high)
    return [{"kind": kind, "value": value, "low": low, "high": high, "n": len(found)}]
