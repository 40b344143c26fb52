"""A generated world of people and their relations, for multi-hop questions that nobody can know by heart.

Every person has one mother, one boss, and so on; each fact is a passage of its own. Held-out people have facts of
their own that lead to held-out people alone, but their names are made of the same parts, so that a small model can
read and write them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..tools.errors import InputError
from .task import Task, TaskSet

if TYPE_CHECKING:
    from ..tools.retrievers import Corpus

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
RELATIONS = ("mother", "boss", "friend", "teacher", "neighbour")
MAX_HOPS = 4

FIRST_NAMES = (
    "Alban Bruno Cora Dora Edgar Fiona Gavin Hazel Ingrid Judith Kurt Lydia Magnus Nigel Olga Pedro Quincy Rufus Sonja "
    "Tobias Ulrich Vivian Walter Xenia Yvonne Zelda Amos Bianca Clement Dagmar Elmer Freya Gideon Hilda Harvey Jolanda "
    "Klaus Lorna Mabel Nestor Ottilie Percy Ramona Silas Tamara Una Vernon Wilma Yasmin Zachary Agnes Boyd Cyril "
    "Dorian Edna Fergus Gerda Hector Imogen Joachim"
).split()
LAST_NAMES = (
    "Ashdown Barlow Calder Denholm Eastman Fairfax Galloway Hargreave Ivory Jessop Kendrick Lockwood Mercer Northcott "
    "Oakley Pemberton Quigley Radcliffe Sheldon Thackeray Underhill Vickers Whitlock Yardley Zimmer Atwater Birch "
    "Cobb Dunmore Ellery Fenwick Gladstone Holbrook Ingram Jarrow Kipling Langley Mossman Nettle Orchard Prescott "
    "Quartz Redfern Stroud Tennant Upton Vance Wexford Yeats Zeller Aldridge Brannock Cromwell Dacre Everett "
    "Foxley Grimshaw Huxley Irving Jelliffe"
).split()

TEXT = "The {relation} of {subject} is {object}."


@dataclass(frozen=True)
class Fact:
    """One fact, `relation of subject is object`.

    Attributes:
        id: Id of its passage.
        subject: The person it is about; the passage's title.
        relation: The relation.
        object: The person it leads to.
    """

    id: str
    subject: str
    relation: str
    object: str

    @property
    def text(self) -> str:
        """The passage's text."""
        return TEXT.format(relation=self.relation, subject=self.subject, object=self.object)


class World:
    """People, their relations, and questions about them.

    No two of a person's relations lead to the same person, and nobody is related to somebody with a name part in
    common: a wrong relation or a wrong name gives a wrong answer.

    Args:
        seed: Fixes people and relations.
        people: How many people there are, held-out ones included.
        first_names: How many first names they share, at most 60.
        last_names: How many last names they share, at most 60.
        held_out: Share of the people that only the test split asks about.
        relations: Single-valued relations from person to person, one lower-case word each.

    Raises:
        InputError: If the numbers do not fit together.
    """

    def __init__(
        self,
        seed: int = 0,
        people: int = 800,
        first_names: int = 30,
        last_names: int = 30,
        held_out: float = 0.25,
        relations: Sequence[str] = RELATIONS,
    ) -> None:
        _check(people, first_names, last_names, held_out, relations)
        self.seed = seed
        self.relations = tuple(relations)
        rng = np.random.default_rng([seed, 0])
        pairs = rng.choice(first_names * last_names, size=people, replace=False)
        names = [f"{FIRST_NAMES[int(pair) // last_names]} {LAST_NAMES[int(pair) % last_names]}" for pair in pairs]
        held = round(people * held_out)
        self.people: dict[Split, tuple[str, ...]] = {"train": tuple(names[held:]), "test": tuple(names[:held])}
        self._facts: dict[tuple[str, str], Fact] = {}
        for split in SPLITS:
            self._relate(self.people[split], np.random.default_rng([seed, 1, SPLITS.index(split)]))

    def _relate(self, people: Sequence[str], rng: np.random.Generator) -> None:
        for subject in people:
            parts = set(subject.split())
            order = (people[int(position)] for position in rng.permutation(len(people)))
            unlike = (person for person in order if parts.isdisjoint(person.split()))
            strangers = list(islice(unlike, len(self.relations)))
            if len(strangers) < len(self.relations):
                raise InputError(
                    f"a world with {len(people)} people in a split has too few for {len(self.relations)} relations of "
                    f"{subject}; give more people or names, or fewer relations"
                )
            for relation, other in zip(self.relations, strangers, strict=False):
                fact_id = f"{subject}/{relation}".lower().replace(" ", "-")
                self._facts[subject, relation] = Fact(fact_id, subject, relation, other)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Every fact, person by person."""
        return tuple(self._facts.values())

    def fact(self, subject: str, relation: str) -> Fact:
        """The fact about one relation of one person.

        Raises:
            InputError: If the world has no such person or relation.
        """
        if (subject, relation) not in self._facts:
            raise InputError(f"the world has no {relation!r} of {subject!r}; its relations are {list(self.relations)}")
        return self._facts[subject, relation]

    def passages(self) -> list[dict[str, str]]:
        """One passage per fact, as rows with `id`, `title` and `text`."""
        return [{"id": fact.id, "title": fact.subject, "text": fact.text} for fact in self._facts.values()]

    @cached_property
    def _corpus(self) -> Corpus:
        from ..tools.retrievers import Corpus, Passage

        return Corpus((Passage(**passage) for passage in self.passages()), f"the world of seed {self.seed}")

    def corpus(self) -> Corpus:
        """All passages, those of held-out people included."""
        return self._corpus

    def tasks(self, split: str = "train", hops: int = 2, size: int = 500, seed: int = 0) -> TaskSet:
        """Questions that take a number of hops to answer.

        Task `i` depends on `seed` and `i` alone, not on `size`. Questions repeat only when the world has no more.

        Args:
            split: `train` or `test`.
            hops: How many facts a question chains, from 1 to 4.
            size: How many questions.
            seed: Fixes which questions, in which order.

        Raises:
            InputError: If an argument is out of range or the world has no chain of that length.
        """
        if split not in SPLITS:
            raise InputError(f"the world has the splits 'train' and 'test', not {split!r}")
        if not 1 <= hops <= MAX_HOPS:
            raise InputError(f"hops must be from 1 to {MAX_HOPS}, not {hops}")
        if size < 1:
            raise InputError(f"size must be at least 1, not {size}")
        chains = self._chains(split, hops, size, seed)
        name = f"world-{self.seed}-{split}-{hops}hop-{seed}"
        tasks = (_task(f"{name}-{index}", chains[index % len(chains)]) for index in range(size))
        return TaskSet(tasks, name)

    def _chains(self, split: Split, hops: int, size: int, seed: int) -> list[list[Fact]]:
        people = self.people[split]
        choices = len(self.relations) ** hops
        rng = np.random.default_rng([seed, 2, SPLITS.index(split), hops])
        chains: list[list[Fact]] = []
        for code in rng.permutation(len(people) * choices):
            subject, rest = people[int(code) // choices], int(code) % choices
            chain = list(self._walk(subject, rest, hops))
            met = {chain[0].subject, *(fact.object for fact in chain)}
            if len(met) == hops + 1:  # nobody twice: neither the subject nor a person on the way is the answer
                chains.append(chain)
                if len(chains) == size:
                    break
        if not chains:
            raise InputError(f"the world has no chain of {hops} hops in split {split!r}; give it more people")
        return chains

    def _walk(self, subject: str, code: int, hops: int) -> Iterator[Fact]:
        for _ in range(hops):
            code, choice = divmod(code, len(self.relations))
            fact = self._facts[subject, self.relations[choice]]
            yield fact
            subject = fact.object


@cache
def shared_world(seed: int) -> World:
    """The world of a seed at its default size, made once per process."""
    return World(seed)


def _task(task_id: str, chain: Sequence[Fact]) -> Task:
    phrase = chain[0].subject
    for fact in chain:
        phrase = f"the {fact.relation} of {phrase}"
    metadata: Mapping[str, Any] = {
        "hops": len(chain),
        "chain": [[fact.subject, fact.relation, fact.object] for fact in chain],
        "gold_passages": [fact.id for fact in chain],
    }
    return Task(task_id, f"Who is {phrase}?", (chain[-1].object,), metadata)


def _check(people: int, first_names: int, last_names: int, held_out: float, relations: Sequence[str]) -> None:
    for option, value, most in (
        ("first_names", first_names, len(FIRST_NAMES)),
        ("last_names", last_names, len(LAST_NAMES)),
        ("people", people, first_names * last_names),
    ):
        if not 1 <= value <= most:
            raise InputError(f"{option} must be from 1 to {most}, not {value}")
    if not 0 < held_out < 1:
        raise InputError(f"held_out must be a share between 0 and 1, not {held_out}")
    words = [relation for relation in relations if relation.isalpha() and relation.islower()]
    if not relations or len(words) != len(relations) or len(set(words)) != len(words):
        raise InputError(f"relations must be different single lower-case words, not {list(relations)}")
