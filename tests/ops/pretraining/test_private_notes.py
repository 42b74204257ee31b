"""When something fails on a note, what it says has no word of any note (docs/privacy.md)."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from lang1_assets.ops import schemas
from tests.ops.conftest import synthetic_examples
from tests.ops.launching import launch, log_of

MARKER = "Quorvellian tamsotide"
"""Words that no program says by itself."""

CLEAN_WITH_A_FAULT = """
import sys
from pathlib import Path
from lang1_assets.ops import cleaning

if __name__ == "__main__":
    # A number of words that is no number: every partition fails in the middle of its notes.
    rules = cleaning.CleaningRules(min_words="ten", placeholders=("<NA>",))
    cleaning.clean_notes([Path(sys.argv[1])], Path(sys.argv[2]), rules, scheduler_address=None, num_workers=1,
                         partition_rows=10, on_progress=lambda done, total: None)
"""


def marked(text: str) -> str:
    return f"{MARKER} {text} {MARKER}"


def test_cleaning_that_fails_on_notes_shows_none_of_them(tmp_path: Path) -> None:
    note: dict[str, Any] = dict.fromkeys(schemas.STAGED_NOTES.names, "x")
    note |= {"written_time": datetime(2020, 1, 1), "narrative": marked("seen today."), "impression": marked("stable.")}
    rows = [{**note, "note_id": f"n{number}"} for number in range(30)]
    pl.DataFrame(rows).with_columns(pl.col("written_time").cast(pl.Datetime("us"))).write_parquet(
        tmp_path / "notes.parquet"
    )
    (tmp_path / "clean").mkdir()
    (tmp_path / "job.py").write_text(CLEAN_WITH_A_FAULT)
    command = [sys.executable, "job.py", "notes.parquet", "clean"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "Error" in done.stderr
    assert MARKER not in done.stdout + done.stderr


def examples_with_one_broken(folder: Path) -> Path:
    """Labelled notes full of the marker; one of those to be scored has no text at all."""
    rows = synthetic_examples("mortality").with_columns(text=pl.format(f"{MARKER} {{}} {MARKER}", pl.col("text")))
    broken = pl.col("note_id") == rows.filter(split="val")["note_id"][0]
    file = folder / "mortality.parquet"
    rows.with_columns(text=pl.when(~broken).then(pl.col("text"))).write_parquet(file)
    return file


def test_a_pretraining_job_that_fails_on_a_note_shows_none(config: dict[str, Any], tmp_path: Path) -> None:
    monitoring = {
        "every_steps": 4,
        "examples": {"mortality": examples_with_one_broken(tmp_path)},
        "questions": [],
        "num_examples": 100,
        "shots": 1,
        "note_tokens": 10,
        "batch_size": 4,
    }
    changed = {**config, "shape": {**config["shape"], "context_length": 160}, "monitoring": monitoring}
    assert launch(tmp_path, changed, "lang1_assets.ops.pretraining") != 0
    assert "Error" in log_of(tmp_path)
    assert MARKER not in log_of(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".parquet"]
    assert not [path for path in files if MARKER.encode() in path.read_bytes()]
