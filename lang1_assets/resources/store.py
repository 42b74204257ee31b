"""The artifact store: one folder an artifact, finished or absent, with a manifest that says what it was made from.

An artifact's fingerprint is a hash of its name, its parameters, the fingerprints of its inputs and the source of the
modules that make it. The same fingerprint means the same result, so an artifact that is up to date is reused and an
interrupted run goes on where it stopped. A half-written artifact lies in a folder of another name (`NAME.partial`) and is
renamed when its manifest is complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource

from lang1_assets.ops.audit.attempts import Place
from lang1_assets.ops.forgetting.subjects import nobody_forgets
from lang1_assets.resources.audit import Trail, trail_of

MANIFEST = "artifact.json"
PLAN = "plan.json"


class ArtifactError(ValueError):
    """An artifact is missing or not what its manifest says."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A finished folder."""

    name: str
    path: Path
    fingerprint: str
    summary: Mapping[str, Any]
    """What its maker returned: counts, seconds, run ids; plain JSON, never note text."""
    reused: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    audit_row: str = ""
    """Number and hash of the audit's row that tells of this making or reuse; empty where nothing is audited."""


class ArtifactStore(ConfigurableResource):
    """Folders of one profile under `root`."""

    root: str
    audit_folder: str | None = None
    """Where every making and reuse is recorded; None: nowhere."""

    def path(self, name: str) -> Path:
        """Where an artifact lies. Names hold keys of partitions, which a person may type: none leads out of the root.

        Raises:
            ArtifactError: it would.
        """
        if not name or "\0" in name or name.startswith("/") or ".." in name.split("/"):
            raise ArtifactError(f"artifact {name!r}: expected a name of folders below {self.root}")
        return Path(self.root) / name

    def get(self, name: str) -> Artifact:
        """A finished artifact.

        Raises:
            ArtifactError: it was never finished, or files of it are gone or cut short.
        """
        found = self.find(name)
        if found is None:
            raise ArtifactError(f"{self.path(name)}: not there yet; materialize the asset '{name}' first")
        return found

    def find(self, name: str) -> Artifact | None:
        """The finished artifact, or None when there is none or its files do not match its manifest."""
        folder = self.path(name)
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
            return None
        if any(_size(folder / file) != size for file, size in manifest["files"].items()):
            return None
        return Artifact(
            name=name,
            path=folder,
            fingerprint=manifest["fingerprint"],
            summary=manifest["summary"],
            inputs=manifest["inputs"],
            created=manifest["created"],
            reused=True,
        )

    def build(
        self,
        name: str,
        make: Callable[[Path], Mapping[str, Any]],
        *,
        inputs: Sequence[Artifact] = (),
        parameters: Mapping[str, Any] | None = None,
        code: Sequence[str] = (),
        force: bool = False,
        goes_on_over_new_code: bool = False,
        on_wait: Callable[[str], None] = lambda message: None,
    ) -> Artifact:
        """Reuse the artifact if it is up to date, else make it.

        Args:
            make: writes into the folder it is given and returns the summary. After an interruption it is given the same
                folder again, as it was left, if nothing that the fingerprint covers has changed.
            inputs: the artifacts it reads.
            parameters: the settings it depends on; plain JSON.
            code: modules or packages whose source it depends on.
            force: make it although it is up to date.
            goes_on_over_new_code: half-made work is kept when nothing but the code has changed since. For a month of training: a
                corrected message is no reason to lose it. What is finished is still made again by new code. Where more than
                the code has changed, it is set aside, and taken up again with the settings it was begun with.
            on_wait: told when another process is making the same artifact, and what becomes of older half-made work.

        Raises:
            ForgettingError: it is not up to date, and people are being forgotten in this home, or were when that was cut off.
        """
        sources = {item.name: item.fingerprint for item in inputs}
        plan = {
            "name": name,
            "parameters": dict(parameters or {}),
            "inputs": sources,
            "code": {module: source_hash(module) for module in code},
        }
        fingerprint = _digest(json.dumps(plan, sort_keys=True, default=str).encode())
        with locked(self.path(name), on_wait):
            trail = self._trail(name, fingerprint, sources)
            found = self.find(name)
            if found is not None and found.fingerprint == fingerprint and not force:
                return replace(found, audit_row=trail.reused())
            with self._nobody_forgets():
                work = self.path(name + ".partial")
                fresh = force and found is not None
                if goes_on_over_new_code and not fresh:
                    set_others_aside(work, plan, on_wait)
                    if differs_in_code_alone(work, plan):
                        on_wait(f"{name}: going on with what older code began; remove {work} to begin again")
                        _write_durably(
                            work / PLAN, json.dumps({**plan, "fingerprint": fingerprint}, indent=1, default=str)
                        )
                with trail.making() as attempt:
                    made = self._make(name, make, plan, fingerprint, fresh)
                return replace(made, audit_row=attempt.made(made.summary))

    def _nobody_forgets(self) -> AbstractContextManager[None]:
        """Of the home whose `artifacts/PROFILE` the root is; elsewhere nobody is forgotten."""
        folder = Path(self.root).parent
        return nobody_forgets(folder.parent) if folder.name == "artifacts" else nullcontext()

    def _trail(self, name: str, fingerprint: str, inputs: Mapping[str, str]) -> Trail:
        place = Place(manifest=self.path(name) / MANIFEST, lock=_lock_file(self.path(name)))
        return trail_of(
            self.audit_folder, name, place, profile=Path(self.root).name, fingerprint=fingerprint, inputs=inputs
        )

    def _make(
        self,
        name: str,
        make: Callable[[Path], Mapping[str, Any]],
        plan: Mapping[str, Any],
        fingerprint: str,
        fresh: bool,
    ) -> Artifact:
        folder = self.path(name)
        work = folder.with_name(folder.name + ".partial")
        if fresh or _read(work / PLAN).get("fingerprint") != fingerprint:
            shutil.rmtree(work, ignore_errors=True)
        if _read(work / MANIFEST).get("fingerprint") == fingerprint:
            # Killed between finishing and renaming.
            _replace(work, folder)
            return self.get(name)
        work.mkdir(parents=True, exist_ok=True)
        # Notes are private at rest: only the owner of the run reads an artifact.
        work.chmod(0o700)
        (work / PLAN).write_text(json.dumps({**plan, "fingerprint": fingerprint}, indent=1, default=str))
        started = time.monotonic()
        summary = {**make(work), "seconds": round(time.monotonic() - started, 2)}
        manifest = {
            **plan,
            "fingerprint": fingerprint,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "summary": summary,
            "files": {str(file.relative_to(work)): file.stat().st_size for file in _files(work)},
        }
        _write_durably(work / MANIFEST, json.dumps(manifest, indent=1, default=str))
        _replace(work, folder)
        return Artifact(
            name=name,
            path=folder,
            fingerprint=fingerprint,
            summary=summary,
            inputs=manifest["inputs"],
            created=manifest["created"],
        )


def differs_in_code_alone(work: Path, plan: Mapping[str, Any]) -> bool:
    """Whether half-made work was begun with the same parameters and inputs, by other code."""
    return begun_alike(work, plan) and _read(work / PLAN)["code"] != plan["code"]


def begun_alike(work: Path, plan: Mapping[str, Any]) -> bool:
    """Whether half-made work was begun with the same parameters and inputs, by whatever code."""
    begun = _read(work / PLAN)
    now = json.loads(json.dumps(plan, default=str))
    return bool(begun) and all(begun[part] == now[part] for part in ("name", "parameters", "inputs"))


def set_others_aside(work: Path, plan: Mapping[str, Any], on_wait: Callable[[str], None]) -> None:
    """Keep half-made work of other settings or inputs under a name of its own; bring back what these ones had begun."""
    if (work / PLAN).exists() and not begun_alike(work, plan):
        kept = work.with_name(f"{work.name}-{_read(work / PLAN).get('fingerprint', 'unknown')}")
        shutil.rmtree(kept, ignore_errors=True)
        work.rename(kept)
        on_wait(f"{kept}: begun with other settings or inputs, and set aside; remove it if nobody goes back to them")
    earlier = [kept for kept in work.parent.glob(f"{work.name}-*") if begun_alike(kept, plan)]
    if earlier and not work.exists():
        earlier[0].rename(work)
        on_wait(f"{work}: going on with what these settings and inputs had begun before")


def source_hash(module: str) -> str:
    """Hash of a module's source, or of every module in a package, without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ArtifactError(f"no source found for module '{module}'")
    if spec.submodule_search_locations is None:
        files = [Path(spec.origin)]
    else:
        files = sorted(p for p in Path(spec.origin).parent.rglob("*") if p.suffix in {".py", ".j2", ".yaml"})
    return _digest(b"\0".join(file.read_bytes() for file in files))


def folder_hash(folder: Path, pattern: str = "*") -> str:
    """Hash of the names and contents of a folder's files, for code or small inputs that lie outside Python modules."""
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return _digest(b"\0".join(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() for path in files))


def listing_hash(paths: Sequence[Path]) -> str:
    """Hash of names, sizes and modification times: for outside inputs that are too large to read twice."""
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(paths)]
    return _digest(json.dumps(facts).encode())


@contextmanager
def locked(folder: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the artifact's lock; the kernel lets go of it when the holder dies, however it dies."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(_lock_file(folder), "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait(f"another process is making {folder.name}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _lock_file(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def _replace(work: Path, folder: Path) -> None:
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    work.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in {PLAN, MANIFEST})


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _write_durably(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".tmp")
    with open(beside, "w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    beside.rename(path)
