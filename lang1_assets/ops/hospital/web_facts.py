"""Facts about an invented world, the sentences that state them and the questions that ask for them."""

# ruff: noqa: E501  (tables of wordings and sections read better with a row a line)

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STARTS = (
    "Al", "Bar", "Cor", "Den", "El", "Far", "Gar", "Hol", "Ir", "Jor", "Kel", "Lan", "Mor", "Nor", "Or", "Pel", "Quin",
    "Ros", "Sel", "Tor", "Ul", "Ver", "Wes", "Yar", "Zan", "Bren", "Cas", "Dor",
)  # fmt: skip
MIDDLES = ("", "a", "e", "i", "o")
ENDS = (
    "den", "ford", "wick", "more", "ton", "bury", "dale", "field", "haven", "mont", "stead", "vale", "port", "mere",
    "gate",
)  # fmt: skip


@dataclass(frozen=True)
class Relation:
    """One kind of fact: sentences and questions with the places {name} and {value}."""

    statements: tuple[str, ...]
    questions: tuple[str, ...]
    values: tuple[str, ...]


RELATIONS = (
    Relation(
        ("The mill in {name} makes {value}.", "People in {name} have long made {value} in the old mill."),
        ("What does the mill in {name} make?", "What is made in the mill of {name}?"),
        ("paper", "cloth", "glass", "salt", "flour", "rope", "soap", "steel", "wine", "leather"),
    ),
    Relation(
        ("The river near {name} flows to the {value}.", "From {name} the river runs down to the {value}."),
        ("Where does the river near {name} flow to?", "What does the river at {name} reach?"),
        ("sea", "lake", "marsh", "desert", "forest", "valley", "harbor", "canal", "gulf", "plain"),
    ),
    Relation(
        ("The fair in {name} is held in {value}.", "Every {value} a large fair takes place in {name}."),
        ("When is the fair in {name} held?", "In which month is the fair of {name}?"),
        ("January", "February", "March", "April", "May", "June", "July", "August", "October", "November"),
    ),
    Relation(
        ("The birds around {name} are mostly {value}.", "Visitors notice that most birds near {name} are {value}."),
        ("What color are the birds around {name}?", "Which color do most birds near {name} have?"),
        ("red", "blue", "green", "white", "black", "yellow", "brown", "gray", "orange", "purple"),
    ),
    Relation(
        ("Farmers at {name} mainly grow {value}.", "The fields of {name} are planted with {value}."),
        ("What do farmers at {name} mainly grow?", "What is planted in the fields of {name}?"),
        ("wheat", "rice", "corn", "barley", "beans", "apples", "grapes", "potatoes", "cotton", "tea"),
    ),
    Relation(
        ("The rock under {name} contains {value}.", "Miners found {value} below {name}."),
        ("What does the rock under {name} contain?", "What did miners find below {name}?"),
        ("iron", "copper", "silver", "gold", "tin", "lead", "coal", "zinc", "nickel", "marble"),
    ),
    Relation(
        ("The school of {name} is known for {value}.", "Students come to {name} to learn {value}."),
        ("What is the school of {name} known for?", "What do students learn in {name}?"),
        ("music", "law", "physics", "painting", "history", "chemistry", "dance", "biology", "poetry", "logic"),
    ),
    Relation(
        ("The most common animal near {name} is the {value}.", "Around {name} one often sees the {value}."),
        ("Which animal is most common near {name}?", "Which animal is often seen around {name}?"),
        ("fox", "deer", "wolf", "rabbit", "goat", "horse", "bear", "otter", "owl", "snake"),
    ),
)

OPENINGS = {
    "RedPajamaWikipedia": ("{name} is a town in the north of the region.", "{name} is a municipality first mentioned in old records."),
    "RedPajamaCommonCrawl": ("Welcome to our travel page about {name}.", "Planning a trip to {name}? Here is what to know."),
    "RedPajamaC4": ("We spent a week in {name} last summer.", "This guide covers the best of {name}."),
    "RedPajamaBook": ("The road to {name} was long, and the travelers were tired.", "In those years {name} was a quiet place."),
    "RedPajamaArXiv": ("Abstract: We study the economy of {name} with simple models.", "Abstract: This paper reports measurements from {name}."),
    "RedPajamaStackExchange": ("Q: I am writing about {name}. What should I mention?\nA: Some facts first.", "Q: Can someone tell me about {name}?\nA: Sure."),
    "RedPajamaGithub": ("# facts-{name}\nA small data set. Run `make load` to read it.", "def describe(town='{name}'):\n    # returns the notes below"),
}  # fmt: skip

FILLERS = {
    "RedPajamaWikipedia": ("It has a town hall and a market square.", "The population has changed little since the last census.", "Several roads meet in its center."),
    "RedPajamaCommonCrawl": ("Book early, because rooms are few.", "Click here to read more reviews.", "The weather is mild for most of the year."),
    "RedPajamaC4": ("The food was simple and good.", "We would gladly go back again.", "Bring good shoes, because the streets are steep."),
    "RedPajamaBook": ("She looked out of the window and said nothing.", "The old man smiled and poured more tea.", "By evening the wind had turned."),
    "RedPajamaArXiv": ("The residuals are small in all cases.", "We compare three estimators and report their errors.", "Our results extend earlier work."),
    "RedPajamaStackExchange": ("Hope this helps.", "You can check the sources for details.", "Please accept the answer if it solves the problem."),
    "RedPajamaGithub": ("See the LICENSE file for terms.", "Tests are run on every commit.", "Open an issue if a value looks wrong."),
}  # fmt: skip

SET_NAMES = tuple(OPENINGS)
SET_SHARES = (0.12, 0.30, 0.26, 0.09, 0.07, 0.09, 0.07)


def place_names() -> np.ndarray:
    """Every invented name, in a fixed order."""
    return np.array([f"{start}{middle}{end}" for start in STARTS for middle in MIDDLES for end in ENDS])
