"""Wordings of the facts in the admission note (H&P): for each slot and level, narrative | telegraphic | recent ones.

Wordings are separated by |. The recent ones come up over the years and dominate in 2024. No wording tells an outcome.
"""

# ruff: noqa: E501  (tables of wordings and sections read better with a row a line)

from __future__ import annotations

Level = tuple[str, str, str]
"""Narrative, telegraphic and recent wordings of one level."""

SEVERITY: list[Level] = [
    ("Comfortable and well appearing|In no acute distress, speaking in full sentences|Alert and oriented, well perfused",
     "NAD, well appearing|AOx3, NAD|looks well", "Well appearing, NEWS2 of 0|Sitting up comfortably on room air"),
    ("Mildly ill appearing but stable|Uncomfortable but hemodynamically stable|Tired appearing, mildly tachycardic",
     "mildly ill, HDS|uncomfortable, stable|mild tachy", "Mildly ill, NEWS2 of 3|Stable on room air, sepsis screen negative"),
    ("Ill appearing and diaphoretic|Moderately distressed, requiring nasal cannula oxygen|Ill appearing, borderline blood pressure",
     "ill appearing, 2L NC|mod distress, diaphoretic|soft BP, ill", "Ill appearing, NEWS2 of 6|Moderate distress, rapid response consulted"),
    ("Severely hypotensive despite fluids, transferred to step-down|In severe respiratory distress on BiPAP|Obtunded and mottled",
     "severe distress, BiPAP|hypotensive despite 3L IVF|obtunded, mottled", "Severe distress on high-flow oxygen, NEWS2 of 10|Obtunded, critical care outreach at bedside"),
    ("Intubated and on vasopressors in septic shock|Unresponsive after cardiac arrest, intubated|Multiorgan failure on two vasopressors",
     "intubated, on pressors|s/p cardiac arrest, intubated|MOF, 2 pressors", "Intubated, refractory shock on norepinephrine and vasopressin|Post-arrest, targeted temperature management"),
]  # fmt: skip

GOALS: list[Level] = [
    ("Full code|Code status is full code", "full code|FC", "Code status: full code, verified in chart"),
    ("Code status is do not resuscitate|DNR and DNI per the patient", "DNR|DNR/DNI", "MOLST reviewed: DNR/DNI|DNR order active in chart"),
    ("Family wishes to focus on comfort only|Prognosis grave, family meeting about comfort measures",
     "comfort care|CMO per family|grave prognosis", "Serious illness conversation held, comfort focused care chosen|Grave prognosis, comfort order set opened"),
]  # fmt: skip

FUNCTION: list[Level] = [
    ("Independent in all activities of daily living|Walks without assistance", "indep ADLs|ambulatory", "Independent, AM-PAC 24"),
    ("Walks with a walker and needs help with bathing|Requires assistance with daily activities", "walker, assist ADLs|needs assist", "Needs one-person assist, AM-PAC 16"),
    ("Bedbound and dependent in all care|Totally dependent, nursing home resident", "bedbound|total care, NH", "Dependent for all care, bedbound, AM-PAC 6"),
]  # fmt: skip

EXPECTATION: list[Level] = [
    ("Will follow the clinical course|Plan discussed with the team", "follow clinically|d/w team", "Plan of care reviewed with patient"),
    ("Place in observation, likely home tomorrow|Anticipate discharge within 24 to 48 hours|Brief overnight monitoring only",
     "obs, home in AM|likely d/c 24-48h|overnight obs only", "Expected discharge date tomorrow|Fast track, home tomorrow with telehealth visit"),
    ("Anticipate a three day course|Standard three day pathway, home on day three|Needs 72 hours of inpatient care",
     "3 day course|72h pathway|home day 3", "Expected discharge date in 3 days|On the 72 hour care pathway"),
    ("Plan four to five days of intravenous therapy|Expect to stay most of the week|Needs several days of intravenous treatment",
     "4-5d of IV tx|most of wk|several d IV", "Expected discharge date in 5 days|Anticipate midweek transition after several days of therapy"),
    ("Expect a prolonged hospitalization with placement needed|Will need more than a week of intravenous antibiotics|Complex course, long term placement likely",
     "prolonged stay, placement|>1wk IV abx, PICC|complex dispo, SNF placement", "Complex discharge planning team consulted, prolonged stay|Long stay expected, placement barriers noted"),
]  # fmt: skip

PAYER: list[Level] = [
    ("Commercial PPO insurance", "PPO", "Commercial PPO, eligibility verified electronically"),
    ("Commercial HMO insurance", "HMO", "Commercial HMO, eligibility verified electronically"),
    ("Traditional Medicare", "Medicare A/B", "Original Medicare"),
    ("Medicare Advantage plan", "MA plan|Mcare Advantage", "Medicare Advantage plan, AI utilization review"),
    ("Managed Medicaid plan", "managed MCD|Medicaid HMO", "Medicaid managed care, recertified after unwinding"),
]  # fmt: skip

AUTHORIZATION: list[Level] = [
    ("Prior authorization approved for this admission|Payer notified and authorization on file", "auth approved|auth on file", "Authorization approved through the payer portal"),
    ("No authorization required by the payer|Authorization exempt as emergent", "no auth needed|auth exempt", "No authorization required per payer rules engine"),
    ("Authorization request submitted and still awaiting an answer|Authorization decision awaited from the payer", "auth submitted, awaiting|auth awaited", "Electronic authorization queued, awaiting payer response"),
    ("Authorization was never obtained before this admission|Late notification of the payer, authorization window missed", "no auth obtained|late notif, auth missed", "Authorization missed, portal outage documented"),
    ("Out of network facility for this plan|Patient is out of network", "out of network|OON", "Out of network, No Surprises Act notice given"),
    ("Payer disputes medical necessity and requests a peer to peer review|Medical necessity questioned by the insurer",
     "payer wants P2P, med nec disputed|med necessity questioned", "Payer algorithm flags medical necessity, peer to peer requested"),
]  # fmt: skip

LEVEL_OF_CARE: list[Level] = [
    ("Inpatient criteria met on review|Meets criteria for inpatient level of care", "meets inpt criteria|InterQual met", "Two-midnight rule met|MCG inpatient criteria met"),
    ("Case management to follow|Level of care to be reviewed", "CM to follow|LOC review", "Utilization review in progress"),
    ("Does not meet inpatient criteria on first review|Inpatient criteria failed, physician advisor consulted",
     "fails inpt criteria|InterQual not met", "Two-midnight rule not met, physician advisor consulted|MCG inpatient criteria not met"),
]  # fmt: skip

LACTATE_LABEL: Level = ("lactate|serum lactate", "lact|LA", "lactic acid|POC lactate")

ONSET: Level = (
    "Symptoms began a few days ago and slowly worsened|Symptoms started yesterday evening|The course was gradual over the past week|"
    "Similar milder symptoms occurred last month|The patient was brought by family",
    "onset few d ago|sx since yesterday|gradual onset|brought by fam",
    "Symptoms first reported through the patient portal|Seen by telehealth before arrival|COVID-19 vaccination up to date",
)

PERTINENT_NEGATIVES: Level = (
    "Denies fever, chills or night sweats|Denies headache or vision changes|Denies recent travel or sick contacts|No rash or joint pain|"
    "Denies shortness of breath or leg swelling",
    "denies f/c|denies HA|no recent travel|no rash|denies SOB",
    "Denies fever or loss of smell|COVID-19 PCR negative|Denies vaping|Ambient scribe used, patient agreed",
)

MEDICATIONS: Level = (
    "Home medications include lisinopril and atorvastatin|Takes omeprazole and a multivitamin|Home medications are metoprolol and aspirin|"
    "Takes levothyroxine daily|Home medications reviewed with the pharmacy",
    "meds: lisinopril, ASA|meds: omeprazole|meds: metoprolol, statin|meds: MVI|meds per pharm",
    "Home medications include apixaban and rosuvastatin|Takes semaglutide weekly|Medication list reconciled electronically|Takes losartan and ezetimibe",
)

ALLERGIES: Level = (
    "No known drug allergies|Allergic to penicillin|Allergic to sulfa drugs|Allergies reviewed",
    "NKDA|PCN allergy|sulfa allergy|NKA",
    "Penicillin allergy delabeled|Allergies marked as reviewed|No known allergies",
)

SOCIAL: Level = (
    "Never smoked|Former smoker|Drinks alcohol socially|Works in an office|Retired teacher|Lives with family",
    "nonsmoker|ex-smoker|social EtOH|retired|lives w/ fam",
    "Former e-cigarette use|Works remotely|Social drivers of health screen completed|Never smoker",
)

EXAM_DETAIL: Level = (
    "Heart sounds are regular without murmur, lungs have no crackles, and the abdomen is soft and not tender|Pupils are equal, neck is "
    "supple, and strength is full in all limbs|Skin is warm and dry, pulses are palpable, and there is no edema of the legs|The chest "
    "film and electrocardiogram were reviewed by the admitting team and will be compared with old studies",
    "RRR no m/r/g, CTAB, abd soft NT ND, no c/c/e|PERRL, neck supple, 5/5 strength x4|skin warm, pulses 2+, no edema|CXR and EKG reviewed "
    "by admitting team",
    "Focused ultrasound shows good function, no pericardial fluid and a collapsible vena cava|Examined with proper eye protection and mask; "
    "regular rhythm, clear lungs, soft abdomen|Skin assessment with photographs in the media tab, pulses palpable, no edema",
)

PLAN: Level = (
    "Admit for further management|Continue home medications as appropriate|Start fluids and serial examinations|Consult services as needed|"
    "Repeat laboratory studies in the morning",
    "admit, IVF|cont home meds|serial exams|AM labs|consults prn",
    "Admit, order set initiated|Virtual nursing and remote monitoring ordered|Antimicrobial stewardship following|Deprescribing pharmacist consulted",
)

NEGATION_FRAMES: list[tuple[Level, str, str]] = [
    (("Denies any history of |No history of |Never diagnosed with ", "no h/o |denies |(-) ", "Chart review shows no history of |Denies "), " or ", ""),
    (("Screening was negative for |Negative for ", "neg for |r/o'd for ", "Problem list negative for "), " and ", ""),
]  # fmt: skip

FAMILY_FRAMES: list[tuple[Level, str, str]] = [
    (("Family history is notable for |Mother had |Father and brother with ", "FHx: |mom w/ |father w/ ", "Family history (cascade updated): "), " and ", ""),
]  # fmt: skip

COPIED_FRAME: Level = (
    "Per a prior note from an earlier admission|Copied forward from the previous record|As documented at an outside visit years ago",
    "per old note|prev adm note (copied)|from OSH records, yrs ago",
    "Care Everywhere excerpt from a past encounter|Imported from a previous encounter|Prior note text pulled forward",
)
