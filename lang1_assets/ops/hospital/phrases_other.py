"""Wordings of progress notes, radiology and pathology reports: narrative | telegraphic | recent."""

# ruff: noqa: E501  (tables of wordings and sections read better with a row a line)

from __future__ import annotations

from lang1_assets.ops.hospital.phrases_admission import Level

PROGRESS: list[Level] = [
    ("No events overnight|Slept well and has no new complaints|Some pain overnight, relieved with medication",
     "NAEO|no c/o|pain o/n, relieved", "No acute events per virtual nursing|Reports improvement through the bedside tablet"),
    ("Vital signs were reviewed and are acceptable|Afebrile for the past day|Heart rate remains slightly elevated",
     "VSS|AF x24h|mild tachy", "Continuous wearable monitoring without alarms|Vital signs within NEWS2 limits"),
    ("Lungs are clear and the abdomen is soft|Examination is unchanged from yesterday|Mild tenderness on examination, otherwise normal",
     "CTAB, soft abd|exam unchanged|mild TTP", "Point of care ultrasound without new findings|Exam stable, photograph added to media"),
    ("Laboratory values are stable|White count is trending down|Creatinine improved with fluids|Cultures show no growth to date",
     "labs stable|WBC down|Cr better|BCx NGTD", "Labs stable, morning draw deferred per blood conservation|Procalcitonin trending down"),
    ("Continue current management|Advance the diet as tolerated|Physical therapy to evaluate|Wean oxygen as able|Discussed with family",
     "CCM|ADAT|PT eval|wean O2|d/w fam", "Continue plan, multidisciplinary huddle completed|Deprescribing reviewed with pharmacist"),
    ("Will reassess in the morning|Team will follow closely|Nursing was updated on the plan", "reassess AM|will follow|RN updated",
     "Secure chat sent to the team|Plan visible to the patient in the portal"),
]  # fmt: skip

RADIOLOGY: list[Level] = [
    ("Chest radiograph, two views|Computed tomography of the abdomen with contrast|Ultrasound of the leg veins|Magnetic resonance imaging of the brain",
     "CXR 2v|CT A/P w/|LE duplex|MR brain", "Dual-energy CT of the chest|Photon-counting CT, low dose protocol"),
    (
        "Technique: standard protocol was used and the images are of diagnostic quality|Technique: images were obtained in the usual planes without complication",
        "tech: std protocol, good quality",
        "Technique: dose was tracked automatically and images passed the quality check",
    ),
    ("Comparison is made with the prior examination|No prior studies are available for comparison", "comp: prior|comp: none",
     "Comparison: prior imported from image exchange"),
    ("The heart size is normal|The cardiac silhouette is mildly enlarged|The liver and spleen are unremarkable|No mass effect is seen",
     "heart nl|mild cardiomegaly|L/S unremarkable|no mass effect", "Cardiothoracic ratio measured by software, normal"),
    ("There is no focal consolidation or effusion|Small bilateral effusions are present|No free air or fluid collection|No deep venous thrombosis",
     "no consol/eff|small b/l eff|no FF/FA|no DVT", "Deep learning triage: no critical finding|Patchy ground-glass opacities"),
    ("Degenerative changes are seen in the spine|Osseous structures are intact|Incidental small renal cyst", "DJD spine|bones intact|renal cyst",
     "Incidental nodule tracked by registry, Fleischner recommendation sent"),
]  # fmt: skip
RADIOLOGY_IMPRESSION: Level = (
    "No acute abnormality|Mild interval improvement|Stable examination, clinical correlation recommended|Findings may reflect early infection",
    "no acute abn|mild improvement|stable|? early infxn",
    "No acute abnormality, AI score low|Findings communicated by critical results application|Stable, follow-up task created",
)

PATHOLOGY: list[Level] = [
    ("Received in formalin, labeled with the patient's name|The specimen is received fresh", "rec'd in formalin|rec'd fresh",
     "Specimen barcoded and received in formalin"),
    ("The specimen consists of a tan soft tissue fragment|Consists of multiple pale fragments measuring in aggregate less than two centimeters|An appendix measuring six centimeters",
     "tan tissue frag|mult pale frags <2 cm|appendix 6 cm", "Gross images stored digitally, tan fragments"),
    (
        "Clinical history and the site of the specimen were given on the request form|The request form names the procedure and the surgeon",
        "hx and site per req form",
        "Clinical history was pulled from the encounter by the laboratory interface",
    ),
    ("Entirely submitted in one cassette|Representative sections are submitted", "all in 1 cassette|rep sections", "Submitted for whole slide imaging"),
    ("Microscopic examination shows acute inflammation without dysplasia|Sections show benign tissue with chronic inflammation|Margins are free of tumor|No malignancy is identified",
     "acute inflamm, no dysplasia|benign, chronic inflamm|margins neg|no malignancy", "Digital review: benign tissue, no malignancy|Next generation sequencing panel deferred"),
    ("Special stains are negative for organisms|Immunostains support the diagnosis|Levels were examined", "stains neg|IHC supportive|levels cut",
     "Immunostains scored by image analysis"),
]  # fmt: skip

ADDENDUM: Level = (
    "Attending addendum: seen and examined, I agree with the findings above|Addendum: plan discussed with the patient and family|"
    "Attending: reviewed with the resident and agree",
    "attg: seen/examined, agree|addendum: d/w pt|agree w/ above",
    "Attestation: over 50 percent of a 40 minute visit was counseling|Addendum: note contains dictated text, errors possible",
)

GENERAL: Level = (
    "The patient and family had the opportunity to ask questions|Care was coordinated with nursing and social work|Records were reviewed in detail",
    "questions answered|d/w RN and SW|records reviewed",
    "Time was spent on shared decision making|Data were reviewed from the health information exchange|Interpreter used by video",
)
