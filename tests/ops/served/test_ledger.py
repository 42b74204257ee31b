import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.served.errors import LedgerError
from lang1_assets.ops.served.ledger import Ledger

ANSWERS = {f"{number:064x}": {"logprobs": [-1.5, None], "tokens": {"prompt_tokens": number}} for number in range(5)}


def write(path: Path) -> bytes:
    with Ledger(path) as ledger:
        for key, answer in ANSWERS.items():
            ledger.add(key, answer)
    return path.read_bytes()


def test_what_was_added_is_there(tmp_path: Path) -> None:
    write(tmp_path / "ledger")
    with Ledger(tmp_path / "ledger") as ledger:
        assert len(ledger) == len(ANSWERS)
        assert all(ledger.get(key) == answer for key, answer in ANSWERS.items())
        assert ledger.get("no such key") is None


@settings(deadline=None, max_examples=60)
@given(cut=st.integers(0, 10_000))
def test_cut_at_any_byte_the_whole_lines_stay_and_it_goes_on(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "ledger"
    content = write(path)
    path.write_bytes(content[:cut])
    num_whole = content[:cut].count(b"\n")
    with Ledger(path) as ledger:
        assert len(ledger) == num_whole
        ledger.add("next", {})
    lines = path.read_bytes().splitlines()
    assert len(lines) == num_whole + 1
    assert all(json.loads(line) for line in lines)


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.touch(0o644)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger"), pytest.raises(LedgerError, match="another process"):
        Ledger(tmp_path / "ledger")
    with Ledger(tmp_path / "ledger") as again:
        assert len(again) == 0


@pytest.mark.parametrize("line", ["nonsense", "{}", '{"key": 1, "answer": {}}', '{"key": "a"}', "[1]", ""])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "ledger"
    whole = write(path).splitlines(keepends=True)
    path.write_bytes(b"".join([whole[0], line.encode() + b"\n", *whole[1:]]))
    with pytest.raises(LedgerError, match="line 2 is damaged; remove it"):
        Ledger(path)


def test_an_answer_is_never_paid_for_twice(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    first = write(path).splitlines(keepends=True)[0]
    with Ledger(path) as ledger, pytest.raises(LedgerError, match="paid for twice"):
        ledger.add(next(iter(ANSWERS)), {})
    path.write_bytes(path.read_bytes() + first)
    with pytest.raises(LedgerError, match="line 6 repeats an answer"):
        Ledger(path)
