"""Zebra puzzles: what is generated, what an answer says, and what it is worth."""

from __future__ import annotations

import pickle
from itertools import permutations, product
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.envs import Task, make_env
from toolgym.envs.puzzles.base import MOST_UNSOLVED
from toolgym.envs.puzzles.draws import Draws
from toolgym.envs.puzzles.zebra import ZebraEnv
from toolgym.envs.puzzles.zebra_clues import RELATIONS, Clue, pair_tables, triple_tables
from toolgym.envs.puzzles.zebra_generator import draw_zebra, zebra_size
from toolgym.envs.puzzles.zebra_solver import ZebraSolver, rule
from toolgym.envs.puzzles.zebra_text import ATTRIBUTES, Attribute, read_choice, read_houses, story
from toolgym.tools.errors import InputError

ROWS = [["Ada", "red", "cat"], ["Dev", "blue", "dog"]]
RIGHT = {"ada": 1, "red": 1, "cat": 1, "dev": 2, "blue": 2, "dog": 2}
GRID = Task("t", "?", ("-",), {"attributes": ["name", "colour", "pet"], "rows": ROWS, "asked": "grid"})


def reference_solutions(puzzle):
    """Every arrangement in which all clues are true, by trying all of them."""
    orders = list(permutations(range(puzzle.houses)))
    found = []
    for chosen in product(orders, repeat=puzzle.attributes):
        places = [place for order in chosen for place in order]
        if all(RELATIONS[c.kind].holds(*(places[item] for item in c.items), *c.houses) for c in puzzle.clues):
            found.append(tuple(places))
    return found


@pytest.mark.parametrize(("houses", "attributes"), [(2, 2), (3, 2), (2, 5), (3, 3), (3, 4), (4, 2)])
@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_every_puzzle_has_one_solution(houses, attributes, difficulty) -> None:
    for index in range(3):
        puzzle = draw_zebra(Draws(1, index), houses, attributes, difficulty)
        assert reference_solutions(puzzle) == [puzzle.places]
        assert puzzle.analysis.solutions == 1


@pytest.mark.parametrize("difficulty", [0.6, 0.8, 1.0])
def test_large_puzzles_have_one_solution_and_no_clue_too_many(difficulty) -> None:
    size = zebra_size(difficulty)
    for index in range(4):
        puzzle = draw_zebra(Draws(2, index), *size, difficulty)
        rules = [rule(clue, puzzle.houses) for clue in puzzle.clues]
        assert all(
            RELATIONS[clue.kind].holds(*(puzzle.places[item] for item in clue.items), *clue.houses)
            for clue in puzzle.clues
        )
        assert ZebraSolver(*size, rules).analyse()[::2] == (1, 0)  # one solution, nothing assumed
        for left_out in range(len(rules)):
            solver = ZebraSolver(*size, rules[:left_out] + rules[left_out + 1 :])
            domains = solver.start[:]
            solver.narrow(domains)
            assert not solver.decided(domains)


def test_values_of_an_attribute_live_apart() -> None:
    def narrowed(*clues: Clue) -> list[int] | None:
        solver = ZebraSolver(3, 1, [rule(clue, 3) for clue in clues])
        domains = solver.start[:]
        return domains if solver.narrow(domains) > 0 else None

    # House 3 is left to the third value alone; then the second, who is not in house 1, has house 2.
    last = [Clue("not in", (0,), (2,)), Clue("not in", (1,), (2,))]
    assert narrowed(*last) == [0b011, 0b011, 0b100]
    assert narrowed(*last, Clue("not in", (1,), (0,))) == [0b001, 0b010, 0b100]
    assert narrowed(Clue("in", (0,), (1,)), Clue("in", (1,), (1,))) is None
    assert narrowed(*last, Clue("in", (2,), (0,))) is None


def test_the_solver_counts_by_assumption_where_no_clue_leads_on() -> None:
    # Three people, next door to each other in a row: the middle one is known, the two ends can change places.
    middle = [rule(Clue("next to", (0, 1)), 3), rule(Clue("next to", (0, 2)), 3)]
    assert ZebraSolver(3, 1, middle).analyse().solutions == 2
    one = [*middle, rule(Clue("left", (1, 2)), 3)]
    assert ZebraSolver(3, 1, one).analyse().solutions == 1
    contradiction = [*one, rule(Clue("left", (2, 1)), 3)]
    assert ZebraSolver(3, 1, contradiction).analyse().solutions == 0


def test_the_published_zebra_puzzle() -> None:
    """Life International, 17 December 1962: the Norwegian drinks water, the Japanese owns the zebra."""
    english, spaniard, ukrainian, norwegian, japanese = range(5)
    red, green, ivory, yellow, blue = range(5, 10)
    dog, snails, fox, horse, zebra = range(10, 15)
    coffee, tea, milk, juice, water = range(15, 20)
    gold, kools, chesterfields, strike, parliaments = range(20, 25)
    same = [(english, red), (spaniard, dog), (coffee, green), (ukrainian, tea), (gold, snails), (kools, yellow)]
    same += [(strike, juice), (japanese, parliaments)]
    clues = [Clue("same", pair) for pair in same]
    clues += [Clue("directly right", (green, ivory)), Clue("in", (milk,), (2,)), Clue("in", (norwegian,), (0,))]
    clues += [Clue("next to", pair) for pair in ((chesterfields, fox), (kools, horse), (norwegian, blue))]
    solver = ZebraSolver(5, 5, [rule(clue, 5) for clue in clues])
    assert solver.analyse().solutions == 1
    domains = solver.start[:]
    solver.narrow(domains)
    known = [domain.bit_length() - 1 for domain in domains if domain.bit_count() == 1]
    assert known  # single clues lead some way; the rest takes assumptions
    assert solver.analyse().assumptions > 0
    answers = [Clue("same", (norwegian, water)), Clue("same", (japanese, zebra))]
    assert ZebraSolver(5, 5, [rule(clue, 5) for clue in [*clues, *answers]]).analyse().solutions == 1


@pytest.mark.parametrize("kind", [kind for kind, relation in RELATIONS.items() if relation.items > 1])
def test_tables_are_what_the_relations_say(kind) -> None:
    houses, holds = 4, RELATIONS[kind].holds
    sets = [[house for house in range(houses) if bits >> house & 1] for bits in range(1 << houses)]
    if RELATIONS[kind].items == 2:
        one, other = pair_tables(kind, houses)
        for bits, possible in enumerate(sets):
            assert one[bits] == sum(1 << a for a in range(houses) if any(holds(a, b) for b in possible))
            assert other[bits] == sum(1 << b for b in range(houses) if any(holds(a, b) for a in possible))
        return
    tables = triple_tables(kind, houses)
    for left, right in product(range(1 << houses), repeat=2):
        pairs = list(product(sets[left], sets[right]))
        expected = [
            sum(1 << a for a in range(houses) if any(holds(a, b, c) for b, c in pairs)),
            sum(1 << b for b in range(houses) if any(holds(a, b, c) for a, c in pairs)),
            sum(1 << c for c in range(houses) if any(holds(a, b, c) for a, b in pairs)),
        ]
        assert [table[left][right] for table in tables] == expected


def test_difficulty_rises() -> None:
    drawn = {
        difficulty: [draw_zebra(Draws(3, index), *zebra_size(difficulty), difficulty) for index in range(12)]
        for difficulty in (0.0, 0.25, 0.5, 0.75, 1.0)
    }
    looks = [mean(puzzle.analysis.looks for puzzle in puzzles) for puzzles in drawn.values()]
    assert looks == sorted(looks) and looks[-1] > 20 * looks[0]
    direct = [
        mean(clue.kind in ("in", "same") for puzzle in puzzles for clue in puzzle.clues) for puzzles in drawn.values()
    ]
    assert direct[0] > 0.6 and direct[-1] < 0.4
    # At one size, too.
    effort = [mean(draw_zebra(Draws(4, i), 4, 4, d).analysis.looks for i in range(30)) for d in (0.0, 1.0)]
    assert effort[1] > 1.1 * effort[0]


def test_every_kind_of_clue_comes_up_and_is_worded() -> None:
    kinds = set()
    for index in range(12):
        puzzle = draw_zebra(Draws(0, index), 5, 4, 0.9)
        kinds |= {clue.kind for clue in puzzle.clues}
        for clue in puzzle.clues:
            assert len(set(clue.items)) == len(clue.items) and len(set(clue.houses)) == len(clue.houses)
    assert kinds == set(RELATIONS)


def test_wording() -> None:
    people = Attribute("name", "{}", ("Ada", "Dev", "Kira"))
    pets = Attribute("pet", "the {} owner", ("cat", "dog", "pony"))
    clues = [
        Clue("in", (0,), (1,)),
        Clue("same", (3, 1)),
        Clue("in one of", (5,), (0, 2)),
        Clue("between", (0, 1, 4)),
        Clue("either", (2, 3, 5)),
        Clue("not in", (1,), (1,)),
    ]
    text = story((people, pets), clues)
    assert "3 houses stand in a row" in text and "- pet: cat, dog, pony" in text
    assert text.splitlines()[-6:] == [
        "1. Ada lives in house 2.",
        "2. The cat owner is Dev.",
        "3. The pony owner lives in house 1 or in house 3.",
        "4. Ada lives somewhere between Dev and the dog owner.",
        "5. Kira is either the cat owner or the pony owner.",
        "6. Dev does not live in house 2.",
    ]


def test_values_are_told_apart_by_single_words() -> None:
    values = [value.lower() for attribute in ATTRIBUTES for value in attribute.values]
    assert len(set(values)) == len(values)
    assert all(value.isalpha() for value in values)
    assert not {attribute.name for attribute in ATTRIBUTES} & set(values)
    for value in values:  # no value is a filler: else an answer that leaves it out would read as one that has it
        assert read_houses(f"1 {value}", [["zzz"], ["yyy"]]) is None


@pytest.mark.parametrize(
    "answer",
    [
        "House 1: Ada, red, cat\nHouse 2: Dev, blue, dog",
        "House 1: Ada, red, cat, House 2: Dev, blue, dog",
        "house 2 - DOG, Dev, Blue; house 1 - cat, ada, red",
        "| House | Name | Colour | Pet |\n|---|---|---|---|\n| 1 | Ada | red | cat |\n| 2 | Dev | blue | dog |",
        "Ada, red, cat\n\nDev, blue, dog\n",
        "Ada red cat; Dev blue dog",
        "House 1\nname: Ada\ncolor: red\npet: cat\nHouse 2\nname: Dev\ncolor: blue\npet: dog",
        "In house 1 lives Ada, who owns the cat and has the red house; 2: Dev, blue, dog",
    ],
)
def test_forms_of_the_right_answer(answer) -> None:
    assert read_houses(answer, ROWS) == RIGHT
    assert ZebraEnv.verify(answer, GRID) and ZebraEnv.partial_credit(answer, GRID) == 1.0


@pytest.mark.parametrize(
    ("answer", "credit"),
    [
        # Six values; each one at its house counts a sixth.
        ("House 1: Ada, red, dog\nHouse 2: Dev, blue, cat", 4 / 6),
        ("House 1: Ada\nHouse 2: Dev", 2 / 6),
        ("House 1: Dev, blue, dog\nHouse 2: Ada, red, cat", 0.0),
        ("House 2: Ada, blue", 1 / 6),
        # One value in two houses, two values in one place, a house that there is not: a contradiction.
        ("House 1: Ada, red, cat\nHouse 2: Dev, blue, cat", 0.0),
        ("House 1: Ada, red, cat, dog\nHouse 2: Dev, blue", 0.0),
        ("House 1: Ada, red, cat\nHouse 3: Dev, blue, dog", 0.0),
        ("Ada, red, cat\nDev, blue, dog\nAda", 0.0),
        # A value before any house, and words that may turn the sense round.
        ("Ada, House 1: red, cat\nHouse 2: Dev, blue, dog", 0.0),
        ("House 1: not Ada, red, cat\nHouse 2: Dev, blue, dog", 0.0),
        ("House 1: Ada, red, cat\nHouse 2: Dev, blue, dog or cat", 0.0),
        ("House 1: Аda, red, cat\nHouse 2: Dev, blue, dog", 0.0),  # a Cyrillic letter
        ("House 1\nHouse 2", 0.0),
        ("", 0.0),
    ],
)
def test_partial_credit_by_hand(answer, credit) -> None:
    assert ZebraEnv.partial_credit(answer, GRID) == pytest.approx(credit)
    assert not ZebraEnv.verify(answer, GRID)


def test_nearly_all_is_not_all() -> None:
    env = ZebraEnv(houses=6, attributes=6, difficulty=0.5)
    task = env.tasks[0]
    lines = task.answers[0].splitlines()
    lines[0] = ",".join(lines[0].split(",")[:-1])
    assert ZebraEnv.partial_credit("\n".join(lines), task) == MOST_UNSOLVED < 35 / 36


@pytest.mark.parametrize(
    ("answer", "column", "read"),
    [
        ("2", None, "2"),
        ("House 2", None, "2"),
        ("Dev lives in house 2.", None, "2"),
        ("1 2", None, None),
        ("house 3", None, None),
        ("not 2", None, None),
        ("the dog", 2, "dog"),
        ("Ada is the dog owner", 2, "dog"),
        ("cat, dog", 2, None),
        ("red", 2, None),
    ],
)
def test_facts(answer, column, read) -> None:
    assert read_choice(answer, ROWS, column) == read


@given(st.text() | st.text(alphabet="adcer 12\n;", max_size=100))
def test_no_text_breaks_the_readers(text) -> None:
    found = read_houses(text, ROWS)
    assert found is None or set(found) <= set(RIGHT)
    assert read_choice(text, ROWS, None) in (None, "1", "2")


@pytest.mark.parametrize("text", ["1" * 100_000, "9" * 4_900, "House 1: Ada" * 9_999, "²", "\ud800\x00", "\n" * 4_999])
def test_hostile_answers(text) -> None:
    assert ZebraEnv.partial_credit(text, GRID) == 0.0


@pytest.mark.parametrize("question", ["grid", "fact"])
@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_the_oracle_solves_every_puzzle(question, difficulty, evaluate) -> None:
    env = ZebraEnv(question=question, difficulty=difficulty, size=6, task_seed=3)
    assert evaluate(env, env.oracle()) == {"scores": [1.0] * 6, "rewards": [1.0] * 6}


def test_guessing_a_fact_stays_below_the_guess_rate() -> None:
    env = ZebraEnv(question="fact", houses=4, attributes=3, size=200)
    assert env.guess_rate == 0.25
    tasks = list(env.tasks)
    constant = mean(ZebraEnv.verify("2", task) for task in tasks)
    assert constant < 0.25
    everything = mean(ZebraEnv.verify(" ".join(map(str, range(1, 5))), task) for task in tasks)
    assert everything == 0.0
    asked = {task.metadata["asked"] for task in tasks}
    assert {"house", "name", "pet"} <= asked


def test_echo_and_the_list_of_all_options_earn_nothing(play) -> None:
    env = make_env("toolgym/Zebra-v0", reward="partial_credit")
    env.reset(seed=0)
    task = env.episode.task
    options = ", ".join(value for row in task.metadata["rows"] for value in row)
    for answer in (task.question, options, f"House 1: {options}"):
        reward, info = play(env, lambda _, answer=answer: env.action_format.write_answer("", answer, 1), seed=0)
        assert (reward, info["score"]) == (0.0, 0.0)


def test_puzzles_depend_on_seed_split_and_index_alone() -> None:
    env = ZebraEnv(task_seed=7)
    backwards = [env.tasks[index] for index in (5, 3, 0)]
    again = ZebraEnv(task_seed=7, size=6)
    assert backwards == [again.tasks[index] for index in (5, 3, 0)]
    others = [ZebraEnv(task_seed=8).tasks[3], ZebraEnv(task_seed=7, split="test").tasks[3], env.tasks[4]]
    assert len({task.question for task in (*others, backwards[1])}) == 4
    assert pickle.loads(pickle.dumps(env.tasks))[5] == backwards[0]
    sized = ZebraEnv(houses=5, question="fact", task_seed=7).tasks[0]
    assert sized.id == "zebra-5xany-fact-train-7-0" and len(sized.metadata["rows"]) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"houses": 7}, "houses must be from 2 to 6"),
        ({"houses": 1}, "houses must be from 2 to 6"),
        ({"attributes": 9}, "attributes must be from 2 to 6"),
        ({"question": "what"}, "'grid' or 'fact', not 'what'"),
    ],
)
def test_refusals(options, message) -> None:
    with pytest.raises(InputError, match=message):
        ZebraEnv(**options)
