"""What an export says of itself: `manifest.json`, written last.

    {"month": "2025-02", "covers_until": "2025-03-01",
     "files": [{"name": "notes-2025.csv", "bytes": 123456, "sha256": "..."}]}

`month` and `covers_until` may be left out. The records reach up to `covers_until` and not into that day; by default to the
end of the month.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from lang1_assets.ops.checksums import sha256_of
from lang1_assets.ops.landing.months import day_after, first_day

MANIFEST_FILE = "manifest.json"
SHA256 = re.compile(r"[0-9a-f]{64}")
KNOWN_FIELDS = {"files", "month", "covers_until"}
FILE_FIELDS = {"name", "bytes", "sha256"}


class LandingError(ValueError):
    """An export cannot be taken; the message names the file and the field, what was expected, and no word of a record."""


@dataclass(frozen=True, kw_only=True)
class LandedFile:
    """One file of an export."""

    name: str
    """With its folders inside the export, separated by '/'."""
    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A whole export."""

    files: tuple[LandedFile, ...]
    covers_until: date
    """The first day that the records do not reach."""

    @property
    def content(self) -> str:
        return content_of(self.files)


def content_of(files: Sequence[LandedFile]) -> str:
    """Hash of names and contents: exports with the same one are the same, whenever and as which month they were written."""
    lines = sorted(f"{file.sha256} {file.name}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def read_manifest(data: bytes, month: str) -> Manifest:
    """A manifest's bytes, checked.

    Args:
        month: the folder that it lies in.

    Raises:
        LandingError: with every problem found.
    """
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        # Whatever stands there, the looks at other months go on.
        raise LandingError(f"{month}/{MANIFEST_FILE}: not JSON ({type(error).__name__}); write it anew") from None
    if not isinstance(values, dict):
        raise LandingError(f"{month}/{MANIFEST_FILE}: expected an object with 'files', found {type(values).__name__}")
    problems = [f"unknown field '{name}'" for name in sorted(set(values) - KNOWN_FIELDS)]
    if values.get("month") not in (None, month):
        problems.append(f"field 'month' is {values['month']!r}, but the folder is {month}")
    covers_until = read_day(values.get("covers_until"), month, problems)
    files = read_files(values.get("files"), problems)
    if problems:
        raise LandingError(f"{month}/{MANIFEST_FILE}: {'; '.join(problems)}")
    return Manifest(files=files, covers_until=covers_until)


def read_day(value: Any, month: str, problems: list[str]) -> date:
    if value is None:
        return day_after(month)
    try:
        day = date.fromisoformat(value)
    except (TypeError, ValueError):
        problems.append(f"field 'covers_until' is {value!r}, expected a day such as '{day_after(month)}'")
        return day_after(month)
    if day <= first_day(month):
        problems.append(f"field 'covers_until' is {day}, expected a day after {first_day(month)}")
    # Believed, a mistyped year would make labels ripe that nobody can know. In the far east tomorrow has begun.
    latest = max(day_after(month), datetime.now(UTC).date() + timedelta(days=1))
    if day > latest:
        problems.append(f"field 'covers_until' is {day}, which is yet to come; expected a day up to {latest}")
    return day


def read_files(values: Any, problems: list[str]) -> tuple[LandedFile, ...]:
    if not isinstance(values, list) or not values:
        problems.append("field 'files' is not a list of at least one file")
        return ()
    found = [read_file(value, f"files[{place}]", problems) for place, value in enumerate(values)]
    files = tuple(file for file in found if file is not None)
    names = [file.name for file in files]
    problems += [
        f"file '{name}' stands there twice" for name in sorted({name for name in names if names.count(name) > 1})
    ]
    return files


def read_file(value: Any, place: str, problems: list[str]) -> LandedFile | None:
    if not isinstance(value, dict) or set(value) != FILE_FIELDS:
        problems.append(f"{place} is not an object of 'name', 'bytes' and 'sha256'")
        return None
    name, num_bytes, digest = value["name"], value["bytes"], value["sha256"]
    before = len(problems)
    if not isinstance(name, str) or not is_inside(name):
        problems.append(f"{place}.name is no name of a file inside the export's folder")
    if not isinstance(num_bytes, int) or isinstance(num_bytes, bool) or num_bytes < 0:
        problems.append(f"{place}.bytes is no number of bytes")
    if not isinstance(digest, str) or not SHA256.fullmatch(digest):
        problems.append(f"{place}.sha256 is no SHA-256 sum of 64 lower-case hexadecimal digits")
    return LandedFile(name=name, num_bytes=num_bytes, sha256=digest) if len(problems) == before else None


def is_inside(name: str) -> bool:
    """Whether a name stays in its folder, and is that of a file of records.

    >>> [is_inside(name) for name in ("notes.csv", "hosp/notes.csv", "../notes.csv", "/etc/passwd", "manifest.json")]
    [True, True, False, False, False]
    """
    parts = PurePosixPath(name).parts
    plain = name == "/".join(parts) and "\\" not in name and name.isprintable()
    return plain and bool(parts) and not {"..", "."} & set(parts) and parts[0] != "/" and name != MANIFEST_FILE


def write_manifest(folder: Path, month: str, covers_until: date | None = None) -> Manifest:
    """Close an export: every file that lies in `folder`, written beside and renamed, so that nobody sees half of it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)
    files = tuple(
        LandedFile(name=path.relative_to(folder).as_posix(), num_bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in paths
    )
    manifest = Manifest(files=files, covers_until=covers_until or day_after(month))
    listed = [{"name": file.name, "bytes": file.num_bytes, "sha256": file.sha256} for file in files]
    values = {"month": month, "covers_until": manifest.covers_until.isoformat(), "files": listed}
    beside = folder / f".{MANIFEST_FILE}.partial"
    beside.write_text(json.dumps(values, indent=1))
    beside.rename(folder / MANIFEST_FILE)
    return manifest
