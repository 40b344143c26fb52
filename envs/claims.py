"""Claims about a generated world whose pages leave some facts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tools.errors import InputError
from .rewards.react import FEVER_LABELS
from .task import Task, TaskSet
from .world import MAX_HOPS, SPLITS, TEXT, Fact, World

if TYPE_CHECKING:
    from ..tools import PageStore

SUPPORTS, REFUTES, NOT_ENOUGH_INFO = FEVER_LABELS

_DRAWS = 1000


class WorldClaims:
    """Claims such as `The boss of the mother of Ann Lee is Bob Ray.` and the pages that decide them, or do not.

    The page of every person leaves out one relation, which one is drawn. A claim that ends on it cannot be decided
    from the pages; nothing in the claim tells that, since half of those claims are true and half are false. Every
    other relation has one object, so that a wrong one refutes a claim. Half of the wrong objects stand on the page,
    under another relation.

    Args:
        world: The people and their relations.

    Raises:
        InputError: If the world has a single relation: pages without it would be empty.
    """

    def __init__(self, world: World) -> None:
        if len(world.relations) < 2:
            raise InputError("claims need a world with at least two relations, since every page leaves one out")
        self.world = world
        people = [person for split in SPLITS for person in world.people[split]]
        drawn = np.random.default_rng([world.seed, 4]).integers(len(world.relations), size=len(people))
        self._left_out = {person: world.relations[int(draw)] for person, draw in zip(people, drawn, strict=True)}

    def is_told(self, fact: Fact) -> bool:
        """Whether the page of the fact's subject tells it."""
        return self._left_out[fact.subject] != fact.relation

    def pages(self) -> PageStore:
        """One page a person; each fact that is told is a paragraph."""
        from ..tools import PageStore

        paragraphs: dict[str, list[str]] = {}
        for fact in filter(self.is_told, self.world.facts):
            paragraphs.setdefault(fact.subject, []).append(fact.text)
        return PageStore({title: "\n".join(texts) for title, texts in paragraphs.items()})

    def tasks(
        self,
        split: str = "train",
        hops: int = 2,
        size: int | None = 500,
        seed: int = 0,
        wording: str = "{claim}",
    ) -> TaskSet:
        """Claims, each label once in every three.

        Claim `i` depends on `seed` and `i` alone.

        Args:
            split: `train` or `test`.
            hops: How many facts a claim chains, from 1 to 4.
            size: How many claims; None means that they never run out.
            seed: Fixes which claims, in which order.
            wording: How a task puts its `{claim}`.

        Raises:
            InputError: If an argument is out of range or the world is too small.
        """
        if split not in SPLITS:
            raise InputError(f"the world has the splits 'train' and 'test', not {split!r}")
        if not 1 <= hops <= MAX_HOPS:
            raise InputError(f"hops must be from 1 to {MAX_HOPS}, not {hops}")

        make = partial(self._make, split, hops, wording)  # not a local function: task sets are pickled
        return TaskSet.generate(make, size, seed, f"world-{self.world.seed}-claims-{split}-{hops}hop-{seed}")

    def _make(self, split: str, hops: int, wording: str, seed: int, index: int) -> Task:
        block, place = divmod(index, len(FEVER_LABELS))
        order = np.random.default_rng([seed, 5, SPLITS.index(split), hops, block]).permutation(len(FEVER_LABELS))
        rng = np.random.default_rng([seed, 6, SPLITS.index(split), hops, index])
        task = self._task(FEVER_LABELS[int(order[place])], split, hops, rng)
        return replace(task, question=wording.format(claim=task.question))

    def _task(self, label: str, split: str, hops: int, rng: np.random.Generator) -> Task:
        chain = self._chain(label, split, hops, rng)
        true = label == SUPPORTS or (label == NOT_ENOUGH_INFO and bool(rng.integers(2)))
        named = chain[-1].object if true else self._wrong_object(chain, split, rng)
        phrase = chain[0].subject
        for fact in chain:
            phrase = f"the {fact.relation} of {phrase}"
        metadata: Mapping[str, Any] = {
            "kind": "claim",
            "hops": hops,
            "chain": [[fact.subject, fact.relation, fact.object] for fact in chain],
            "named": named,
            "gold_passages": [fact.id for fact in chain if self.is_told(fact)],
        }
        return Task("", f"{phrase[0].upper()}{phrase[1:]} is {named}.", (label,), metadata)

    def _chain(self, label: str, split: str, hops: int, rng: np.random.Generator) -> list[Fact]:
        """Facts that lead from person to person, nobody twice; the last is left out where nothing is to be known."""
        world = self.world
        people = world.people["train" if split == "train" else "test"]
        for _ in range(_DRAWS):
            subject = people[int(rng.integers(len(people)))]
            chain: list[Fact] = []
            for hop in range(hops):
                told = not (label == NOT_ENOUGH_INFO and hop == hops - 1)
                facts = [fact for fact in self._facts_of(subject) if self.is_told(fact) == told]
                chain.append(facts[int(rng.integers(len(facts)))])
                subject = chain[-1].object
            if len({chain[0].subject, *(fact.object for fact in chain)}) == hops + 1:
                return chain
        raise InputError(f"the world has no claim of {hops} hops in split {split!r}; give it more people")

    def _wrong_object(self, chain: Sequence[Fact], split: str, rng: np.random.Generator) -> str:
        """Somebody whom the claim could name by its form, from the same page or from anywhere."""
        last = chain[-1]
        people = self.world.people["train" if split == "train" else "test"]
        out = {chain[0].subject, *(fact.object for fact in chain)}
        parts = set(last.subject.split())
        on_page = [
            fact.object for fact in self._facts_of(last.subject) if self.is_told(fact) and fact.object not in out
        ]
        if on_page and rng.integers(2):
            return on_page[int(rng.integers(len(on_page)))]
        for _ in range(_DRAWS):
            person = people[int(rng.integers(len(people)))]
            if person not in out and parts.isdisjoint(person.split()):  # nobody is related to a namesake
                return person
        raise InputError("the world has too few people for wrong claims; give it more")

    def _facts_of(self, subject: str) -> list[Fact]:
        return [self.world.fact(subject, relation) for relation in self.world.relations]


@lru_cache(maxsize=4)
def pages_of_claims(world: World) -> PageStore:
    """The pages of `WorldClaims`, made once per process and world."""
    return WorldClaims(world).pages()


def claim_answer(chain: Sequence[Sequence[str]], named: str, read: bool) -> tuple[str, str]:
    """What the facts that were read say of a claim: a sentence, and the label.

    Args:
        chain: Subject, relation and object of each fact.
        named: Whom the claim names.
        read: Whether the last fact was found on its page.
    """
    subject, relation, object_ = chain[-1]
    if not read:
        return f"The page does not tell the {relation} of {subject}.", NOT_ENOUGH_INFO
    fact = TEXT.format(relation=relation, subject=subject, object=object_)
    return (f"{fact} The claim is true.", SUPPORTS) if object_ == named else (f"{fact} The claim is false.", REFUTES)
