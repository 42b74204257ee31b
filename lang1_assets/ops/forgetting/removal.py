"""Taking people out of a folder: all of it, or their names only. Each step may be cut off and done again."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from lang1_assets.ops.forgetting.artifacts import MANIFEST, UNFINISHED_NAME, unsearched_files
from lang1_assets.ops.forgetting.search import (
    ID_COLUMNS,
    FoundRows,
    Identifiers,
    ends_in,
    is_theirs,
)
from lang1_assets.ops.forgetting.subjects import ForgettingError

NAMELESS = "forgotten-"
GENERATIONS_FILE = "generations.jsonl"
"""As pretraining names it."""


class UnreadableError(ValueError):
    """A table has lines that are none: it cannot be written again as it was."""


@contextmanager
def nobody_makes(folder: Path) -> Iterator[None]:
    """Hold the lock of an artifact.

    Raises:
        ForgettingError: a run is making it.
    """
    finished = folder.with_name(UNFINISHED_NAME.sub("", folder.name))
    with open(finished.with_name(finished.name + ".lock"), "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ForgettingError(
                f"{finished}: a run is making it; wait until it has ended, or stop it, and go on with: lang1 forget"
            ) from None
        yield


def remove_folder(folder: Path, write_down: Callable[[], None] = lambda: None) -> None:
    """Out of sight in one step, then gone: nobody takes a half-removed folder for an artifact.

    Args:
        write_down: called before, when nobody is making it.
    """
    with nobody_makes(folder):
        if not folder.exists():
            return
        write_down()
        going = folder if folder.name.endswith(".forgotten") else folder.with_name(folder.name + ".forgotten")
        if going != folder:
            shutil.rmtree(going, ignore_errors=True)
            folder.rename(going)
        shutil.rmtree(going)


def rename_rows(folder: Path, found: Sequence[FoundRows], who: Identifiers, salt: str) -> None:
    """In these files the ids of people, notes and stays become names that only the salt leads to; one id, one name.

    The folder's manifest gets the files' new sizes: the numbers that were made from the rows, and what they were made from, are
    what they were.
    """
    with nobody_makes(folder):
        files = [rows.file for rows in found if ends_in(rows.file, (".parquet",)) and rows.is_readable]
        put_in_place(folder, {file: _renamed(file, who, salt) for file in files})


def thin_out(folder: Path, found: Sequence[FoundRows], who: Identifiers) -> None:
    """Of a landed month: take their rows out of these files, remove every file that is no table, and leave all others as they are.

    Raises:
        UnreadableError: a table cannot be written again as it was; nothing is changed.
    """
    with nobody_makes(folder):
        thinned = {rows.file: _thinned(rows.file, who) for rows in found}
        put_in_place(folder, {**thinned, **dict.fromkeys(unsearched_files(folder))})


def thin_file(file: Path, who: Identifiers) -> None:
    """Whole, or as it was.

    Raises:
        UnreadableError: as `thin_out`.
    """
    _thinned(file, who).rename(file)


def put_in_place(folder: Path, coming: Mapping[Path, Path | None]) -> None:
    """Let files take the places of others, or remove those for which none comes; the manifest knows first.

    Killed in between, the manifest is one of an artifact that is not whole, and who asks again finds the same to do.
    """
    note_sizes(folder, coming)
    for file, beside in coming.items():
        file.unlink(missing_ok=True) if beside is None else beside.rename(file)


def _thinned(file: Path, who: Identifiers) -> Path:
    """What the table will be, under a name beside it.

    Raises:
        UnreadableError: it cannot be written again as it was.
    """
    beside = file.with_name(f".{file.name}.thinned")
    is_parquet = ends_in(file, (".parquet",))
    try:
        frame = pl.read_parquet(file) if is_parquet else pl.read_csv(file, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UnreadableError(f"{file}: cannot be read as a whole ({type(error).__name__})") from None
    lower = frame.rename({name: name.lower() for name in frame.columns})
    theirs = lower.select(is_theirs([name for name in ID_COLUMNS if name in lower.columns], who)).to_series()
    kept = frame.filter(~theirs)
    if is_parquet:
        kept.write_parquet(beside)
    else:
        with gzip.open(beside, "wb") if ends_in(file, (".gz",)) else beside.open("wb") as handle:
            handle.write(kept.write_csv().encode())
    beside.chmod(file.stat().st_mode & 0o777)
    return beside


def _renamed(file: Path, who: Identifiers, salt: str) -> Path:
    frame = pl.read_parquet(file)
    text = [name for name in ID_COLUMNS if name in frame.columns and frame.schema[name] == pl.String]
    names: Mapping[str, Mapping[str, str]] = {
        column: {held: nameless(held, salt) for held in who.of_column(column)} for column in text
    }
    beside = file.with_suffix(".tmp")
    frame.with_columns(pl.col(column).replace(names[column]) for column in text).write_parquet(beside)
    beside.chmod(file.stat().st_mode & 0o777)
    return beside


def nameless(held: str, salt: str) -> str:
    return NAMELESS + hashlib.blake2b(held.encode(), key=bytes.fromhex(salt), digest_size=8).hexdigest()


def note_sizes(folder: Path, coming: Mapping[Path, Path | None]) -> None:
    """Let the manifest say what will lie there: no file that goes, the sizes of those that come."""
    path = folder / MANIFEST
    if not path.exists():
        return
    manifest = json.loads(path.read_text())
    places = {name: coming.get(folder / name, folder / name) for name in manifest["files"]}
    manifest["files"] = {
        name: place.stat().st_size for name, place in places.items() if place is not None and place.exists()
    }
    beside = path.with_suffix(".tmp")
    with open(beside, "w") as handle:
        handle.write(json.dumps(manifest, indent=1))
        handle.flush()
        os.fsync(handle.fileno())
    beside.rename(path)


def remove_writings(folder: Path) -> bool:
    """What a model wrote of its own, finished or not, which may be somebody's words; whether there was any."""
    # Where a kill came between its writing and its renaming, a second one is there.
    found = [path for name in (GENERATIONS_FILE, f".{GENERATIONS_FILE}.partial") if (path := folder / name).exists()]
    if not found:
        return False
    with nobody_makes(folder):
        put_in_place(folder, dict.fromkeys(found))
    return True


def remove_databases(folder: Path) -> list[Path]:
    """The files in which SQL is worked with: deleted rows stay in their pages, so they go whole; the next build makes them
    again."""
    gone = sorted(path for path in folder.glob("*.duckdb*") if path.is_file()) if folder.is_dir() else []
    for path in gone:
        path.unlink()
    for spilled in folder.glob("*.tmp") if folder.is_dir() else ():
        shutil.rmtree(spilled, ignore_errors=True)
    return gone
