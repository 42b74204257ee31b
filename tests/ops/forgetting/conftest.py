"""A home with every kind of artifact, made by hand: four people, one note each, one word of its own in each note."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lang1_assets.resources.store import Artifact, ArtifactStore

PEOPLE = ("P1000001", "P1000002", "P1000003", "P1000004")
"""The note of P1000001 is N1000001, of the stay E1000001, with the word `wordP1000001`."""
SPLITS = {"P1000001": "train", "P1000002": "train", "P1000003": "val", "P1000004": "temporal_2024"}
VARIANT = "small"
NOW = datetime(2026, 3, 1, 12)


def rows(*columns: str) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "note_id": [person.replace("P", "N") for person in PEOPLE],
            "encounter_id": [person.replace("P", "E") for person in PEOPLE],
            "subject_id": PEOPLE,
            "split": [SPLITS[person] for person in PEOPLE],
            "label": [0, 1, 0, 1],
            "probabilities": [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]],
            "text": [f"note of word{person}" for person in PEOPLE],
        }
    )
    return frame.select(columns)


class Home:
    """Artifacts of the profile `ours`, as the assets leave them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ArtifactStore(root=str(folder / "artifacts" / "ours"))
        self.made: dict[str, Artifact] = {}
        self._records()
        self._corpora()
        self._models()

    def make(self, name: str, files: Mapping[str, pl.DataFrame | bytes], *inputs: str, **summary: Any) -> None:
        def write(work: Path) -> dict[str, Any]:
            for file, held in files.items():
                (work / file).parent.mkdir(parents=True, exist_ok=True)
                writer_of(held)(work / file)
            return summary

        self.made[name] = self.store.build(name, write, inputs=[self.made[one] for one in inputs])

    def _records(self) -> None:
        notes = rows("note_id", "encounter_id", "subject_id", "text")
        self.make("hospital_exports", {"notes-2021.csv": notes.rename({"text": "narrative"})})
        tables = {
            "staged_notes.parquet": notes.rename({"text": "narrative"}),
            "patients.parquet": rows("subject_id"),
            "rejects.parquet": pl.DataFrame({"source": ["notes"], "row_id": ["N9"], "reason": ["duplicate_key"]}),
        }
        self.make("warehouse", tables, "hospital_exports")
        self.make("clean_notes", {"notes/part-00000.parquet": notes}, "warehouse")
        database = self.folder / "warehouse" / "ours.duckdb"
        database.parent.mkdir()
        database.write_bytes(b"pages with wordP1000001")

    def _corpora(self) -> None:
        examples = rows("note_id", "encounter_id", "subject_id", "split", "label", "text")
        self.make("mortality_examples", {"examples.parquet": examples}, "warehouse", "clean_notes")
        self.make("web_text", {"documents/a.parquet": pl.DataFrame({"document_id": ["W1"], "text": ["web"]})})
        self.make("tokenizer", {"tokenizer.json": b"{}"}, "clean_notes", "web_text")
        self.make("notes_tokens", {"train.bin": b"ids of wordP1000001"}, "clean_notes", "tokenizer", "warehouse")
        self.make("web_text_tokens", {"train.bin": b"ids"}, "web_text", "tokenizer")
        self.make("corpus_statistics", {"totals.parquet": pl.DataFrame({"num_notes": [4]})}, "clean_notes", "warehouse")

    def _models(self) -> None:
        weights = {"model/model.safetensors": b"weights"}
        written = {"generations.jsonl": b"a model that has wordP1000001 by heart"}
        self.make(f"pretrained_model/{VARIANT}", {**weights, **written}, "notes_tokens", mlflow_run_id="run-base")
        self.make("pretrained_model/web", weights, "web_text_tokens", mlflow_run_id="run-web")
        base = f"pretrained_model/{VARIANT}"
        self.make(f"finetuned_joint/{VARIANT}", weights, base, "mortality_examples", mlflow_run_id="run-joint")
        tuned = self.made[f"finetuned_joint/{VARIANT}"]
        scored = {"predictions.parquet": rows("note_id", "subject_id", "split", "label", "probabilities")}
        self.make(f"predictions/joint_evaluation/{VARIANT}", scored, tuned.name, "mortality_examples")
        self.make(
            f"joint_evaluation/{VARIANT}", {**scored, "rows.json": b"[]"}, f"predictions/joint_evaluation/{VARIANT}"
        )
        self.make("model_in_service", {**weights, **scored}, tuned.name, fingerprint=tuned.fingerprint)

    def predictions(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.store.get(name).path / "predictions.parquet")

    def half_made(self, name: str) -> Path:
        """What a killed run left of an artifact."""
        work = self.store.path(f"{name}.partial")
        work.mkdir(parents=True)
        (work / "plan.json").write_text(json.dumps({"fingerprint": "half"}))
        rows("subject_id", "text").write_parquet(work / "part.parquet")
        return work

    def told(self, words: list[str]) -> dict[str, set[str]]:
        """Word -> files under the home that hold it, Parquet unpacked; what is kept of the request itself left aside."""
        found: dict[str, set[str]] = {word: set() for word in words}
        for path in self.folder.rglob("*"):
            if path.is_file() and "forgotten" not in path.relative_to(self.folder).parts[:1]:
                unpacked = pl.read_parquet(path).write_ndjson() if path.suffix == ".parquet" else ""
                said = path.read_bytes() + unpacked.encode()
                for word in words:
                    if word.encode() in said:
                        found[word].add(str(path.relative_to(self.folder)))
        return found


def writer_of(held: pl.DataFrame | bytes) -> Callable[[Path], Any]:
    if isinstance(held, bytes):
        return lambda path: path.write_bytes(held)
    return lambda path: held.write_csv(path) if path.suffix == ".csv" else held.write_parquet(path)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")
