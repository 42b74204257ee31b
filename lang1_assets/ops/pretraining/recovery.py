"""Back to a checkpoint that can be trusted, without the data that led astray (paper 5.3, M23)."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lang1_assets.ops.mixture import Mixture
from lang1_assets.ops.pretraining.config import LoopState, PretrainConfig
from lang1_assets.ops.pretraining.preflight import verify_shards
from lang1_assets.ops.pretraining.spikes import Accident, SpikeDetector
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.training.checkpoints import load_resume, remove_newer
from lang1_assets.ops.training.world import World

LEFT_OUT_FILE = "left_out.json"
MAX_TRIES = 3


class UnstableTrainingError(ValueError):
    """The run went back to the same checkpoint again and again; only a person can change what happens next."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Data that is drawn no more, because the loss went wrong on it."""

    kind: str
    at_step: int
    """Where it was noticed."""
    back_to_step: int
    first_data_step: int
    stop_data_step: int
    """Batches `first_data_step` up to, not including, this one are left out."""
    first_sample: int
    last_sample: int
    """Of the mixture, both left out."""
    sources: dict[str, dict[str, int]]
    """Of each source: `num_samples`, and `first` and `last` of its own samples in the order it is drawn."""

    @property
    def num_samples(self) -> int:
        return self.last_sample - self.first_sample + 1


class LeftOutData:
    """All that was left out so far, kept in a file: data steps are absolute, so any resumed run leaves out the same."""

    def __init__(self, work: Path) -> None:
        self._path = work / LEFT_OUT_FILE
        rows = json.loads(self._path.read_text()) if self._path.exists() else []
        self.rows = [LeftOut(**row) for row in rows]

    def next_data_step(self, data_step: int) -> int:
        """The batch to draw: `data_step`, or the first one after it that is not left out."""
        for row in sorted(self.rows, key=lambda row: row.first_data_step):
            if row.first_data_step <= data_step < row.stop_data_step:
                data_step = row.stop_data_step
        return data_step

    def drawn_from(self, data_step: int, num_steps: int) -> list[int]:
        """The batch of each of the `num_steps` steps from `data_step` on, with what was left out so far."""
        drawn = []
        for _ in range(num_steps):
            data_step = self.next_data_step(data_step)
            drawn.append(data_step)
            data_step += 1
        return drawn

    def next_gap(self, data_step: int) -> float:
        """The first batch after this one that is left out; infinity when none is."""
        return min([row.first_data_step for row in self.rows if row.first_data_step > data_step], default=math.inf)

    def tries_from(self, step: int) -> int:
        """How often the run has gone back to this checkpoint, and to no other since."""
        others = [number for number, row in enumerate(self.rows) if row.back_to_step != step]
        return len(self.rows) - (others[-1] + 1 if others else 0)

    def add(self, row: LeftOut, world: World) -> None:
        self.rows.append(row)
        if world.rank == 0:
            beside = self._path.with_suffix(".tmp")
            beside.write_text(json.dumps([asdict(row) for row in self.rows], indent=1))
            beside.rename(self._path)


def stable_step(config: PretrainConfig, detector: SpikeDetector, step: int) -> int:
    """A checkpoint at or before this step is trusted: everything was fine for `suspect_steps` after it."""
    return detector.trusted_until(step) - config.suspect_steps


def go_back(
    config: PretrainConfig,
    engine: Any,
    mixture: Mixture,
    accident: Accident,
    state: LoopState,
    left_out: LeftOutData,
    work: Path,
    world: World,
    reporter: Reporter,
) -> SpikeDetector:
    """Return to the last stable checkpoint and leave out the batches under suspicion; the detector as it was then.

    Raises:
        UnstableTrainingError: this checkpoint was gone back to three times already.
        ShardError: the data themselves have changed since they were written.
    """
    at_step = state.step
    trusted = accident.step - 1 - config.suspect_steps
    saved = load_resume(engine, work, world, reporter, at_most=trusted)
    assert saved is not None, "the run saves before its first step"
    vars(state).update(saved)
    if world.rank == 0:
        remove_newer(work, state.step)
    if left_out.tries_from(state.step) >= MAX_TRIES:
        raise UnstableTrainingError(
            f"{accident.describe()}: the run has gone back to step {state.step} {MAX_TRIES} times already; lower "
            "pretrain.learning_rate, or look at the shards (docs/a-month-of-training.md)"
        )
    # A disk that changed bytes under the run looks like a spike, and going on would train on what it left.
    verify_shards(config, work, world, reporter, trust_earlier=False)
    # By what each step drew: between the bad step and the one that noticed, batches may have been left out before.
    drawn = left_out.drawn_from(state.data_step, at_step - state.step)
    first = drawn[max(0, trusted - state.step)]
    stop = max(first, drawn[min(at_step, accident.step + config.suspect_steps) - state.step - 1]) + 1
    left_out.add(describe_data(accident, config, mixture, at_step, state.step, first, stop), world)
    state.num_reverts = reporter.retake = len(left_out.rows)
    report(accident, left_out.rows[-1], reporter)
    return SpikeDetector(state.detector)


def describe_data(
    accident: Accident, config: PretrainConfig, mixture: Mixture, at_step: int, back_to: int, first: int, stop: int
) -> LeftOut:
    batch = config.training.global_batch_size
    sources, nths = mixture.schedule.at(np.arange(first * batch, stop * batch))
    by_source = {}
    for index, name in enumerate(mixture.names):
        own = nths[sources == index]
        if len(own):
            by_source[name] = {"num_samples": len(own), "first": int(own[0]), "last": int(own[-1])}
    return LeftOut(
        kind=accident.kind,
        at_step=at_step,
        back_to_step=back_to,
        first_data_step=first,
        stop_data_step=stop,
        first_sample=first * batch,
        last_sample=stop * batch - 1,
        sources=by_source,
    )


def report(accident: Accident, row: LeftOut, reporter: Reporter) -> None:
    """To people and to the metrics: what happened and what was left out, in numbers."""
    shares = ", ".join(f"{share['num_samples']} of {name}" for name, share in row.sources.items())
    reporter.metrics(row.at_step, {accident.kind: accident.value if math.isfinite(accident.value) else -1.0})
    reporter.alert(
        accident.kind,
        f"{accident.describe()}: back to step {row.back_to_step}, without batches {row.first_data_step} to "
        f"{row.stop_data_step - 1} (samples {row.first_sample} to {row.last_sample}: {shares})",
        step=row.at_step,
        details=asdict(row),
    )
