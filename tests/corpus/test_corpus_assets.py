"""From clean notes and text sources to token shards, through the assets: duplicates go from the corpora, sources have names."""

import json
from datetime import datetime
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from lang1_assets.corpus import clean, extract, tokens
from lang1_assets.corpus.tokens import sample_texts
from lang1_assets.definitions import build_definitions
from lang1_assets.ops import schemas
from lang1_assets.ops.shards import TokenShards
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.settings import Settings, load_settings

TEXT = " ".join(f"w{number}" for number in range(40))
OTHER = " ".join(f"w{number}" for number in range(50, 90))
# Five of 36 shingles of the copy are its own: 31 of 41 are shared.
CHANGED = TEXT.replace("w20", "w99")
NOTES = [
    # id, person, year, type, text; the radiology report is in Notes+ alone, and its copy as an H&P in both.
    ("N1", "P1", 2015, "radiology", TEXT),
    ("N2", "P1", 2016, "hp", TEXT),
    ("N3", "P1", 2017, "hp", CHANGED),
    ("N4", "P1", 2018, "hp", OTHER),
    ("N5", "P2", 2018, "hp", TEXT),
]


def profile(folder: Path, text: str) -> Settings:
    (folder / "ours.yaml").write_text(f"extends: tiny\nname: ours\ncleaning: {{num_workers: 1}}\n{text}")
    return load_settings(str(folder / "ours.yaml"))


def corpora(choice: str) -> str:
    """The setting, with nothing planted into the corpora."""
    return f"corpora: {choice.removesuffix('}')}, canaries: {{plant: false}}}}"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """Clean notes, cohorts that hold nothing out, and a tokenizer that gives every word one token."""
    store = ArtifactStore(root=str(tmp_path / "artifacts"))

    def notes(work: Path) -> dict[str, object]:
        (work / "notes").mkdir()
        rows = [
            {
                "note_id": name,
                "encounter_id": f"E-{name}",
                "subject_id": person,
                "note_type": kind,
                "department": None,
                "written_time": datetime(year, 1, 1),
                "num_words": 40,
                "text": text,
            }
            for name, person, year, kind, text in NOTES
        ]
        frame = pl.DataFrame(rows, schema=pl.DataFrame(schemas.CLEAN_NOTES.empty_table()).schema)
        frame.write_parquet(work / "notes" / "part-00000.parquet")
        return {}

    def tables(work: Path) -> dict[str, object]:
        for task in TASKS:
            pl.DataFrame(schemas.COHORT.empty_table()).write_parquet(work / f"cohort_{task}.parquet")
        return {}

    def words(work: Path) -> dict[str, object]:
        names = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(100))]
        built = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unk>"))
        built.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        built.save(str(work / "tokenizer.json"))
        (work / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
        return {"vocab_size": len(names)}

    for name, make in {"clean_notes": notes, "warehouse": tables, "tokenizer": words}.items():
        store.build(name, make)
    return store


def materialize(assets: list[dg.AssetsDefinition], store: ArtifactStore) -> dg.ExecuteInProcessResult:
    return dg.materialize(assets, resources={"store": store}, raise_on_error=True)


def num_documents(store: ArtifactStore, corpus: str) -> int:
    summary = store.get(f"{corpus}_tokens").summary
    return int(summary["num_documents"] + summary["num_val_documents"])


def shards_of(settings: Settings, store: ArtifactStore) -> dict[str, int]:
    corpora = ("notes", "notes_plus")
    materialize([clean.duplicate_notes(settings), *(tokens.token_shards(settings, name) for name in corpora)], store)
    return {name: num_documents(store, name) for name in corpora}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("{deduplication: none}", {"notes": 4, "notes_plus": 5}),
        # Notes has no radiology report: the H&P that says the same stays there, and goes from Notes+.
        ("{deduplication: exact}", {"notes": 4, "notes_plus": 4}),
        ("{deduplication: near, near_similarity: 0.75}", {"notes": 3, "notes_plus": 3}),
        ("{deduplication: near, near_similarity: 0.76}", {"notes": 4, "notes_plus": 4}),
    ],
)
def test_corpora_are_thinned_as_the_profile_says(
    tmp_path: Path, store: ArtifactStore, choice: str, expected: dict[str, int]
) -> None:
    assert shards_of(profile(tmp_path, corpora(choice)), store) == expected


def test_another_choice_makes_the_shards_again_and_the_same_choice_does_not(
    tmp_path: Path, store: ArtifactStore
) -> None:
    seen = []
    for choice in (
        "{deduplication: none}",
        "{deduplication: near}",
        "{deduplication: near, near_similarity: 0.7}",
        "{near_similarity: 0.7}",
        "{deduplication: none}",
    ):
        shards_of(profile(tmp_path, corpora(choice)), store)
        seen.append((store.get("duplicate_notes").fingerprint, store.get("notes_plus_tokens").fingerprint))
    assert len(set(seen[:3])) == 3
    assert seen[0] == seen[3] == seen[4]


def test_the_asset_says_what_it_found(tmp_path: Path, store: ArtifactStore) -> None:
    settings = profile(tmp_path, corpora("{deduplication: near, near_similarity: 0.75}"))
    result = materialize([clean.duplicate_notes(settings)], store)
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    assert "| notes_plus | 5 | 3 | 1 | 1 |" in str(check.metadata["notes"].value)
    found = pl.read_parquet(store.get("duplicate_notes").path / "notes_plus" / "*.parquet")
    assert found.rows() == [("N2", "N1", "exact", 1.0), ("N3", "N1", "near", 31 / 41)]


def test_a_named_text_source_becomes_shards_beside_the_others(tmp_path: Path, store: ArtifactStore) -> None:
    folder = tmp_path / "pmc"
    folder.mkdir()
    lines = [json.dumps({"text": f"w{number} w{number + 1}"}) for number in range(20)] + ["broken"]
    (folder / "a.jsonl").write_text("\n".join(lines))
    settings = profile(tmp_path, "text_sources: {biomedical: {path: pmc}}\nvariants: {a: {mixture: {biomedical: 15}}}")
    assets = [
        extract.text_source("biomedical", settings.text_sources["biomedical"]),
        clean.text_documents(settings, "biomedical_text", "", ""),
        tokens.token_shards(settings, "biomedical"),
    ]
    materialize(assets, store)
    assert store.get("biomedical_text").summary["rejects_by_reason"] == {"not_json": 1}
    rejects = pl.read_parquet(store.get("biomedical_text").path / "rejects.parquet")
    assert rejects.rows() == [("biomedical_text", "a.jsonl:21", "not_json")]
    assert num_documents(store, "biomedical") == 20
    train = TokenShards(store.get("biomedical_tokens").path, "train")
    assert (np.array(train.read(0, 4)) >= 1).all()


def test_every_source_of_a_profile_is_in_its_lineage(tmp_path: Path) -> None:
    settings = profile(
        tmp_path,
        "text_sources: {biomedical: {path: pmc}, law: {path: law}}\nelsewhere: null\n"
        "variants: {me: {mixture: {biomedical: 15, notes_plus: 1, web_text: 4}}}",
    )
    graph = build_definitions(settings).resolve_asset_graph()
    names = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert {f"{name}_{part}" for name in ("biomedical", "law") for part in ("text_source", "text", "tokens")} <= names
    assert not graph.external_asset_keys
    parents = {key.to_user_string() for key in graph.get(dg.AssetKey("pretrained_model")).parent_keys}
    assert {f"{name}_tokens" for name in settings.corpus_names} <= parents


@pytest.mark.parametrize("num_documents", [1, 7, 30, 1_000])
def test_a_tokenizer_s_texts_are_spread_over_all_files(tmp_path: Path, num_documents: int) -> None:
    texts = [f"text {number}" for number in range(100)]
    for number, start in enumerate((0, 3, 50, 51)):
        stop = (3, 50, 51, 100)[number]
        pl.DataFrame({"text": texts[start:stop]}).write_parquet(tmp_path / f"part-{number}.parquet")
    step = max(1, 100 // num_documents)
    assert sample_texts(tmp_path, num_documents) == texts[::step][:num_documents]
