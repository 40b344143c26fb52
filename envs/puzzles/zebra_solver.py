"""Zebra solver: sets of houses as bits, narrowed clue by clue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .zebra_clues import Clue, allowed_houses, pair_tables, triple_tables

Domains = list[int]
"""The houses in which each item may be, one bit each."""


class Rule(NamedTuple):
    """A clue in the form in which it narrows.

    Attributes:
        clue: The clue.
        items: How many items it speaks of.
        narrowing: Those items, and for each what it may be by what the others may be.
    """

    clue: Clue
    items: int
    narrowing: tuple[Any, ...]


class Analysis(NamedTuple):
    """What it takes to solve a puzzle and to prove that there is no other solution.

    Attributes:
        solutions: How many there are, two at most.
        looks: How often a clue was looked at, in all.
        assumptions: Houses that were assumed where no clue led further; 0 if there was no need.
    """

    solutions: int
    looks: int
    assumptions: int


def rule(clue: Clue, houses: int) -> Rule:
    """The rule of a clue."""
    count = len(clue.items)
    if count == 1:
        return Rule(clue, 1, (*clue.items, allowed_houses(clue.kind, houses, clue.houses)))
    tables = pair_tables(clue.kind, houses) if count == 2 else triple_tables(clue.kind, houses)
    return Rule(clue, count, (*clue.items, *tables))


class ZebraSolver:
    """Narrows the houses of the items by clues, and by the rule that the values of an attribute live apart.

    Args:
        houses: How many houses.
        attributes: How many attributes.
        rules: What is known.
    """

    def __init__(self, houses: int, attributes: int, rules: Sequence[Rule] = ()) -> None:
        self.houses = houses
        self._starts = range(0, houses * attributes, houses)
        whole = (1 << houses) - 1
        self._open = [(whole,) * houses] * attributes
        self.start: Domains = [whole] * (houses * attributes)
        self._rules = list(rules)
        self._pairs = [narrowing for _, items, narrowing in rules if items == 2]
        self._triples = [narrowing for _, items, narrowing in rules if items == 3]
        for _, items, narrowing in rules:
            if items == 1:
                self.start[narrowing[0]] &= narrowing[1]

    def add(self, new: Rule, domains: Domains) -> None:
        """Takes a further clue into account, and narrows domains that were narrowed without it, in place."""
        self._rules.append(new)
        if new.items == 1:
            self.start[new.narrowing[0]] &= new.narrowing[1]
            domains[new.narrowing[0]] &= new.narrowing[1]
        else:
            (self._pairs if new.items == 2 else self._triples).append(new.narrowing)
        if new.items == 1 or _tells(new, domains):
            self.narrow(domains)

    def narrow(self, domains: Domains) -> int:
        """Narrows domains in place as far as single clues lead.

        Returns:
            How often all clues were looked at; -1 for a contradiction.
        """
        starts, houses, checked, rounds = self._starts, self.houses, self._open[:], 0
        while True:
            rounds += 1
            for one, other, table, reverse in self._pairs:
                mine, its = domains[one], domains[other]
                domains[one] = mine = mine & table[its]
                domains[other] = its & reverse[mine]
            for one, other, third, first, second, last in self._triples:
                a, b, c = domains[one], domains[other], domains[third]
                domains[one] = a = a & first[b][c]
                domains[other] = b = b & second[a][c]
                domains[third] = c & last[a][b]
            changed = False
            for attribute, start in enumerate(starts):
                group = tuple(domains[start : start + houses])
                if group != checked[attribute]:
                    apart = _apart(group)
                    if not apart:
                        return -1
                    changed = True
                    domains[start : start + houses] = checked[attribute] = apart
            if not changed:
                return rounds

    def leading(self) -> list[Rule]:
        """The rules that tell something new on the way from the start; without the others, it goes just as far."""
        domains, before = self.start[:], Domains()
        led = {id(known.narrowing) for known in self._rules if known.items == 1}
        while domains != before:
            before = domains[:]
            for pair in self._pairs:
                one, other, table, reverse = pair
                mine, its = domains[one], domains[other]
                domains[one] = now = mine & table[its]
                domains[other] = its & reverse[now]
                if now != mine or domains[other] != its:
                    led.add(id(pair))
            for triple in self._triples:
                one, other, third, first, second, last = triple
                a, b, c = domains[one], domains[other], domains[third]
                domains[one] = now = a & first[b][c]
                domains[other] = b & second[now][c]
                domains[third] = c & last[now][domains[other]]
                if (now, domains[other], domains[third]) != (a, b, c):
                    led.add(id(triple))
            for start in self._starts:
                domains[start : start + self.houses] = _apart(tuple(domains[start : start + self.houses]))
        return [known for known in self._rules if id(known.narrowing) in led]

    def decided(self, domains: Domains) -> bool:
        """Whether every item has one house."""
        return not any(domain & domain - 1 for domain in domains)

    def analyse(self) -> Analysis:
        """Solves the puzzle, without knowing its solution."""
        rounds = assumptions = solutions = 0
        waiting = [self.start[:]]
        while waiting and solutions < 2:
            domains = waiting.pop()
            looked = self.narrow(domains)
            rounds += abs(looked)
            if looked < 0:
                continue
            if self.decided(domains):
                solutions += 1
                continue
            undecided = (item for item, domain in enumerate(domains) if domain & domain - 1)
            item = min(undecided, key=lambda item: domains[item].bit_count())
            for house in (house for house in range(self.houses) if domains[item] >> house & 1):
                assumptions += 1
                assumed = domains[:]
                assumed[item] = 1 << house
                waiting.append(assumed)
        return Analysis(solutions, rounds * len(self._rules), assumptions)


def _tells(new: Rule, domains: Domains) -> bool:
    """Whether a rule narrows anything at once."""
    items = new.narrowing[: new.items]
    for position, item in enumerate(items):
        possible = new.narrowing[new.items + position]
        for other in items[:position] + items[position + 1 :]:
            possible = possible[domains[other]]
        if domains[item] & ~possible:
            return True
    return False


@lru_cache(maxsize=1 << 16)
def _apart(group: tuple[int, ...]) -> tuple[int, ...]:
    """The houses left to the values of an attribute when each has its own; empty for a contradiction."""
    whole = (1 << len(group)) - 1
    while True:
        taken = some = several = 0
        for domain in group:
            several |= some & domain
            some |= domain
            if not domain & domain - 1:
                if not domain or taken & domain:
                    return ()
                taken |= domain
        if some != whole:
            return ()
        if not several:
            return group
        alone, free = whole & ~several, ~taken  # houses that one value alone can have, houses that no value has yet
        left = tuple([domain & alone or (domain & free if domain & domain - 1 else domain) for domain in group])
        if left == group:
            return group
        group = left
