from typing import Any

import pytest

from lang1_assets.ops.served.asking import token_counts


@pytest.mark.parametrize("odd", ["note text", "12", None, True, -1, 1.5, [3], {}])
def test_tokens_are_whole_numbers_or_not_counted(odd: Any) -> None:
    counted = token_counts({"usage": {"prompt_tokens": 12, "completion_tokens": odd}})
    assert counted == {"prompt_tokens": 12, "completion_tokens": 0}


@pytest.mark.parametrize("usage", [None, "note text", [1], {}])
def test_a_server_that_counts_nothing(usage: Any) -> None:
    assert token_counts({"usage": usage}) == token_counts({}) == {"prompt_tokens": 0, "completion_tokens": 0}
