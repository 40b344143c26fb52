"""Generated word problems in the manner of GSM8K: two to four steps of arithmetic, whole numbers throughout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .task import Task

PEOPLE = "Amira Bertil Chen Dalia Emre Farid Gunda Henrik Ilse Jonas Kofi Leyla Mateo Nuria Otto Priya".split()
THINGS = "pencils marbles buttons stickers plums walnuts candles postcards beads shells".split()


@dataclass
class _Draft:
    """A problem being written: sentences of the question and annotated steps of the solution."""

    rng: np.random.Generator
    question: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    value: int = 0

    def __post_init__(self) -> None:
        first, second = self.rng.choice(len(PEOPLE), 2, replace=False)
        self.name, self.other = PEOPLE[int(first)], PEOPLE[int(second)]
        self.thing = THINGS[int(self.rng.integers(len(THINGS)))]

    def number(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        return int(self.rng.integers(low, high + 1))

    def step(self, meaning: str, left: int, operator: str, right: int) -> int:
        """Adds a step of the solution and returns its value."""
        results = {"+": left + right, "-": left - right, "*": left * right, "/": left // right}
        self.value = results[operator]
        expression = f"{left}{operator}{right}"
        self.steps.append(f"{meaning}: {left} {operator} {right} = <<{expression}={self.value}>>{self.value}.")
        return self.value


def _boxes(draft: _Draft) -> None:
    boxes, each, given = draft.number(3, 12), draft.number(4, 15), draft.number(2, 11)
    draft.question += [
        f"{draft.name} owns {boxes} boxes with {each} {draft.thing} in each of them.",
        f"{given} of the {draft.thing} go to {draft.other} as a present.",
    ]
    total = draft.step("In all boxes", boxes, "*", each)
    left = draft.step("After the present", total, "-", given)
    if draft.number(0, 1):
        found = draft.number(3, 30)
        draft.question.append(f"Later {draft.name} finds {found} more of them under a bench.")
        draft.step("With those found", left, "+", found)
    draft.question.append(f"How many {draft.thing} does {draft.name} have then?")


def _market(draft: _Draft) -> None:
    price, count, other_price, paid = (
        draft.number(2, 9),
        draft.number(3, 9),
        draft.number(5, 30),
        10 * draft.number(12, 20),
    )
    draft.question += [
        f"At the market {draft.name} buys {count} jars of honey for {price} dollars each and a basket for "
        f"{other_price} dollars.",
        f"{draft.name} pays with {paid} dollars. How many dollars does {draft.name} get back?",
    ]
    jars = draft.step("The jars cost", count, "*", price)
    cost = draft.step("With the basket", jars, "+", other_price)
    draft.step("The change is", paid, "-", cost)


def _shares(draft: _Draft) -> None:
    friends, each, kept = draft.number(2, 9), draft.number(3, 14), draft.number(2, 20)
    total = friends * each + kept
    draft.question += [
        f"{draft.name} has picked {total} {draft.thing} and keeps {kept} of them.",
        f"The rest is shared evenly among {friends} friends, one of whom is {draft.other}.",
    ]
    rest = draft.step("To be shared", total, "-", kept)
    portion = draft.step("For each friend", rest, "/", friends)
    if draft.number(0, 1):
        had = draft.number(5, 40)
        draft.question.append(f"{draft.other} already had {had}. How many does {draft.other} have now?")
        draft.step("Together with those before", portion, "+", had)
    else:
        draft.question.append(f"How many {draft.thing} does {draft.other} get?")


def _work(draft: _Draft) -> None:
    wage, hours, days, spent = draft.number(8, 25), draft.number(3, 9), draft.number(2, 6), draft.number(10, 45)
    draft.question += [
        f"{draft.name} repairs bicycles for {wage} dollars an hour, {hours} hours a day.",
        f"After {days} days {draft.name} spends {spent} dollars on tools. How many dollars are left of the pay?",
    ]
    daily = draft.step("Pay of a day", wage, "*", hours)
    total = draft.step("Pay of all days", daily, "*", days)
    draft.step("After buying tools", total, "-", spent)


def _ages(draft: _Draft) -> None:
    age, times, years = draft.number(4, 14), draft.number(2, 5), draft.number(2, 15)
    draft.question += [
        f"{draft.other} is {age} years old and {draft.name} is {times} times as old.",
        f"How old will the two be together in {years} years?",
    ]
    older = draft.step(f"The age of {draft.name}", age, "*", times)
    now = draft.step("Together today", age, "+", older)
    both = draft.step("Years added for both", 2, "*", years)
    draft.step("Together then", now, "+", both)


def _bus(draft: _Draft) -> None:
    rows, seats, off, on = draft.number(8, 14), draft.number(3, 5), draft.number(3, 20), draft.number(1, 15)
    draft.question += [
        f"A bus has {rows} rows of {seats} seats and leaves the station full.",
        f"At the first stop {off} people get off and {on} get on. How many people are on the bus now?",
    ]
    full = draft.step("People at the start", rows, "*", seats)
    left = draft.step("After some got off", full, "-", off)
    draft.step("After others got on", left, "+", on)


TEMPLATES: tuple[Callable[[_Draft], None], ...] = (_boxes, _market, _shares, _work, _ages, _bus)


def make_problem(seed: int, index: int) -> Task:
    """Problem `index` of a seed: a task whose solution is annotated as in GSM8K (`<<6*7=42>>`)."""
    draft = _Draft(np.random.default_rng([seed, index]))
    TEMPLATES[draft.number(0, len(TEMPLATES) - 1)](draft)
    solution = "\n".join([*draft.steps, f"#### {draft.value}"])
    return Task(f"problem-{seed}-{index}", " ".join(draft.question), (str(draft.value),), {"solution": solution})
