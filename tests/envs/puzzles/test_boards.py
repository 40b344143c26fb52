"""The puzzles that are played on a board, by hand."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.envs import HanoiEnv, MastermindEnv, MinesweeperEnv, PuzzleEnv, ShortestPathEnv, Task, TaskSet
from toolgym.envs.puzzles import hanoi, shortest_path
from toolgym.envs.puzzles.draws import Draws
from toolgym.envs.puzzles.mastermind import compare, read_code
from toolgym.envs.puzzles.minesweeper import Field, clearing_rounds, deduce, draw_field, name_cell, read_cells
from toolgym.tools import ToolStatus


class Play:
    """Moves on the board of one task."""

    def __init__(self, family: type[PuzzleEnv], task: Task) -> None:
        self.env = family(TaskSet([task]))
        self.env.reset(seed=0)
        assert self.env.board is not None
        self.board = self.env.board

    def move(self, text: str) -> str:
        action = self.env.action_format.write_call("t", self.board.write(text), len(self.env.episode.turns) + 1)
        observation, *_ = self.env.step(action)
        return observation.partition("<tool_response>\n")[2].partition("\n</tool_response>")[0]

    def answer(self, text: str) -> dict[str, Any]:
        action = self.env.action_format.write_answer("t", text, len(self.env.episode.turns) + 1)
        return self.env.step(action)[4]


# Mastermind ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guess", "code", "right", "elsewhere"),
    [
        ("ABCD", "ABCD", 4, 0),
        ("ABCD", "DCBA", 0, 4),
        ("AABB", "ABBA", 2, 2),
        ("AAAA", "ABCA", 2, 0),  # the other two As belong to nothing
        ("ABBB", "BACC", 0, 2),
        ("DDDD", "ABCA", 0, 0),
    ],
)
def test_comparison_of_codes(guess: str, code: str, right: int, elsewhere: int) -> None:
    assert compare(guess, code) == (right, elsewhere)


def test_mastermind() -> None:
    play = Play(MastermindEnv, Task("m", "?", ("ABCA",), {"code": "ABCA", "letters": 4}))
    assert play.move("AABB") == "1 in the right place, 2 in another place. Guesses left: 11."
    assert play.move("a-b, d a") == "3 in the right place, 0 in another place. Guesses left: 10."
    assert play.move("ABCE") == play.move("ABC") == "Error: a guess has 4 letters from A to D."
    assert play.answer("abca")["score"] == 1


def test_mastermind_runs_out_of_guesses() -> None:
    board = MastermindEnv.board.bound(Task("m", "?", ("AB",), {"code": "AB", "letters": 3}))
    session = board.open()
    results = [session.call(board.write("CC")) for _ in range(13)]
    assert results[11].output.endswith("Guesses left: 0.")
    assert results[12].status is ToolStatus.ERROR and "no guesses are left" in results[12].output


@pytest.mark.parametrize(
    "text", ["ABC", "ABCDA", "ABCE", "ABC1", "АBCA", "ABCA ABCA", "A" * 500, "the code is ABCA", ""]
)
def test_what_is_no_code(text: str) -> None:
    assert read_code(text, 4, 4) is None


def test_credit_for_codes() -> None:
    task = Task("m", "?", (), {"code": "ABCA", "letters": 4})
    # AABB: one right, two elsewhere: (1 + 2 / 2) / 4
    assert MastermindEnv.partial_credit("AABB", task) == 0.5
    assert MastermindEnv.partial_credit("ABCA", task) == 1 and MastermindEnv.partial_credit("ABCE", task) == 0
    assert MastermindEnv.guess_chance(task) == 13 / 4**4


# Minesweeper --------------------------------------------------------------------------------------------------

# Mines in the cells marked *, with the numbers of the others:
#    A B C D
# 1  1 1 0 0
# 2  * 2 1 1
# 3  2 3 * 1
# 4  * 2 1 1
FIELD = Field(4, frozenset({4, 10, 12}))
OPENED = FIELD.opened([3])
MINES = Task("s", "?", ("A2 C3 A4",), {"size": 4, "mines": [4, 10, 12], "open": sorted(OPENED)})


def test_opening_spreads_from_cells_without_neighbouring_mines() -> None:
    assert draw_field(FIELD, OPENED) == "  A B C D\n1 ? 1 0 0\n2 ? 2 1 1\n3 ? ? ? ?\n4 ? ? ? ?"
    assert FIELD.opened([15]) == {15} and FIELD.opened([15], OPENED) == OPENED | {15}
    assert [FIELD.count(cell) for cell in (0, 1, 5, 8, 9, 13, 15)] == [1, 1, 2, 2, 3, 2, 1]


def test_deduction() -> None:
    # B1 = 1: a mine in A1, A2. B2 = 2: two in A1, A2, A3, B3, C3, so one in A3, B3, C3. C2 = 1: one in B3, C3, D3;
    # D2 = 1: one in C3, D3, so none in B3 (its set holds D2's, with as many mines).
    assert deduce(FIELD, OPENED) == ({9}, frozenset())
    # B3 = 3: three in A2, A3, C3, A4, B4, C4, and there are no more, so A1, D3, D4 are safe; then A2 (by B1) and C3
    # (by D2) are mines, and A3 (by B2) is safe. Next D3 = 1 frees C4, and C4 = 1 frees B4.
    assert deduce(FIELD, OPENED | {9}) == ({0, 8, 11, 15}, {4, 10})
    assert clearing_rounds(FIELD, OPENED) == 4
    #    A B C       A2 = 1: one mine in A1, B1. B2 = 2: two in A1, B1, C1, so C1 is one. C2 = 1: one in B1, C1, so
    # 1  * 2 *       A1 is one as well, and B1, which stands with either of them, is safe.
    # 2  1 2 1
    # 3  0 0 0
    corners = Field(3, frozenset({0, 2}))
    assert deduce(corners, corners.opened([7])) == ({1}, {0, 2})
    assert clearing_rounds(corners, corners.opened([7])) == 1
    # Only A1, B1 are closed, one of them mined: nothing tells them apart.
    assert clearing_rounds(Field(2, frozenset({0})), frozenset({2, 3})) == 0


@given(seed=st.integers(0, 10_000), opened=st.sets(st.integers(0, 15), max_size=10))
@settings(max_examples=60, deadline=None)
def test_deductions_hold_in_every_field_with_the_same_numbers(seed: int, opened: set[int]) -> None:
    mines = frozenset(Draws(seed).sample(range(16), 3))
    field, seen = Field(4, mines), frozenset(opened - mines)
    found = deduce(field, seen)
    for other in map(frozenset, combinations(sorted(set(range(16)) - seen), 3)):
        if all(Field(4, other).count(cell) == field.count(cell) for cell in seen):
            assert not found.safe & other and found.mines <= other


def test_minesweeper() -> None:
    play = Play(MinesweeperEnv, MINES)
    assert play.move("b3, D4") == "  A B C D\n1 ? 1 0 0\n2 ? 2 1 1\n3 ? 3 ? ?\n4 ? ? ? 1\n8 cells are closed."
    assert play.move("E1") == play.move("b3 x") == "Error: give cells from A1 to D4, such as B3 C1."
    assert play.move("A1 A3 D3 B4 C4").endswith("All cells without a mine are open.")
    assert play.answer("A4, A2; c3")["score"] == 1


def test_a_mine_ends_the_game_whatever_is_answered() -> None:
    play = Play(MinesweeperEnv, MINES)
    assert play.move("B3 A2 D4") == "A mine went off in A2. The game is over."
    assert play.move("D4") == "Error: the game is over: there was a mine in A2."
    info = play.answer("A2 C3 A4")
    assert info["score"] == 0 and info["reward_terms"]["partial_credit"] == 0.95 / 2


@pytest.mark.parametrize(
    ("answer", "credit"),
    [
        ("A2 C3 A4", 1),
        ("A2 C3", 2 / 3),
        ("A2 C3 A4 B4", 3 / 4),
        ("A2 A2 C3 A4", 0.95),  # one of them twice
        ("A1 B1", 0),
        ("all of them", 0),
        ("A2 C3 A4 E1", 0),  # no cell
        ("", 0),
    ],
)
def test_credit_for_mines(answer: str, credit: float) -> None:
    assert MinesweeperEnv.partial_credit(answer, MINES) == pytest.approx(credit)
    assert MinesweeperEnv.verify(answer, MINES) is (credit == 1)


def test_names_of_cells() -> None:
    assert [name_cell(cell, 4) for cell in (0, 3, 4, 15)] == ["A1", "D1", "A2", "D4"]
    assert read_cells("a1,D1;\nA2 ", 4) == [0, 3, 4]
    assert read_cells("A0", 4) == read_cells("A5", 4) == read_cells("A１", 4) == read_cells("A1B1", 4) == []
    assert MinesweeperEnv.guess_chance(MINES) == 1 / 120  # three of ten closed cells


# Tower of Hanoi -----------------------------------------------------------------------------------------------

# Disc 1 on A, disc 2 on B, disc 3 on A; all of them to C takes AB? no: 1 must leave A, and 2 must be free for C.
DISCS = Task("h", "?", ("AB AC BA BC AC",), {"start": "ABA", "goal": "CCC", "most": 6})


def test_hanoi() -> None:
    play = Play(HanoiEnv, DISCS)
    assert play.move("a>b ac") == "A: -\nB: 2 1\nC: 3"
    assert play.move("CB") == "Error: in CB disc 3 cannot lie on disc 1."
    assert play.move("BA AA BC") == "A: 1\nB: 2\nC: 3\nStopped before move 2: AA moves no disc."
    assert play.move("restart") == "A: 3 1\nB: 2\nC: -"
    assert play.move("AD") == "Error: a move names two of the pegs A, B and C, such as AC; several moves are AC AB CB."
    assert play.answer("AB, AC, BA, BC, AC")["score"] == 1


@pytest.mark.parametrize(
    ("answer", "solved", "credit"),
    [
        ("AB AC BA BC AC", True, 1),
        ("AB AC BA BC", False, 2 / 3),  # disc 1 is missing
        ("AB AC", False, 1 / 3),
        ("AB AC BA BC AC CB", False, 2 / 3),
        ("AB BA AB AC BA BC AC", False, 0.95),  # a move more than allowed
        ("AC AC BC AC", False, 0),  # the second move cannot be made
        ("done", False, 0),
        ("", False, 0),
    ],
)
def test_lists_of_moves(answer: str, solved: bool, credit: float) -> None:
    assert HanoiEnv.verify(answer, DISCS) is solved
    assert HanoiEnv.partial_credit(answer, DISCS) == pytest.approx(credit)


def test_shortest_ways_of_discs() -> None:
    # n discs from peg to peg take 2**n - 1 moves, and no position is farther.
    for discs in (1, 2, 3, 4):
        away = hanoi.distances("A" * discs)
        assert len(away) == 3**discs and away["C" * discs] == max(away.values()) == 2**discs - 1
        moves = hanoi.shortest_moves("A" * discs, "C" * discs)
        assert hanoi.run_moves("A" * discs, moves) == ("C" * discs, 2**discs - 1, "")
    assert hanoi.shortest_moves("AB", "AB") == []


# Shortest path ------------------------------------------------------------------------------------------------

STREETS = {"a": ["b", "c"], "b": ["d"], "c": ["d", "a"], "d": ["e"], "e": ["a"]}
WAYS = Task("p", "?", ("a b d e",), {"streets": STREETS, "ends": ["a", "e"], "length": 3})


def test_looking_at_streets() -> None:
    play = Play(ShortestPathEnv, WAYS)
    assert play.move("a") == "a: b, c"
    assert play.move("B, c b") == "b: d\nc: d, a"
    assert play.move("f") == "Error: there is no place 'f'."
    assert play.move("") == "Error: give the name of a place."
    assert play.answer("a -> c -> d -> e")["score"] == 1


@pytest.mark.parametrize(
    ("answer", "solved", "credit"),
    [
        ("a b d e", True, 1),
        ("A, C, D, E", True, 1),
        ("a d e", False, 0),  # no such street
        ("a b d", False, 2 / 3),
        ("a b d e a", False, 0.95),
        ("a c a b d e", False, 1 / 3),  # back to a is no way nearer
        ("b d e", False, 0),
        ("e", False, 0),
        ("a b c d e", False, 1 / 3),  # all places
        ("", False, 0),
    ],
)
def test_ways(answer: str, solved: bool, credit: float) -> None:
    assert ShortestPathEnv.verify(answer, WAYS) is solved
    assert ShortestPathEnv.partial_credit(answer, WAYS) == pytest.approx(credit)


def test_generated_towns() -> None:
    for difficulty in (0.0, 1.0):
        for task in ShortestPathEnv.generate(difficulty, 10):
            streets, (start, end) = task.metadata["streets"], task.metadata["ends"]
            assert shortest_path.distances(streets, start)[end] == task.metadata["length"] >= 3 + 3 * difficulty
            assert len(streets) == 8 + 40 * difficulty and all(len(set(ways)) in (2, 3) for ways in streets.values())
