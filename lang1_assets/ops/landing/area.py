"""The place where exports land: a folder, or any store that fsspec reads (`s3://bucket/exports`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec

from lang1_assets.ops.landing.manifest import MANIFEST_FILE, LandedFile, LandingError
from lang1_assets.ops.landing.months import MONTH

CHUNK_BYTES = 1 << 20
STAMPS = ("mtime", "created", "LastModified", "last_modified", "updated", "ETag", "etag", "md5Hash", "contentHash")
"""What the file systems of fsspec call the time or the mark of a change; each has some of them."""
TIMES = ("mtime", "created", "LastModified", "last_modified", "updated")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of one month as they are listed, nothing of them read."""

    month: str
    sizes: Mapping[str, int]
    """Name in the export's folder -> bytes."""
    digest: str
    """Changes whenever a file comes, goes, or is written."""
    changed: float
    """When any of them was last written, seconds since 1970; 0 where the store does not say."""


@dataclass(frozen=True, kw_only=True)
class LandingArea:
    """A folder of exports."""

    files: Any
    """fsspec's file system."""
    root: str

    @staticmethod
    def of(place: str) -> LandingArea:
        """
        Args:
            place: a path or a URL. Keys to an object store come from its own environment variables, never from here.
        """
        files, root = fsspec.core.url_to_fs(place)
        return LandingArea(files=files, root=root.rstrip("/"))

    @property
    def missing(self) -> str | None:
        """That there is nothing by this name, which a listing does not tell from an empty folder; None where there is."""
        if self.files.exists(self.root):
            return None
        return f"{self.root}: nothing is there, or it cannot be read. Look at 'operate.landing', the mount and the permissions."

    def listings(self, month: str | None = None) -> dict[str, Listing]:
        """Every month that there is, by one listing of the whole area; or one month alone."""
        # Object stores remember listings, and what was remembered is not what has landed since.
        self.files.invalidate_cache()
        place = self.root if month is None else f"{self.root}/{month}"
        months: dict[str, dict[str, Mapping[str, Any]]] = {}
        for path, info in sorted(self.files.find(place, detail=True).items()):
            first, _, name = path.removeprefix(self.root).lstrip("/").partition("/")
            # A link would lead out of the area.
            if name and MONTH.fullmatch(first) and not info.get("islink"):
                months.setdefault(first, {})[name] = info
        return {first: listing_of(first, infos) for first, infos in sorted(months.items())}

    def path(self, month: str, name: str) -> str:
        return f"{self.root}/{month}/{name}"

    def read_manifest(self, month: str) -> bytes:
        data: bytes = self.files.cat_file(self.path(month, MANIFEST_FILE))
        return data

    def hashed(self, listing: Listing) -> tuple[LandedFile, ...]:
        """The files of an export without a manifest; this reads all of them.

        Raises:
            LandingError: one has vanished or has another size by now.
        """
        return tuple(
            LandedFile(name=name, num_bytes=size, sha256=self._copy(listing.month, name, size, None))
            for name, size in listing.sizes.items()
        )

    def fetch(self, month: str, files: Sequence[LandedFile], target: Path) -> None:
        """Copy the files of an export into `target`, each checked while it is read.

        Raises:
            LandingError: naming the first file that is not what it should be.
        """
        for file in files:
            path = target / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            digest = self._copy(month, file.name, file.num_bytes, path)
            if digest != file.sha256:
                path.unlink()
                raise LandingError(
                    f"{month}/{file.name}: field 'sha256' of {MANIFEST_FILE} is {file.sha256[:12]}..., the file's is "
                    f"{digest[:12]}...; send the file again"
                )

    def _copy(self, month: str, name: str, num_bytes: int, target: Path | None) -> str:
        """SHA-256 of a file, which is written to `target` if there is one."""
        digest, found = hashlib.sha256(), 0
        try:
            with self.files.open(self.path(month, name), "rb") as source, opened(target) as copy:
                while chunk := source.read(CHUNK_BYTES):
                    digest.update(chunk)
                    found += len(chunk)
                    if copy is not None:
                        copy.write(chunk)
        except FileNotFoundError:
            raise LandingError(f"{month}/{name}: the file is missing; send the export again") from None
        if found != num_bytes:
            raise LandingError(f"{month}/{name}: expected {num_bytes} bytes, found {found}; send the file again")
        return digest.hexdigest()


def listing_of(month: str, infos: Mapping[str, Mapping[str, Any]]) -> Listing:
    facts = [(name, info["size"], *(str(info.get(stamp)) for stamp in STAMPS)) for name, info in infos.items()]
    return Listing(
        month=month,
        sizes={name: int(info["size"]) for name, info in infos.items()},
        digest=hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16],
        changed=max((seconds(info.get(stamp)) for info in infos.values() for stamp in TIMES), default=0.0),
    )


def seconds(value: Any) -> float:
    """A time as file systems give it: seconds, a `datetime`, ISO text, or nothing."""
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return 0.0
    if not isinstance(value, datetime):
        return 0.0
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def opened(target: Path | None) -> AbstractContextManager[Any]:
    return nullcontext() if target is None else open(target, "wb")
