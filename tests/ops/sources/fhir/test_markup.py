from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.sources.fhir.markup import html_text


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>One\n two</p><p>Three</p>", "One two\n\nThree"),
        ("<div>One</div><div>Two<br/>Three<br>Four</div>", "One\nTwo\nThree\nFour"),
        ("a<br><br>b", "a\n\nb"),
        ("<h2>Plan</h2>Rest <b>and</b> fluids", "Plan\n\nRest and fluids"),
        ("<ul><li>One</li><li>Two</li></ul>End", "One\nTwo\n\nEnd"),
        ("<table><tr><th>Na</th><th>K</th></tr><tr><td>140</td><td>4.1</td></tr></table>", "Na\tK\n140\t4.1"),
        ("<pre>BP   120/80\n  HR 70</pre>", "BP   120/80\n  HR 70"),
        ("5 &lt; 6 &amp; &nbsp;&eacute; &#233; &#x2264;", "5 < 6 & \xe9 \xe9 \N{LESS-THAN OR EQUAL TO}"),
        ("<script>var x = 1;</script><style>p {}</style>Text", "Text"),
        (
            "<?xml version='1.0' encoding='latin-1'?><html xmlns='x'><head><title/></head><body>Fi\xe8vre</body></html>",
            "Fi\xe8vre",
        ),
        ("<p>Kept<script src='x'/> too</p>", "Kept too"),
        ("<!-- a comment -->Text", "Text"),
        ("<![CDATA[K < 4]]> low <![CDATA[<b>]]>", "K < 4 low <b>"),
        ("<![CDATA[unclosed", "unclosed"),
        ("No markup", "No markup"),
        ("<p>Unclosed <b>tags", "Unclosed tags"),
        ("<div>" * 3000 + "deep" + "</div>" * 3000, "deep"),
        ("", ""),
        ("<p></p>", ""),
    ],
)
def test_text_of_html(markup: str, expected: str) -> None:
    assert html_text(markup) == expected


@given(markup=st.text(alphabet=st.sampled_from(list("<>/!-[]&;#x \n\t\"'=abptrd")), max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_markup_has_some_text(markup: str) -> None:
    text = html_text(markup)
    assert text == text.strip()
    assert "<script" not in text or "&" in markup
