"""Tables B1 - B7 of the paper (appendix B) as data, and what Fig. G7 says in words: notes, patients, class ratios, words.

Keyed by task name, then by split in the order of `schemas.SPLITS`. A class ratio is in the order of the task's options.
"""

from __future__ import annotations

from lang1_assets.ops.schemas import SPLITS
from lang1_assets.ops.split_titles import SplitTitles


def _by_split(*values: int) -> dict[str, int]:
    return dict(zip(SPLITS, values, strict=True))


def _ratios(*rows: tuple[float, ...]) -> dict[str, tuple[float, ...]]:
    return dict(zip(SPLITS, rows, strict=True))


TEST_TITLES = SplitTitles(
    common={"temporal_2021": "2021", "temporal_2024": "2024"},
    of_tasks={"insurance_denial": {"temporal_2021": "2022"}},
)
"""The years of its tests (5.2.2); its tables call March and April 2022 of insurance denial 2021."""

NOTE_COUNTS: dict[str, dict[str, int]] = {
    "readmission": _by_split(362_259, 45_282, 45_283, 53_916, 97_586),
    "comorbidity": _by_split(256_676, 32_085, 32_085, 42_137, 80_932),
    "length_of_stay": _by_split(334_515, 41_814, 41_815, 51_018, 97_586),
    "insurance_denial": _by_split(41_842, 2_325, 2_325, 9_299, 42_046),
    "mortality": _by_split(334_515, 41_814, 41_815, 51_018, 97_586),
}
"""Table B1: distinct notes."""

NOTE_TOTALS: dict[str, int] = {
    "readmission": 604_326,
    "comorbidity": 443_915,
    "length_of_stay": 566_748,
    "insurance_denial": 97_837,
    "mortality": 566_748,
}
"""The last column of Table B1; each is the sum of its row."""

PATIENT_COUNTS: dict[str, dict[str, int]] = {
    "readmission": _by_split(269_140, 42_692, 42_603, 46_003, 78_453),
    # As printed; 251,804 patients cannot have the 42,137 notes of Table B1.
    "comorbidity": _by_split(188_298, 30_085, 30_098, 251_804, 64_873),
    "length_of_stay": _by_split(248_486, 39_304, 39_331, 43_358, 78_453),
    "insurance_denial": _by_split(39_422, 2_319, 2_313, 9_037, 37_821),
    "mortality": _by_split(248_674, 39_317, 39_357, 43_358, 78_453),
}
"""Table B2: distinct patients of each split; a patient may be in several."""

PATIENT_TOTALS: dict[str, int] = {
    "readmission": 421_429,
    "comorbidity": 306_741,
    "length_of_stay": 395_991,
    "insurance_denial": 87_974,
    "mortality": 395_991,
}
"""The last column of Table B2: distinct patients over all splits."""

WORD_TOTALS: dict[str, int] = {
    "readmission": 607_877_177,
    "comorbidity": 524_739_038,
    "length_of_stay": 608_603_182,
    "insurance_denial": 89_147_715,
    "mortality": 608_603_182,
}
"""Total words in the titles of Tables B3 - B7."""

MISPRINTS: dict[tuple[str, str, str], str] = {
    (
        "B2",
        "comorbidity",
        "temporal_2021",
    ): "the paper prints 251,804 patients, more than the 42,137 notes of its Table B1",
}
"""Table, task and split of a number that cannot be right as printed."""

CLASS_RATIOS: dict[str, dict[str, tuple[float, ...]]] = {
    "readmission": _ratios(
        (0.891495, 0.108505), (0.891944, 0.108056), (0.893293, 0.106707), (0.888456, 0.111544), (0.887115, 0.112885)
    ),
    "mortality": _ratios(
        (0.981161, 0.018839), (0.981250, 0.018750), (0.980916, 0.019084), (0.980693, 0.019307), (0.982241, 0.017759)
    ),
    "length_of_stay": _ratios(
        (0.417306, 0.176575, 0.165888, 0.240231),
        (0.415722, 0.180562, 0.164490, 0.239226),
        (0.414851, 0.176611, 0.167452, 0.241086),
        (0.418597, 0.153201, 0.164805, 0.263397),
        (0.456418, 0.144529, 0.159757, 0.239297),
    ),
    "comorbidity": _ratios(
        (0.694681, 0.224840, 0.054251, 0.025324, 0.000904),
        (0.689169, 0.229547, 0.055166, 0.025526, 0.000592),
        (0.693502, 0.226866, 0.053327, 0.025370, 0.000935),
        (0.685811, 0.228327, 0.059164, 0.025821, 0.000878),
        (0.684043, 0.217355, 0.067513, 0.029370, 0.001717),
    ),
    "insurance_denial": _ratios(
        (0.877850, 0.122150), (0.867097, 0.132903), (0.873978, 0.126022), (0.879880, 0.120120), (0.861033, 0.138967)
    ),
}
"""Tables B3 (readmission), B4 (mortality), B5 (length of stay), B6 (comorbidity) and B7 (insurance denial)."""

RATIO_TABLES: dict[str, str] = {
    "readmission": "B3",
    "mortality": "B4",
    "length_of_stay": "B5",
    "comorbidity": "B6",
    "insurance_denial": "B7",
}
"""Which of the paper's tables prints a task's class ratios."""

RATIO_TITLES: dict[str, tuple[str, ...]] = {
    "readmission": ("not readmitted", "readmitted within 30 days"),
    "mortality": ("survived", "died"),
    "length_of_stay": ("0-2 days", "3 days", "4-5 days", ">5 days"),
    "comorbidity": ("score 0", "score 1-2", "score 3-4", "score 5-7", "score >7"),
    "insurance_denial": ("approved", "denied"),
}
"""Column titles of Tables B3 - B7, in the order of the task's options."""

TOP_SHARES: dict[tuple[str, str], tuple[tuple[str, float], ...]] = {
    ("pathology", "department"): (("OB/GYN", 0.098),),
    ("pathology", "diagnosis"): (("gynecological exams", 0.06),),
    ("pathology", "borough"): (("Manhattan", 0.486),),
    ("radiology", "department"): (("diagnostic radiology", 0.822),),
    ("radiology", "diagnosis"): (("screening mammograms", 0.05),),
    ("radiology", "borough"): (("Manhattan", 0.41), ("Queens", 0.326)),
    ("hospital", "department"): (("internal medicine", 0.101),),
    ("hospital", "diagnosis"): (("sepsis", 0.011), ("hypertension", 0.01)),
    ("hospital", "borough"): (("Brooklyn", 0.279), ("Queens", 0.247)),
}
"""Note group and attribute of Fig. G7 -> the values that its caption names, with their share of the specified notes."""
