"""The embedded hospital's exports with made-up words planted into every narrative field: `python -m tests.planting`.

The exports are made by their own asset, changed, and left as an artifact that is up to date, so that the run that follows
takes them. Words are letters and digits alone, which cleaning leaves as they are.
"""

import hashlib
import json
import os
from pathlib import Path

import dagster as dg
import polars as pl

from lang1_assets.corpus import extract
from lang1_assets.ops.schemas import NARRATIVE_FIELDS
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.settings import lang1_home, load_settings

EVERY = 7
"""One note in so many gets a word in each of its fields: those that cleaning rejects and those of every split among them."""


def marker(note_id: str, field: str) -> str:
    """A word that stands in one field of one note and nowhere else."""
    return f"zq{hashlib.sha256(f'{note_id}:{field}'.encode()).hexdigest()[:16]}"


def marked(note_ids: list[str]) -> list[str]:
    return note_ids[::EVERY]


def planted_words(folder: Path) -> dict[str, list[bytes]]:
    """Field -> the words in it, of all notes of the export."""
    ids = [name for file in sorted(folder.glob("notes-*.csv")) for name in marked(note_ids(file))]
    return {field: [marker(name, field).encode() for name in ids] for field in NARRATIVE_FIELDS}


def note_ids(file: Path) -> list[str]:
    return pl.read_csv(file, infer_schema=False, columns=["note_id"])["note_id"].to_list()


def plant(folder: Path) -> None:
    """Put a word at the end of every field of the chosen notes, and the new sizes into the artifact's manifest."""
    for file in sorted(folder.glob("notes-*.csv")):
        notes = pl.read_csv(file, infer_schema=False)
        chosen = pl.col("note_id").is_in(marked(note_ids(file)))
        words = [
            pl.when(chosen)
            .then(
                pl.concat_str(
                    pl.col(field).fill_null(""),
                    pl.col("note_id").map_elements(lambda name, field=field: f" {marker(name, field)}", pl.String),
                )
            )
            .otherwise(pl.col(field))
            .alias(field)
            for field in NARRATIVE_FIELDS
        ]
        notes.with_columns(words).write_csv(file)
    manifest = folder / "artifact.json"
    values = json.loads(manifest.read_text())
    values["files"] = {name: (folder / name).stat().st_size for name in values["files"]}
    manifest.write_text(json.dumps(values, indent=1))


if __name__ == "__main__":
    os.umask(0o077)
    settings = load_settings()
    store = ArtifactStore(root=str(lang1_home() / "artifacts" / settings.name))
    made = dg.materialize([extract.hospital_exports(settings)], resources={"store": store})
    assert made.success
    plant(store.get("hospital_exports").path)
