"""Whatever is done to a chain is found, and where."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lang1_assets.ops.audit.attempts import record
from lang1_assets.ops.audit.entries import BEFORE_THE_FIRST, AuditError, Link, link_of, row_hash, seal_of, to_line
from lang1_assets.ops.audit.files import CHAIN_FILE, HEAD_FILE
from lang1_assets.ops.audit.verification import Anchor, compare_with_store, verify
from tests.ops.audit.chains import KEY, chain_of, entry, lines, rows

NUM_ROWS = 8


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    chain_of(folder, NUM_ROWS)
    return folder


def problems(folder: Path, changed: list[bytes], to: Path) -> list[str]:
    """Of a chain with these lines and the head of the whole one."""
    shutil.copyfile(folder / HEAD_FILE, to / HEAD_FILE)
    (to / CHAIN_FILE).write_bytes(b"".join(changed))
    return verify(to / CHAIN_FILE).problems


def made_anew(changed: list[dict[str, Any]], key: bytes | None = None) -> list[bytes]:
    """What somebody writes who knows how rows are hashed: every row after a change made to fit."""
    last, written = BEFORE_THE_FIRST, []
    for number, row in enumerate(changed, start=1):
        made = {**row, "sequence": number, "previous": last.hash}
        made["hash"] = row_hash(made)
        if key is not None:
            made["seal"] = seal_of(made["hash"], key)
        written.append(to_line(made))
        last = link_of(made)
    return written


def test_a_whole_chain(whole: Path, tmp_path: Path) -> None:
    assert problems(whole, lines(whole), tmp_path) == []
    report = verify(whole / CHAIN_FILE)
    assert (report.num_rows, report.last.sequence, report.notes) == (NUM_ROWS, NUM_ROWS, [])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_found(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(b"".join(lines(whole)))
    where = data.draw(st.integers(0, len(content) - 1))
    content[where] ^= data.draw(st.integers(1, 255))
    assert problems(whole, [bytes(content)], tmp_path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(0, NUM_ROWS - 1), max_size=NUM_ROWS + 2))
def test_rows_removed_repeated_or_moved_are_found(whole: Path, tmp_path: Path, order: list[int]) -> None:
    kept = [lines(whole)[number] for number in order]
    assert bool(problems(whole, kept, tmp_path)) == (order != list(range(NUM_ROWS)))


def test_the_words_for_each(whole: Path, tmp_path: Path) -> None:
    all_lines = lines(whole)
    changed = [*all_lines[:2], all_lines[2].replace(b'"tester"', b'"nobody"'), *all_lines[3:]]
    assert problems(whole, changed, tmp_path) == ["line 3, row 3: changed: its hash is not that of its content"]
    removed = [*all_lines[:2], *all_lines[4:]]
    assert problems(whole, removed, tmp_path) == ["line 3, row 5: rows 3 to 4 are missing before it"]
    moved = [all_lines[1], all_lines[0], *all_lines[2:]]
    assert "line 2, row 1: put in or out of order: row 3 was expected" in problems(whole, moved, tmp_path)
    assert problems(whole, all_lines[:-2], tmp_path) == ["cut off after row 6: the head's record is of row 8"]
    foreign = made_anew([rows(whole)[0], {**rows(whole)[1], "user": "nobody"}])[1]
    put_in = [*all_lines[:2], foreign, *all_lines[2:]]
    assert problems(whole, put_in, tmp_path)[0] == "line 3, row 2: put in or out of order: row 3 was expected"
    garbage = [*all_lines[:2], b"garbage\n", *all_lines[2:]]
    assert problems(whole, garbage, tmp_path) == ["line 3: changed or put in: not JSON"]


def test_a_name_that_is_there_twice_is_found(whole: Path, tmp_path: Path) -> None:
    """A reader that takes the first of the two would read another row than the one that was hashed."""
    first, *others = lines(whole)
    twice = first.replace(b'{"sequence"', b'{"user":"nobody","sequence"')
    assert json.loads(twice) == json.loads(first)
    found = problems(whole, [twice, *others], tmp_path)
    assert found[0] == "line 1: changed or put in: not written as the audit writes a row"


@pytest.mark.parametrize("put_in", [b'"user":NaN', b'"user":1e999', b'"user":' + b"[" * 100_000 + b"]" * 100_000])
def test_what_python_cannot_write_again_is_a_problem_and_no_crash(whole: Path, tmp_path: Path, put_in: bytes) -> None:
    first, *others = lines(whole)
    found = problems(whole, [first.replace(b'"user":"tester"', put_in), *others], tmp_path)
    assert found[0] == "line 1: changed or put in: not JSON"


def test_a_chain_made_anew_is_told_by_a_row_written_down_elsewhere(whole: Path, tmp_path: Path) -> None:
    forged = made_anew([{**row, "user": "nobody"} for row in rows(whole)])
    last = json.loads(forged[-1])
    (tmp_path / CHAIN_FILE).write_bytes(b"".join(forged))
    (tmp_path / HEAD_FILE).write_text(json.dumps({"sequence": last["sequence"], "hash": last["hash"]}))
    assert verify(tmp_path / CHAIN_FILE).problems == []
    written_down = Anchor(link=link_of(rows(whole)[4]), where="a notebook")
    assert verify(whole / CHAIN_FILE, anchors=[written_down]).problems == []
    (problem,) = verify(tmp_path / CHAIN_FILE, anchors=[written_down]).problems
    assert problem == "row 5 is another than the one that a notebook tells of: the chain was made anew"


def test_a_tail_cut_off_with_its_head_is_told_by_a_row_written_down_elsewhere(whole: Path, tmp_path: Path) -> None:
    kept = lines(whole)[:4]
    row = json.loads(kept[-1])
    (tmp_path / CHAIN_FILE).write_bytes(b"".join(kept))
    (tmp_path / HEAD_FILE).write_text(json.dumps({"sequence": 4, "hash": row["hash"]}))
    written_down = [Anchor(link=link_of(one), where="a notebook") for one in rows(whole)[3:5]]
    (problem,) = verify(tmp_path / CHAIN_FILE, anchors=written_down).problems
    assert problem == "row 5 is missing; a notebook tells of it"


def test_without_the_key_nobody_makes_a_sealed_chain_anew(tmp_path: Path) -> None:
    chain_of(tmp_path, 4, KEY)
    assert verify(tmp_path / CHAIN_FILE, KEY).problems == []
    changed = [{**row, "user": "nobody"} for row in rows(tmp_path)]
    for forged in (
        made_anew(changed),
        made_anew(changed, b"another key" * 4),
        made_anew([{name: value for name, value in row.items() if name != "seal"} for row in changed]),
    ):
        last = json.loads(forged[-1])
        (tmp_path / CHAIN_FILE).write_bytes(b"".join(forged))
        (tmp_path / HEAD_FILE).write_text(json.dumps({"sequence": 4, "hash": last["hash"]}))
        assert verify(tmp_path / CHAIN_FILE, KEY).problems


def test_rows_older_than_the_key_are_told_and_no_problem(tmp_path: Path) -> None:
    chain_of(tmp_path, 2)
    chain_of(tmp_path, 1, KEY)
    report = verify(tmp_path / CHAIN_FILE, KEY)
    assert (report.problems, report.notes, report.num_sealed) == ([], ["2 rows have no seal"], 1)


def test_a_copy_without_its_head_is_checked_by_itself(whole: Path, tmp_path: Path) -> None:
    shutil.copyfile(whole / CHAIN_FILE, tmp_path / "export.jsonl")
    assert verify(tmp_path / "export.jsonl").problems == []
    (tmp_path / CHAIN_FILE).write_bytes(b"".join(lines(whole)))
    assert "audit.head" in verify(tmp_path / CHAIN_FILE).problems[0]
    with pytest.raises(AuditError, match="No such file"):
        verify(tmp_path / "none")


def test_what_the_store_has_otherwise(tmp_path: Path) -> None:
    record(tmp_path, [entry("corpus", fingerprint="1" * 16), entry("corpus", fingerprint="2" * 16, event="reused")])
    record(tmp_path, [entry("corpus", fingerprint="3" * 16, event="failed")])
    report = verify(tmp_path / CHAIN_FILE)
    compare_with_store(report, {("tiny", "corpus"): "2" * 16, ("tiny", "older"): "9" * 16})
    assert report.problems == []
    assert report.notes == ["1 artifacts have no row; they are older than the audit: tiny older"]
    compare_with_store(report, {("tiny", "corpus"): "4" * 16})
    assert "was made or changed without the audit" in report.problems[0]


def test_what_another_took_the_place_of_was_made_under_its_own_name(tmp_path: Path) -> None:
    record(tmp_path, [entry("landed_evaluation/2025-01/joint", fingerprint=sign * 16) for sign in "12"])
    report = verify(tmp_path / CHAIN_FILE)
    history = "landed_history/landed_evaluation/2025-01/joint"
    known = {("tiny", "landed_evaluation/2025-01/joint"): "2" * 16, ("tiny", f"{history}/{'1' * 16}"): "1" * 16}
    compare_with_store(report, known)
    assert (report.problems, report.notes) == ([], [])
    compare_with_store(report, {("tiny", f"{history}/{'3' * 16}"): "3" * 16})
    assert report.notes == [f"1 artifacts have no row; they are older than the audit: tiny {history}/{'3' * 16}"]


def test_a_link_is_written_as_it_is_read() -> None:
    assert str(Link(sequence=3, hash="a" * 64)) == f"3:{'a' * 64}"
