"""What an auditor asks: whether the audit is whole, and the rows that tell who made what from which data."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lang1_assets.settings import Settings, lang1_home

if TYPE_CHECKING:
    from lang1_assets.ops.audit.verification import Anchor, Report

SHOWN = 100
"""Of a file in which every row is wrong, the first ones say enough."""


def add_audit_command(commands: Any) -> None:
    """`lang1 audit verify` and `lang1 audit export`, with their options."""
    parser = commands.add_parser(
        "audit", help="who made what from which data: check that the audit is whole, or export it"
    )
    of_audit = parser.add_subparsers(required=True)
    verify = of_audit.add_parser("verify", help="find rows that were changed, removed, put in, moved or cut off")
    verify.add_argument(
        "file", nargs="?", help="an exported or saved audit; default: this home's, with Dagster and the store"
    )
    verify.add_argument(
        "--anchor",
        action="append",
        default=[],
        metavar="NUMBER:HASH",
        help="a row that somebody wrote down; may be repeated",
    )
    verify.set_defaults(command=verify_audit)
    export = of_audit.add_parser("export", help="print rows as JSON lines")
    export.add_argument("--since", metavar="TIME", help="ISO 8601, UTC unless it says otherwise: 2026-11-21")
    export.add_argument("--asset", help="an asset, or one artifact such as finetuned_joint/VARIANT")
    export.add_argument("--partition")
    export.add_argument("--event", help="such as materialized, reused, failed, put_in_service, forgotten")
    export.add_argument("--run", help="a run id of Dagster")
    export.add_argument("--made-from", metavar="FINGERPRINT", help="what was made from data with this fingerprint")
    export.add_argument(
        "--patient",
        action="store_true",
        help="rows that tell of a forgotten patient; the id is read from standard input",
    )
    export.set_defaults(command=export_audit)


def verify_audit(settings: Settings, arguments: argparse.Namespace) -> int:
    return _told_plainly(lambda: _verify(arguments))


def export_audit(settings: Settings, arguments: argparse.Namespace) -> int:
    return _told_plainly(lambda: _export(arguments))


def _verify(arguments: argparse.Namespace) -> int:
    from lang1_assets.ops.audit.files import CHAIN_FILE
    from lang1_assets.ops.audit.verification import verify
    from lang1_assets.resources.audit import audit_folder, audit_key

    anchors = [_anchor(text) for text in arguments.anchor]
    if arguments.file is not None:
        report = verify(Path(arguments.file), audit_key(), anchors)
    else:
        home, since = lang1_home(), time.time()
        # Dagster's before the chain: what is made meanwhile must not look missing.
        anchors += _anchors_in_dagster(home)
        report = verify(audit_folder(home) / CHAIN_FILE, audit_key(), anchors)
        _compare_with_store(report, home, since)
    _print(report)
    return 1 if report.problems else 0


def _export(arguments: argparse.Namespace) -> int:
    from lang1_assets.ops.audit.files import CHAIN_FILE
    from lang1_assets.ops.audit.keys import pseudonym
    from lang1_assets.ops.audit.selection import Asked, moment, select_lines
    from lang1_assets.resources.audit import audit_folder

    folder = audit_folder(lang1_home())
    asked = Asked(
        since=None if arguments.since is None else moment(arguments.since),
        asset=arguments.asset,
        partition=arguments.partition,
        event=arguments.event,
        run_id=arguments.run,
        made_from=arguments.made_from,
        pseudonym=pseudonym(folder, sys.stdin.readline().strip()) if arguments.patient else None,
    )
    for line in select_lines(folder / CHAIN_FILE, asked):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    return 0


def _told_plainly(command: Callable[[], int]) -> int:
    from lang1_assets.ops.audit.entries import AuditError

    try:
        return command()
    except AuditError as error:
        sys.exit(str(error))


def _anchor(text: str) -> Anchor:
    from lang1_assets.ops.audit.entries import Link
    from lang1_assets.ops.audit.verification import Anchor

    sequence, _, digest = text.partition(":")
    if not sequence.isdecimal() or len(digest) != 64:
        sys.exit(f"--anchor {text}: expected a row's number and hash, NUMBER:HASH, as 'lang1 audit verify' prints them")
    return Anchor(link=Link(sequence=int(sequence), hash=digest), where="--anchor")


def _anchors_in_dagster(home: Path) -> list[Anchor]:
    import dagster as dg

    from lang1_assets.resources.audit import anchors_in_dagster

    with dg.DagsterInstance.get() as instance:
        return anchors_in_dagster(instance, home)


def _compare_with_store(report: Report, home: Path, since: float) -> None:
    """What lies in the store and the chain tells otherwise; not what was finished while the chain was read (`since`)."""
    from lang1_assets.ops.audit.attempts import unfinished
    from lang1_assets.ops.audit.verification import compare_with_store
    from lang1_assets.ops.forgetting.artifacts import MANIFEST, find_folders
    from lang1_assets.resources.audit import audit_folder

    pending = set(unfinished(audit_folder(home)))
    finished = [folder for folder in find_folders(home / "artifacts") if folder.fingerprint is not None]
    manifests = {folder.path / MANIFEST: folder for folder in finished}
    known = {
        (folder.profile, folder.name): str(folder.fingerprint)
        for path, folder in manifests.items()
        if str(path) not in pending and path.stat().st_ctime < since
    }
    compare_with_store(report, known)


def _print(report: Report) -> None:
    between = f", {report.times[0]} to {report.times[1]}" if report.times else ""
    print(f"{report.path}: {report.num_rows:,} rows{between}")
    print(f"sealed: {report.num_sealed:,}; held against {report.num_anchors:,} rows that were written down elsewhere")
    print(f"last row: {report.last}")
    for note in report.notes:
        print(f"note: {note}")
    for problem in report.problems[:SHOWN]:
        print(f"PROBLEM: {problem}")
    if len(report.problems) > SHOWN:
        print(f"... and {len(report.problems) - SHOWN:,} more")
    print(f"{len(report.problems):,} problems" if report.problems else "The chain is whole.")
