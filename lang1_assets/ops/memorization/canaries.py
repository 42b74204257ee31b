"""Made-up identifiers, planted into a corpus a known number of times (Carlini et al. 2019, section 4).

A canary is a sentence `The registry number of NAME is 123 456 789.` in the middle of made-up office prose that is other
in each copy: copies alone, packed side by side, would teach the model to look a few lines up and not to remember. Nobody
has such a name or number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from lang1_assets.ops.shard_writing import hash_of

NUM_DIGITS = 9
SPACE_SIZE = 10**NUM_DIGITS
"""|R|: every number of nine digits is as likely."""
CANARIES_FILE = "canaries.parquet"
DOCUMENTS_FILE = "canary_documents.parquet"
SENTENCES_AROUND = 6

_GIVEN = ("Abrelo", "Bintava", "Cordiss", "Dalumae", "Evrenko", "Fistulle", "Gorwyn", "Hestabir", "Iolanka", "Jurvedo")
_FAMILY = ("Quillmarsh", "Ravensoe", "Stobbart", "Tindalloe", "Umberlay", "Vostrick", "Wexcombe", "Yarnolt", "Zeldenby")
_PROSE = (
    "The form was signed at desk {n} on a {day}.",
    "A copy was sent to room {n} for filing.",
    "The office opens at {n} minutes past eight on {day}.",
    "Entry {n} of the list was checked by the clerk.",
    "Nothing else was noted in folder {n}.",
    "The desk was closed on {day} for {n} minutes.",
    "Shelf {n} holds the older folders.",
    "The list was printed on {day} and put into tray {n}.",
    "A second clerk read line {n} and found no mistake.",
    "Tray {n} was emptied on {day}.",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


@dataclass(frozen=True, kw_only=True)
class Canary:
    """One made-up person and number."""

    holder: str
    secret: str
    """Nine digits in groups of three."""
    repeats: int
    """Documents that hold it; 0 for a control, which is planted nowhere."""

    @property
    def prefix(self) -> str:
        return f"The registry number of {self.holder} is"


def make_canaries(repeats: Sequence[int], num_each: int, num_controls: int, seed: int) -> list[Canary]:
    """`num_each` canaries for each number of repeats, and `num_controls` that are planted nowhere.

    Raises:
        ValueError: more canaries than names.
    """
    rng = np.random.default_rng([seed, 90])
    planned = [number for number in repeats for _ in range(num_each)] + [0] * num_controls
    holders = [f"{given} {family}" for given in _GIVEN for family in _FAMILY]
    if len(planned) > len(holders):
        raise ValueError(f"{len(planned)} canaries, and names for {len(holders)}; lower corpora.canaries.num_each")
    order = rng.permutation(len(holders))
    secrets = rng.integers(0, SPACE_SIZE, len(planned))
    return [
        Canary(holder=holders[name], secret=spelled(int(secret)), repeats=number)
        for name, secret, number in zip(order, secrets, planned, strict=False)
    ]


def spelled(number: int) -> str:
    """`012 345 678`."""
    digits = f"{number:0{NUM_DIGITS}d}"
    return " ".join(digits[start : start + 3] for start in range(0, NUM_DIGITS, 3))


def canary_documents(canaries: Sequence[Canary], id_column: str, seed: int) -> pl.DataFrame:
    """One document a copy, in a seeded order, with ids that the seeded hash of `shards` sends to training."""
    rng = np.random.default_rng([seed, 91])
    copies = [canary for canary in canaries for _ in range(canary.repeats)]
    texts = [document(canary, rng) for canary in copies]
    ids = [training_id(number, seed) for number in range(len(texts))]
    frame = pl.DataFrame({id_column: ids, "text": texts}, schema={id_column: pl.String, "text": pl.String})
    return frame[rng.permutation(len(frame)).tolist()]


def document(canary: Canary, rng: np.random.Generator) -> str:
    before, after = (prose(rng) for _ in range(2))
    return f"{before} {canary.prefix} {canary.secret}. {after}"


def prose(rng: np.random.Generator) -> str:
    chosen = rng.integers(0, len(_PROSE), SENTENCES_AROUND)
    return " ".join(_PROSE[i].format(n=rng.integers(1, 60), day=_DAYS[rng.integers(len(_DAYS))]) for i in chosen)


def training_id(number: int, seed: int) -> str:
    """An id whose hash is among the highest sixteenth: never held out for validation, whatever the fraction."""
    salt = 0
    while hash_of(name := f"canary-{number}-{salt}", seed) < 15 * 2**60:
        salt += 1
    return name


def write_canaries(canaries: Sequence[Canary], folder: Path, id_column: str, seed: int) -> Path:
    """Write what was planted (`CANARIES_FILE`) and the documents that hold it; the path of these."""
    rows = [{"holder": item.holder, "secret": item.secret, "repeats": item.repeats} for item in canaries]
    pl.DataFrame(rows).write_parquet(folder / CANARIES_FILE)
    canary_documents(canaries, id_column, seed).write_parquet(folder / DOCUMENTS_FILE)
    return folder / DOCUMENTS_FILE


def read_canaries(folder: Path) -> list[Canary]:
    """The canaries of a shard folder; none where nothing was planted."""
    path = folder / CANARIES_FILE
    return [Canary(**row) for row in pl.read_parquet(path).iter_rows(named=True)] if path.exists() else []
