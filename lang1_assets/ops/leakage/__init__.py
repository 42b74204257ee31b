"""Leak checks: does a task's data give its answer away?

A leak is anything that a model can read and that a clinician at the index time could not have known: a note written too
late, an input window that differs by class, a phrase that states the outcome, a test note seen in training. Every check is
a pure function and can fail; `leak_checks` runs them all. A hard fact that is broken is an 'error', a number that asks for
a look is a 'warn' (operational tasks do carry signal in who writes, where and how much). Groups too small to judge pass
and say "cannot tell". Messages, numbers and tables hold counts and note ids, never text.
"""

from lang1_assets.ops.leakage.every_check import leak_checks
from lang1_assets.ops.leakage.findings import LeakageError, LeakCheck, LeakLimits, Severity
from lang1_assets.ops.leakage.hashes import hashed_texts

__all__ = ["LeakCheck", "LeakLimits", "LeakageError", "Severity", "hashed_texts", "leak_checks"]
