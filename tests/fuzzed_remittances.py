"""Small 835 files, spoiled by Hypothesis."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.fuzzed_sources import MARKER, NUM_ROWS

ISA = "ISA*00*          *00*          *ZZ*ACME           *ZZ*HOSPITAL       *220110*1000*^*00501*000000007*0*P*:"
WRONG_ELEMENTS = (
    "",
    " ",
    "-1",
    "1e9",
    "9" * 40,
    "é",
    "\x01",
    "a\nb",
    "nan",
    "20210230",
    "00000000",
    "x" * 70_000,
    ":",
    "^",
)


def remittance(accounts: Sequence[str]) -> list[str]:
    claims = [
        segment
        for account in accounts
        for segment in (
            f"CLP*{account}*1*100*100*0*12*ICN{account}*11*1",
            f"NM1*QC*1*{MARKER}*FIRST****MI*MEMBER",
            "DTM*232*20150301",
            "CAS*CO*45*10",
            "SVC*HC:99213*100*100",
            "REF*EA*1",
        )
    ]
    head = ("BPR*I*100*C*ACH*CCP*01*1*DA*3*1**01*1*DA*2*20150401", "DTM*405*20150402", "N1*PR*ACME", "LX*1")
    inside = ["ST*835*0001", *head, *claims]
    inside.append(f"SE*{len(inside) + 1}*0001")
    return [ISA, "GS*HP*ACME*HOSPITAL*20220110*1000*7*X*005010X221A1", *inside, "GE*1*7", "IEA*1*000000007"]


@st.composite
def spoiled_remittances(draw: st.DrawFn) -> dict[str, bytes]:
    """A good file, and others in which one or more segments are spoiled."""
    whole = remittance([f"E{number}" for number in range(1, NUM_ROWS + 1)])
    files = {"good.835": "~".join([*whole, ""]).encode()}
    for number in range(draw(st.integers(8, 30))):
        segments = list(whole)
        for _ in range(draw(st.integers(1, 3))):
            segments = draw(spoiled_segments(segments))
        data = draw(st.sampled_from(["~", "~\n", "~\r\n"])).join([*segments, ""]).encode()
        data = data[: draw(st.sampled_from([None, -1, -40, len(data) // 2]))]
        zipped = draw(st.booleans())
        files[f"bad {number}.edi{'.gz' if zipped else ''}"] = gzip.compress(data) if zipped else data
    return files


@st.composite
def spoiled_segments(draw: st.DrawFn, segments: list[str]) -> list[str]:
    place = draw(st.integers(0, len(segments) - 1))
    segment = segments[place]
    match draw(st.integers(0, 6)):
        case 0:
            new = []
        case 1:
            new = [segment, segment]
        case 2:
            new = [segment + "*" + draw(st.sampled_from(WRONG_ELEMENTS))]
        case 3:
            new = [segment[: len(segment) // 2]]
        case 4:
            new = [segment.replace("*", draw(st.sampled_from(["|", "", "**"])))]
        case 5:
            new = ["ZZZ*1", segment, ""]
        case _:
            elements = segment.split("*")
            elements[draw(st.integers(0, len(elements) - 1))] = draw(st.sampled_from(WRONG_ELEMENTS))
            new = ["*".join(elements)]
    return [*segments[:place], *new, *segments[place + 1 :]]


def num_claims_of(data: bytes) -> int:
    """CLP segments, found without any idea of envelopes; none in a file that does not begin as X12 with these delimiters."""
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    if not data.startswith((b"ISA*", b"GS*", b"ST*")):
        return 0
    return len(re.findall(rb"(?:^|~[\r\n]*)CLP\*", data[: data.rfind(b"~") + 1]))
