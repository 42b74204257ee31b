"""Matplotlib's SVG as an element of a page: names that are its own, words for a screen reader, nothing from elsewhere."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ElementTree

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
NUMBERS = frozenset({"d", "x", "y", "transform"})


def inline_svg(drawn: bytes, *, key: str, width: float, title: str, description: str) -> str:
    """The element alone, as wide as its place allows.

    Args:
        drawn: what matplotlib saved.
        width: CSS pixels; it is never shown larger.
        key: tells this picture from every other of the page; its ids are made from it.
    """
    root = ElementTree.fromstring(drawn)
    drop_foreign(root)
    prefix = f"f{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    own_names(root, prefix)
    for element in root.iter():
        for name in NUMBERS & set(element.attrib):
            element.set(name, re.sub(r"-?\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}", element.attrib[name]))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}-title {prefix}-desc")
    root.set("style", f"stroke-linejoin:round;stroke-linecap:butt;max-width:{width:.0f}px")
    for place, (tag, words) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{{{SVG}}}{tag}", id=f"{prefix}-{tag}")
        element.text = words
        root.insert(place, element)
    return serialized(root)


def drop_foreign(root: ElementTree.Element) -> None:
    """No metadata, and no style sheet, which would hold for the whole page."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in {"metadata", "style"} or (
                child.tag == f"{{{SVG}}}defs" and not len(child)
            ):
                parent.remove(child)


def own_names(root: ElementTree.Element, prefix: str) -> None:
    """Ids that something refers to get the prefix; the others, which every figure repeats, go."""
    used = {element.attrib[f"{{{XLINK}}}href"][1:] for element in root.iter() if f"{{{XLINK}}}href" in element.attrib}
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name in used:
            element.set("id", f"{prefix}-{name}")
        reference = element.attrib.pop(f"{{{XLINK}}}href", None)
        if reference is not None:
            element.set("href", f"#{prefix}-{reference[1:]}")
        # The sheet is as large as the picture: nothing is cut by its edge.
        element.attrib.pop("clip-path", None)


def serialized(root: ElementTree.Element) -> str:
    """Inside a page an SVG needs no namespace."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    for clip in [(parent, child) for parent in root.iter() for child in list(parent) if child.tag == "clipPath"]:
        clip[0].remove(clip[1])
    return re.sub(r">\s+<", "><", ElementTree.tostring(root, encoding="unicode"))
