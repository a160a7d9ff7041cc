"""The commits of the demo: a shop that grows, and what goes wrong on the way. Pure.

Rules:
1. Commits are small and natural. Most put one more thing on sale.
2. One breaks the tests (a price below zero); the next repairs it.
3. One passes the tests and staging and breaks production: it needs a setting that only production lacks. The last
   commit reverts it, once it was found.
4. The same number of commits always tells the same story.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

FEWEST = 6
NAME = "shop"

_GOODS = (
    *("pears", "cherries", "quinces", "figs", "dates", "grapes", "melons", "limes", "lemons", "peaches"),
    *("apricots", "almonds", "walnuts", "hazelnuts", "currants", "medlars", "mulberries", "olives", "onions", "leeks"),
)
_PEOPLE = (
    ("Ada Byron", "ada@example.org"),
    ("Grace Brewster", "grace@example.org"),
    ("Barbara Huberman", "barbara@example.org"),
    ("Edsger Wybe", "edsger@example.org"),
)
_CARDS = '''\
"""How people pay."""

import os


def ways():
    """The ways of paying that work here and now."""
    if os.environ.get("ENVIRONMENT") == "production":
        return ["in the shop", "by card, with our key " + os.environ["PAYMENT_KEY"][:4]]
    return ["in the shop", "by card, with a test key"]
'''


class Part(StrEnum):
    """What a commit does in the story."""

    OPENS = "opens"
    GOOD = "good"
    BREAKS_TESTS = "breaks the tests"
    REPAIRS = "repairs the tests"
    BREAKS_PRODUCTION = "breaks production"
    REVERTS = "reverts"


@dataclass(frozen=True, slots=True)
class Change:
    """A commit to be made: `files` are written over what is there."""

    part: Part
    title: str
    author: tuple[str, str]
    files: Mapping[str, str] = field(default_factory=dict)


def story(commits: int, first: Mapping[str, str]) -> tuple[Change, ...]:
    """The changes in their order; `first` are the example's files, by path. The last one's revert is git's work."""
    if commits < FEWEST:
        raise ValueError(f"the story needs {FEWEST} commits")
    bad_price = max(1, commits // 3)
    cards = max(bad_price + 2, commits * 3 // 5)
    prices: dict[str, int] = {"apples": 120}
    goods = iter((*_GOODS, *(f"surprise-{number}" for number in range(1, commits))))
    changes = [Change(Part.OPENS, "Open the shop", _PEOPLE[0], first)]
    for number in range(1, commits - 1):
        author = _PEOPLE[number % len(_PEOPLE)]
        if number == bad_price:
            prices["plums"] = -80
            made = Change(Part.BREAKS_TESTS, "Sell plums", author, {"catalogue.py": catalogue(prices)})
        elif number == bad_price + 1:
            prices["plums"] = 80
            made = Change(Part.REPAIRS, "Correct the price of plums", author, {"catalogue.py": catalogue(prices)})
        elif number == cards:
            made = Change(Part.BREAKS_PRODUCTION, "Take card payments", author, {"payments.py": _CARDS})
        else:
            name = next(goods)
            prices[name] = 60 + 13 * number
            made = Change(Part.GOOD, f"Sell {name}", author, {"catalogue.py": catalogue(prices)})
        changes.append(made)
    culprit = next(change for change in changes if change.part is Part.BREAKS_PRODUCTION)
    changes.append(Change(Part.REVERTS, f'Revert "{culprit.title}"', culprit.author))
    return tuple(changes)


def catalogue(prices: Mapping[str, int]) -> str:
    """The file of what is sold."""
    lines = "".join(f'    "{name}": {cents},\n' for name, cents in prices.items())
    return f'"""What the shop sells: the price of each thing, in cents."""\n\nPRODUCTS = {{\n{lines}}}\n'
