"""Phrases that give a task's outcome away: words that are only written once the outcome is known.

A clinician reads the note before the outcome; a sentence that states it was written, copied or appended afterwards. The
patterns are for text as cleaning leaves it (ASCII, single spaces, one line) and match any case unless a pattern says
otherwise. Polars' regular expressions (Rust) have no look-around, so a pattern names the subject it wants ("patient
expired") instead of excluding the ones it does not ("father deceased", "expired prescriptions").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lang1_assets.ops.tasks import TASKS

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
DATE = (
    rf"(?:\d{{1,4}}[/-]\d{{1,2}}(?:[/-]\d{{1,4}})?|{_MONTH}\.? \d{{1,2}}|\d{{1,2}} {_MONTH}"
    # What MIMIC puts for a date: [**2151-7-16**], which cleaning leaves as [ 2151-7-16 ].
    r"|\[[* ]{0,3}\d{1,4}-\d{1,2}(?:-\d{1,2})?[* ]{0,3}\])"
)
_PATIENT = r"(?:patients?|pt|infant|baby|neonate|newborn)"
_WAS = r"(?:(?:has|had|have|was|were|is|been|being|then|initially|subsequently|ultimately|unfortunately|later|again) )*"
# A measure that the hospital gives, not one that is expected, from before or of somebody else: it opens a sentence or line,
# or follows one of these words.
_GIVEN = r"(?:^|[^a-z0-9 ] ?|\b(?:total|actual|final|hospital|inpatient|overall|the|his|her|their|with) )"
_IS = r"(?: ?[:=-]| is| was| of)? ?"


@dataclass(frozen=True, kw_only=True)
class OutcomePhrase:
    """One pattern of one task, with synthetic sentences that say what it is for."""

    phrase_id: str
    task: str
    pattern: str
    """Rust regular expression; (?i) is put before it."""
    examples: tuple[str, ...]
    """Each is matched."""
    counterexamples: tuple[str, ...] = ()
    """None is matched."""


def _phrase(task: str, phrase_id: str, pattern: str, examples: list[str], but_not: list[str]) -> OutcomePhrase:
    return OutcomePhrase(
        phrase_id=phrase_id, task=task, pattern=pattern, examples=tuple(examples), counterexamples=tuple(but_not)
    )


OUTCOME_PHRASES: tuple[OutcomePhrase, ...] = (
    _phrase(
        "mortality",
        "disposition_death",
        r"\b(?:disposition|discharged to|discharge status|discharge condition)(?: ?[:=-]| is| was| to)? ?"
        r"(?:expired|deceased|dead|died|death|morgue)\b",
        ["Discharge disposition: Expired", "Discharge Condition: deceased.", "Disposition morgue"],
        ["Disposition: home. Expired medications discarded", "Disposition: admit"],
    ),
    _phrase(
        "mortality",
        "time_of_death",
        r"\b(?:time|date|hour)(?: and (?:time|date))? of (?:death|expiration|demise)\b",
        ["Time of death 04:12", "date and time of death: 3/4"],
        ["fear of death", "cause of death of her mother unknown", "at the time of deathly pallor"],
    ),
    _phrase(
        "mortality",
        "time_beside_death",
        r"\bTOD ?[:=-]? ?\d{1,2}:?\d{2}\b|\bdeceased (?:at )?(?:\d{4}|\d{1,2}:\d{2})\b",
        ["TOD 04:12", "TOD: 0412", "deceased 0400"],
        ["today 12 units", "deceased donor kidney 2014", "deceased at 60"],
    ),
    _phrase(
        "mortality",
        "died_in_hospital",
        rf"\b{_PATIENT}\.? {_WAS}(?:died|expired|passed away) (?:here |peacefully )?(?:in|on|at) (?:the |our )?"
        r"(?:icu|micu|sicu|ccu|nicu|picu|hospital|unit|ward|floor|ed|emergency department|operating room|bedside)\b",
        ["pt. died in the ICU", "The patient expired in our hospital", "patient passed away at bedside"],
        ["her brother died in the hospital", "patients with sepsis in the ICU"],
    ),
    _phrase(
        "mortality",
        "pronounced_dead",
        r"\b(?:pronounced|declared) (?:brain )?(?:dead|deceased|expired)\b|\bdeath (?:was )?(?:pronounced|declared)\b",
        ["He was pronounced dead by the team", "declared brain dead", "Death was pronounced at the bedside"],
        ["pronounced dyspnea", "pronounced weakness, dead space ventilation"],
    ),
    _phrase(
        "mortality",
        "patient_expired",
        # Of a person who "passed away", he or she is most often a relative; of one who "expired", the patient.
        rf"\b(?:{_PATIENT} {_WAS}(?:expired|deceased|passed away)|(?:he|she|they) {_WAS}expired)"
        r"(?: (?:and|on|at|in|this|from|due|despite|after|during|of|secondary|peacefully|shortly|before|overnight|with)\b"
        r"| ?[.,;:)]|$)",
        [
            "Patient expired.",
            "pt has unfortunately passed away on 3/4",
            "She expired peacefully",
            "Patient is deceased",
        ],
        [
            "Family history: father deceased",
            "Patient expired prescriptions were discarded",
            "expiratory wheeze",
            "her mother passed away at 60",
            "My father had liver cancer and he passed away from that",
            "Patient has expired inhalers at home",
            "Patient had deceased donor kidney transplant",
        ],
    ),
    _phrase(
        "mortality",
        "patient_died",
        # "he died", "she died" are most often about a relative; "the patient died" is not.
        rf"\b{_PATIENT} {_WAS}died\b",
        ["The patient died two days later", "pt subsequently died"],
        ["patient's father died at 60", "She died of breast cancer at 50 (mother)"],
    ),
    _phrase(
        "mortality",
        "passed_away_on",
        rf"(?:^|[.;:] ?|\b(?:he|she|they) )passed away (?:peacefully )?(?:on |at )?(?:{DATE}|\d{{1,2}}:\d{{2}})",
        ["Passed away on 3/4/2019.", "Comfort measures. She passed away on March 4"],
        ["wife passed away on 3/4/2009", "Passed away: father, mother", "she passed away at the age of 85"],
    ),
    _phrase(
        "mortality",
        "after_death",
        r"\b(?:autops(?:y|ies)|necropsy|post-?mortem (?:exam|examination|care)"
        r"|death (?:certificate|summary|note|pronouncement)|(?:medical examiner|coroner) (?:was )?"
        r"(?:notified|contacted|called|declined|accepted|case)|(?:body|remains) (?:was|were )?(?:released|sent) to)\b",
        ["Autopsy declined by the family", "Death certificate completed", "medical examiner notified"],
        ["postmenopausal", "seen by the medical student, examiner's findings as above"],
    ),
    _phrase(
        "readmission",
        "readmitted_on_date",
        rf"\bre-?(?:admitted|hospitalized|presented) (?:again )?(?:to [a-z ]{{1,40}})?on {DATE}",
        [
            "Readmitted on 3/4 with dyspnea",
            "was re-admitted on March 12",
            "readmitted to the hospital on [ 2151-7-16 ]",
        ],
        ["prior readmission", "at high risk of being readmitted on this regimen", "readmission risk high"],
    ),
    _phrase(
        "readmission",
        "readmitted_within",
        rf"\b(?:{_PATIENT}|he|she|they|and|then|was|were) {_WAS}re-?(?:admitted|hospitalized) "
        r"(?:within|in \d|after \d|the (?:next|following)|\d+ (?:days?|weeks?))",
        [
            "was readmitted within 30 days",
            "Patient was subsequently re-admitted 9 days later",
            "and readmitted in 2 weeks",
        ],
        ["Patient was readmitted with the same complaint last year", "to avoid readmission within 30 days"],
    ),
    _phrase(
        "readmission",
        "returned_on_date",
        r"\b(?:returned|came back|re-?presented) to (?:the |our )?(?:ed|er|emergency (?:department|room)|hospital)"
        rf" (?:again )?on {DATE}",
        ["She returned to the ED on 3/9", "came back to the hospital on May 2"],
        ["return to the ED if symptoms recur", "Patient returned to the ED with pain prior to this admission"],
    ),
    _phrase(
        "readmission",
        "readmission_dated",
        rf"\b(?:date of re-?admission|re-?admission date)\b|\bre-?(?:admission|admit) ?(?:[:=]|on|for) ?{DATE}"
        rf"|\b(?:to be|will be|planned to be|scheduled to be) re-?admitted (?:on )?{DATE}",
        ["Readmission date: 3/9", "Readmission on 4/2", "will be readmitted on 5/1 for chemotherapy"],
        ["prior readmission", "Readmission risk: high", "will be readmitted if needed"],
    ),
    _phrase(
        "readmission",
        "readmission_flag",
        r"\b(?:30|thirty)[- ]day re-?admission(?: flag)? ?[:=] ?(?:y|yes|n|no|true|false|[01])\b",
        ["30-day readmission: yes", "30 day readmission flag = 1"],
        ["30-day readmission risk: high"],
    ),
    _phrase(
        "length_of_stay",
        "length_of_stay_days",
        rf"{_GIVEN}length of (?:hospital )?stay(?: \(los\))?{_IS}\d+",
        ["Length of stay: 5 days", "Total length of stay was 12 days", "Plan: length of stay 3"],
        ["Expected length of stay: 3 days", "length of stay to be determined", "Estimated length of stay 2 midnights"],
    ),
    _phrase(
        "length_of_stay",
        "los_days",
        rf"{_GIVEN}(?-i:LOS)(?: \(days\))?{_IS}\d+",
        ["LOS 5", "Hospital LOS: 12 d", "LOS = 4"],
        ["ELOS 3 days", "expected LOS 2-3 days", "Los 3 hijos", "LOS expected 2 midnights"],
    ),
    _phrase(
        "length_of_stay",
        "discharged_on",
        rf"\bdischarged (?:to )?(?:home |rehab |snf )?(?:in stable condition )?on (?:{DATE}"
        r"|(?:hospital|post-?operative|post-?op) day ?#? ?\d+|(?:hd|pod) ?#? ?\d+)",
        ["Discharged on 3/4", "discharged home on hospital day 4", "discharged to rehab on POD 3"],
        ["will be discharged on antibiotics", "discharged on aspirin 81 mg"],
    ),
    _phrase(
        "length_of_stay",
        "discharge_date",
        rf"{_GIVEN}(?:discharge date(?: and time)?|date of discharge|discharge time) ?:",
        ["Discharge date: 3/4", "Date of discharge: March 4"],
        ["Expected discharge date: 3/4", "anticipated date of discharge: 3/4", "discharge planning: home"],
    ),
    _phrase(
        "insurance_denial",
        "claim_denied",
        rf"\b(?:claims?|payment|reimbursement) {_WAS}(?:denied|rejected)\b|\b(?:denied|rejected) claims?\b",
        ["The claim was denied", "claim initially denied", "denied claim"],
        ["Patient denies fever", "claims he denied chest pain", "Denied alcohol use; claims adherence"],
    ),
    _phrase(
        "insurance_denial",
        "denial_document",
        r"\b(?:denial (?:letter|notice|received|reason|code|number|upheld|overturned|rate)"
        r"|(?:insurance|claim|payer|coverage|medical necessity|authorization|clinical) denial)\b",
        ["Denial letter received", "insurance denial under review", "denial upheld"],
        ["in denial about the diagnosis", "denial of symptoms"],
    ),
    _phrase(
        "insurance_denial",
        "determination",
        r"\b(?:adverse|favorable|unfavorable)(?: [a-z]+)? determination\b|\bdetermination ?[:=] ?(?:un)?favorable\b",
        ["final, adverse determination", "favorable determination after review", "adverse benefit determination"],
        ["adverse drug reaction", "favorable prognosis", "determination of capacity"],
    ),
    _phrase(
        "insurance_denial",
        "authorization_denied",
        rf"\b(?:pre-?)?auth(?:orization)?s? {_WAS}(?:denied|rejected)\b|\b(?:denied|rejected) (?:pre-?)?auth\w*",
        ["Authorization denied", "prior auth was denied", "denied authorization"],
        ["Authorization approved", "Authorization pending. Denied chest pain"],
    ),
    _phrase(
        "insurance_denial",
        "coverage_denied",
        rf"\b(?:insurance|insurer|payer|payor|coverage|medicare|medicaid|stay|admission) {_WAS}denied\b"
        r"|\bdenied by (?:the )?(?:insurance|insurer|payer|payor|plan|medicare|medicaid)\b",
        ["Coverage denied", "Admission was denied by the payer", "denied by insurance"],
        ["On admission, denied fever", "Insurance: Medicaid. Denied falls", "denied by the patient"],
    ),
    _phrase(
        "insurance_denial",
        "appeal",
        r"\b(?:insurance|claim|payer|denial|formal|expedited|written|(?:first|second)[- ]level) appeals?\b"
        r"|\bappeal(?:s|ed)? (?:was |were |is |has been )?"
        r"(?:filed|submitted|denied|upheld|overturned|pending|letter|process|won|lost|successful)\b"
        r"|\b(?:on|under|upon|following|filed an|pending) appeal\b",
        ["Appeal filed", "denied again on appeal", "first-level appeal", "appeal letter sent"],
        ["food is not appealing", "appears well", "the idea appeals to him"],
    ),
    _phrase(
        "comorbidity",
        "charlson_score",
        r"\bcharlson(?:'s)?(?: (?:weighted )?co-?morbidity)?(?: (?:index|score))*(?: \(cci\))?(?: score)?"
        r"(?: ?[:=-]| is| was| of)? ?\d+",
        ["Charlson comorbidity index: 3", "Charlson score of 5", "Charlson Comorbidity Index (CCI) = 2", "charlson 4"],
        ["Dr. Charlson, bed 3", "Charlson comorbidity index not computed"],
    ),
    _phrase(
        "comorbidity",
        "cci_score",
        rf"\b(?-i:CCI)\)?(?: score)?{_IS}\d+",
        ["CCI 4", "CCI: 2", "(CCI) score of 6"],
        ["3 cci", "CCI pending", "vaccine 4"],
    ),
    _phrase(
        "comorbidity",
        "ten_year_survival",
        # What a Charlson calculator prints beside the score.
        r"\bestimated (?:10|ten)[- ]year (?:survival|mortality)\b",
        ["Estimated 10-year survival: 53 %"],
        ["10-year cardiovascular risk 12 %"],
    ),
)


def phrases_of(task: str) -> tuple[OutcomePhrase, ...]:
    """Of a hospital's own task, the texts that its file names, letter for letter."""
    own = TASKS[task].cohort if task in TASKS else None
    texts = own.outcome_phrases if own else ()
    patterns = (_phrase(task, f"own_{number}", re.escape(text), [text], []) for number, text in enumerate(texts))
    return (*(phrase for phrase in OUTCOME_PHRASES if phrase.task == task), *patterns)
