import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.served.errors import LedgerError
from lang1_assets.ops.served.ledger import Ledger

ANSWERS = {f"{number:064x}": {"logprobs": [-1.5, None], "tokens": {"prompt_tokens": number}} for number in range(5)}


REPOSITORY = Path(__file__).parents[3]
FULL_DISK = """
import json, resource, sys, threading
from pathlib import Path
from lang1_assets.ops.served.errors import LedgerError
from lang1_assets.ops.served.ledger import Ledger

def add(ledger, key):
    try:
        ledger.add(key, {"logprobs": [-1.5] * 9})
    except LedgerError as error:
        return str(error)
    return "paid"

path, most = Path(sys.argv[1]), int(sys.argv[2])
with Ledger(path) as ledger:
    told = {}
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    threads = [threading.Thread(target=lambda k=f"full{n}": told.update({k: add(ledger, k)})) for n in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    told["later"] = add(ledger, "later")
print(json.dumps(told))
"""
"""Its file may not grow past a size, as on a full disk: a line's first part is written, and then nothing."""


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


@pytest.mark.parametrize("room", [0, 1, 60, 230, 250])
def test_on_a_full_disk_no_half_line_stays(tmp_path: Path, room: int) -> None:
    path = tmp_path / "ledger"
    most = len(write(path)) + room
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(most)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    told = json.loads(done.stdout)
    paid = {key for key, said in told.items() if said == "paid"}
    assert told["later"] == "paid"
    assert all(
        "ledger: cannot be written (File too large); make room" in said for said in told.values() if said != "paid"
    )
    assert 0 < 9 - len(paid) <= 8
    assert {json.loads(line)["key"] for line in path.read_bytes().splitlines()} == paid | set(ANSWERS)
    with Ledger(path) as ledger:
        assert len(ledger) == len(paid) + len(ANSWERS)


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
