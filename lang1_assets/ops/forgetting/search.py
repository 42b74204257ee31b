"""Where the rows of people lie: the identifiers of their notes and stays, and the files that hold any of them.

Files are searched, not names of artifacts: what a new stage leaves behind is found as well. A Parquet or CSV file holds somebody
when a column of ids does, whatever the case of its name. A file that cannot be read is taken as holding them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

SUBJECT_COLUMNS = ("subject_id", "subject_id_text", "person_id")
NOTE_COLUMNS = ("note_id",)
ENCOUNTER_COLUMNS = ("encounter_id", "visit_occurrence_id", "hadm_id")
ANY_ID = ("row_id",)
"""Of rejects: whatever named the row."""
TABLES = (".parquet", ".csv", ".csv.gz")
ID_COLUMNS = (*SUBJECT_COLUMNS, *NOTE_COLUMNS, *ENCOUNTER_COLUMNS, *ANY_ID)
PROBABILITIES = "probabilities"


@dataclass(frozen=True, kw_only=True)
class Identifiers:
    """What names some people in the files."""

    subjects: frozenset[str]
    notes: frozenset[str] = frozenset()
    encounters: frozenset[str] = frozenset()

    def __or__(self, other: Identifiers) -> Identifiers:
        return Identifiers(
            subjects=self.subjects | other.subjects,
            notes=self.notes | other.notes,
            encounters=self.encounters | other.encounters,
        )

    def of_column(self, name: str) -> list[str]:
        if name in ANY_ID:
            return sorted(self.subjects | self.notes | self.encounters)
        held = self.subjects if name in SUBJECT_COLUMNS else self.notes if name in NOTE_COLUMNS else self.encounters
        return sorted(held)


@dataclass(frozen=True, kw_only=True)
class FoundRows:
    """What one file holds of them."""

    file: Path
    num_rows: int
    is_readable: bool = True
    by_split: Mapping[str, int] = field(default_factory=dict)
    """Of labelled notes."""
    has_text: bool = False
    has_only_numbers: bool = False
    """Ids beside probabilities, and no text: what an evaluation leaves behind."""


def find_identifiers(files: Iterable[Path], subjects: Iterable[str]) -> tuple[Identifiers, frozenset[str]]:
    """The notes and stays of people, from every file that has both in one row; and the people of whom any file has a row."""
    found = Identifiers(subjects=frozenset(subjects))
    present: frozenset[str] = frozenset()
    for file in files:
        frame = columns_of(file)
        names = [] if frame is None else frame.collect_schema().names()
        people = [name for name in SUBJECT_COLUMNS if name in names]
        if frame is None or not people:
            continue
        wanted = [*people, *(name for name in ("note_id", *ENCOUNTER_COLUMNS) if name in names)]
        rows = _collected(frame.filter(is_theirs(people, found)).select(pl.col(wanted).cast(pl.String)).unique())
        if rows is not None:
            found = found | _named_by(rows)
            present |= {person for name in people for person in rows[name].drop_nulls()} & found.subjects
    return found, present


def _named_by(rows: pl.DataFrame) -> Identifiers:
    """Notes and stays in some rows."""
    held = {name: frozenset(rows[name].drop_nulls()) for name in rows.columns}
    stays = [ids for name, ids in held.items() if name in ENCOUNTER_COLUMNS]
    nobody: frozenset[str] = frozenset()
    return Identifiers(subjects=nobody, notes=held.get("note_id", nobody), encounters=nobody.union(*stays))


def find_rows(file: Path, who: Identifiers) -> FoundRows | None:
    """What a file holds of them; None if nothing, or if it has no column of ids."""
    frame = columns_of(file)
    if frame is None:
        return FoundRows(file=file, num_rows=0, is_readable=False)
    names = frame.collect_schema().names()
    ids = [name for name in ID_COLUMNS if name in names]
    if not ids:
        return None
    split = pl.col("split").cast(pl.String) if "split" in names else pl.lit("", pl.String)
    rows = _collected(frame.filter(is_theirs(ids, who)).select(split.alias("split"), pl.col(ids[0])))
    if rows is None:
        return FoundRows(file=file, num_rows=0, is_readable=False)
    if rows.is_empty():
        return None
    return FoundRows(
        file=file,
        num_rows=len(rows),
        by_split=dict(rows.group_by("split").len().sort("split").iter_rows()),
        has_text="text" in names,
        has_only_numbers=PROBABILITIES in names and "text" not in names,
    )


def find_in_folder(folder: Path, who: Identifiers) -> list[FoundRows]:
    """Of every file in it, links left aside: what they lead to is somebody else's."""
    return [found for file in data_files(folder) if (found := find_rows(file, who)) is not None]


def data_files(folder: Path) -> list[Path]:
    """Tables; what else there is, nobody is looked for in."""
    return sorted(
        path for path in folder.rglob("*") if ends_in(path, TABLES) and path.is_file() and not path.is_symlink()
    )


def ends_in(path: Path, suffixes: tuple[str, ...]) -> bool:
    """As records are taken: in whatever case their names are."""
    return path.name.lower().endswith(suffixes)


def is_theirs(columns: Sequence[str], who: Identifiers) -> pl.Expr:
    """Rows with an id of theirs in any of these columns."""
    # Ids are text here, but numbers in files for MEDS.
    return pl.any_horizontal(
        pl.col(name).cast(pl.String).is_in(pl.Series(who.of_column(name), dtype=pl.String).implode())
        for name in columns
    ).fill_null(False)


def columns_of(file: Path) -> pl.LazyFrame | None:
    """A table's rows, names of columns in lower case, to be read when asked for; None if it is not what its name says."""
    try:
        if ends_in(file, (".parquet",)):
            scanned = pl.scan_parquet(file)
        elif file.stat().st_size == 0:
            return pl.LazyFrame()
        else:
            scanned = pl.scan_csv(file, infer_schema=False, truncate_ragged_lines=True, encoding="utf8-lossy")
        return scanned.rename({name: name.lower() for name in scanned.collect_schema().names()})
    except (pl.exceptions.PolarsError, OSError):
        return None


def _collected(frame: pl.LazyFrame) -> pl.DataFrame | None:
    try:
        return frame.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError):
        return None
