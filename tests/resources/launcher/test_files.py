from pathlib import Path
from typing import Any

import pytest

from lang1_assets.resources.launcher.files import MetricsReader, last_line, reason_of
from lang1_assets.resources.launcher.jobs import LaunchError
from tests.full_disk import SmallDisk, small_disk  # noqa: F401


def test_only_whole_lines_are_handed_on(tmp_path: Path) -> None:
    path, received = tmp_path / "metrics.jsonl", []
    reader = MetricsReader(path)
    reader.hand_on(received.extend)
    with open(path, "a") as handle:
        handle.write('{"step": 1}\n{"ste')
        handle.flush()
        reader.hand_on(received.extend)
        assert received == [{"step": 1}]
        handle.write('p": 2}\n')
        handle.flush()
        reader.hand_on(received.extend)
    assert received == [{"step": 1}, {"step": 2}]


def test_rows_written_while_nobody_followed_are_handed_on_once(tmp_path: Path) -> None:
    path, received = tmp_path / "metrics.jsonl", []
    path.write_text('{"step": 1}\n')
    MetricsReader(path).hand_on(received.extend)
    with open(path, "a") as handle:
        handle.write('{"step": 2}\n')
    for _ in range(2):
        MetricsReader(path).hand_on(received.extend)
    assert received == [{"step": 1}, {"step": 2}]


def test_rows_that_could_not_be_handed_on_come_again(tmp_path: Path) -> None:
    path, received = tmp_path / "metrics.jsonl", []
    path.write_text('{"step": 1}\n')
    reader = MetricsReader(path)

    def tracking_is_down(rows: Any) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        reader.hand_on(tracking_is_down)
    reader.hand_on(received.extend)
    assert received == [{"step": 1}]


def test_a_full_disk_while_it_is_written_down_hands_nothing_on_twice(
    small_disk: SmallDisk,  # noqa: F811
) -> None:
    path, received = small_disk.folder / "metrics.jsonl", []
    path.write_text('{"step": 1}\n')
    reader = MetricsReader(path)
    ballast = small_disk.fill()
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            reader.hand_on(received.extend)
    assert not path.with_name("metrics.jsonl.read").exists(), "nothing that the next process cannot read"
    ballast.unlink()
    reader.hand_on(received.extend)
    MetricsReader(path).hand_on(received.extend)
    assert received == [{"step": 1}]


@pytest.mark.parametrize("text", ["", "12x", "-1"])
def test_what_cannot_be_read_is_named_and_nothing_is_guessed(tmp_path: Path, text: str) -> None:
    kept = tmp_path / "metrics.jsonl.read"
    kept.write_text(text)
    with pytest.raises(LaunchError, match=rf"{kept}: expected the number of bytes of metrics\.jsonl .* found '{text}'"):
        MetricsReader(tmp_path / "metrics.jsonl")


def test_the_reason_is_the_job_s_own_last_line(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("ValueError: the reason\n[2026-01-01] [ERROR] exits with return code = 65\nsrun: error: task 0\n\n")
    assert last_line(log) == "ValueError: the reason"
    assert last_line(tmp_path / "none.log") == "no reason given"


START = "[launch.py:152:main] WORLD INFO DICT: {'localhost': [0, 1]}"
ENDED = "[launch.py:259:sigkill_handler] ['python', '-m', 'job'] exits with return code = "


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([START, "[rank1]: KeyError: 'a'", ENDED + "1"], "KeyError: 'a'"),
        # Both print: the rank that failed, and the rank that was waiting for it.
        (
            [
                START,
                "ValueError: the reason",
                "[rank0]: RuntimeError: [gloo/pair.cc] Connection closed by peer",
                ENDED + "1",
            ],
            "ValueError: the reason",
        ),
        (
            [START, "OSError: disk", "During handling ...", "lang1.CheckpointError: none is whole"],
            "lang1.CheckpointError: none",
        ),
        (
            [START, "RuntimeError: Connection closed by peer", ENDED + "-9"],
            "a rank was killed by signal 9 (no memory left",
        ),
        (
            [START, "ValueError: of the attempt before", START, "step 1", ENDED + "-15"],
            "a rank was killed by signal 15",
        ),
        ([START, "RuntimeError: [gloo] closed by peer"], "RuntimeError: [gloo] closed by peer"),
        ([START, "no Error is named here"], "no reason given"),
    ],
)
def test_the_reason_is_of_the_last_attempt_and_of_the_rank_that_began(
    tmp_path: Path, lines: list[str], reason: str
) -> None:
    (tmp_path / "job.log").write_text("\n".join(lines))
    assert reason_of(tmp_path / "job.log").startswith(reason)


def test_a_job_without_a_log_has_no_reason(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "job.log") == "no reason given"
