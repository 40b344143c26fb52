from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.envs import World
from toolgym.envs.world import FIRST_NAMES, LAST_NAMES, RELATIONS, TEXT
from toolgym.tools import InputError
from toolgym.tools.retrievers import BM25Retriever


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_names_are_single_words_that_do_not_contain_each_other() -> None:
    names, words = [*FIRST_NAMES, *LAST_NAMES], [*RELATIONS, "Who", "is", "the", "of"]
    assert len(FIRST_NAMES) == len(LAST_NAMES) == 60
    assert all(word.isalpha() for word in names)
    for one, other in [*itertools.permutations(names, 2), *itertools.product(names, words)]:
        assert one.lower() not in other.lower() and other.lower() not in one.lower(), (one, other)


def test_held_out_people_keep_to_themselves(world: World) -> None:
    train, test = set(world.people["train"]), set(world.people["test"])
    assert (len(train), len(test)) == (600, 200)
    assert not train & test
    for fact in world.facts:
        assert (fact.subject in train) == (fact.object in train)
    parts = [{part for person in people for part in person.split()} for people in (train, test)]
    assert parts[1] <= parts[0], "held-out names are made of known parts"


def test_a_wrong_relation_is_a_wrong_answer(world: World) -> None:
    for people in world.people.values():
        for person in people:
            others = [world.fact(person, relation).object for relation in RELATIONS]
            assert len({person, *others}) == len(RELATIONS) + 1
            assert all(set(person.split()).isdisjoint(other.split()) for other in others)


@given(
    seed=st.integers(0, 1000),
    split=st.sampled_from(["train", "test"]),
    hops=st.integers(1, 4),
    task_seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_chains_are_true_and_answers_unique(seed: int, split: str, hops: int, task_seed: int) -> None:
    world = World(seed, people=60, first_names=20, last_names=20)
    tasks = world.tasks(split, hops, size=40, seed=task_seed)
    facts = {(fact.subject, fact.relation): fact for fact in world.facts}
    for task in tasks:
        chain = task.metadata["chain"]
        assert len(chain) == hops == task.metadata["hops"]
        subject = chain[0][0]
        assert subject in world.people[split]  # type: ignore[index]
        met, phrase, gold = [subject], subject, []
        for start, relation, end in chain:
            assert start == met[-1] and facts[start, relation].object == end
            gold.append(facts[start, relation].id)
            phrase = f"the {relation} of {phrase}"
            met.append(end)
        assert task.question == f"Who is {phrase}?"
        assert task.metadata["gold_passages"] == gold
        assert task.answers == (met[-1],)
        assert len(set(met)) == hops + 1
        assert task.answers[0] not in task.question
    assert len({task.question for task in tasks}) == len(tasks)


def test_tasks_hang_on_seed_and_position_alone(world: World) -> None:
    few, many = world.tasks(size=10, seed=3), world.tasks(size=200, seed=3)
    assert list(many)[:10] == list(few)
    assert list(World().tasks(size=10, seed=3)) == list(few)
    assert [task.question for task in world.tasks(size=10, seed=4)] != [task.question for task in few]
    assert list(World(1).facts) != list(world.facts)


def test_questions_repeat_only_when_there_are_no_more() -> None:
    world = World(people=40, relations=("mother", "boss"))
    tasks = world.tasks("train", hops=1, size=100)
    assert len({task.question for task in tasks}) == 60
    assert len({task.id for task in tasks}) == 100
    assert [task.question for task in tasks[60:]] == [task.question for task in tasks[:40]]


@pytest.mark.parametrize("seed, people", [(0, 800), (1, 200), (2, 900), (3, 40)])
def test_search_finds_every_fact_first(seed: int, people: int) -> None:
    world = World(seed, people=people)
    retriever = BM25Retriever(world.corpus())
    assert len(world.corpus()) == people * len(RELATIONS)
    for fact in world.facts:
        (hit,) = retriever.search(f"{fact.relation} of {fact.subject}", 1)
        assert hit.passage.id == fact.id
        assert hit.passage.text == TEXT.format(relation=fact.relation, subject=fact.subject, object=fact.object)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"people": 901}, "people must be from 1 to 900"),
        ({"first_names": 61}, "first_names must be from 1 to 60"),
        ({"held_out": 0}, "held_out must be a share"),
        ({"held_out": 1.5}, "held_out must be a share"),
        ({"people": 4}, "too few"),
        ({"relations": ("Mother",)}, "lower-case"),
        ({"relations": ()}, "lower-case"),
        ({"relations": ("boss", "boss")}, "different"),
    ],
)
def test_impossible_worlds(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        World(**options)  # type: ignore[arg-type]


def test_impossible_tasks(world: World) -> None:
    for options, message in (
        ({"hops": 0}, "hops"),
        ({"hops": 5}, "hops"),
        ({"size": 0}, "size"),
        ({"split": "dev"}, "'train' and 'test'"),
    ):
        with pytest.raises(InputError, match=message):
            world.tasks(**options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no 'aunt' of"):
        world.fact(world.people["train"][0], "aunt")
