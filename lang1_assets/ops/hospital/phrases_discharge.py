"""Wordings of the facts in the discharge note: narrative | telegraphic | recent. None says whether the patient came back."""

# ruff: noqa: E501  (tables of wordings and sections read better with a row a line)

from __future__ import annotations

from lang1_assets.ops.hospital.phrases_admission import Level

ADMISSIONS: list[Level] = [
    ("This was the first hospitalization in the past year|No other admissions in the past twelve months", "1st adm this yr|no adm x12mo", "Zero admissions in the prior year per chart analytics"),
    ("One earlier hospitalization in the past year|Was hospitalized once before in the past twelve months", "1 prior adm this yr|1 adm in 12mo", "One admission in the prior year per chart analytics"),
    ("Two earlier hospitalizations in the past year|Hospitalized twice before within the year", "2 prior adm this yr|2 adm in 12mo", "Two admissions in the prior year, care management enrolled"),
    ("Multiple hospitalizations in the past year|A frequent utilizer with many recent admissions", "freq flyer, many adm|multiple adm this yr", "High utilizer, multiple admissions flagged by the analytics dashboard"),
]  # fmt: skip

ADHERENCE: list[Level] = [
    ("Takes all medications reliably|Good understanding of the medications", "compliant w/ meds|good med understanding", "Teach-back completed, meds to beds delivered"),
    ("Sometimes misses doses of medications|Limited understanding of the regimen", "misses doses|limited understanding", "Pharmacy fill gaps noted|Limited health literacy screen"),
    ("Stopped taking medications at home and refuses teaching|Repeatedly nonadherent to medications", "noncompliant|stopped all meds", "Medication nonadherence, cost barrier documented|Not taking medications as prescribed"),
]  # fmt: skip

SUPPORT: list[Level] = [
    ("Supportive family at home|Lives with spouse who helps", "supportive fam|lives w/ spouse", "Caregiver identified and trained, family engaged"),
    ("Home nursing visits were arranged|Visiting nurse will follow", "VNA set up|home RN", "Home health agency accepted electronically"),
    ("Lives alone with little help|No caregiver available at home", "lives alone|no caregiver", "Lives alone, social isolation screen positive"),
    ("Unstable housing, returns to a shelter|Homeless with no place to recover", "homeless|shelter", "Unhoused, medical respite waitlisted|Housing insecurity, returns to shelter"),
]  # fmt: skip

FOLLOW_UP: list[Level] = [
    ("Clinic visit booked within seven days|Follow-up with primary care is set for this week", "f/u 1 wk booked|PCP this wk", "Post-discharge telehealth visit booked within 7 days|Transitional care visit booked this week"),
    ("Follow-up in two to four weeks|Should see primary care next month", "f/u 2-4 wk|PCP next mo", "Follow-up request routed to the clinic pool, 2-4 weeks"),
    ("No follow-up appointment could be scheduled|Follow-up not arranged at the time of leaving", "no f/u made|f/u not arranged", "No follow-up slot available, placed on waitlist"),
    ("Declined follow-up and left in a hurry|Refused all outpatient appointments", "refused f/u|declined appts", "Declined follow-up and portal enrollment|Refused transitional care program"),
]  # fmt: skip

PENDING: list[Level] = [
    ("Symptoms resolved completely|Feels back to baseline", "sx resolved|at baseline", "Back to baseline, patient-reported outcome score normal"),
    ("Mild symptoms remain|Still somewhat weak", "mild residual sx|still weak", "Mild residual symptoms, remote monitoring offered"),
    ("Still short of breath on leaving|Persistent symptoms with unresolved infection|Wound still draining", "still SOB at d/c|unresolved infxn|wound draining", "Leaves with persistent symptoms and high LACE+ index|Unresolved symptoms, hospital-at-home declined"),
]  # fmt: skip

HEMOGLOBIN_LABEL: Level = ("hemoglobin|hemoglobin at discharge", "Hgb|hgb", "HGB|Hgb (last)")

COURSE: Level = (
    "The hospital course was uncomplicated|Treated with good response|Managed by the primary team with consultants|Improved with supportive care",
    "course uncomplicated|good response|improved on tx|consults followed",
    "Hospital course summarized with assistive software|Improved on the standard pathway|Early mobility protocol completed",
)

DIET: Level = (
    "Resume a regular diet|Low salt diet advised|Activity as tolerated|Avoid heavy lifting",
    "reg diet|low Na diet|activity as tol|no heavy lifting",
    "Heart healthy diet handout sent to portal|Activity goals set on smartphone application",
)

STATUS_DETAIL: Level = (
    "On the last examination the lungs were without crackles, the abdomen was soft, and the wound or line sites were clean|The patient "
    "was walking in the hallway, eating regular meals, and had normal bowel and bladder function|Vital signs were within the usual range "
    "on the last morning and no new consult recommendations were outstanding",
    "last exam: CTAB, abd soft, sites clean|ambulating, tol PO, voiding|VSS on last AM, consults signed off",
    "Final assessment by the virtual team: clear lungs, soft abdomen, lines removed|Mobility goal met on the unit tablet, tolerating diet, "
    "voiding without difficulty|Discharge checklist in the record completed, consult teams signed off by secure chat",
)

TEACHING: Level = (
    "Written and spoken instructions covered diet, activity, and warning signs, and the patient could repeat them in part|A copy of this "
    "summary was sent to the primary physician, and the pharmacy was told of all changes|Therapists and the social worker saw the patient "
    "and gave their recommendations to the team",
    "instr given: diet, activity, warning signs|copy to PCP, pharmacy aware|PT/OT/SW saw pt",
    "Interactive education videos on diet, activity, and warning signs were assigned in the portal|Summary routed to the primary physician "
    "through the exchange, pharmacy notified of all changes|Therapy and social work notes are linked in the encounter timeline",
)

RETURN_PRECAUTIONS: Level = (
    "Return precautions were reviewed|Advised to call for fever or pain|Instructions given in writing",
    "return precautions given|call for fever|instr given",
    "After visit summary released to portal|Return precautions reviewed by video interpreter",
)

DISCHARGE_MEDICATIONS: Level = (
    "Discharge medications include lisinopril and aspirin|Continue metoprolol and atorvastatin|Complete the course of oral antibiotics|"
    "Medications are unchanged",
    "d/c meds: ASA, statin|cont metoprolol|PO abx to finish|meds unchanged",
    "Discharge medications reconciled electronically, apixaban continued|Naloxone kit dispensed|Empagliflozin started",
)
