from __future__ import annotations

import re
from collections import Counter

import pytest

from toolgym.envs import World
from toolgym.envs.claims import WorldClaims, claim_answer
from toolgym.envs.rewards.react import FEVER_LABELS
from toolgym.tools import InputError, PageStore

WORLD = World()
CLAIMS = WorldClaims(WORLD)
PAGES = CLAIMS.pages()


def decide(claim: str, pages: PageStore) -> str:
    """The label, from the claim's words and the pages alone: innermost relation first."""
    found = re.fullmatch(r"The ((?:\w+ of the )*\w+) of (\w+ \w+) is (\w+ \w+)\.", claim)
    assert found is not None
    person = found[2]
    for relation in reversed(found[1].split(" of the ")):
        told = re.search(rf"^The {relation} of {person} is (.+)\.$", pages[person], re.MULTILINE)
        if told is None:
            return "NOT ENOUGH INFO"
        person = told[1]
    return "SUPPORTS" if person == found[3] else "REFUTES"


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_follow_from_the_pages(hops: int, split: str) -> None:
    tasks = CLAIMS.tasks(split, hops, 60)
    assert [decide(task.question, PAGES) for task in tasks] == [task.answers[0] for task in tasks]
    assert {task.metadata["kind"] for task in tasks} == {"claim"}
    for block in range(20):
        assert {tasks[3 * block + place].answers[0] for place in range(3)} == set(FEVER_LABELS), (
            "each label once in three"
        )
    orders = {tuple(tasks[3 * block + place].answers[0] for place in range(3)) for block in range(20)}
    assert len(orders) > 3, "in no fixed order"


def test_every_page_leaves_one_relation_out() -> None:
    counts = Counter(text.count("\n") + 1 for text in PAGES.values())
    assert counts == {len(WORLD.relations) - 1: 800}
    left_out = Counter(fact.relation for fact in WORLD.facts if not CLAIMS.is_told(fact))
    assert set(left_out) == set(WORLD.relations) and min(left_out.values()) > 100


def test_the_words_of_a_claim_do_not_tell_its_label() -> None:
    tasks = list(CLAIMS.tasks(hops=1, size=900))
    open_ones = [task for task in tasks if task.answers[0] == "NOT ENOUGH INFO"]
    true = sum(task.metadata["named"] == task.metadata["chain"][-1][2] for task in open_ones)
    assert 110 < true < 190, "about half of 300 would be true"
    refuted = [task for task in tasks if task.answers[0] == "REFUTES"]
    on_page = sum(task.metadata["named"] in PAGES[task.metadata["chain"][-1][0]] for task in refuted)
    assert 110 < on_page < 190, "about half of 300 name somebody from the page"
    for label in FEVER_LABELS:
        relations = Counter(task.metadata["chain"][-1][1] for task in tasks if task.answers[0] == label)
        assert set(relations) == set(WORLD.relations)
    people = set(WORLD.people["test"])
    assert not any(person in task.question for task in tasks[:50] for person in people)


def test_a_claim_depends_on_seed_and_index_alone() -> None:
    endless = CLAIMS.tasks(size=None, seed=3)
    assert endless.endless
    assert list(CLAIMS.tasks(size=9, seed=3)) == [endless[index] for index in range(9)]
    assert endless[10**9].id == f"world-0-claims-train-2hop-3-{10**9}"
    assert endless.by_id("world-0-claims-train-2hop-3-4") == endless[4]
    assert CLAIMS.tasks(seed=4)[0].question != endless[0].question
    assert CLAIMS.tasks("test", seed=3)[0].question != endless[0].question
    assert list(WorldClaims(World()).tasks(size=5)) == list(CLAIMS.tasks(size=5))


def test_passages_that_decide_a_claim_are_named() -> None:
    for task in CLAIMS.tasks(size=30):
        told = 2 if task.answers[0] != "NOT ENOUGH INFO" else 1
        assert len(task.metadata["gold_passages"]) == told


def test_answers_from_what_was_read() -> None:
    chain = [["Ann", "boss", "Bob"]]
    assert claim_answer(chain, "Bob", True) == ("The boss of Ann is Bob. The claim is true.", "SUPPORTS")
    assert claim_answer(chain, "Cid", True) == ("The boss of Ann is Bob. The claim is false.", "REFUTES")
    assert claim_answer(chain, "Bob", False) == ("The page does not tell the boss of Ann.", "NOT ENOUGH INFO")


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="at least two relations"):
        WorldClaims(World(relations=("boss",)))
    with pytest.raises(InputError, match="'train' and 'test', not 'dev'"):
        CLAIMS.tasks("dev")
    with pytest.raises(InputError, match="from 1 to 4, not 5"):
        CLAIMS.tasks(hops=5)
    small = World(people=12, relations=("boss", "friend"), held_out=0.5)
    with pytest.raises(InputError, match="give it more"):
        list(WorldClaims(small).tasks(hops=4, size=60))
