"""Runs a command for as long as somebody holds the other end of its standard input:

    python -m lang1_assets.ops.training.leash --save-seconds 300 --grace-seconds 20 -- COMMAND ...

When the holder lets go, dies, or its connection breaks, the command's whole process group is ended: SIGTERM, time to save,
SIGKILL. A holder that writes `!` first is in a hurry: there is nothing to save any more, because other ranks are gone.
`ssh` by itself ends nothing at the other side (without a terminal the command goes on), and the hang-up of a terminal would
leave no time to save. It uses the standard library and psutil alone, so it starts in a tenth of a second.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
from types import FrameType

from lang1_assets.ops.training.processes import POLL_SECONDS, end_group, signal_at_parent_s_death

STANDARD_INPUT = 0


def main() -> int:
    """The command's exit code; 128 and the signal's number when a signal ended it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save-seconds", type=float, required=True, help="for a command that is asked to end")
    parser.add_argument("--grace-seconds", type=float, required=True, help="for what a failed command leaves")
    parser.add_argument("--spare-leader", action="store_true", help="ask only what the command has started")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    holder = Holder()
    process = subprocess.Popen(
        arguments.command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        # The launcher takes SIGTERM and ends its ranks.
        preexec_fn=lambda: signal_at_parent_s_death(signal.SIGTERM),
    )
    while process.poll() is None and holder.is_there():
        continue
    # Also after the command's own end: a rank may be left of a launcher that was killed.
    in_vain = process.poll() is not None or holder.is_in_a_hurry
    seconds = arguments.grace_seconds if in_vain else arguments.save_seconds
    end_group(process.pid, seconds, process.poll, spare_leader=arguments.spare_leader)
    code = process.wait()
    return code if code >= 0 else 128 - code


class Holder:
    """Whoever has the other end of standard input; SIGTERM, SIGINT and SIGHUP let go too."""

    def __init__(self) -> None:
        self._let_go = False
        self.is_in_a_hurry = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def is_there(self) -> bool:
        """Wait a moment, then tell."""
        readable, _, _ = select.select([STANDARD_INPUT], [], [], POLL_SECONDS)
        if self._let_go or not readable:
            return not self._let_go
        said = os.read(STANDARD_INPUT, 4096)
        self.is_in_a_hurry |= b"!" in said
        return bool(said) and not self.is_in_a_hurry

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._let_go = True


if __name__ == "__main__":
    sys.exit(main())
