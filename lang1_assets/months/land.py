"""New dated exports: fetched from where they land, whole or not at all (M63)."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.materialization import DATA_OWNER, SYNTHETIC, materialized
from lang1_assets.months import landed
from lang1_assets.months.landed import FILES, FLATTENED
from lang1_assets.ops.forgetting.leaving_out import thin_files
from lang1_assets.ops.forgetting.subjects import forgotten_subjects, left_out, require_nothing_unfinished
from lang1_assets.ops.landing.area import Listing
from lang1_assets.ops.landing.arrivals import manifest_of
from lang1_assets.ops.landing.manifest import MANIFEST_FILE, LandingError, Manifest
from lang1_assets.ops.landing.months import MONTH
from lang1_assets.ops.landing.plan import EXPORT, Refused
from lang1_assets.ops.sources.layout import FLATTENED_KINDS, SourceError
from lang1_assets.partitions import dated_exports
from lang1_assets.resources.store import Artifact, ArtifactStore, locked
from lang1_assets.settings import Settings, lang1_home
from lang1_assets.sql import PROJECT_FOLDER

GROUP = "operate"


def build_assets(settings: Settings) -> list[Any]:
    return [landed_export(settings)]


def landed_export(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name=EXPORT,
        partitions_def=dated_exports,
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"file"},
        description="A dated export as it landed: fetched, checked against its manifest, its tables opened. "
        + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec("export_has_a_manifest", asset=EXPORT)],
    )
    def _landed_export(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        artifact = take_export(context, settings, store)
        has_manifest = artifact.summary["has_manifest"]
        return materialized(
            artifact,
            [
                dg.AssetCheckResult(
                    check_name="export_has_a_manifest",
                    passed=has_manifest,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=None if has_manifest else f"no {MANIFEST_FILE}: nobody can tell a file that never came",
                )
            ],
        )

    return _landed_export


def take_export(context: dg.AssetExecutionContext, settings: Settings, store: ArtifactStore) -> Artifact:
    """The export of the run's month, from the landing area; if it is no longer there, as it was taken before.

    Raises:
        dg.Failure: it is corrupt, or another month's, and nothing of it is kept; or it has gone since the sensor saw it.
    """
    require_nothing_unfinished(lang1_home())
    month = context.partition_key
    if not MONTH.fullmatch(month):
        raise dg.Failure(f"partition '{month}': expected a month, YYYY-MM", allow_retries=False)
    listing = landed.landing_area(settings).listings(month).get(month)
    if listing is None:
        place = landed.landing_place(settings)
        if landed.LISTING_TAG in context.run.tags:
            # Done with the export as it was, the run would say that the new one was taken.
            raise dg.Failure(f"{place}/{month}: no longer there, or not to be read; the sensor asks for it again")
        found = store.find(f"{EXPORT}/{month}")
        if found is None:
            raise dg.Failure(f"{place}/{month}: no export there, and none was taken before", allow_retries=False)
        return found
    require_unchanged(context, listing)
    try:
        artifact = build_export(context, settings, store, listing)
    except (LandingError, SourceError) as error:
        shutil.rmtree(store.path(f"{EXPORT}/{month}.partial"), ignore_errors=True)
        now = landed.landing_area(settings).listings(month).get(month)
        if now is None or now.digest != listing.digest:
            raise dg.Failure(
                f"The export {month} changed or went away while it was read; the sensor asks for it again. {error}",
                allow_retries=False,
            ) from None
        landed.refuse(store, month, Refused(listing=listing.digest))
        raise dg.Failure(
            f"The export {month} is refused and nothing of it was kept. {error}", allow_retries=False
        ) from None
    if artifact.summary["listing"] != listing.digest:
        same = Refused(listing=listing.digest, content=artifact.summary["content"], held_by=month)
        landed.refuse(store, month, same)
    return artifact


def require_unchanged(context: dg.AssetExecutionContext, listing: Listing) -> None:
    """Stop where nobody but the sensor can tell that an export is whole, and it has changed since it was asked for.

    Raises:
        dg.Failure: it has no manifest, and its files are others by now.
    """
    asked = context.run.tags.get(landed.LISTING_TAG, listing.digest)
    if MANIFEST_FILE not in listing.sizes and asked != listing.digest:
        raise dg.Failure(
            f"The export {listing.month} has no {MANIFEST_FILE}, and its files have changed since it had settled. The sensor asks "
            "for it again when nothing has changed for long enough.",
            allow_retries=False,
        )


def build_export(
    context: dg.AssetExecutionContext, settings: Settings, store: ArtifactStore, listing: Listing
) -> Artifact:
    month, area = listing.month, landed.landing_area(settings)
    manifest = manifest_of(area, listing)

    def make(work: Path) -> dict[str, Any]:
        for folder in (FILES, FLATTENED):
            shutil.rmtree(work / folder, ignore_errors=True)
            (work / folder).mkdir()
        context.log.info(f"fetching {len(manifest.files)} files")
        area.fetch(month, manifest.files, work / FILES)
        # Later exports bring the same people again.
        gone = thin_files(work / FILES, forgotten_subjects(lang1_home()))
        open_tables(context, settings, work)
        return export_summary(store, listing, manifest) | ({"forgotten_rows": gone} if gone else {})

    # One at a time: two months with the same content must not both find that nobody has it.
    with locked(store.path(f"{EXPORT}/taking"), context.log.warning):
        refuse_another_months(store, listing, manifest)
        return store.build(
            f"{EXPORT}/{month}",
            make,
            parameters={
                "content": manifest.content,
                "covers_until": manifest.covers_until.isoformat(),
                "kind": settings.source.sql_kind,
                "time_zone": settings.source.fhir_time_zone,
                **left_out(lang1_home()),
            },
            # Only what is kept beside the files depends on code.
            code=["lang1_assets.ops.sources"] if settings.source.kind in FLATTENED_KINDS else [],
            on_wait=context.log.warning,
        )


def refuse_another_months(store: ArtifactStore, listing: Listing, manifest: Manifest) -> None:
    """
    Raises:
        dg.Failure: the very same files were taken as another month.
    """
    taken = landed.taken_months(store)
    holder = next((m for m, one in taken.items() if one.content == manifest.content and m != listing.month), None)
    if holder is None:
        return
    landed.refuse(store, listing.month, Refused(listing=listing.digest, content=manifest.content, held_by=holder))
    raise dg.Failure(
        f"The export {listing.month} is refused: the same files were taken as {holder}. Send the records of {listing.month}; "
        f"or, if they are these, correct {holder} first.",
        allow_retries=False,
    )


def export_summary(store: ArtifactStore, listing: Listing, manifest: Manifest) -> dict[str, Any]:
    before = landed.taken_months(store).get(listing.month)
    covers_until = manifest.covers_until.isoformat()
    is_the_same = before is not None and before.key == f"{manifest.content}@{covers_until}"
    earlier = 0 if before is None else before.revision
    return {
        "content": manifest.content,
        "covers_until": covers_until,
        "revision": earlier if is_the_same else earlier + 1,
        "replaces": None if before is None or is_the_same else before.content,
        "listing": listing.digest,
        "num_files": len(manifest.files),
        "num_bytes": sum(file.num_bytes for file in manifest.files),
        "num_files_left_out": len(set(listing.sizes) - {file.name for file in manifest.files} - {MANIFEST_FILE}),
        "has_manifest": MANIFEST_FILE in listing.sizes,
    }


def open_tables(context: dg.AssetExecutionContext, settings: Settings, export: Path) -> None:
    """Flatten what is no table, and read the header and the end of every table.

    Raises:
        SourceError: with each file or column that is missing or cannot be read.
    """
    from lang1_assets.ops.sources.fhir.lines import FhirError
    from lang1_assets.ops.sources.intake import flatten_source, source_layout

    source, files = settings.source, export / FILES
    try:
        flatten_source(source.kind, files, None, export / FLATTENED, context.log.info, time_zone=source.fhir_time_zone)
    except FhirError as error:
        raise SourceError(str(error)) from None
    source_layout(PROJECT_FOLDER, source.sql_kind, files, export / FLATTENED)
