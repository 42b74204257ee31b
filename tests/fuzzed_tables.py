"""Tables of every kind, spoiled by Hypothesis in all the ways that hospitals know."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from lang1_assets.ops.sources.layout import SourceTable, source_tables
from tests.dbt_runs import PROJECT
from tests.fuzzed_sources import (
    DAMAGES,
    DATES,
    EXACT_DAMAGES,
    EXTRA_COLUMNS,
    FOLDERS,
    FORMS,
    LARGE_NOTE_CHARACTERS,
    MARKER,
    MAY_STOP,
    NOTE_TABLES,
    NUM_BEFORE,
    NUM_ROWS,
    NUMBERS,
    STOPPED,
    TEXT_COLUMNS,
    TEXTS,
    VALID,
    FuzzedSource,
    Plan,
    Row,
    text_of_note,
)


@st.composite
def spoiled_tables(draw: st.DrawFn, kind: str) -> FuzzedSource:
    """The first example of a search is the simplest: every spoiled value in every column, and no damage to files."""
    tables = source_tables(PROJECT, kind)
    present = [table for table in tables if not table.may_be_absent or draw(st.integers(0, 9)) != 7]
    return planned_source(kind, {table.name: draw(plans(table)) for table in present})


def one_of_each(kind: str) -> FuzzedSource:
    """Every table in another form and folder, with columns without a name, and with other damages."""
    tables = source_tables(PROJECT, kind)
    by_table = {
        table.name: Plan(
            form=FORMS[-1 - number % len(FORMS)],
            folder=FOLDERS[1 + number % (len(FOLDERS) - 1)],
            left_out=(),
            extra=("", EXTRA_COLUMNS[1 + number]),
            is_reversed=number % 2 == 1,
            damages=("text as fields", EXACT_DAMAGES[number % len(EXACT_DAMAGES)]),
            values=(*DATES, *NUMBERS, *TEXTS),
            has_large_note=table.name in NOTE_TABLES[kind],
        )
        for number, table in enumerate(tables)
    }
    return planned_source(kind, by_table)


def planned_source(kind: str, plans_by_table: Mapping[str, Plan]) -> FuzzedSource:
    files: dict[str, bytes] = {}
    num_records: dict[str, tuple[int, int]] = {}
    for table in source_tables(PROJECT, kind):
        if plan := plans_by_table.get(table.name):
            written, *num_records_of_table = written_table(kind, table, plan)
            files |= {f"{plan.folder}/{name}" if plan.folder else name: content for name, content in written.items()}
            num_records[table.name] = (num_records_of_table[0], num_records_of_table[1])
    damages = {damage for plan in plans_by_table.values() for damage in plan.damages}
    notes = [] if "unclosed quote" in damages else [name for name in NOTE_TABLES[kind] if name in num_records]
    return FuzzedSource(
        kind=kind,
        files=files,
        num_records=num_records,
        good_notes=good_notes(kind, notes),
        changes=tuple(f"{name} {plan}" for name, plan in plans_by_table.items()),
        may_stop=bool(damages & set(MAY_STOP)),
    )


@st.composite
def plans(draw: st.DrawFn, table: SourceTable) -> Plan:
    form = draw(st.sampled_from(FORMS))
    every_value = (*DATES, *NUMBERS, *TEXTS)
    used = {name for name in table.optional if name in template_of(table)}
    skipped = draw(st.sets(st.sampled_from(every_value)))
    damages = draw(st.lists(st.sampled_from(DAMAGES), max_size=2, unique=True))
    damages += [draw(st.sampled_from(STOPPED))] if draw(st.integers(0, 29)) == 17 else []
    return Plan(
        form=form,
        folder=draw(st.sampled_from(FOLDERS)),
        left_out=tuple(sorted(draw(st.sets(st.sampled_from(sorted(set(table.optional) - used) or [""]))) - {""})),
        extra=tuple(sorted(draw(st.sets(st.sampled_from(EXTRA_COLUMNS), max_size=3)) - set(table.columns))),
        is_reversed=draw(st.booleans()),
        damages=tuple(damages) if "csv" in form and form != "csv several" else (),
        values=tuple(value for value in every_value if value not in skipped),
        has_large_note=draw(st.integers(0, 9)) == 7,
    )


def template_of(table: SourceTable) -> Row:
    return next(
        tables[table.name] for tables in VALID.values() if set(tables.get(table.name, {"": ""})) <= set(table.columns)
    )


def good_rows(kind: str, table: str) -> list[Row]:
    return [
        {
            name: value.format(n=number, text=text_of_note(f"{table} {number}"))
            for name, value in VALID[kind][table].items()
        }
        for number in range(1, NUM_ROWS + 1)
    ]


def good_notes(kind: str, tables: Sequence[str]) -> dict[str, tuple[str, str]]:
    notes = {}
    for table in tables:
        for row in good_rows(kind, table):
            key, text = row.get("note_id") or row["row_id"], next(row[name] for name in TEXT_COLUMNS if name in row)
            notes[key] = row.get("subject_id") or row["person_id"], text
    return notes


def spoiled_rows(kind: str, table: SourceTable, plan: Plan) -> Iterator[Row]:
    """Copies of the first good row, each with one value spoiled, its key sometimes its own; then duplicates."""
    good = good_rows(kind, table.name)[0]
    key = next(iter(good)) if kind != "mimic_iii" and kind != "mimic_iv" else key_of(good)
    for column in table.columns:
        if column in plan.left_out:
            continue
        for number, value in enumerate(plan.values):
            own = {} if number % 4 == 3 else {key: f"{number}00{table.columns.index(column)}"}
            yield {**good, **own, column: value}
    yield good
    yield {**good, key: "P404"}
    if plan.has_large_note:
        column = next((name for name in TEXT_COLUMNS if name in good), key)
        yield {**good, key: "777", column: MARKER + " large" * (LARGE_NOTE_CHARACTERS // 6)}


def key_of(row: Row) -> str:
    return next(name for name in ("row_id", "note_id", "hadm_id", "subject_id") if name in row)


def written_table(kind: str, table: SourceTable, plan: Plan) -> tuple[dict[str, bytes], int, int]:
    """Files by name, and how many records they have: fewest and most."""
    good, spoiled = good_rows(kind, table.name), list(spoiled_rows(kind, table, plan))
    columns = [name for name in table.columns if name not in plan.left_out]
    columns = [*plan.extra, *(reversed(columns) if plan.is_reversed else columns)]
    before, after = good[:NUM_BEFORE], good[NUM_BEFORE:]
    number = len(good) + len(spoiled)
    if plan.form == "parquet":
        return {f"{table.name}.parquet": as_parquet([*before, *spoiled, *after], columns)}, number, number
    if plan.form == "parquet typed":
        return {f"{table.name.upper()}.PARQUET": as_parquet(good, columns, is_typed=True)}, len(good), len(good)
    if plan.form == "parquet mixed":
        typed, text = as_parquet(before, columns, is_typed=True), as_parquet([*spoiled, *after], columns)
        return {f"{table.name}-1.parquet": typed, f"{table.name}-2.parquet": text}, number, number
    if plan.form == "csv several":
        first, second = as_csv(before, columns), as_csv([*spoiled, *after], columns[::-1])
        empty = as_csv([], columns)
        return (
            {f"{table.name}-1.csv": first, f"{table.name}_2.csv": second, f"{table.name}3.csv": empty},
            number,
            number,
        )
    return damaged_csv(table, plan, columns, (before, spoiled, after))


def damaged_csv(
    table: SourceTable, plan: Plan, columns: list[str], rows: tuple[list[Row], list[Row], list[Row]]
) -> tuple[dict[str, bytes], int, int]:
    before, spoiled, after = rows
    ending = "\r\n" if plan.form == "csv crlf" else "\n"
    most = fewest = sum(map(len, rows))
    body = as_csv([*before, *spoiled], columns, ending)
    for damage in plan.damages:
        line, num_fewest, num_most = damaged_line(damage, before[0], columns, ending)
        body += line
        fewest, most = fewest + num_fewest, most + num_most
    if "unclosed quote" in plan.damages:
        fewest -= len(after) + len(plan.damages)
    body += as_csv(after, columns, ending, has_header=False)
    if plan.form == "csv bare end":
        body = body.removesuffix(b"\n")
    if plan.form == "csv mark":
        body = b"\xef\xbb\xbf" + body
    if plan.form == "csv.gz" or "cut gzip" in plan.damages:
        zipped = gzip.compress(body)
        return {f"{table.name}.csv.gz": zipped[:-20] if "cut gzip" in plan.damages else zipped}, fewest, most
    return {f"{table.name}.csv": body}, fewest, most


def damaged_line(damage: str, good: Row, columns: list[str], ending: str) -> tuple[bytes, int, int]:
    """The line, and how many records it may be taken for."""
    end = ending.encode()
    other = b"\n" if ending == "\r\n" else b"\r\n"
    fields = [b"D1"] * len(columns)
    quoted = b'"' + MARKER.encode() + b" unwell"
    match damage:
        case "too few fields":
            return quoted + b'"' + end, int(len(columns) > 1), 1
        case "too many fields":
            return b",".join([*fields, quoted + b'"', b"E1"]) + end, 1, 1
        case "latin-1":
            return b",".join([quoted + b' caf\xe9"', *fields[1:]]) + end, 1, 1
        case "blank line":
            return end, 0, 0
        case "words after a quote":
            return b",".join([quoted + b'" more', *fields[1:]]) + end, 1, 1
        case "text as fields":
            # Of a text that was not quoted: its lines may have as many commas as the table has.
            return b",".join([f"feeling unwell {MARKER} today".encode()] * len(columns)) + end, 1, 1
        case "long line":
            return b",".join([quoted + b" " * 17_000_000 + b'"', *fields[1:]]) + end, 1, 1
        case "unclosed quote":
            return b",".join([quoted, *fields[1:]]) + end, 1, 1
        case "lone carriage return":
            return b",".join([b"a\rb", *fields[1:]]) + end, 0, 2
        case "other line ending":
            return b",".join(fields) + other, 0, 2
        case "nul line":
            return b"\0\0\0" + end, int(len(columns) > 1), 1
    return b"", 0, 0


def as_csv(rows: Sequence[Row], columns: Sequence[str], ending: str = "\n", *, has_header: bool = True) -> bytes:
    stream = io.StringIO(newline="")
    # Everything quoted, because Python 3.11 leaves a lone carriage return bare.
    writer = csv.writer(stream, lineterminator=ending, quoting=csv.QUOTE_ALL)
    if has_header:
        writer.writerow(columns)
    writer.writerows([row.get(name, "") for name in columns] for row in rows)
    return stream.getvalue().encode()


def as_parquet(rows: Sequence[Row], columns: Sequence[str], *, is_typed: bool = False) -> bytes:
    """All text; or, typed, numbers and times where all values are some, and lists in the columns that nothing reads."""
    arrays: list[pa.Array] = []
    for name in columns:
        values = [row.get(name) for row in rows]
        if is_typed and name in EXTRA_COLUMNS:
            arrays.append(pa.array([[1, 2]] * len(rows)))
        else:
            arrays.append(typed_array(values) if is_typed else pa.array(values, pa.string()))
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=list(columns)), stream)
    return stream.getvalue()


def typed_array(values: Sequence[str | None]) -> pa.Array:
    array = pa.array(values, pa.string())
    for wanted in (pa.int64(), pa.timestamp("us"), pa.date32()):
        try:
            return array.cast(wanted)
        except pa.ArrowInvalid:
            continue
    return pa.array(values, pa.large_string())
