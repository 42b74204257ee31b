"""The chronic conditions of the Charlson index: how notes name them and how the synthetic hospital codes them.

A family is a Charlson category, with the milder and severer forms of one disease together, because Quan (2005) counts
only the severer. A concept is one form of a family.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FAMILIES = (
    "infarction", "failure", "vascular", "stroke", "dementia", "lung", "rheumatic", "ulcer", "liver", "diabetes",
    "paralysis", "kidney", "cancer", "hiv",
)  # fmt: skip
NUM_FAMILIES = len(FAMILIES)


@dataclass(frozen=True)
class Concept:
    """One form of a chronic condition."""

    family: str
    weight: int
    """Charlson weight (Charlson 1987)."""
    long: str
    """Names in full, separated by |."""
    short: str
    new: str
    """Names of the last years."""
    icd9: str
    icd10: str


CONCEPTS = (
    Concept("infarction", 1, "prior myocardial infarction|old heart attack", "old MI|hx MI|s/p MI",
            "prior STEMI with DES|type 1 MI in the past", "412 41072 41011", "I252 I214 I2119"),
    Concept("failure", 1, "congestive heart failure|systolic heart failure", "CHF|chronic CHF|sCHF",
            "HFpEF|HFrEF on GDMT", "4280 42822 42832", "I5022 I5032 I509"),
    Concept("vascular", 1, "peripheral vascular disease|peripheral arterial disease", "PVD|PAD",
            "PAD with prior endovascular stent|symptomatic PAD", "4439 44021", "I739 I70213"),
    Concept("stroke", 1, "prior stroke|cerebrovascular accident", "old CVA|hx CVA|prior TIA",
            "ischemic stroke after thrombectomy|prior stroke on DAPT", "43491 436 4359", "I639 I6930 G459"),
    Concept("dementia", 1, "dementia|Alzheimer disease", "dementia|AD",
            "major neurocognitive disorder|Alzheimer dementia", "2900 29410 3312", "G309 F0390 F0150"),
    Concept("lung", 1, "chronic obstructive pulmonary disease|emphysema", "COPD|emphysema",
            "COPD GOLD 3|COPD on triple inhaler", "496 4928 49121", "J449 J439 J441"),
    Concept("lung", 1, "asthma|persistent asthma", "asthma|RAD",
            "asthma on SMART therapy|eosinophilic asthma", "49390 49392", "J45909 J4540"),
    Concept("rheumatic", 1, "rheumatoid arthritis|systemic lupus", "RA|SLE",
            "seropositive RA on biologic|lupus on belimumab", "7140 7100", "M069 M329"),
    Concept("ulcer", 1, "peptic ulcer disease|gastric ulcer", "PUD|hx gastric ulcer",
            "H. pylori ulcer disease|NSAID gastropathy with ulcer", "53190 53390", "K259 K279"),
    Concept("liver", 1, "chronic hepatitis|fatty liver disease", "NAFLD|chronic hep B",
            "MASLD|steatotic liver disease", "5718 57140", "K760 K739"),
    Concept("liver", 3, "decompensated cirrhosis with varices|cirrhosis with hepatorenal syndrome",
            "ESLD|cirrhosis c/b varices", "decompensated cirrhosis, high MELD 3.0", "5723 5722", "K766 K767"),
    Concept("diabetes", 1, "type 2 diabetes|diabetes mellitus", "DM2|T2DM|NIDDM",
            "T2DM on GLP-1 RA|T2DM on SGLT2i", "25000 25002", "E119 E1165 E118"),
    Concept("diabetes", 2, "diabetes with neuropathy|diabetic retinopathy", "DM c/b neuropathy|DM w/ retinopathy",
            "diabetic kidney and eye disease|T2DM with neuropathy, CGM in place", "25060 25050", "E1140 E11319"),
    Concept("paralysis", 2, "hemiplegia|paraplegia", "hemiplegia|paraplegia",
            "spastic hemiplegia on botulinum|paraplegia with baclofen pump", "34290 3441", "G8190 G8220"),
    Concept("kidney", 2, "chronic kidney disease|end-stage renal disease", "CKD|ESRD|CKD3",
            "CKD stage 3b (race-free eGFR)|kidney failure on dialysis", "5853 5859 5856", "N183 N189 N186"),
    Concept("cancer", 2, "colon cancer|breast cancer|lymphoma|prostate cancer", "colon CA|breast CA|NHL|prostate CA",
            "lymphoma after CAR-T|breast cancer on CDK4/6 inhibitor", "1539 1749 20280 185", "C189 C50911 C8590 C61"),
    Concept("cancer", 6, "metastatic lung cancer|metastatic cancer", "met lung CA|mets to liver|stage IV CA",
            "metastatic cancer on immunotherapy|stage IV adenocarcinoma on pembrolizumab", "1977 1970 1985",
            "C787 C7800 C7951"),
    Concept("hiv", 6, "HIV infection|advanced HIV disease", "HIV|HIV/AIDS", "HIV on bictegravir|people-first: HIV",
            "042", "B20"),
)  # fmt: skip

FAMILY_OF_CONCEPT = np.array([FAMILIES.index(concept.family) for concept in CONCEPTS])
WEIGHT_OF_CONCEPT = np.array([concept.weight for concept in CONCEPTS])


def _forms_of_family() -> tuple[np.ndarray, np.ndarray]:
    mild = np.array([np.flatnonzero(family == FAMILY_OF_CONCEPT)[0] for family in range(NUM_FAMILIES)])
    severe = mild.copy()
    for family in ("liver", "diabetes", "cancer"):
        severe[FAMILIES.index(family)] = mild[FAMILIES.index(family)] + 1
    return mild, severe


MILD, SEVERE = _forms_of_family()
"""Concept of the milder and of the severer form of each family; the same where a family has one."""

ASTHMA = 6
LUNG = FAMILIES.index("lung")
KIDNEY = FAMILIES.index("kidney")
ASTHMA_MAXIMUM_AGE = 39

# Frequencies of the families below 18 years, from 18 to 59, and from 60.
AGE_BANDS = (18, 60)
FAMILY_FREQUENCY = np.array(
    [
        [0.001, 0.02, 0.001, 0.01, 0.0, 1.0, 0.10, 0.01, 0.05, 0.5, 0.05, 0.06, 0.08, 0.01],
        [0.30, 0.35, 0.20, 0.30, 0.0, 1.0, 0.35, 0.20, 0.55, 1.3, 0.20, 0.60, 0.60, 0.20],
        [0.80, 1.20, 0.60, 0.80, 0.60, 1.2, 0.25, 0.20, 0.35, 1.4, 0.15, 1.10, 0.80, 0.06],
    ]
)

OTHER_CODES_ICD9 = (
    "4019", "2724", "53081", "30000", "311", "2449", "27800", "32723", "71590", "2859", "2768", "2761", "V1582",
    "V5867", "33829", "78052", "60000",
)  # fmt: skip
OTHER_CODES_ICD10 = (
    "I10", "E785", "K219", "F419", "F329", "E039", "E669", "G4733", "M1990", "D649", "E876", "E871", "Z87891", "Z794",
    "G8929", "G4700", "N400",
)  # fmt: skip
