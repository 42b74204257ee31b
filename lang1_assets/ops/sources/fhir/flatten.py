"""FHIR R4 bulk exports (folders of NDJSON) as flat text tables: patients, encounters, notes, conditions, claims.

One row a resource; what a status or a code means is left to SQL. What cannot be read becomes a row with a reject reason.
A module for each table turns a resource into its row; all get their resources as `Element`, which checks every type.

Why no library: fhir.resources and fhirclient validate a resource as a whole, so one wrong value in an element that nothing
reads would lose a note; orjson, and a check of what is read, is all that this takes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lang1_assets.ops.sources.fhir import claims, notes
from lang1_assets.ops.sources.fhir.attachments import Attachments
from lang1_assets.ops.sources.fhir.conditions import condition_row
from lang1_assets.ops.sources.fhir.elements import (
    TYPE_NAME,
    Element,
    MalformedLineError,
    MalformedResourceError,
    Row,
    check_id,
    parsed,
)
from lang1_assets.ops.sources.fhir.encounters import encounter_row
from lang1_assets.ops.sources.fhir.lines import FhirError, Line, export_files, read_lines
from lang1_assets.ops.sources.fhir.links import Links
from lang1_assets.ops.sources.fhir.lookups import FIRST_KEY, LOOKUP_TYPES, check_lookup, collect_links
from lang1_assets.ops.sources.fhir.patients import patient_row
from lang1_assets.ops.sources.fhir.tables import TABLE_OF_TYPE, TABLES, TableWriter, type_of_name

REQUIRED_TYPES = ("Patient", "Encounter")
ANY_KEY = re.compile(FIRST_KEY.pattern.removeprefix(rb"\s*\{\s*"))


@dataclass(frozen=True, kw_only=True)
class FhirReport:
    """`num_lines` is the sum of `rows_by_table`, `lookups_by_type` and `ignored_by_type`."""

    num_files: int
    num_lines: int
    """Blank lines are not counted."""
    rows_by_table: dict[str, int]
    """Rejected ones included."""
    rejects_by_table: dict[str, dict[str, int]]
    """Table -> reason -> rows."""
    lookups_by_type: dict[str, int]
    """Resources read only for others (`LOOKUP_TYPES`)."""
    ignored_by_type: dict[str, int]
    """Resources of other types."""

    def summary(self) -> dict[str, object]:
        """Counts alone, for metadata."""
        return asdict(self)


def flatten_fhir(
    folder: Path,
    output: Path,
    *,
    time_zone: str | None = None,
    on_progress: Callable[[str], None] = lambda message: None,
) -> FhirReport:
    """Write `TABLES` of the export in `folder` and its subfolders as `output/TABLE.parquet`, every column text.

    A line's own `resourceType` decides about its table, not its file's name. `source_line` is "FILE:LINE". Times are
    'YYYY-MM-DD HH:MM:SS' without an offset, see `wall_clock`; an encounter never ends before it began because clocks
    were changed, see `period_clocks`. `birth_date` is a date alone, and of no zone. Reject reasons:

    - `malformed_line`: not UTF-8, no JSON object, no resourceType or id, or longer than `MAXIMUM_LINE_BYTES`; the table is
      the one that the file's name says, else the line's remains, else `fhir_notes`;
    - `malformed_resource`: an element that is read has a wrong type;
    - those of a note without text that could be read, see `notes.note_row`.

    The first two leave every other column null. Files are read twice: notes refer to Binary resources and to notes they
    replace, and claims to what was submitted, in any order. The links between them lie on disk meanwhile, as do the Binary
    resources of zipped files.

    Args:
        time_zone: IANA name of where the hospital is, such as "America/New_York". Times that carry an offset become those
            on the clock there. Many servers export in UTC, where an evening is the next day: give it then. Without it,
            times keep the clock that was written.
        on_progress: told the name of each file done and its number of lines.

    Raises:
        FhirError: no such time zone (before anything is read), no such files, none with patients or none with encounters,
            or a file that cannot be opened or is not a whole gzip file.
    """
    zone = zone_of(time_zone)
    files = export_files(folder)
    output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # Beside the tables: it holds the text of notes.
        work = Path(stack.enter_context(TemporaryDirectory(prefix=".fhir-", dir=output)))
        links = stack.enter_context(Links(work / "links.sqlite"))
        attachments = stack.enter_context(Attachments(folder, links, work / "binaries"))
        collect_links(files, folder, links, attachments)
        flattener = Flattener(stack.enter_context(TableWriter(work)), links, attachments, zone)
        for path in files:
            num_lines = flattener.read_file(path, path.relative_to(folder).as_posix())
            on_progress(f"{path.relative_to(folder).as_posix()}: {num_lines:,} lines")
        report = flattener.report(len(files))
        require_types(files, folder, report)
        flattener.tables.close()
        for table in TABLES:
            (work / f"{table}.parquet").rename(output / f"{table}.parquet")
    return report


def zone_of(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    # A name may also be a path out of the database, or a folder or another file in it.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise FhirError(f"time zone {name!r} is not known; give an IANA name such as 'America/New_York'") from None


def require_types(files: Iterable[Path], folder: Path, report: FhirReport) -> None:
    """A file with such a name may be empty; without one, some line must be of the type."""
    named = {type_of_name(path.name) for path in files}
    missing = [name for name in REQUIRED_TYPES if name not in named and not report.rows_by_table[TABLE_OF_TYPE[name]]]
    if missing:
        expected = " and ".join(f"{name}*.ndjson (or .ndjson.gz)" for name in missing)
        raise FhirError(
            f"{folder} has no {' and no '.join(missing)} resources; expected {expected} of a FHIR bulk export"
        )


class Flattener:
    """The second pass. Each line becomes a row, or is counted as a lookup or as ignored."""

    def __init__(self, tables: TableWriter, links: Links, attachments: Attachments, zone: ZoneInfo | None) -> None:
        self.tables = tables
        self._zone = zone
        self._rows = Counter[str](dict.fromkeys(TABLES, 0))
        self._rejects = {table: Counter[str]() for table in TABLES}
        self._lookups = Counter[str](dict.fromkeys(LOOKUP_TYPES, 0))
        self._ignored = Counter[str]()
        self._readers: dict[str, Callable[[Element], Row]] = {
            "Patient": patient_row,
            "Encounter": encounter_row,
            "Condition": condition_row,
            **dict.fromkeys(notes.RESOURCE_TYPES, lambda note: notes.note_row(note, attachments, links)),
            **dict.fromkeys(claims.RESOURCE_TYPES, lambda claim: claims.claim_row(claim, links)),
        }

    def read_file(self, path: Path, name: str) -> int:
        """The number of its lines."""
        num_lines = 0
        for line in read_lines(path):
            self._read_line(line, name)
            num_lines += 1
        return num_lines

    def report(self, num_files: int) -> FhirReport:
        return FhirReport(
            num_files=num_files,
            num_lines=self._rows.total() + self._lookups.total() + self._ignored.total(),
            rows_by_table=dict(self._rows),
            rejects_by_table={table: dict(sorted(counts.items())) for table, counts in self._rejects.items()},
            lookups_by_type=dict(self._lookups),
            ignored_by_type=dict(sorted(self._ignored.items())),
        )

    def _read_line(self, line: Line, name: str) -> None:
        source_line = f"{name}:{line.number}"
        first = FIRST_KEY.match(line.raw)
        if first and first[1].decode() not in TABLE_OF_TYPE:
            self._ignored[first[1].decode()] += 1
            return
        try:
            resource_type, resource = parsed(line, self._zone)
            if resource_type in TABLE_OF_TYPE:
                self._read_resource(resource, resource_type, source_line)
            else:
                # Never an unexpected text in the report.
                self._ignored[resource_type if TYPE_NAME.fullmatch(resource_type) else "(no type)"] += 1
        except MalformedLineError:
            self._reject_line(line, name, source_line)

    def _read_resource(self, resource: Element, resource_type: str, source_line: str) -> None:
        try:
            check_id(resource)
            if resource_type in LOOKUP_TYPES:
                check_lookup(resource, resource_type)
                self._lookups[resource_type] += 1
                return
            row = self._readers[resource_type](resource)
        except MalformedResourceError:
            row = {"reject_reason": "malformed_resource"}
        self._add(TABLE_OF_TYPE[resource_type], row, source_line)

    def _reject_line(self, line: Line, name: str, source_line: str) -> None:
        named = type_of_name(name.rpartition("/")[2])
        remains = ANY_KEY.search(line.raw)
        found = named or (remains[1].decode() if remains else None)
        if found is not None and found not in TABLE_OF_TYPE:
            self._ignored[found] += 1
            return
        table = TABLE_OF_TYPE[found] if found else "fhir_notes"
        self._add(table, {"reject_reason": "malformed_line"}, source_line)

    def _add(self, table: str, row: Row, source_line: str) -> None:
        self._rows[table] += 1
        if reason := row.get("reject_reason"):
            self._rejects[table][reason] += 1
        self.tables.add(table, {**row, "source_line": source_line})
