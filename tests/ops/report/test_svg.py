"""Labels of the charts."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.report.pretraining_figures import spread_labels


@given(st.lists(st.floats(0, 200), min_size=1, max_size=8))
def test_labels_never_overlap_nor_leave_the_chart(heights):
    placed = spread_labels([("css", str(i), height) for i, height in enumerate(heights)], 20, 0, 200)
    places = [at for _, _, at in placed]
    assert sorted(label for _, label, _ in placed) == sorted(str(i) for i in range(len(heights)))
    assert all(b - a >= 20 - 1e-6 for a, b in pairwise(places))
    assert all(-1e-6 <= at <= 200 + 1e-6 for at in places)
