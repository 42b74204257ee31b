"""The clock that jumps, jumps for those who go by it, and what they wait for does not."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.clock import FARTHEST, is_possible, jump, make_clock, set_clock

ASK = "import sys, time\nfor line in sys.stdin: print(time.time(), time.monotonic(), flush=True)"


@pytest.mark.skipif(not is_possible(), reason="no C compiler on this machine")
def test_a_process_sees_the_jump_and_waits_as_long_as_before(tmp_path: Path) -> None:
    environment = os.environ | make_clock(tmp_path)
    command = [sys.executable, "-c", ASK]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for seconds in (0, 86_400, -7_200, jump(tmp_path, random.Random(1))):
            set_clock(tmp_path, seconds)
            assert abs(seconds) <= FARTHEST
            print("", file=process.stdin, flush=True)
            day, monotonic = map(float, process.stdout.readline().split())
            assert day - time.time() == pytest.approx(seconds, abs=30)
            assert monotonic == pytest.approx(time.monotonic(), abs=30)
        process.stdin.close()
