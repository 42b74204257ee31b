"""The rows that somebody asks for, as they are written in the chain."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lang1_assets.ops.audit.attempts import record
from lang1_assets.ops.audit.entries import AuditError
from lang1_assets.ops.audit.files import CHAIN_FILE
from lang1_assets.ops.audit.selection import Asked, moment, select_lines
from tests.ops.audit.chains import entry, lines


def test_what_is_no_time_is_told_in_words() -> None:
    with pytest.raises(AuditError, match="'May': expected a date or a time in ISO 8601"):
        moment("May")


def test_each_question(tmp_path: Path) -> None:
    record(
        tmp_path,
        [
            entry("corpus", run_id="run-1"),
            entry("finetuned_joint/v1", partition="v1", inputs={"corpus": "c" * 16}),
            entry("finetuned_joint/v2", partition="v2", event="failed"),
            entry("finetuned_joint/v2", partition="v2", event="forgotten", details={"patients": ["p"]}),
        ],
    )

    def numbers(asked: Asked) -> list[int]:
        return [lines(tmp_path).index(line) + 1 for line in select_lines(tmp_path / CHAIN_FILE, asked)]

    now = datetime.now(UTC)
    assert numbers(Asked()) == [1, 2, 3, 4]
    assert numbers(Asked(asset="finetuned_joint")) == [2, 3, 4]
    assert numbers(Asked(asset="finetuned_joint/v1")) == [2]
    assert numbers(Asked(partition="v2", event="failed")) == [3]
    assert numbers(Asked(run_id="run-1")) == [1]
    assert numbers(Asked(made_from="c" * 16)) == [2]
    assert numbers(Asked(pseudonym="p")) == [4]
    assert numbers(Asked(since=now - timedelta(minutes=5))) == [1, 2, 3, 4]
    assert numbers(Asked(since=now + timedelta(minutes=5))) == []


def test_a_half_line_is_left_out_and_a_changed_one_stops(tmp_path: Path) -> None:
    record(tmp_path, [entry()])
    path = tmp_path / CHAIN_FILE
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"half')
    assert list(select_lines(path, Asked())) == [whole]
    path.write_bytes(b"{}\n" + whole)
    with pytest.raises(AuditError, match="line 1: no row of the audit"):
        list(select_lines(path, Asked()))
    with pytest.raises(AuditError, match="begins with the first asset"):
        list(select_lines(tmp_path / "none", Asked()))


def test_a_moment_is_utc_unless_it_says_otherwise() -> None:
    assert moment("2026-11-21") == datetime(2026, 11, 21, tzinfo=UTC)
    assert moment("2026-11-21T02:00+02:00") == datetime(2026, 11, 21, tzinfo=UTC)
