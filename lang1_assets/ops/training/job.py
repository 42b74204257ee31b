"""A job's beginning and end: its config file, SIGTERM, its exit code."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from lang1_assets.ops.training.world import is_among_others, leave

STOPPED_EXIT_CODE = 143
INPUT_ERROR_EXIT_CODE = 65
"""The job cannot work with what it was given; running it again changes nothing."""
PARTING_SECONDS = 3.0
"""Between a rank's error and its end: the others still read what it sent, and the launcher ends them once one is gone."""


class StopFlag:
    """Set by SIGTERM: the run saves at the next step and ends. Ranks can get the signal more than once."""

    def __init__(self) -> None:
        self.is_set = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, signum: int, frame: Any) -> None:
        self.is_set = True


def run_job(job: Callable[[], bool]) -> NoReturn:
    """Run a job to its exit code: 0 done, 143 stopped by a signal after saving, 65 for input it cannot work with."""
    try:
        code = 0 if job() else STOPPED_EXIT_CODE
        leave()
    except ValueError as error:
        # Our own errors are ValueErrors and say what to do; everything else is a crash and may pass.
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        code = INPUT_ERROR_EXIT_CODE
        if is_among_others():
            time.sleep(PARTING_SECONDS)
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the interpreter's end: DeepSpeed keeps gloo's groups, whose threads now and then abort it ("terminate called
    # without an active exception", pytorch/pytorch#190489), and a job that is done would count as crashed.
    os._exit(code)


def read_config() -> tuple[dict[str, Any], Path]:
    """The job's JSON file and its work folder, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON file that the launching asset wrote")
    # The launcher adds it; torch.distributed takes the rank from the environment.
    parser.add_argument("--local_rank", type=int, default=0)
    path = parser.parse_args().config
    return json.loads(path.read_text()), path.parent
