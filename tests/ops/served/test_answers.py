import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.served.answers import parse_answer

LETTERS = "ABCD"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"),
        (" B.", "B"),
        ("**C**", "C"),
        ("(D)", "D"),
        ('"A"', "A"),
        ("Option B", "B"),
        ("Answer: C", "C"),
        ("The answer is D.", "D"),
        ("**Final answer:** B", "B"),
        ("B. No", "B"),
        ("C) 3 to 5 days", "C"),
        ("A - No", "A"),
        ("D: more than 5 days", "D"),
        ("B. A short stay", "B"),
        ("B\n\nThe patient is stable.", "B"),
        ("**B**. No", "B"),
        ("<think>A or B? A.</think>\n\nB", "B"),
    ],
)
def test_valid_answers(text: str, letter: str) -> None:
    assert parse_answer(text, LETTERS) == LETTERS.index(letter)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "a",
        "E",
        "No",
        "ABCD",
        "A or B",
        "A/B",
        "A, B",
        "A. No\nB. Yes",
        "A. No B. Yes",
        "not A. B",
        "A patient with chest pain",
        "As an AI I cannot say",
        "I think A",
        "The answer is unclear. A",
        "<think>A",
        "Answer:",
        "\u0410",
    ],
)
def test_invalid_answers(text: str | None) -> None:
    assert parse_answer(text, LETTERS) is None


@given(
    letter=st.sampled_from(LETTERS),
    before=st.sampled_from(
        ["", " ", "\n", "**", "(", "Answer: ", "answer is ", "The correct answer is: **", "Option "]
    ),
    after=st.sampled_from(["", ".", ")", "**", ". ", ":\n", ") yes", ". 3 to 5 days", " - no", "\n\nno"]),
)
def test_every_dress_of_a_letter_is_that_letter(letter: str, before: str, after: str) -> None:
    assert parse_answer(before + letter + after, LETTERS) == LETTERS.index(letter)


@given(text=st.text(max_size=300), letters=st.sampled_from(["AB", "ABCD", "ABCDE"]))
def test_any_text_is_an_option_or_invalid(text: str, letters: str) -> None:
    option = parse_answer(text, letters)
    assert option is None or letters[option] in text


@given(
    first=st.sampled_from(LETTERS),
    second=st.sampled_from(LETTERS),
    words=st.text("xyz ", max_size=20),
    mark=st.sampled_from([".", ")", ":"]),
)
def test_a_second_option_makes_it_ambiguous(first: str, second: str, words: str, mark: str) -> None:
    text = f"{first}{mark} {words}\n{second}{mark} {words}"
    assert parse_answer(text, LETTERS) == (LETTERS.index(first) if first == second else None)


def test_long_nonsense_is_read_in_no_time() -> None:
    for text in (" *" * 200_000 + "x", "*" * 400_000, "<think>" * 50_000, "A." + " B" * 200_000 + "x"):
        assert parse_answer(text, LETTERS) in (None, 0)
