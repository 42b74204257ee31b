"""Token ids of a corpus: ours (fastokens behind its check) against tokenizers, SentencePiece, gigatoken, tokie and kitoken.

All encode the same documents on one core with the same tokenizer and without BOS or EOS; a peer that gives other ids is not
compared by speed, and its row says of how many documents the ids differ. Times are of the encoding, in batches, after the
tokenizer was read; ours holds its check against tokenizers, as it does in the first batch of a run.

Run: `.venv/bin/python bench/tokenization.py [--repeats N] [--encounters N] [--tokenizer FOLDER] [PATH of real text]`.
Without a tokenizer, one of 32,000 pieces is trained on the texts. Writes `bench/results/tokenization.json` and `.md`.
"""

from __future__ import annotations

import os

# One core each, before any library counts them.
os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1", POLARS_MAX_THREADS="1")

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import contest
import numpy as np
import polars as pl
import texts

from lang1_assets.ops import cleaning
from lang1_assets.ops import tokenizer as tokenizers

BATCH = 4_096
MINIMUM_RATIO = 5
VOCAB_SIZE = 32_000
PEERS = {"gigatoken": "gigatoken", "tokie": "tokie", "kitoken": "kitoken"}

Flat = tuple[np.ndarray, np.ndarray]
"""Ids of a batch in a row, and how many each document has."""


def flat(rows: Sequence[Sequence[int]]) -> Flat:
    return np.concatenate([np.asarray(row, dtype=np.uint32) for row in rows]), np.array([len(row) for row in rows])


def ours(folder: Path) -> Callable[[list[str]], Flat]:
    encoder = tokenizers.Encoder(folder)
    if not encoder.is_fast:
        sys.exit("fastokens does not take this tokenizer: ours is tokenizers itself")

    def encode(batch: list[str]) -> Flat:
        ids, offsets = encoder.encode(batch)
        return ids, np.diff(offsets)

    return encode


def hugging_face(folder: Path) -> Callable[[list[str]], Flat]:
    fast = tokenizers.fast_tokenizer(folder)
    return lambda batch: flat([item.ids for item in fast.encode_batch_fast(batch, add_special_tokens=False)])


def sentencepiece(folder: Path) -> Callable[[list[str]], Flat]:
    model = tokenizers.open_sentencepiece(folder / "tokenizer.model")
    return lambda batch: flat(model.encode(batch, num_threads=1))


def gigatoken(folder: Path) -> Callable[[list[str]], Flat]:
    import awkward
    import gigatoken

    opened = gigatoken.Tokenizer(str(folder / "tokenizer.json"))

    def encode(batch: list[str]) -> Flat:
        rows = opened.encode_batch(batch, parallel=False)
        return awkward.to_numpy(awkward.flatten(rows)), awkward.to_numpy(awkward.num(rows))

    return encode


def tokie(folder: Path) -> Callable[[list[str]], Flat]:
    import tokie

    opened = tokie.Tokenizer.from_json(str(folder / "tokenizer.json"))
    return lambda batch: flat([item.ids for item in opened.encode_batch(batch, add_special_tokens=False)])


def kitoken(folder: Path) -> Callable[[list[str]], Flat]:
    import kitoken

    opened = kitoken.Kitoken.from_tokenizers_file(str(folder / "tokenizer.json"))
    return lambda batch: flat(opened.encode_all(batch, False))


CONTENDERS = {
    "ours": ours,
    "tokenizers": hugging_face,
    "sentencepiece": sentencepiece,
    "gigatoken": gigatoken,
    "tokie": tokie,
    "kitoken": kitoken,
}


def run(name: str, folder: Path, documents: Path, output: Path) -> None:
    """Encode everything, in a process of its own; the ids go to a file, after the clock stopped."""
    batches = [frame["text"].to_list() for frame in pl.read_parquet(documents).iter_slices(BATCH)]
    encode = CONTENDERS[name](folder)
    found: list[Flat] = []

    def work() -> int:
        found.extend(encode(batch) for batch in batches)
        return int(sum(len(ids) for ids, _ in found))

    contest.timed(work)
    np.savez(
        output, ids=np.concatenate([ids for ids, _ in found]), lengths=np.concatenate([sizes for _, sizes in found])
    )


def clean_texts(encounters: int, folder: Path, real: Path | None) -> pl.DataFrame:
    """Documents as tokenization meets them: notes are cleaned, other text is as it is."""
    if real is not None:
        return pl.DataFrame({"text": texts.real_texts(real)})
    kept, _ = cleaning.clean_frame(texts.staged_notes(folder / "exports", encounters), cleaning.CleaningRules())
    return kept.select("text")


def write_tokenizer(given: Path | None, documents: pl.DataFrame, folder: Path) -> Path:
    folder.mkdir()
    if given is not None:
        tokenizers.load_tokenizer_folder(given, folder)
    else:
        tokenizers.train_tokenizer(iter(documents["text"].head(20_000)), folder, VOCAB_SIZE, seed=1)
    return folder


def num_different(found: Path, expected: Path) -> int:
    """Documents whose ids are not those of `tokenizers`."""
    pair = [np.load(path) for path in (found, expected)]
    rows = [np.split(held["ids"], np.cumsum(held["lengths"])[:-1]) for held in pair]
    return sum(not np.array_equal(mine, theirs) for mine, theirs in zip(*rows, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--encounters", type=int, default=10_000)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--run", nargs=4, metavar=("NAME", "TOKENIZER", "DOCUMENTS", "OUT"))
    parser.add_argument("real", type=Path, nargs="?")
    options = parser.parse_args()
    if options.run:
        run(options.run[0], *map(Path, options.run[1:]))
        return
    missing = contest.missing_peers(PEERS)
    names = [name for name in CONTENDERS if name not in missing]
    with tempfile.TemporaryDirectory(prefix="tokenization-", dir=os.environ.get("LANG1_BENCH_FOLDER")) as home:
        folder = Path(home)
        documents = clean_texts(options.encounters, folder, options.real)
        documents.write_parquet(folder / "documents.parquet")
        tokenizer = write_tokenizer(options.tokenizer, documents, folder / "tokenizer")
        if not (tokenizer / "tokenizer.model").exists():
            names.remove("sentencepiece")
        where = [str(tokenizer), str(folder / "documents.parquet")]
        runs = contest.contest(
            __file__, names, options.repeats, lambda name, turn: [*where, str(folder / f"{name}.npz")]
        )
        different = {name: num_different(folder / f"{name}.npz", folder / "tokenizers.npz") for name in names}
    if different["ours"]:
        sys.exit(f"ours gives other ids than tokenizers on {different['ours']} of {len(documents)} documents")
    report(options, documents, runs, different, missing)


def report(
    options: Any,
    documents: pl.DataFrame,
    runs: dict[str, list[contest.Measured]],
    different: dict[str, int],
    missing: dict[str, str],
) -> None:
    num_bytes = int(documents["text"].str.len_bytes().sum())
    num_tokens = runs["ours"][0].result
    rows = contest.rows_of(runs, num_tokens / 1e6)
    what = "the embedded hospital's notes, synthetic" if options.real is None else f"real text, {options.real.name}"
    ratio = rows["tokenizers"]["seconds"] / rows["ours"]["seconds"]
    lines = [
        f"{what}: {num_bytes / 1e6:.0f} MB, {len(documents):,} documents, {num_tokens / 1e6:.1f} M tokens; "
        f"{'Llama-style pieces trained on it' if options.tokenizer is None else options.tokenizer.name}; one core each; "
        f"medians of {options.repeats}. Against tokenizers: {ratio:.1f} times (bound: {MINIMUM_RATIO}).",
        "",
        *contest.table(rows, "ours", "M tokens/s"),
        "",
        *(
            f"{name}: other ids on {number:,} of {len(documents):,} documents"
            for name, number in different.items()
            if number
        ),
        *(f"{name} is left out: {how}" for name, how in missing.items()),
    ]
    name = "tokenization" if options.real is None else "tokenization-real"
    result = {
        "text": what,
        "num_tokens": num_tokens,
        "rows": rows,
        "documents_different": different,
        "missing": missing,
    }
    contest.write_results(name, result, lines)


if __name__ == "__main__":
    main()
