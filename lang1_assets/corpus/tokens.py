"""Tokens: one tokenizer, and each corpus as shards of token ids (paper 5.3, M06, M07)."""

from collections.abc import Iterator
from itertools import accumulate, chain, zip_longest
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.materialization import DATA_OWNER, markdown_table, materialized
from lang1_assets.ops.corpora import chosen_notes, held_out_stays
from lang1_assets.ops.tasks import REMEDE
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Corpora, Settings

GROUP = "tokens"

CLINICAL = {"notes": "inpatient hospital notes", "notes_plus": "hospital, pathology and radiology notes"}


def documents_of(corpus: str) -> tuple[str, str, str]:
    """The artifact with a corpus's documents, its folder of Parquet files, and its id column."""
    if corpus in CLINICAL:
        return "clean_notes", "notes", "note_id"
    return "web_text" if corpus == "web_text" else f"{corpus}_text", "documents", "document_id"


def filter_of(settings: Settings, corpus: str, tables: Artifact) -> pl.Expr | None:
    """Which rows of the documents a corpus takes; duplicates are left out by their ids besides."""
    if corpus not in CLINICAL:
        return None
    cohorts = [tables.path / f"cohort_{task}.parquet" for task in REMEDE]
    corpora = settings.corpora
    held_out = held_out_stays(cohorts, settings.cohorts.headline_split) if corpora.hold_out_test_stays else []
    return chosen_notes(*corpora.choices[corpus], held_out)


def corpus_parameters(settings: Settings, corpus: str) -> dict[str, Any]:
    corpora = settings.corpora
    types, window = corpora.choices[corpus]
    return {
        "note_types": types,
        "window": window,
        "hold_out_test_stays": corpora.hold_out_test_stays,
        "headline_split": settings.cohorts.headline_split,
    }


def described(corpora: Corpora, corpus: str) -> str:
    if corpus not in CLINICAL:
        return "web text" if corpus == "web_text" else f"the text that the profile calls '{corpus}'"
    _, window = corpora.choices[corpus]
    what = CLINICAL[corpus] + ("" if corpora.deduplication == "none" else ", without duplicates")
    return f"{what}, {window[0]} to before {window[1]}" if window else what


def build_assets(settings: Settings) -> list[Any]:
    return [tokenizer(settings), *(token_shards(settings, corpus) for corpus in settings.corpus_names)]


def tokenizer(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="tokenizer",
        deps=["clean_notes", "web_text"],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"huggingface"},
        description="Llama-style SentencePiece with byte fallback: trained on the corpus, or Llama-2's own from a path.",
        check_specs=[dg.AssetCheckSpec("option_letters_are_single_tokens", asset="tokenizer", blocking=True)],
    )
    def _tokenizer(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        from lang1_assets.ops import tokenizer as tokenizers

        config = settings.tokenizer
        if config.kind == "path":
            path = config.path
            assert path is not None, "the profile requires a path for kind 'path'"
            artifact = store.build(
                "tokenizer",
                lambda work: {**vars(tokenizers.load_tokenizer_folder(path, work))},
                parameters={"path": str(path)},
                code=["lang1_assets.ops.tokenizer"],
            )
            return materialized(artifact, [single_letters(artifact.path)])
        notes, web = store.get("clean_notes"), store.get("web_text")

        def make(work: Path) -> dict[str, Any]:
            half = config.train_documents // 2
            texts = alternate(
                sample_texts(notes.path / "notes", half),
                sample_texts(web.path / "documents", half),
            )
            return {**vars(tokenizers.train_tokenizer(texts, work, config.vocab_size, settings.seed))}

        artifact = store.build(
            "tokenizer",
            make,
            inputs=[notes, web],
            parameters=config.model_dump(mode="json"),
            code=["lang1_assets.ops.tokenizer"],
            on_wait=context.log.warning,
        )
        return materialized(artifact, [single_letters(artifact.path)])

    return _tokenizer


def single_letters(folder: Path) -> dg.AssetCheckResult:
    """Scoring reads the letter after "Answer:" as one token; better known now than after pretraining."""
    from lang1_assets.ops.tasks import OPTION_LETTERS
    from lang1_assets.ops.tokenizer import TokenizerError, open_tokenizer, option_letter_ids

    name = "option_letters_are_single_tokens"
    try:
        ids = option_letter_ids(open_tokenizer(folder), OPTION_LETTERS)
    except TokenizerError as error:
        return dg.AssetCheckResult(check_name=name, passed=False, description=str(error))
    found = markdown_table(["letter", "token"], list(zip(OPTION_LETTERS, ids, strict=True)))
    return dg.AssetCheckResult(check_name=name, passed=True, metadata={"tokens": found})


def sample_texts(folder: Path, num_documents: int) -> list[str]:
    """Evenly spread over the corpus, so that every year and note type is heard."""
    files = sorted(folder.glob("*.parquet"))
    counts = [int(pl.scan_parquet(path).select(pl.len()).collect().item()) for path in files]
    step = max(1, sum(counts) // num_documents)
    texts: list[str] = []
    # One file at a time: a hospital's notes are more than its machines' memory.
    for path, start in zip(files, accumulate(counts, initial=0), strict=False):
        if len(texts) < num_documents:
            texts += pl.read_parquet(path, columns=["text"])["text"].gather_every(step, -start % step).to_list()
    return texts[:num_documents]


def alternate(first: list[str], second: list[str]) -> Iterator[str]:
    return (text for text in chain.from_iterable(zip_longest(first, second)) if text is not None)


def token_shards(settings: Settings, corpus: str) -> dg.AssetsDefinition:
    source_name, folder, id_column = documents_of(corpus)
    is_clinical = corpus in CLINICAL
    is_planted = is_clinical and settings.plants_canaries
    is_thinned = is_clinical and settings.corpora.deduplication != "none"

    @dg.asset(
        name=f"{corpus}_tokens",
        deps=[
            source_name,
            "tokenizer",
            *(["duplicate_notes"] if is_clinical else []),
            *(f"cohort_{task}" for task in REMEDE if is_clinical),
        ],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"parquet", "huggingface"},
        description=f"Token shards with a manifest and checksums: {described(settings.corpora, corpus)}. "
        "0.1 % of the documents are held out.",
        check_specs=[dg.AssetCheckSpec("shards_match_manifest", asset=f"{corpus}_tokens", blocking=True)],
    )
    def _token_shards(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        from lang1_assets.ops.shard_writing import write_shards

        source, tokens = store.get(source_name), store.get("tokenizer")
        tables = store.get("warehouse")
        duplicates = store.get("duplicate_notes") if is_thinned else None

        def make(work: Path) -> dict[str, Any]:
            report = write_shards(
                sorted((source.path / folder).glob("*.parquet")),
                id_column=id_column,
                text_column="text",
                tokenizer_folder=tokens.path,
                output=work,
                val_fraction=settings.shards.val_fraction,
                shard_tokens=settings.shards.shard_tokens,
                seed=settings.seed,
                num_workers=settings.shards.num_workers,
                on_progress=lambda done, total: context.log.info(f"tokenized {done} of {total} files"),
                filter=filter_of(settings, corpus, tables),
                left_out=duplicates.path / corpus if duplicates else None,
                planted=plant_canaries(settings, id_column, work) if is_planted else None,
            )
            return dict(vars(report))

        artifact = store.build(
            f"{corpus}_tokens",
            make,
            inputs=[source, tokens, *([tables] if is_clinical else []), *([duplicates] if duplicates else [])],
            parameters={
                **settings.shards.model_dump(exclude={"num_workers"}),
                "seed": settings.seed,
                **(corpus_parameters(settings, corpus) if is_clinical else {}),
                **({"canaries": settings.corpora.canaries.model_dump()} if is_planted else {}),
            },
            code=[
                "lang1_assets.ops.shards",
                "lang1_assets.ops.shard_writing",
                "lang1_assets.ops.tokenizer",
                "lang1_assets.ops.corpora",
                *(["lang1_assets.ops.memorization.canaries"] if is_planted else []),
            ],
            on_wait=context.log.warning,
        )
        return materialized(artifact, [verify(artifact.path)])

    return _token_shards


def plant_canaries(settings: Settings, id_column: str, work: Path) -> Path:
    """Made-up documents for this corpus alone; what they hold lies beside the shards, for the memorization report."""
    from lang1_assets.ops.memorization.canaries import make_canaries, write_canaries

    config = settings.corpora.canaries
    canaries = make_canaries(config.repeats, config.num_each, config.num_controls, settings.seed)
    return write_canaries(canaries, work, id_column, settings.seed)


def verify(folder: Path) -> dg.AssetCheckResult:
    """Sizes and checksums of both splits, read back."""
    from lang1_assets.ops.shards import TokenShards

    try:
        splits = {split: TokenShards(folder, split) for split in ("train", "val")}
        for opened in splits.values():
            opened.verify()
    except ValueError as error:
        return dg.AssetCheckResult(check_name="shards_match_manifest", passed=False, description=str(error))
    rows = [[split, opened.num_tokens] for split, opened in splits.items()]
    return dg.AssetCheckResult(
        check_name="shards_match_manifest", passed=True, metadata={"tokens": markdown_table(["split", "tokens"], rows)}
    )
