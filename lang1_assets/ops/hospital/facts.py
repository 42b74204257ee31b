"""The facts that a note states and that alone move its outcomes: how they are drawn, and the risk they add up to.

A slot is one kind of fact; its level is what the note says. Everything here is invented; effects are on the logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from lang1_assets.ops.hospital.comorbidity import DEFINITE_MILD, DEFINITE_SEVERE
from lang1_assets.ops.hospital.conditions import FAMILIES
from lang1_assets.ops.hospital.scenarios import ACUITY, DENIAL, STAY_LOGITS


@dataclass(frozen=True)
class Slot:
    """One kind of fact: how often each level occurs, what pulls it up, and what each level does."""

    shares: tuple[float, ...]
    """Frequencies of the levels, before the pulls."""
    effects: tuple[float, ...]
    """Effect of each level on the logit of the slot's outcome."""
    burden_pull: float = 0.0
    """How strongly chronic burden (a standard normal) raises the level."""
    acuity_pull: float = 0.0
    """How strongly the reason for admission raises the level."""


# In-hospital mortality (and, through `STAY_EFFECTS`, length of stay).
SEVERITY = Slot((0.55, 0.24, 0.12, 0.06, 0.03), (-1.5, -0.7, 0.5, 2.1, 3.7), 0.25, 0.6)
LACTATE = Slot((0.79, 0.13, 0.08), (-0.6, 0.6, 2.9), 0.1, 0.4)
GOALS = Slot((0.88, 0.09, 0.03), (-0.2, 1.2, 3.4), 0.45, 0.5)
FUNCTION = Slot((0.66, 0.22, 0.12), (-0.3, 0.3, 1.0), 0.5, 0.25)
# Insurance denial.
PAYER = Slot((0.30, 0.18, 0.22, 0.12, 0.18), (-0.6, 0.2, -0.5, 1.2, 0.3))
AUTHORIZATION = Slot((0.48, 0.18, 0.13, 0.08, 0.07, 0.06), (-1.0, -1.1, 0.5, 2.2, 1.6, 2.8))
LEVEL_OF_CARE = Slot((0.46, 0.38, 0.16), (-0.6, 0.0, 1.7))
# 30-day readmission.
ADMISSIONS = Slot((0.52, 0.25, 0.14, 0.09), (-0.9, -0.1, 0.9, 2.1), 0.35)
ADHERENCE = Slot((0.62, 0.25, 0.13), (-0.35, 0.2, 1.3), 0.1)
SUPPORT = Slot((0.48, 0.25, 0.19, 0.08), (-0.4, -0.1, 0.6, 1.6), 0.1)
FOLLOW_UP = Slot((0.46, 0.27, 0.17, 0.10), (-0.7, 0.0, 0.8, 1.5))
HEMOGLOBIN = Slot((0.74, 0.17, 0.09), (-0.2, 0.3, 1.2), 0.25)
PENDING = Slot((0.64, 0.22, 0.14), (-0.3, 0.2, 1.3), 0.1)

SLOTS = {
    "severity": SEVERITY, "lactate": LACTATE, "goals": GOALS, "function": FUNCTION, "payer": PAYER,
    "authorization": AUTHORIZATION, "level_of_care": LEVEL_OF_CARE, "admissions": ADMISSIONS, "adherence": ADHERENCE,
    "support": SUPPORT, "follow_up": FOLLOW_UP, "hemoglobin": HEMOGLOBIN, "pending": PENDING,
}  # fmt: skip
MORTALITY_SLOTS = ("severity", "lactate", "goals", "function")
DENIAL_SLOTS = ("payer", "authorization", "level_of_care")
READMISSION_SLOTS = ("admissions", "adherence", "support", "follow_up", "hemoglobin", "pending")

# What the admission note expects of the stay: nothing said, short, three days, four to five days, long.
EXPECTATION_UNSTATED = 0.22
EXPECTATION_FOLLOWS_SCENARIO = 0.55
EXPECTATION_MARGINAL = np.array([0.42, 0.17, 0.16, 0.25])
EXPECTATION_EFFECTS = np.array(
    [
        [0.0, 0.0, 0.0, 0.0],
        [2.2, 0.2, -0.9, -1.5],
        [-0.5, 2.4, 0.3, -1.2],
        [-1.4, 0.1, 2.3, 0.0],
        [-2.0, -1.1, 0.0, 2.0],
    ]
)
STAY_DIRECTION = np.array([-1.0, -0.4, 0.3, 1.1])
STAY_EFFECTS = {"severity": np.array([-0.3, 0.0, 0.3, 0.8, 1.2]), "function": np.array([-0.2, 0.3, 0.7])}

READMISSION_CONDITIONS = {"failure": 0.7, "kidney": 0.6, "lung": 0.4, "liver": 0.6, "cancer": 0.6}
MORTALITY_CONDITIONS = {"cancer": 0.9, "liver": 0.7}
"""Added when the note states the severer form."""

# How far the effects are stretched, so that the oracle AUROC of each task lies where the paper's best models do.
SCALES = {"readmission": 0.72, "mortality": 0.70, "length_of_stay": 0.68, "insurance_denial": 0.88}


@dataclass(frozen=True, kw_only=True)
class People:
    """What is known of each encounter before its facts: arrays of one length."""

    age: np.ndarray
    burden: np.ndarray
    """Chronic burden, a standard normal."""
    scenario: np.ndarray


def draw_level(slot: Slot, people: People, rng: np.random.Generator) -> np.ndarray:
    """Levels of a slot (int8): a normal latent, pulled by burden and acuity, cut at the quantiles of the shares."""
    pull = slot.burden_pull * people.burden + slot.acuity_pull * ACUITY[people.scenario]
    spread = np.sqrt(1.0 + slot.burden_pull**2)
    cuts = [NormalDist().inv_cdf(share) for share in np.cumsum(slot.shares)[:-1]]
    latent = (pull + rng.standard_normal(len(pull))) / spread
    return np.searchsorted(cuts, latent, side="right").astype(np.int8)


def draw_expectation(scenario: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Levels 0 (nothing said) to 4 (long), half guided by the reason for admission."""
    num = len(scenario)
    stay = np.exp(STAY_LOGITS[scenario])
    guided = rng.random((num, 1)) < EXPECTATION_FOLLOWS_SCENARIO
    cumulative = np.cumsum(np.where(guided, stay, EXPECTATION_MARGINAL), axis=1)
    level = 1 + (rng.random((num, 1)) * cumulative[:, -1:] >= cumulative).sum(axis=1)
    return np.where(rng.random(num) < EXPECTATION_UNSTATED, 0, level).astype(np.int8)


def draw_facts(people: People, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Levels of every slot for each encounter."""
    facts = {name: draw_level(slot, people, rng) for name, slot in SLOTS.items()}
    facts["expectation"] = draw_expectation(people.scenario, rng)
    young = people.age < 18
    facts["goals"][young] = 0
    facts["function"][young] = 0
    return facts


def _slot_sum(facts: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    return np.sum([np.array(SLOTS[name].effects)[facts[name]] for name in names], axis=0)


def _condition_sum(stated: np.ndarray, effects: dict[str, float], levels: tuple[int, ...]) -> np.ndarray:
    parts = [effect * np.isin(stated[:, FAMILIES.index(family)], levels) for family, effect in effects.items()]
    return np.sum(parts, axis=0)


def readmission_score(people: People, facts: dict[str, np.ndarray], stated: np.ndarray) -> np.ndarray:
    """Latent risk of a return within 30 days, without the era's intercept."""
    score = _slot_sum(facts, READMISSION_SLOTS) - 0.5 * (people.age < 18)
    score = score + _condition_sum(stated, READMISSION_CONDITIONS, (DEFINITE_MILD, DEFINITE_SEVERE))
    return SCALES["readmission"] * score


def mortality_score(people: People, facts: dict[str, np.ndarray], stated: np.ndarray) -> np.ndarray:
    """Latent risk of death in hospital, without the era's intercept."""
    score = _slot_sum(facts, MORTALITY_SLOTS) + 0.02 * np.clip(people.age - 60, -40, 35)
    score = score + 0.5 * ACUITY[people.scenario] + _condition_sum(stated, MORTALITY_CONDITIONS, (DEFINITE_SEVERE,))
    return SCALES["mortality"] * score


def stay_score(people: People, facts: dict[str, np.ndarray]) -> np.ndarray:
    """Logits of the four classes of stay, without the era's intercepts: shape (n, 4)."""
    push = sum(effect[facts[name]] for name, effect in STAY_EFFECTS.items())
    score = STAY_LOGITS[people.scenario] + EXPECTATION_EFFECTS[facts["expectation"]] + push[:, None] * STAY_DIRECTION
    return SCALES["length_of_stay"] * score


def denial_score(people: People, facts: dict[str, np.ndarray]) -> np.ndarray:
    """Latent risk that the claim is denied, without the era's intercept."""
    return SCALES["insurance_denial"] * (_slot_sum(facts, DENIAL_SLOTS) + DENIAL[people.scenario])
