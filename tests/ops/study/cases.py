"""Each claim that is about AUROCs: cells where it holds, where it does not, and the one without which nobody can tell."""

from lang1_assets.ops.tasks import REMEDE
from tests.ops.study.planted import BAD, GOOD, NOTHING, SPLITS, Plan

# Claim -> cells where it holds, where it does not, and the cell without which it cannot be told.
CASES: dict[str, tuple[Plan, Plan, str]] = {
    "zero_shot_is_weak": (
        {
            "ours/zero_shot": NOTHING,
            "outside:big": {**dict.fromkeys(REMEDE, BAD), "mortality": 4.0},
            "ours/joint": GOOD,
        },
        {"ours/zero_shot": GOOD, "ours/joint": BAD},
        "ours/joint",
    ),
    "finetuned_exceeds_best_zero_shot": (
        {"ours/zero_shot": NOTHING, "outside:big": BAD, "ours/joint": GOOD},
        {
            "ours/zero_shot": NOTHING,
            "outside:big": {**dict.fromkeys(REMEDE, BAD), "mortality": 4.0},
            "ours/joint": {**dict.fromkeys(REMEDE, GOOD), "mortality": 1.6},
        },
        "ours/joint",
    ),
    "clinical_base_exceeds_generalist": (
        {"ours/joint": GOOD, "generalist/joint": BAD},
        {"ours/joint": GOOD, "generalist/joint": {**dict.fromkeys(REMEDE, BAD), "comorbidity": 4.0}},
        "generalist/joint",
    ),
    "finetuned_exceeds_every_finetuned_generalist": (
        {"ours/joint": GOOD, "generalist/joint": BAD},
        {"ours/joint": GOOD, "generalist/joint": {**dict.fromkeys(REMEDE, BAD), "comorbidity": 4.0}},
        "generalist/joint",
    ),
    "small_finetuned_exceeds_large_zero_shot": (
        {"ours/joint": GOOD, "outside:big": BAD},
        {"ours/joint": BAD, "outside:big": GOOD},
        "outside:big",
    ),
    "finetuning_tokens_are_worth_more": (
        {
            "scaled:ours/1000/100/10": NOTHING,
            "scaled:ours/1000/900/100": GOOD,
            "scaled:ours/1900/100/10": NOTHING,
            "scaled:ours/100/1900/100": GOOD,
        },
        {
            "scaled:ours/1000/100/10": GOOD,
            "scaled:ours/1000/900/100": NOTHING,
            "scaled:ours/1900/100/10": GOOD,
            "scaled:ours/100/1900/100": NOTHING,
        },
        "scaled:ours/1000/100/10",
    ),
    "pretraining_helps_with_all_labels": (
        {"scaled:ours/1000/100/all": GOOD, "scaled:random/0/100/all": BAD},
        {"scaled:ours/1000/100/all": BAD, "scaled:random/0/100/all": GOOD},
        "scaled:random/0/100/all",
    ),
    "clinical_base_is_better_with_few_labels": (
        {
            "scaled:ours/1000/100/10": GOOD,
            "scaled:generalist/1000/100/10": BAD,
            "scaled:ours/1000/100/100": GOOD,
            "scaled:generalist/1000/100/100": BAD,
            "scaled:ours/1000/100/all": NOTHING,
            "scaled:generalist/1000/100/all": GOOD,
        },
        {"scaled:ours/1000/100/10": BAD, "scaled:generalist/1000/100/10": GOOD},
        "scaled:generalist/1000/100/10 scaled:generalist/1000/100/100",
    ),
    "clinical_base_needs_fewer_labels": (
        {
            "scaled:ours/1000/100/10": NOTHING,
            "scaled:ours/1000/100/100": GOOD,
            "scaled:generalist/1000/100/all": BAD,
        },
        {
            "scaled:ours/1000/100/10": NOTHING,
            "scaled:ours/1000/100/100": BAD,
            "scaled:generalist/1000/100/all": GOOD,
        },
        "scaled:generalist/1000/100/all",
    ),
    "joint_exceeds_single": (
        {
            "ours/joint": {**dict.fromkeys(REMEDE, GOOD), "mortality": NOTHING},
            **{f"ours/{task}": BAD for task in REMEDE},
        },
        {
            "ours/joint": {**dict.fromkeys(REMEDE, BAD), "mortality": GOOD, "comorbidity": GOOD},
            **{f"ours/{task}": 1.6 for task in REMEDE},
        },
        "ours/joint",
    ),
    "readmission_helps_the_others": (
        {"ours/readmission": GOOD, "ours/zero_shot": NOTHING},
        {"ours/readmission": {**dict.fromkeys(REMEDE, GOOD), "mortality": NOTHING}, "ours/zero_shot": BAD},
        "ours/zero_shot",
    ),
    "mortality_helps_stay_and_not_the_reverse": (
        {"ours/mortality": GOOD, "ours/length_of_stay": NOTHING, "ours/zero_shot": BAD},
        {"ours/mortality": GOOD, "ours/length_of_stay": GOOD, "ours/zero_shot": BAD},
        "ours/length_of_stay",
    ),
    "bases_transfer_differently": (
        {
            "ours/joint": GOOD,
            "generalist/joint": BAD,
            **{f"{base}/{task}": 1.6 for base in ("ours", "generalist") for task in REMEDE},
        },
        {
            "ours/joint": GOOD,
            "generalist/joint": GOOD,
            **{f"{base}/{task}": 1.6 for base in ("ours", "generalist") for task in REMEDE},
        },
        "generalist/mortality",
    ),
    "denial_lowers_stay_of_ours_alone": (
        {
            "ours/insurance_denial": BAD,
            "ours/zero_shot": GOOD,
            "generalist/insurance_denial": GOOD,
            "generalist/zero_shot": BAD,
        },
        {
            "ours/insurance_denial": BAD,
            "ours/zero_shot": GOOD,
            "generalist/insurance_denial": BAD,
            "generalist/zero_shot": GOOD,
        },
        "generalist/insurance_denial",
    ),
    "generalist_transfers_alike": (
        {
            "generalist/readmission": GOOD,
            "generalist/mortality": GOOD,
            "generalist/length_of_stay": NOTHING,
            "generalist/zero_shot": BAD,
        },
        {
            "generalist/readmission": GOOD,
            "generalist/mortality": GOOD,
            "generalist/length_of_stay": GOOD,
            "generalist/zero_shot": BAD,
        },
        "generalist/length_of_stay",
    ),
    "finetuning_here_transfers_there": (
        {"there:ours/readmission": GOOD, "there:ours/elsewhere_readmission": GOOD, "there:ours/zero_shot": NOTHING},
        {"there:ours/readmission": BAD, "there:ours/elsewhere_readmission": GOOD, "there:ours/zero_shot": NOTHING},
        "there:ours/zero_shot",
    ),
    "clinical_base_is_better_there": (
        {
            **{f"there:ours/{recipe}": GOOD for recipe in ("readmission", "elsewhere_readmission")},
            **{f"there:generalist/{recipe}": BAD for recipe in ("readmission", "elsewhere_readmission")},
        },
        {
            **{f"there:ours/{recipe}": BAD for recipe in ("readmission", "elsewhere_readmission")},
            **{f"there:generalist/{recipe}": GOOD for recipe in ("readmission", "elsewhere_readmission")},
        },
        "there:generalist/readmission",
    ),
    "generalist_gains_from_more_labels": (
        {"there:generalist/readmission": GOOD, "there:generalist/elsewhere_readmission": BAD},
        {"there:generalist/readmission": BAD, "there:generalist/elsewhere_readmission": GOOD},
        "there:generalist/elsewhere_readmission",
    ),
    "as_many_labels_remove_the_gain": (
        {"there:generalist/matched_readmission": BAD, "there:generalist/elsewhere_readmission": BAD},
        {"there:generalist/matched_readmission": GOOD, "there:generalist/elsewhere_readmission": BAD},
        "there:generalist/matched_readmission",
    ),
    "clinical_base_prefers_labels_from_there": (
        {"there:ours/readmission": BAD, "there:ours/elsewhere_readmission": GOOD},
        {"there:ours/readmission": GOOD, "there:ours/elsewhere_readmission": BAD},
        "there:ours/elsewhere_readmission",
    ),
    "performance_decays_with_time": (
        {
            "ours/joint": {
                (task, split): GOOD if split == "test" else BAD
                for task in REMEDE
                for split in ("test", "temporal_2024")
            }
        },
        {
            "ours/joint": {
                (task, split): BAD if split == "test" else GOOD
                for task in REMEDE
                for split in ("test", "temporal_2024")
            }
        },
        "ours/joint",
    ),
    "encoder_decays_with_time": (
        {"encoder/joint": {(task, split): GOOD if split == "test" else BAD for task in REMEDE for split in SPLITS}},
        {"encoder/joint": {(task, split): BAD if split == "test" else GOOD for task in REMEDE for split in SPLITS}},
        "encoder/joint",
    ),
    "decoder_decays_less_than_encoder": (
        {
            "older/readmission": GOOD,
            "encoder/readmission": {("readmission", "test"): GOOD, ("readmission", "temporal_2024"): NOTHING},
        },
        {
            "older/readmission": {("readmission", "test"): GOOD, ("readmission", "temporal_2024"): NOTHING},
            "encoder/readmission": GOOD,
        },
        "encoder/readmission",
    ),
    "larger_is_better": (
        {"ours/joint": GOOD, "small/joint": BAD},
        {"ours/joint": BAD, "small/joint": GOOD},
        "small/joint",
    ),
    "web_text_does_not_hurt": (
        {"ours/joint": GOOD, "clinical/joint": GOOD},
        {"ours/joint": BAD, "clinical/joint": GOOD},
        "clinical/joint",
    ),
    "recent_clinical_text_helps": (
        {"clinical/joint": GOOD, "older/joint": BAD},
        {"clinical/joint": BAD, "older/joint": GOOD},
        "older/joint",
    ),
    "decoder_exceeds_encoder": (
        {"older/readmission": GOOD, "encoder/readmission": BAD},
        {"older/readmission": BAD, "encoder/readmission": GOOD},
        "older/readmission",
    ),
}
# What holds of equal models too: of these a claim is that a difference is small, or on one side of a margin.
HOLD_OF_EQUALS = {"web_text_does_not_hurt", "as_many_labels_remove_the_gain", "clinical_base_needs_fewer_labels"}
OF_OTHER_NOTES = {"performance_decays_with_time", "encoder_decays_with_time"}
"""Its two AUROCs are of different notes: they differ by chance."""
