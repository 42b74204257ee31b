"""Which variant plays which part of the paper: told from what a variant is, never from its name (tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterator

from lang1_assets.ops.results import JOINT
from lang1_assets.ops.study.cells import CLINICAL, WEB, Base, Studied
from lang1_assets.ops.tasks import REMEDE

LARGER = 1.5
"""Times the parameters that make another size of it."""


def generalist_of(studied: Studied) -> Base | None:
    """The web-only decoder in the size of ours; else one in another size, else a model from a folder (LLAMA-3.2-1B there)."""
    known = [base for base in studied.bases if is_other_generalist(studied, base)]
    order = sorted(known, key=lambda base: (base.is_from_folder, base.shape != studied.ours.shape))
    return order[0] if order else None


def is_other_generalist(studied: Studied, base: Base) -> bool:
    """Ours may be one itself (a model from a folder): it is not compared with itself."""
    return base.is_generalist and base != studied.ours


def finetuned_generalists_of(studied: Studied) -> list[Base]:
    """All that were finetuned for any task here, or are to be by the profile."""
    return [
        base
        for base in studied.bases
        if is_other_generalist(studied, base)
        and (
            any(cell.model == base.name and cell.trained_on is not None for cell in studied.of("variant"))
            or any(is_finetuned_here(name, base) for name in studied.missing)
        )
    ]


def is_finetuned_here(artifact: str, base: Base) -> bool:
    asset, *parts = artifact.split("/")
    recipes = tuple(f"{recipe}_evaluation" for recipe in (JOINT, *REMEDE))
    return asset in recipes and parts == [base.name]


def scaled_generalists_of(studied: Studied) -> list[Base]:
    """All that were finetuned on some of the labels, or are to be by the profile."""
    return [
        base
        for base in studied.bases
        if is_other_generalist(studied, base)
        and (studied.scaled(base) or f"scaled_evaluation/{base.name}" in studied.missing)
    ]


def untrained_of(studied: Studied) -> Base | None:
    """Random weights in the size of ours."""
    shape = studied.ours.shape
    return next((base for base in studied.bases if base.is_random and base.shape == shape), None)


def size_pairs(studied: Studied) -> Iterator[tuple[Base, Base]]:
    """(smaller, larger) decoders of one mixture: 100M and 1B."""
    pretrained = [base for base in studied.bases if base.corpora and base.architecture == "decoder"]
    for small in pretrained:
        for large in pretrained:
            if small.corpora == large.corpora and is_larger(large, small):
                yield small, large


def of_unknown_size(studied: Studied) -> Iterator[Base]:
    """Decoders that are to be finetuned, not pretrained yet, and of another shape than one of the same mixture."""
    decoders = [base for base in studied.bases if base.corpora and base.architecture == "decoder"]
    for base in decoders:
        others = [other for other in decoders if other.corpora == base.corpora and other.shape != base.shape]
        is_asked_for = any(is_finetuned_here(name, base) for name in studied.missing)
        if base.num_parameters is None and others and is_asked_for:
            yield base


def is_larger(one: Base, other: Base) -> bool:
    if one.num_parameters is None or other.num_parameters is None:
        return False
    return one.num_parameters > LARGER * other.num_parameters


def web_pairs(studied: Studied) -> Iterator[tuple[Base, Base]]:
    """(clinical text alone, the same and web text)."""
    for without in studied.bases:
        if without.corpora & CLINICAL and not without.corpora & WEB:
            yield from ((without, base) for base in alike(studied, without) if base.corpora == without.corpora | WEB)


def recent_pairs(studied: Studied) -> Iterator[tuple[Base, Base]]:
    """(Notes, Notes+) with the same text beside: fewer and more recent years."""
    for older in studied.bases:
        if "notes" in older.corpora:
            newer = older.corpora - {"notes"} | {"notes_plus"}
            yield from ((older, base) for base in alike(studied, older) if base.corpora == newer)


def architecture_pairs(studied: Studied) -> list[tuple[Base, Base]]:
    """(encoder, decoder) of one mixture, in the encoder's size where there is one; else every encoder and ours."""
    encoders = [base for base in studied.bases if base.architecture == "encoder"]
    decoders = [base for base in studied.bases if base.architecture == "decoder" and base.corpora]
    pairs = []
    for encoder in encoders:
        same_text = [base for base in decoders if base.corpora == encoder.corpora]
        same_text.sort(key=lambda base: base.shape != encoder.shape)
        pairs.append((encoder, same_text[0] if same_text else studied.ours))
    return pairs


def alike(studied: Studied, base: Base) -> list[Base]:
    """The others of the same size and architecture."""
    kind = (base.shape, base.architecture)
    return [other for other in studied.bases if other != base and (other.shape, other.architecture) == kind]
