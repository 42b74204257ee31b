"""The key that seals, and the salt that hides whom a row is about."""

import os
from pathlib import Path

import pytest

from lang1_assets.ops.audit.entries import AuditError
from lang1_assets.ops.audit.keys import SALT_FILE, pseudonym, read_key


def test_a_key_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("k" * 64 + "\n")
    path.chmod(0o640)
    with pytest.raises(AuditError, match="others may read it; chmod 600"):
        read_key(path)
    path.chmod(0o600)
    assert read_key(path) == b"k" * 64


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of root")
def test_a_key_of_root_may_be_its_group_s_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of Kubernetes is root's, and with `fsGroup` the group of the pod's account reads it."""
    path = tmp_path / "key"
    path.write_text("k" * 64)
    monkeypatch.setattr(os, "geteuid", lambda: 10001)
    path.chmod(0o440)
    assert read_key(path) == b"k" * 64
    for mode in (0o444, 0o660):
        path.chmod(mode)
        with pytest.raises(AuditError, match="others may read it"):
            read_key(path)


def test_a_key_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("short")
    path.chmod(0o600)
    with pytest.raises(AuditError, match="5 bytes, expected 32 or more"):
        read_key(path)
    with pytest.raises(AuditError, match="No such file"):
        read_key(tmp_path / "none")


def test_a_person_has_one_name_in_an_audit_and_another_in_the_next(tmp_path: Path) -> None:
    first = pseudonym(tmp_path / "one", "4711")
    assert first == pseudonym(tmp_path / "one", "4711")
    assert first != pseudonym(tmp_path / "one", "4712")
    assert first != pseudonym(tmp_path / "two", "4711")
    assert "4711" not in first
    assert (tmp_path / "one" / SALT_FILE).stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "one").iterdir()] == [SALT_FILE]
