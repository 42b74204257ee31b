"""Net benefit against counting note by note, and what is known of it at the edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.metrics import MetricError, decision_curve
from tests.ops.metrics.samples import binary_sample


def net_benefit_note_by_note(y_true: list[int], y_prob: list[float], threshold: float) -> float:
    worth = 0.0
    for label, probability in zip(y_true, y_prob, strict=True):
        if probability >= threshold:
            worth += 1.0 if label == 1 else -threshold / (1 - threshold)
    return worth / len(y_true)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=1, max_size=30),
    st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.9]),
)
def test_net_benefit_note_by_note(pairs, threshold):
    y_true, y_prob = [label for label, _ in pairs], [score / 10 for _, score in pairs]
    curve = decision_curve(y_true, y_prob, [threshold])
    assert curve.model[0] == pytest.approx(net_benefit_note_by_note(y_true, y_prob, threshold), abs=1e-12)
    assert curve.treat_all[0] == pytest.approx(
        net_benefit_note_by_note(y_true, [1.0] * len(y_true), threshold), abs=1e-12
    )


def test_a_perfect_model_is_worth_the_prevalence():
    curve = decision_curve([0, 0, 0, 1], [0.0, 0.0, 0.0, 1.0], [0.1, 0.5, 0.9])
    assert curve.model.tolist() == [0.25, 0.25, 0.25]


def test_treating_all_is_worth_nothing_at_the_prevalence():
    y_true, y_prob = binary_sample()
    curve = decision_curve(y_true, y_prob, [float(y_true.mean())])
    assert curve.treat_all[0] == pytest.approx(0, abs=1e-12)


def test_a_calibrated_model_is_never_worse_than_both_policies():
    y_true, y_prob = binary_sample(n=20_000)
    # Labels are drawn from the square of the score.
    curve = decision_curve(y_true, y_prob**2, np.linspace(0.05, 0.95, 19).tolist())
    assert (curve.model >= np.maximum(curve.treat_all, 0) - 0.003).all()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(MetricError, match="expected risks between 0 and 1"):
        decision_curve([0, 1], [0.1, 0.2], [1.0])
    with pytest.raises(MetricError, match="is for two classes, got 3"):
        decision_curve([0], [[0.2, 0.3, 0.5]])
    assert isinstance(decision_curve([0, 1], [0.1, 0.2]).thresholds, np.ndarray)
