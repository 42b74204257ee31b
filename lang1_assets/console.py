"""What a person sees in the terminal while a run goes on: one line a step, and the lines that the steps say."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import dagster as dg

LANE_VARIABLE = "LANG1_LANE"
"""Which of several processes side by side says something; unset where there is one."""
STEP_EVENTS = {
    "STEP_START": "started",
    "STEP_SUCCESS": "done",
    "STEP_FAILURE": "FAILED",
    "STEP_UP_FOR_RETRY": "will be retried",
}


class ProgressFormatter(logging.Formatter):
    """`12:00:01 clean_notes  cleaned 3 of 7 partitions`, instead of Dagster's event records."""

    def format(self, record: logging.LogRecord) -> str:
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        step = meta.get("step_key") or "run"
        clock = self.formatTime(record, "%H:%M:%S")
        event = getattr(record, "dagster_event", None)
        said = meta.get("orig_message") or record.getMessage()
        if event is not None:
            said = STEP_EVENTS.get(event.event_type_value, said)
            if event.is_step_failure:
                said += f": {reason(event)}"
        lane = os.environ.get(LANE_VARIABLE)
        return f"{f'{lane}| ' if lane else ''}{clock} {step:<28} {said}"


def reason(event: dg.DagsterEvent) -> str:
    """What went wrong, in the words of whatever raised it and not of what was wrapped around."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "no reason given"


SAYS_NOTHING = ("Not executing.", "Running dbt command:", "Finished dbt command:", "A dbt subsetted execution")
"""Parts of lines for machines: dbt's command holds every setting and is a screen long (it is in the run's own log)."""


class ProgressFilter(logging.Filter):
    """Lets through what steps say, their starts and ends, and anything that is a warning or worse."""

    def filter(self, record: logging.LogRecord) -> bool:
        event = getattr(record, "dagster_event", None)
        if event is not None:
            # Steps that never ran because of one that failed say nothing new.
            return event.event_type_value in STEP_EVENTS
        said = record.getMessage()
        return record.levelno >= logging.INFO and not any(part in said for part in SAYS_NOTHING)


@dg.logger({}, "One readable line for each step and each thing it says.")
def progress_logger(init_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("lang1", level=logging.DEBUG)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(ProgressFormatter())
    handler.addFilter(ProgressFilter())
    logger.addHandler(handler)
    return logger
