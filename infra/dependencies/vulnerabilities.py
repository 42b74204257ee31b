"""Look up known vulnerabilities of everything that is locked, by pip-audit, where a service answers.

    python infra/dependencies/vulnerabilities.py

Exits with 1 where a package has one that `policy.yaml` does not accept. pip-audit calls a package that the service does not
know "skipped" and exits with 0, so that a service that knows nothing looks like a clean result: here it is not one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-torch-cuda.lock")
POLICY = Path(__file__).with_name("policy.yaml")
SERVICES = (("--vulnerability-service", "pypi"), ("--vulnerability-service", "osv"))
SHOWN = 5


def main(services: Sequence[Sequence[str]] = SERVICES, locks: Sequence[str] = LOCKS) -> int:
    accepted = yaml.safe_load(POLICY.read_text())["accepted_vulnerabilities"]
    reasons = []
    for service in services:
        found, reason = look_up(service, locks)
        if found is not None:
            return report(found, accepted)
        reasons.append(f"{service[-1]}: {reason}")
    print(f"Vulnerabilities were NOT looked up: no service answered ({'; '.join(reasons)})")
    return 0


def look_up(service: Sequence[str], locks: Sequence[str]) -> tuple[list[dict[str, Any]] | None, str]:
    """What pip-audit found out of each package; None and the reason where the service told nothing of any."""
    command = [sys.executable, "-m", "pip_audit", *service, "--require-hashes", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    command += [word for lock in locks for word in ("--requirement", str(ROOT / lock))]
    done = subprocess.run(command, capture_output=True, text=True)
    return answered(done.stdout, done.stderr)


def answered(output: str, errors: str) -> tuple[list[dict[str, Any]] | None, str]:
    """What pip-audit printed, or None and the reason where it is no answer."""
    try:
        found: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        return None, (errors.strip().splitlines() or ["no answer"])[-1][:300]
    if found and all("skip_reason" in package for package in found):
        return None, f"knows none of {len(found)} packages ({found[0]['skip_reason']})"
    return found, ""


def report(found: Sequence[Mapping[str, Any]], accepted: Mapping[str, str]) -> int:
    """Print what was found; 1 where something has to be done."""
    unknown = [package["name"] for package in found if "skip_reason" in package]
    open_ones = 0
    for package in found:
        for one in package.get("vulns", ()):
            reason = next((accepted[name] for name in (one["id"], *one.get("aliases", ())) if name in accepted), None)
            fixed = ", ".join(one.get("fix_versions", ())) or "no version"
            said = f"accepted: {reason}" if reason else f"fixed in {fixed}"
            print(f"{package['name']} {package['version']}: {one['id']}, {said}")
            open_ones += reason is None
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        print(f"the service does not know {', '.join(unknown[:SHOWN])}{more}")
    print(f"{len(found) - len(unknown)} packages looked up, {open_ones} vulnerabilities that nobody accepted")
    return 1 if open_ones else 0


if __name__ == "__main__":
    sys.exit(main())
