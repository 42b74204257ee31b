"""FHIR R4 bulk exports (folders of NDJSON) as flat text tables: patients, encounters, notes, conditions, claims.

One row a resource; what a status or a code means is left to SQL. What cannot be read becomes a row with a reject reason.
Notes are read by `fhir_notes`, claims by `fhir_claims`; both get their resources as `Element`, which checks every type.

Why no library: fhir.resources and fhirclient validate a resource as a whole, so one wrong value in an element that nothing
reads would lose a note; orjson, and a check of what is read, is all that this takes.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from decimal import Decimal
from io import BufferedIOBase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from lang1_assets.ops.sources import fhir_claims, fhir_notes

SUFFIXES = (".ndjson", ".ndjson.gz")
EVERY_TABLE = ("source_line", "reject_reason")
TABLES: dict[str, tuple[str, ...]] = {
    "fhir_patients": ("subject_id", "birth_date", "sex", "race", "ethnicity", "city", "deceased", *EVERY_TABLE),
    "fhir_encounters": (
        "encounter_id",
        "subject_id",
        "class_code",
        "status",
        "start_time",
        "end_time",
        "department",
        "admission_type",
        "disposition_code",
        "disposition_text",
        *EVERY_TABLE,
    ),
    "fhir_notes": (*fhir_notes.COLUMNS, *EVERY_TABLE),
    "fhir_conditions": (
        "condition_id",
        "encounter_id",
        "subject_id",
        "icd_version",
        "icd_code",
        "verification_status",
        *EVERY_TABLE,
    ),
    "fhir_claims": (*fhir_claims.COLUMNS, *EVERY_TABLE),
}
TABLE_OF_TYPE = {
    "Patient": "fhir_patients",
    "Encounter": "fhir_encounters",
    "Condition": "fhir_conditions",
    **dict.fromkeys((*fhir_notes.RESOURCE_TYPES, "Binary"), "fhir_notes"),
    **dict.fromkeys((*fhir_claims.RESOURCE_TYPES, "Claim"), "fhir_claims"),
}
LOOKUP_TYPES = ("Binary", "Claim")
"""Have no rows of their own: notes take their text, and decisions on claims their encounter, from there."""
REQUIRED_TYPES = ("Patient", "Encounter")

MAXIMUM_LINE_BYTES = 1 << 27
"""A longer line is a reject, its rest never in memory; notes with scanned pages inside stay far below."""
ROWS_PER_GROUP = 20_000
CHARACTERS_PER_GROUP = 1 << 25
"""Whichever of both a table reaches first is written, so memory is bounded by one line and one row group a table."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

FIRST_KEY = re.compile(rb'\s*\{\s*"resourceType"\s*:\s*"([A-Z][A-Za-z]{1,63})"')
"""Nearly every server writes the type first; a resource of an unread type is then skipped without parsing it."""
ANY_KEY = re.compile(FIRST_KEY.pattern.removeprefix(rb"\s*\{\s*"))
TYPE_NAME = re.compile("[A-Z][A-Za-z]{1,63}")

TIME = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)(T(?P<clock>\d\d:\d\d)(?P<seconds>:\d\d)?(\.\d+)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
SEXES = {"male": "M", "female": "F"}
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
DISPOSITIONS = "http://terminology.hl7.org/CodeSystem/discharge-disposition"
ICD_SYSTEM = re.compile(r"https?://(hl7\.org/fhir/sid|fhir\.de/codesystem/(bfarm|dimdi))/icd-(10|9)(?!-pcs)(-[a-z]+)?")
ICD_OIDS = {
    "urn:oid:2.16.840.1.113883.6.90": "10",
    "urn:oid:2.16.840.1.113883.6.3": "10",
    "urn:oid:2.16.840.1.113883.6.103": "9",
    "urn:oid:2.16.840.1.113883.6.42": "9",
}
"""ICD-10-CM, ICD-10, ICD-9-CM diagnoses and ICD-9."""

Row = dict[str, str | None]


class FhirError(ValueError):
    """The export as a whole cannot be read."""


class MalformedLineError(ValueError):
    """A line is no resource."""


class MalformedResourceError(ValueError):
    """An element has another type than FHIR gives it. The message never holds the value."""


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


class Line(NamedTuple):
    number: int
    """From 1, in the file."""
    offset: int
    """Bytes before it in the file, unzipped."""
    raw: bytes
    is_whole: bool


def flatten_fhir(
    folder: Path, output: Path, *, on_progress: Callable[[str], None] = lambda message: None
) -> FhirReport:
    """Write `TABLES` of the export in `folder` and its subfolders as `output/TABLE.parquet`, every column text.

    A line's own `resourceType` decides about its table, not its file's name. `source_line` is "FILE:LINE". Times keep the
    wall clock that was written, 'YYYY-MM-DD HH:MM:SS', and drop the offset behind it (what a server wrote in UTC stays in
    UTC); a year or month alone becomes its first day; what is no FHIR time is passed on as it is. `birth_date` is a date
    alone. Reject reasons:

    - `malformed_line`: not UTF-8, no JSON object, no resourceType or id, or longer than `MAXIMUM_LINE_BYTES`; the table is
      the one that the file's name says, else the line's remains, else `fhir_notes`;
    - `malformed_resource`: an element that is read has a wrong type;
    - those of a note without text that could be read, see `fhir_notes.note_row`.

    The first two leave every other column null. Files are read twice: notes refer to Binary resources and to notes they
    replace, and claims to what was submitted, in any order. The links between them lie on disk meanwhile, as do the Binary
    resources of zipped files.

    Args:
        on_progress: told the name of each file done and its number of lines.

    Raises:
        FhirError: no such files, none with patients or none with encounters, or a file that cannot be opened or is not a
            whole gzip file.
    """
    files = export_files(folder)
    output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # Beside the tables: it holds the text of notes.
        work = Path(stack.enter_context(TemporaryDirectory(prefix=".fhir-", dir=output)))
        links = stack.enter_context(Links(work / "links.sqlite"))
        attachments = stack.enter_context(fhir_notes.Attachments(folder, links, work / "binaries"))
        collect_links(files, folder, links, attachments)
        flattener = Flattener(stack.enter_context(TableWriter(work)), links, attachments)
        for path in files:
            num_lines = flattener.read_file(path, path.relative_to(folder).as_posix())
            on_progress(f"{path.relative_to(folder).as_posix()}: {num_lines:,} lines")
        report = flattener.report(len(files))
        require_types(files, folder, report)
        flattener.tables.close()
        for table in TABLES:
            (work / f"{table}.parquet").rename(output / f"{table}.parquet")
    return report


def export_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FhirError(f"{folder} is not a folder; set it to where the FHIR bulk export is")
    files = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(SUFFIXES) and path.is_file())
    if not files:
        raise FhirError(f"{folder}: no file there ends in {' or '.join(SUFFIXES)}; expected a FHIR bulk export")
    return files


def require_types(files: Iterable[Path], folder: Path, report: FhirReport) -> None:
    """A file with such a name may be empty; without one, some line must be of the type."""
    named = {type_of_name(path.name) for path in files}
    missing = [name for name in REQUIRED_TYPES if name not in named and not report.rows_by_table[TABLE_OF_TYPE[name]]]
    if missing:
        expected = " and ".join(f"{name}*.ndjson (or .ndjson.gz)" for name in missing)
        raise FhirError(
            f"{folder} has no {' and no '.join(missing)} resources; expected {expected} of a FHIR bulk export"
        )


def type_of_name(name: str) -> str | None:
    """'Patient' for `Patient.000.ndjson`, `1.Patient.ndjson`, `patient_2.ndjson.gz`."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((known for known in TABLE_OF_TYPE if known.lower() in words), None)


def read_lines(path: Path) -> Iterator[Line]:
    """Lines that are not blank.

    Raises:
        FhirError: the file cannot be read to its end.
    """
    number, offset = 0, 0
    try:
        with opened(path) as content:
            while raw := content.readline(MAXIMUM_LINE_BYTES):
                number, rest = number + 1, rest_of_line(content, raw)
                text = raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw
                if text and not text.isspace():
                    yield Line(number, offset + len(raw) - len(text), text, rest == 0)
                offset += len(raw) + rest
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise FhirError(f"{path} is not a whole gzip file; export or copy it again") from None
    except OSError as error:
        raise FhirError(f"{path} cannot be read ({error.strerror}); make it readable") from None


def opened(path: Path) -> BufferedIOBase:
    return gzip.open(path) if is_zipped(path) else path.open("rb")


def rest_of_line(content: BufferedIOBase, raw: bytes) -> int:
    """Bytes passed over up to the end of a line that is too long."""
    num_bytes = 0
    while raw and not raw.endswith(b"\n"):
        raw = content.readline(MAXIMUM_LINE_BYTES)
        num_bytes += len(raw)
    return num_bytes


def is_zipped(path: Path) -> bool:
    """What its first bytes say counts, not its name: files are zipped and unzipped on their way."""
    with path.open("rb") as content:
        return content.read(2) == b"\x1f\x8b"


def parsed(line: Line) -> tuple[str, Element]:
    """The type, whatever it is, and the resource.

    Raises:
        MalformedLineError: the line is none.
    """
    try:
        values = orjson.loads(line.raw) if line.is_whole else None
    except orjson.JSONDecodeError:
        values = None
    if not isinstance(values, dict) or not isinstance(values.get("resourceType"), str) or not values["resourceType"]:
        raise MalformedLineError
    return values["resourceType"], Element(values)


def check_id(resource: Element) -> None:
    if resource.text("id") is None:
        raise MalformedLineError


class Element:
    """A JSON object of a resource. What is absent is None or an empty element, so that a path can be followed to its end.

    Every method raises `MalformedResourceError` when the type is wrong. Text is stripped, and None when empty.
    """

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __bool__(self) -> bool:
        return bool(self._values)

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is None:
            return None
        # PostgreSQL has no text with NUL.
        if not isinstance(value, str) or "\0" in value:
            raise MalformedResourceError
        return value.strip() or None

    def boolean(self, name: str) -> bool | None:
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            raise MalformedResourceError
        return value

    def number(self, name: str) -> Decimal | None:
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise MalformedResourceError
        return Decimal(repr(value))

    def object(self, name: str) -> Element:
        value = self._values.get(name)
        if value is None:
            return NOTHING
        if not isinstance(value, dict):
            raise MalformedResourceError
        return Element(value)

    def objects(self, name: str) -> list[Element]:
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise MalformedResourceError
        return [Element(each) for each in value]

    def time(self, name: str) -> str | None:
        """See `flatten_fhir`."""
        value = self.text(name)
        found = TIME.fullmatch(value) if value else None
        if found is None:
            return value
        day = f"{found['year']}-{found['month'] or '01'}-{found['day'] or '01'}"
        return f"{day} {found['clock'] or '00:00'}{found['seconds'] or ':00'}"

    def label(self) -> str | None:
        """Of a CodeableConcept: its text, else the first display, else the first code."""
        if text := self.text("text"):
            return text
        codings = self.objects("coding")
        displays = (coding.text(name) for name in ("display", "code") for coding in codings)
        return next(filter(None, displays), None)

    def codes(self, systems: tuple[str, ...] | None = None) -> list[str]:
        """Of a CodeableConcept, in order: the codes of some systems, or all."""
        codings = self.objects("coding")
        kept = codings if systems is None else [coding for coding in codings if coding.text("system") in systems]
        return [code for coding in kept if (code := coding.text("code"))]

    def reference_id(self, expected_type: str | None, owner: str | None = None) -> str | None:
        """Of a Reference: the id it points to; "Type/id" when that is of another type than the one expected.

        'Patient/1', 'https://server/Patient/1/_history/2', 'Patient?identifier=system|1' and a logical reference (an
        identifier alone) give '1', 'urn:uuid:1' too. A contained resource is '#x' behind the id of its owner: it matches
        nothing else.
        """
        reference = self.text("reference")
        if reference is None:
            return self.object("identifier").text("value")
        if reference.startswith("#"):
            return f"{owner or ''}{reference}"
        if reference.startswith("urn:"):
            return reference.rpartition(":")[2] or None
        path, _, condition = reference.partition("?")
        segments = [segment for segment in path.partition("/_history")[0].split("/") if segment]
        if condition:
            segments.append(re.split(r"[|=]", condition.partition("&")[0])[-1])
        found_type = segments[-2] if len(segments) > 1 else ""
        if expected_type and found_type != expected_type and TYPE_NAME.fullmatch(found_type):
            return "/".join(segments[-2:])
        return segments[-1] or None if segments else None


NOTHING = Element({})


class Links:
    """Ids by ids, on disk: an export may have more resources than memory holds."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        # Nothing here outlives the run.
        self._database.executescript("pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -65536")
        self._database.execute(
            "create table links (kind text, id text, value text, primary key (kind, id)) without rowid"
        )
        self._database.execute("begin")

    def __enter__(self) -> Links:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def put(self, kind: str, key: str, value: str) -> None:
        """The last value of a key stays."""
        self._database.execute("insert or replace into links values (?, ?, ?)", (kind, key, value))

    def get(self, kind: str, key: str) -> str | None:
        found = self._database.execute("select value from links where kind = ? and id = ?", (kind, key)).fetchone()
        return found[0] if found else None


def collect_links(files: Iterable[Path], folder: Path, links: Links, attachments: fhir_notes.Attachments) -> None:
    """The first pass: where Binary resources are, which note replaces which, and the encounters of submitted claims."""
    for path in files:
        for line in read_lines(path):
            found = FIRST_KEY.match(line.raw)
            if found and found[1].decode() not in LOOKUP_TYPES and b'"relatesTo"' not in line.raw:
                continue
            # The second pass makes rejects of those.
            with contextlib.suppress(MalformedLineError, MalformedResourceError):
                resource_type, resource = parsed(line)
                if resource_type == "Binary":
                    check_lookup(resource, resource_type)
                    name = None if is_zipped(path) else path.relative_to(folder).as_posix()
                    attachments.keep(resource.text("id") or "", name, line.offset, line.raw)
                else:
                    put_links(resource, resource_type, links)


def put_links(resource: Element, resource_type: str, links: Links) -> None:
    check_id(resource)
    if resource_type == "Claim":
        if encounter_id := fhir_claims.encounter_of(resource):
            links.put("claim", resource.text("id") or "", encounter_id)
    elif resource_type in fhir_notes.RESOURCE_TYPES:
        for replaced_id in fhir_notes.replaced_ids(resource):
            links.put("replaced", replaced_id, fhir_notes.note_id_of(resource))


def check_lookup(resource: Element, resource_type: str) -> None:
    """A wrong type is a reject here too, in the table of those who refer to it."""
    check_id(resource)
    if resource_type == "Claim":
        fhir_claims.encounter_of(resource)
    else:
        resource.text("data")
        resource.text("contentType")


class TableWriter:
    """`TABLES` as Parquet files of a folder, row group by row group."""

    def __init__(self, folder: Path) -> None:
        self._schemas = {table: pa.schema([(name, pa.string()) for name in names]) for table, names in TABLES.items()}
        self._rows: dict[str, list[Row]] = {table: [] for table in TABLES}
        self._num_characters = Counter[str]()
        self._stack = ExitStack()
        self._writers = {
            table: self._stack.enter_context(pq.ParquetWriter(folder / f"{table}.parquet", schema, compression="zstd"))
            for table, schema in self._schemas.items()
        }

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add(self, table: str, row: Row) -> None:
        self._rows[table].append(row)
        self._num_characters[table] += sum(len(value) for value in row.values() if value)
        if len(self._rows[table]) >= ROWS_PER_GROUP or self._num_characters[table] >= CHARACTERS_PER_GROUP:
            self._write(table)

    def close(self) -> None:
        for table in TABLES:
            self._write(table)
        self._stack.close()

    def _write(self, table: str) -> None:
        self._writers[table].write_table(pa.Table.from_pylist(self._rows[table], self._schemas[table]))
        self._rows[table].clear()
        self._num_characters[table] = 0


class Flattener:
    """The second pass. Each line becomes a row, or is counted as a lookup or as ignored."""

    def __init__(self, tables: TableWriter, links: Links, attachments: fhir_notes.Attachments) -> None:
        self.tables = tables
        self._rows = Counter[str](dict.fromkeys(TABLES, 0))
        self._rejects = {table: Counter[str]() for table in TABLES}
        self._lookups = Counter[str](dict.fromkeys(LOOKUP_TYPES, 0))
        self._ignored = Counter[str]()
        self._readers: dict[str, Callable[[Element], Row]] = {
            "Patient": patient_row,
            "Encounter": encounter_row,
            "Condition": condition_row,
            **dict.fromkeys(fhir_notes.RESOURCE_TYPES, lambda note: fhir_notes.note_row(note, attachments, links)),
            **dict.fromkeys(fhir_claims.RESOURCE_TYPES, lambda claim: fhir_claims.claim_row(claim, links)),
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
            resource_type, resource = parsed(line)
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


def patient_row(patient: Element) -> Row:
    gender, is_deceased = patient.text("gender"), patient.boolean("deceasedBoolean")
    birth_date = patient.time("birthDate")
    return {
        "subject_id": patient.text("id"),
        "birth_date": birth_date.removesuffix(" 00:00:00") if birth_date else None,
        "sex": SEXES.get(gender, gender) if gender else None,
        "race": us_core_text(patient, "us-core-race"),
        "ethnicity": us_core_text(patient, "us-core-ethnicity"),
        "city": city_of(patient.objects("address")),
        "deceased": patient.time("deceasedDateTime") or (None if is_deceased is None else str(is_deceased).lower()),
    }


def us_core_text(patient: Element, name: str) -> str | None:
    """Of a US Core extension: its text, else the displays of its categories."""
    for extension in patient.objects("extension"):
        if extension.text("url") == US_CORE + name:
            parts = extension.objects("extension")
            texts = [part.text("valueString") for part in parts if part.text("url") == "text"]
            categories = [part.object("valueCoding") for part in parts if part.text("url") == "ombCategory"]
            displays = [category.text("display") or category.text("code") for category in categories]
            return next(filter(None, texts), None) or "; ".join(filter(None, displays)) or None
    return None


def city_of(addresses: list[Element]) -> str | None:
    """A home before others, an old address last."""
    order = {"home": 0, "old": 2}
    ranked = sorted(addresses, key=lambda address: order.get(address.text("use") or "", 1))
    return next(filter(None, (address.text("city") for address in ranked)), None)


def encounter_row(encounter: Element) -> Row:
    encounter_id, stay, period = encounter.text("id"), encounter.object("hospitalization"), encounter.object("period")
    disposition = stay.object("dischargeDisposition")
    locations = (each.object("location").text("display") for each in encounter.objects("location"))
    types = (each.label() for each in encounter.objects("type"))
    codes = disposition.codes((DISPOSITIONS,)) or disposition.codes()
    return {
        "encounter_id": encounter_id,
        "subject_id": encounter.object("subject").reference_id("Patient", encounter_id),
        "class_code": encounter.object("class").text("code"),
        "status": encounter.text("status"),
        "start_time": period.time("start"),
        "end_time": period.time("end"),
        "department": encounter.object("serviceType").label()
        or next(filter(None, locations), None)
        or encounter.object("serviceProvider").text("display"),
        "admission_type": encounter.object("priority").label()
        or stay.object("admitSource").label()
        or next(filter(None, types), None),
        "disposition_code": codes[0] if codes else None,
        "disposition_text": disposition.label(),
    }


def condition_row(condition: Element) -> Row:
    condition_id = condition.text("id")
    codings = [
        (icd_version(coding.text("system")), coding.text("code"))
        for coding in condition.object("code").objects("coding")
    ]
    version, code = next(
        ((wanted, code) for wanted in ("10", "9") for found, code in codings if found == wanted and code), (None, None)
    )
    statuses = condition.object("verificationStatus").codes()
    return {
        "condition_id": condition_id,
        "encounter_id": condition.object("encounter").reference_id("Encounter", condition_id),
        "subject_id": condition.object("subject").reference_id("Patient", condition_id),
        "icd_version": version,
        "icd_code": code,
        "verification_status": statuses[0] if statuses else condition.object("verificationStatus").text("text"),
    }


def icd_version(system: str | None) -> str | None:
    """'9' or '10' for the systems of ICD diagnoses, national ones such as icd-10-gm included; never procedures."""
    lower = (system or "").lower().rstrip("/")
    found = ICD_SYSTEM.fullmatch(lower)
    return ICD_OIDS.get(lower) or (found[3] if found else None)
