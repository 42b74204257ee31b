"""Reasons for admission: who they strike, how long such stays last, how dangerous and how disputed they are.

None of them is itself a Charlson condition, so that comorbidity is decided by the stated history alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scenario:
    """A reason for admission."""

    key: str
    department: str
    kind: str
    """Usual admission type."""
    ages: tuple[int, int]
    sex: str
    """F, M or both (B)."""
    weight: float
    """Relative frequency."""
    stay: tuple[float, float, float, float]
    """Chances of 0-2, 3, 4-5 and more than 5 days, before everything else is known."""
    acuity: float
    """Shifts how sick the patient arrives."""
    denial: float
    """Effect on the logit of a denial."""
    codes: tuple[str, str]
    """Principal ICD-9-CM and ICD-10-CM code."""
    long: str
    """Wordings of the narrative, separated by |."""
    short: str
    """Wordings of a telegraphic note."""
    new: str
    """Wordings that came up in the last years."""


SCENARIOS = (
    Scenario("chest_pain", "Cardiology", "emergency", (35, 90), "B", 8, (0.84, 0.09, 0.05, 0.02), -0.1, 0.6,
             ("78650", "R0789"), "substernal chest pain at rest|chest pressure radiating to the left arm",
             "CP, r/o ACS|chest pain x 4h", "chest pain on the hs-troponin pathway|low HEART score chest pain"),
    Scenario("syncope", "Internal Medicine", "emergency", (30, 95), "B", 4, (0.74, 0.14, 0.08, 0.04), -0.1, 0.6,
             ("7802", "R55"), "a syncopal episode while standing|transient loss of consciousness at home",
             "syncope|s/p syncopal episode", "syncope captured on a smartwatch alert|syncope, tilt protocol"),
    Scenario("delivery", "OB/GYN", "urgent", (17, 44), "F", 12, (0.86, 0.11, 0.02, 0.01), -1.6, -0.8,
             ("650", "O80"), "regular contractions at term|active labor with ruptured membranes at 39 weeks",
             "G2P1 at 39w in labor|term labor, SROM", "spontaneous labor at 39w2d|elective 39-week induction of labor"),
    Scenario("cesarean", "OB/GYN", "elective", (18, 44), "F", 6, (0.12, 0.70, 0.15, 0.03), -1.4, -0.8,
             ("66971", "O82"), "a scheduled repeat cesarean section|cesarean delivery for breech presentation",
             "repeat c/s|c-section for breech", "scheduled cesarean, ERAS pathway|cesarean, TOLAC declined"),
    Scenario("hip_replacement", "Orthopedic Surgery", "elective", (50, 88), "B", 5, (0.18, 0.66, 0.12, 0.04), -1.2, 0.1,
             ("71535", "M1611"), "elective total hip arthroplasty|hip replacement for end-stage osteoarthritis",
             "elective THA|s/p THA, OA", "robotic-assisted total hip|anterior hip arthroplasty, joint bundle"),
    Scenario("knee_replacement", "Orthopedic Surgery", "elective", (50, 88), "B", 5, (0.20, 0.64, 0.12, 0.04), -1.2, 0.1,
             ("71536", "M1711"), "elective total knee arthroplasty|knee replacement for degenerative joint disease",
             "elective TKA|s/p TKA, DJD", "robotic-assisted total knee|knee arthroplasty, joint bundle"),
    Scenario("appendicitis", "Surgery", "emergency", (6, 60), "B", 5, (0.83, 0.10, 0.05, 0.02), -0.8, -0.2,
             ("5409", "K3580"), "right lower quadrant pain from acute appendicitis|acute appendicitis on CT",
             "RLQ pain, appy|acute appendicitis", "uncomplicated appendicitis, antibiotics-first discussed"),
    Scenario("gallbladder", "Surgery", "emergency", (20, 80), "B", 4, (0.62, 0.22, 0.12, 0.04), -0.5, 0.0,
             ("57400", "K8000"), "right upper quadrant pain from acute cholecystitis|biliary colic with gallstones",
             "RUQ pain, cholecystitis|acute chole", "acute cholecystitis, robotic cholecystectomy planned"),
    Scenario("bariatric", "Surgery", "elective", (22, 62), "B", 2, (0.82, 0.12, 0.04, 0.02), -1.3, 1.3,
             ("27801", "E6601"), "elective gastric bypass for morbid obesity|laparoscopic sleeve gastrectomy",
             "elective lap sleeve|gastric bypass", "sleeve gastrectomy after GLP-1 failure|metabolic surgery, ERAS pathway"),
    Scenario("spine", "Neurosurgery", "elective", (35, 80), "B", 2, (0.14, 0.36, 0.38, 0.12), -0.9, 1.2,
             ("72210", "M5116"), "lumbar spinal fusion for stenosis|back pain requiring lumbar decompression and fusion",
             "elective lumbar fusion|PLIF L4-5", "navigated lumbar interbody fusion|endoscopic lumbar decompression"),
    Scenario("cellulitis", "Internal Medicine", "emergency", (18, 90), "B", 4, (0.28, 0.30, 0.32, 0.10), -0.2, 0.4,
             ("6826", "L03116"), "spreading leg cellulitis|redness and warmth of the leg failing oral antibiotics",
             "LLE cellulitis|cellulitis, failed PO abx", "purulent cellulitis, MRSA nares PCR sent"),
    Scenario("pneumonia", "Internal Medicine", "emergency", (20, 95), "B", 6, (0.10, 0.20, 0.52, 0.18), 0.6, 0.0,
             ("486", "J189"), "productive cough and lobar pneumonia|community acquired pneumonia",
             "CAP|PNA, RLL infiltrate", "COVID-19 pneumonia|pneumonia on the respiratory viral panel pathway"),
    Scenario("pyelonephritis", "Internal Medicine", "emergency", (18, 85), "B", 4, (0.24, 0.34, 0.34, 0.08), 0.0, 0.2,
             ("59010", "N10"), "flank pain and pyelonephritis|a complicated urinary tract infection",
             "pyelo|UTI w/ flank pain", "ESBL urinary tract infection|complicated UTI, culture reflex sent"),
    Scenario("sepsis", "Internal Medicine", "emergency", (25, 95), "B", 5, (0.03, 0.05, 0.17, 0.75), 1.5, -0.4,
             ("0389", "A419"), "sepsis of unclear source|urosepsis with bacteremia",
             "sepsis, source unclear|urosepsis", "sepsis alert fired in triage|sepsis bundle activated"),
    Scenario("pancreatitis", "Internal Medicine", "emergency", (20, 80), "B", 3, (0.10, 0.16, 0.42, 0.32), 0.3, 0.0,
             ("5770", "K859"), "epigastric pain from acute pancreatitis|acute pancreatitis with elevated lipase",
             "acute pancreatitis|epigastric pain, lipase up", "acute pancreatitis, moderate by revised Atlanta"),
    Scenario("obstruction", "Surgery", "emergency", (30, 90), "B", 3, (0.08, 0.15, 0.42, 0.35), 0.2, -0.2,
             ("5609", "K56609"), "small bowel obstruction from adhesions|vomiting with small bowel obstruction",
             "SBO, NGT placed|adhesive SBO", "adhesive small bowel obstruction, Gastrografin protocol"),
    Scenario("gi_bleed", "Internal Medicine", "emergency", (35, 92), "B", 4, (0.20, 0.28, 0.38, 0.14), 0.5, 0.1,
             ("5789", "K922"), "melena and a gastrointestinal bleed|bright red blood per rectum",
             "GIB, melena|BRBPR", "gastrointestinal bleed on a DOAC|high Glasgow-Blatchford GI bleed"),
    Scenario("fibrillation", "Cardiology", "emergency", (45, 92), "B", 4, (0.52, 0.28, 0.15, 0.05), 0.0, 0.3,
             ("42731", "I4891"), "palpitations from rapid atrial fibrillation|new atrial fibrillation",
             "AF w/ RVR|new afib", "AF with RVR, direct cardioversion pathway|AF, ablation referral"),
    Scenario("embolism", "Internal Medicine", "emergency", (25, 88), "B", 3, (0.22, 0.32, 0.34, 0.12), 0.6, 0.0,
             ("41519", "I2699"), "acute pulmonary embolism on CT|pleuritic pain from a pulmonary embolus",
             "acute PE|PE on CTA", "intermediate-risk PE, PERT activated|low-risk PE, DOAC started"),
    Scenario("hip_fracture", "Orthopedic Surgery", "emergency", (62, 98), "B", 4, (0.02, 0.08, 0.34, 0.56), 0.5, -0.3,
             ("82021", "S72141A"), "a fall with hip fracture|an intertrochanteric hip fracture",
             "fall, hip fx|IT fx for ORIF", "fragility hip fracture, orthogeriatric co-management"),
    Scenario("seizure", "Neurology", "emergency", (5, 80), "B", 3, (0.48, 0.26, 0.18, 0.08), 0.1, 0.1,
             ("78039", "R569"), "a first generalized seizure|breakthrough seizures",
             "new-onset sz|breakthrough sz", "breakthrough seizure, rapid EEG cap applied"),
    Scenario("bronchiolitis", "Pediatrics", "emergency", (0, 3), "B", 5, (0.68, 0.20, 0.09, 0.03), -0.9, 0.1,
             ("46619", "J219"), "wheezing and bronchiolitis|bronchiolitis with poor feeding",
             "bronchiolitis, RSV+|wheeze, poor PO", "bronchiolitis on heated high-flow|RSV bronchiolitis, no nirsevimab"),
    Scenario("dehydration", "Pediatrics", "emergency", (1, 17), "B", 4, (0.86, 0.09, 0.03, 0.02), -1.1, 0.3,
             ("27651", "E860"), "vomiting and dehydration from gastroenteritis|gastroenteritis with poor oral intake",
             "AGE, dehydration|vomiting, poor PO", "gastroenteritis, oral ondansetron pathway failed"),
    Scenario("withdrawal", "Internal Medicine", "emergency", (22, 70), "B", 3, (0.26, 0.28, 0.34, 0.12), 0.1, 0.7,
             ("29181", "F10230"), "tremor from alcohol withdrawal|alcohol withdrawal after a binge",
             "EtOH w/d|alcohol withdrawal, CIWA 18", "alcohol use disorder in withdrawal, phenobarbital protocol"),
    Scenario("osteomyelitis", "Internal Medicine", "urgent", (30, 85), "B", 2.5, (0.02, 0.05, 0.15, 0.78), 0.2, 0.2,
             ("73007", "M86171"), "osteomyelitis of the foot|a draining foot wound with exposed bone",
             "foot osteo|osteomyelitis, probe to bone", "foot osteomyelitis, limb salvage team following"),
    Scenario("endocarditis", "Cardiology", "transfer", (22, 80), "B", 2, (0.01, 0.03, 0.08, 0.88), 1.1, -0.3,
             ("4210", "I330"), "endocarditis with a mitral vegetation|persistent bacteremia and endocarditis",
             "endocarditis, MV veg|IE, + BCx", "endocarditis team activated for a valve vegetation"),
    Scenario("hemorrhage", "Neurosurgery", "transfer", (25, 92), "B", 2, (0.08, 0.07, 0.18, 0.67), 1.7, -0.5,
             ("8520", "S065X0A"), "a traumatic head injury with bleeding|fall from height with a traumatic brain injury",
             "TBI after fall|polytrauma, head bleed", "traumatic brain injury, level 1 activation"),
    Scenario("rehabilitation", "Rehabilitation", "transfer", (30, 92), "B", 2, (0.02, 0.03, 0.08, 0.87), -0.6, 0.9,
             ("V5789", "Z5189"), "acute inpatient rehabilitation after a long illness|deconditioning needing daily therapy",
             "acute rehab|deconditioned, PT/OT", "post-COVID rehabilitation|post-intensive-care rehabilitation"),
    Scenario("access", "Dialysis", "urgent", (30, 88), "B", 1.5, (0.74, 0.13, 0.09, 0.04), 0.1, 0.1,
             ("99673", "T82858A"), "a clotted dialysis access|missed dialysis with volume overload",
             "clotted AVF|missed HD", "access declot, urgent-start dialysis pathway"),
    Scenario("comfort", "Palliative Care", "urgent", (20, 99), "B", 1, (0.22, 0.16, 0.22, 0.40), 2.2, -0.6,
             ("V667", "Z515"), "uncontrolled pain and symptom management|refractory symptoms for palliative admission",
             "sx management|palliative admit", "symptom crisis, inpatient palliative unit"),
)  # fmt: skip

NUM_SCENARIOS = len(SCENARIOS)
STAY_LOGITS = np.log(np.array([scenario.stay for scenario in SCENARIOS]))
ACUITY = np.array([scenario.acuity for scenario in SCENARIOS])
DENIAL = np.array([scenario.denial for scenario in SCENARIOS])
DEPARTMENTS = np.array([scenario.department for scenario in SCENARIOS])
KINDS = np.array([scenario.kind for scenario in SCENARIOS])
NOT_ACUTE = np.isin(DEPARTMENTS, ("Rehabilitation", "Dialysis", "Palliative Care"))
ACCESS = next(index for index, scenario in enumerate(SCENARIOS) if scenario.key == "access")

# The external hospital: hardly any obstetrics or elective joints, many transfers and infections.
EXTERNAL_FACTORS = {
    "delivery": 0.15, "cesarean": 0.15, "hip_replacement": 0.4, "knee_replacement": 0.4, "sepsis": 2.5,
    "hemorrhage": 2.5, "endocarditis": 2.0, "pneumonia": 1.6, "gi_bleed": 1.6, "bariatric": 0.2, "withdrawal": 1.8,
}  # fmt: skip


def scenario_table(site: str) -> np.ndarray:
    """Chances of each scenario: shape (2 sexes F and M, 100 ages, scenarios), cumulative along the last axis."""
    ages = np.arange(100)
    table = np.zeros((2, 100, NUM_SCENARIOS))
    for index, scenario in enumerate(SCENARIOS):
        weight = scenario.weight * (EXTERNAL_FACTORS.get(scenario.key, 1.0) if site == "external" else 1.0)
        in_age = (ages >= scenario.ages[0]) & (ages <= scenario.ages[1])
        for row, sex in enumerate("FM"):
            if scenario.sex in (sex, "B"):
                table[row, :, index] = weight * in_age
    return np.cumsum(table / table.sum(axis=2, keepdims=True), axis=2)
