"""Each claim in the few words that one line of the report's first screen holds; the claim itself is whole in its table."""

from __future__ import annotations

BRIEFS: dict[str, str] = {
    "zero_shot_is_weak": "Zero-shot, none reaches ours finetuned",
    "finetuned_exceeds_best_zero_shot": "Finetuned exceeds the best zero-shot",
    "clinical_base_exceeds_generalist": "Clinical base exceeds the web-only base",
    "small_finetuned_exceeds_large_zero_shot": "Small finetuned exceeds large zero-shot",
    "comprehension_rises": "Comprehension rises along pretraining",
    "zero_shot_does_not_rise": "Zero-shot AUROC rises by less than 0.05",
    "finetuning_tokens_are_worth_more": "Finetuning tokens are worth more",
    "pretraining_helps_with_all_labels": "Pretraining still helps with all labels",
    "clinical_base_is_better_with_few_labels": "Clinical base is better with few labels",
    "clinical_base_needs_fewer_labels": "Clinical base needs fewer labels",
    "lower_perplexity_goes_with_higher_auroc": "Lower perplexity goes with higher AUROC",
    "joint_exceeds_single": "Joint finetuning exceeds single-task",
    "readmission_helps_the_others": "Readmission helps every other task",
    "mortality_helps_stay_and_not_the_reverse": "Mortality helps stay, not the reverse",
    "bases_transfer_differently": "Joint helps clinical and hurts web-only",
    "finetuning_here_transfers_there": "Finetuning here helps elsewhere",
    "clinical_base_is_better_there": "Elsewhere, clinical exceeds web-only",
    "generalist_gains_from_more_labels": "Elsewhere, web-only gains by more labels",
    "as_many_labels_remove_the_gain": "Elsewhere, as many labels end that gain",
    "clinical_base_prefers_labels_from_there": "Elsewhere, clinical prefers labels there",
    "performance_decays_with_time": "Finetuned does worse on the test of 2024",
    "decoder_decays_less_than_encoder": "Decoder loses less by 2024 than encoder",
    "larger_is_better": "Larger is better",
    "web_text_does_not_hurt": "Web text does not hurt",
    "recent_clinical_text_helps": "More and more recent clinical text helps",
    "decoder_exceeds_encoder": "Decoder exceeds encoder",
    "finetuned_is_well_calibrated": "Finetuned is well calibrated",
    "the_dead_stayed_shortly_or_long": "Who died stayed shortly or long",
    "long_stays_have_the_risk_of_short_ones": "Long stays have the risk of short ones",
    "auroc_differs_among_groups": "AUROC differs among groups of patients",
    "patient_overlap_changes_little": "Patients seen in training change little",
}
"""By the claim's name."""
