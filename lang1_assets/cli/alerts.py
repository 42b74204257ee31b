"""Whether alerts arrive, before one is needed."""

from __future__ import annotations

import argparse

from lang1_assets.settings import Settings


def send_test_alert(settings: Settings, arguments: argparse.Namespace) -> int:
    """One message over every channel that is set up; 1 when one did not take it, or there is none."""
    from lang1_assets.resources.alerts import Alerts

    problems: list[str] = []
    alerts = Alerts(profile=settings.name, is_synthetic=settings.is_synthetic)
    taken = alerts.tell("test of alerts", ["Somebody tries whether alerts arrive. Next: nothing."], problems.append)
    for line in [*(f"{name} took it" for name in taken), *problems]:
        print(line)
    if not taken and not problems:
        print("no channel is set up: set LANG1_SLACK_WEBHOOK or LANG1_SMTP_HOST (docs/alerts.md)")
    return 0 if taken and not problems else 1
