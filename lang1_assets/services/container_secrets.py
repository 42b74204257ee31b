"""The secrets of the services in containers: a folder of files, made once, that are mounted where they are needed.

`python -m lang1_assets.services.container_secrets FOLDER`. What a person has to choose is not made: who may come in (`users`)
and the proxy's certificate (`tls.crt`, `tls.key`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from lang1_assets.services.certificates import kept_certificates
from lang1_assets.services.passwords import kept_password
from lang1_assets.services.postgres import ADMINISTRATOR, DATABASES

AUDIT_KEY = "audit_key"
"""Seals the audit's rows; the processes that write them find it by `LANG1_AUDIT_KEY_FILE`."""
OF_PEOPLE = {
    "users": "a line `NAME HASH` for each person, the hash from `caddy hash-password`",
    "tls.crt": "the certificate that browsers are shown, with those that signed it (PEM)",
    "tls.key": "its key (PEM)",
}


def make_secrets(folder: Path) -> list[str]:
    """Passwords, the audit's key and Dask's certificates where they are missing; what a person still has to put there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in (ADMINISTRATOR, *DATABASES, AUDIT_KEY):
        kept_password(folder / name)
    kept_certificates(folder / "dask")
    return [f"{folder / name}: {what}" for name, what in OF_PEOPLE.items() if not (folder / name).exists()]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("expected one folder: python -m lang1_assets.services.container_secrets FOLDER")
    for missing in make_secrets(Path(sys.argv[1])):
        print(f"still to be put there by you: {missing}")


if __name__ == "__main__":
    main()
