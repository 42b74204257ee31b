"""Appending: many at once, killed in the middle, and without reading what is there."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lang1_assets.ops.audit.attempts import record
from lang1_assets.ops.audit.chain import open_chain
from lang1_assets.ops.audit.entries import BEFORE_THE_FIRST, AuditError, link_rows, to_line
from lang1_assets.ops.audit.files import CHAIN_FILE, HEAD_FILE, pieces_backwards
from lang1_assets.ops.audit.verification import verify
from tests.ops.audit.chains import KEY, chain_of, entry, lines, rows

APPEND = """
import sys
from pathlib import Path
from lang1_assets.ops.audit.attempts import record
from lang1_assets.ops.audit.entries import Entry
folder, name, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(times):
    (row,) = record(folder, [Entry(event="materialized", user="tester", artifact=f"{name}/{number}")])
    print(row["sequence"], row["hash"], flush=True)
"""
DIE_IN_MID_WRITE = """
import resource, signal, sys
from pathlib import Path
from lang1_assets.ops.audit.attempts import record
from lang1_assets.ops.audit.entries import Entry
chain = Path(sys.argv[1]) / "audit.jsonl"
size = chain.stat().st_size if chain.exists() else 0
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200, size + 200))
record(Path(sys.argv[1]), [Entry(event="materialized", user="tester", inputs={"input": "f" * 400})])
"""


def start(program: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, *words], stdout=subprocess.PIPE, text=True)


def test_each_row_has_the_hash_of_the_one_before(tmp_path: Path) -> None:
    made = chain_of(tmp_path / "audit", 3)
    assert [row["sequence"] for row in made] == [1, 2, 3]
    assert [row["previous"] for row in made] == [BEFORE_THE_FIRST.hash, made[0]["hash"], made[1]["hash"]]
    assert rows(tmp_path / "audit") == made
    assert verify(tmp_path / "audit" / CHAIN_FILE).problems == []


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    chain_of(tmp_path / "audit", 1)
    assert (tmp_path / "audit").stat().st_mode & 0o077 == 0
    assert (tmp_path / "audit" / CHAIN_FILE).stat().st_mode & 0o077 == 0


def test_many_processes_append_at_once(tmp_path: Path) -> None:
    writers = [start(APPEND, str(tmp_path), f"writer-{number}", "15") for number in range(4)]
    told = [writer.communicate()[0].split() for writer in writers]
    assert all(writer.returncode == 0 for writer in writers)
    assert len(rows(tmp_path)) == 60
    assert {row["hash"] for row in rows(tmp_path)} == {word for words in told for word in words[1::2]}
    assert verify(tmp_path / CHAIN_FILE).problems == []


def test_killed_at_any_moment_loses_no_row_that_was_told(tmp_path: Path) -> None:
    chance = random.Random(1)
    told: list[str] = []
    for number in range(8):
        writer = start(APPEND, str(tmp_path), f"writer-{number}", "100000")
        assert writer.stdout is not None
        told.append(writer.stdout.readline().split()[1])
        time.sleep(chance.random() / 20)
        writer.kill()
        told += [line.split()[1] for line in writer.stdout.read().splitlines() if re.fullmatch(r"\d+ \w{64}", line)]
        writer.wait()
    record(tmp_path, [entry()])
    assert set(told) <= {row["hash"] for row in rows(tmp_path)}
    assert verify(tmp_path / CHAIN_FILE).problems == []


def test_a_half_written_line_is_set_aside_and_told(tmp_path: Path) -> None:
    chain_of(tmp_path, 2)
    whole = (tmp_path / CHAIN_FILE).read_bytes()
    writer = start(DIE_IN_MID_WRITE, str(tmp_path))
    assert writer.wait() == -signal.SIGXFSZ
    half = (tmp_path / CHAIN_FILE).read_bytes()[len(whole) :]
    assert half
    assert not half.endswith(b"\n")
    record(tmp_path, [entry("next")])
    told, following = rows(tmp_path)[2:]
    assert (told["event"], following["artifact"]) == ("line_set_aside", "next")
    assert (tmp_path / told["details"]["kept_as"]).read_bytes() == half
    assert told["details"]["bytes"] == len(half)
    report = verify(tmp_path / CHAIN_FILE)
    assert report.problems == []
    assert "row 3: a half-written line was set aside" in report.notes[0]


def test_the_first_row_of_all_may_be_the_half_one(tmp_path: Path) -> None:
    assert start(DIE_IN_MID_WRITE, str(tmp_path)).wait() == -signal.SIGXFSZ
    record(tmp_path, [entry("next")])
    assert [row["event"] for row in rows(tmp_path)] == ["line_set_aside", "materialized"]


def test_killed_between_setting_aside_and_telling(tmp_path: Path) -> None:
    chain_of(tmp_path, 1)
    with open(tmp_path / CHAIN_FILE, "ab") as handle:
        handle.write(b'{"half')
    with open_chain(tmp_path) as chain:
        chain._set_half_line_aside()
    record(tmp_path, [entry()])
    assert [row["event"] for row in rows(tmp_path)] == ["materialized", "line_set_aside", "materialized"]
    record(tmp_path, [entry()])
    assert len(rows(tmp_path)) == 4


def test_rows_cut_off_stay_missing(tmp_path: Path) -> None:
    chain_of(tmp_path, 5)
    (tmp_path / CHAIN_FILE).write_bytes(b"".join(lines(tmp_path)[:3]))
    record(tmp_path, [entry()])
    told, following = rows(tmp_path)[3:]
    assert (told["event"], told["sequence"], told["details"]) == ("rows_missing", 6, {"head": 5, "last_row_found": 3})
    assert following["sequence"] == 7
    assert "line 4, row 6: rows 4 to 5 are missing before it" in verify(tmp_path / CHAIN_FILE).problems


def test_a_removed_file_is_not_a_new_beginning(tmp_path: Path) -> None:
    chain_of(tmp_path, 5)
    (tmp_path / CHAIN_FILE).unlink()
    record(tmp_path, [entry()])
    assert [row["sequence"] for row in rows(tmp_path)] == [6, 7]
    assert "rows 1 to 5 are missing" in verify(tmp_path / CHAIN_FILE).problems[0]


def test_a_file_that_is_no_chain_is_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / CHAIN_FILE).write_text("something else\n")
    with pytest.raises(AuditError, match="its last line is no row of an audit"):
        record(tmp_path, [entry()])
    assert (tmp_path / CHAIN_FILE).read_text() == "something else\n"


def test_a_sealed_chain_is_not_gone_on_with_without_the_key(tmp_path: Path) -> None:
    chain_of(tmp_path, 1, KEY)
    with pytest.raises(AuditError, match="set LANG1_AUDIT_KEY_FILE"):
        record(tmp_path, [entry()])
    assert len(rows(tmp_path)) == 1
    # Nor where the record of the last row does not say so: the first sealed row's writer was killed before it.
    (tmp_path / HEAD_FILE).unlink()
    with pytest.raises(AuditError, match="set LANG1_AUDIT_KEY_FILE"):
        record(tmp_path, [entry()])
    record(tmp_path, [entry()], KEY)
    assert verify(tmp_path / CHAIN_FILE, KEY).problems == []


def test_killed_before_the_head_was_written(tmp_path: Path) -> None:
    chain_of(tmp_path, 2)
    earlier = (tmp_path / HEAD_FILE).read_bytes()
    chain_of(tmp_path, 2)
    (tmp_path / HEAD_FILE).write_bytes(earlier)
    assert "the head's record is of row 2" in verify(tmp_path / CHAIN_FILE).notes[0]
    record(tmp_path, [entry()])
    assert len(rows(tmp_path)) == 5
    assert verify(tmp_path / CHAIN_FILE).problems == []


def bytes_read() -> int:
    """By this process since it began, from files and from the cache, as the kernel counts."""
    told = Path("/proc/self/io").read_text()
    return int(next(line for line in told.splitlines() if line.startswith("rchar")).split()[1])


def test_appending_to_a_hundred_thousand_rows_reads_its_end_alone(tmp_path: Path) -> None:
    made = link_rows([entry(f"asset/{number}") for number in range(100_000)], BEFORE_THE_FIRST, datetime.now(UTC), None)
    (tmp_path / CHAIN_FILE).write_bytes(b"".join(map(to_line, made)))
    (tmp_path / HEAD_FILE).write_text(json.dumps({"sequence": 100_000, "hash": made[-1]["hash"]}))
    record(tmp_path, [entry("imports and first reads")])
    before = bytes_read()
    record(tmp_path, [entry("next")])
    read = bytes_read() - before
    assert (tmp_path / CHAIN_FILE).stat().st_size > 40_000_000
    assert 0 < read < 200_000


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 100])
def test_lines_from_the_end(tmp_path: Path, block_bytes: int) -> None:
    for content in (b"", b"a", b"\n", b"ab\ncd\n", b"ab\n\ncd\nhalf"):
        (tmp_path / "file").write_bytes(content)
        assert list(pieces_backwards(tmp_path / "file", block_bytes)) == content.split(b"\n")[::-1]
    assert list(pieces_backwards(tmp_path / "none")) == [b""]
