from pathlib import Path
from typing import Any

import pytest

from lang1_assets.resources.launcher.files import MetricsReader, last_line


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


def test_the_reason_is_the_job_s_own_last_line(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("ValueError: the reason\n[2026-01-01] [ERROR] exits with return code = 65\nsrun: error: task 0\n\n")
    assert last_line(log) == "ValueError: the reason"
    assert last_line(tmp_path / "none.log") == "no reason given"
