"""Tower of Hanoi from any position to any other."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from ...tools.base import ToolCall, ToolResult
from ..episode import Episode
from ..limits import Limits
from ..task import Task
from .base import MOST_UNSOLVED, PuzzleEnv, level
from .board import LONGEST_MOVE, BoardTool, State, illegal, seen
from .draws import Draws

PEGS = "ABC"
_MOVE = re.compile(r"([ABC])(?:->?|>)?([ABC])")
_MOVES_A_CALL = 8  # of the oracle


class HanoiBoard(BoardTool):
    """`move(moves)`: moves top discs, in order, up to the first move that cannot be made; `restart` sets them back."""

    function = "move"
    argument = "moves"
    description = "Moves the top disc of one peg to another and shows the pegs. Several moves are made in order."
    meaning = "A move from peg to peg, such as AC, or several: AC AB CB. The word restart sets all discs back."

    def start(self, task: Task) -> State:
        """The first position."""
        return {"first": task.metadata["start"], "position": task.metadata["start"]}

    def play(self, state: State, move: str) -> ToolResult:
        """Makes moves."""
        if move.strip().lower() == "restart":
            state["position"] = state["first"]
            return seen(draw_pegs(state["position"]))
        moves = read_moves(move)
        if not moves:
            return illegal("a move names two of the pegs A, B and C, such as AC; several moves are AC AB CB.")
        run = run_moves(state["position"], moves)
        if run.fault and not run.made:
            return illegal(f"{run.fault}.")
        state["position"] = run.position
        stopped = f"\nStopped before move {run.made + 1}: {run.fault}." if run.fault else ""
        return seen(draw_pegs(run.position) + stopped)


class HanoiEnv(PuzzleEnv):
    """Moves discs between three pegs, one at a time and never onto a smaller one, from a position to another.

    Start and goal are any two positions that lie far apart, so that no known sequence of moves fits. The answer lists
    all moves and is verified by making them; the board is there to try them. From 3 discs (difficulty 0) to 6, with
    half as many moves again as the shortest solution takes.
    """

    family = "hanoi"
    default_format = "hermes"
    default_limits = Limits(max_turns=40)
    board = HanoiBoard()
    thought = "The largest disc that is out of place needs a free way first."

    @classmethod
    def make(cls, seed: int, index: int, difficulty: float) -> Task:
        """A start, and a goal among the third of all positions that is farthest from it."""
        draws, discs = Draws(seed, index), level(difficulty, 3, 6)
        start = "".join(draws.pick(PEGS) for _ in range(discs))
        away = distances(start)
        goal = draws.pick(sorted(away, key=lambda position: (away[position], position))[2 * len(away) // 3 :])
        most = away[goal] * 3 // 2
        question = (
            f"Discs 1 (smallest) to {discs} lie on the pegs A, B and C. A move takes the top disc of a peg to another "
            f"peg, never onto a smaller disc.\nNow, from bottom to top:\n{draw_pegs(start)}\nGoal:\n{draw_pegs(goal)}\n"
            f"Reach the goal with at most {most} moves. Answer with all moves from the start, such as AC AB CB."
        )
        metadata = {"start": start, "goal": goal, "most": most}
        return Task("", question, (" ".join(shortest_moves(start, goal)),), metadata)

    @classmethod
    def verify(cls, answer: str, task: Task) -> bool:
        """Whether an answer lists moves that can be made, no more than allowed, and that end at the goal."""
        moves = read_moves(answer)
        run = run_moves(task.metadata["start"], moves)
        return bool(run.position == task.metadata["goal"] and not run.fault and len(moves) <= task.metadata["most"])

    @classmethod
    def partial_credit(cls, answer: str, task: Task) -> float:
        """The share of discs that the moves leave in place, the largest first and without a gap."""
        if cls.verify(answer, task):
            return 1.0
        position, goal = run_moves(task.metadata["start"], read_moves(answer)).position, task.metadata["goal"]
        placed = 0
        while placed < len(goal) and position[-1 - placed] == goal[-1 - placed]:
            placed += 1
        return float(min(placed / len(goal), MOST_UNSOLVED))

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """One of the positions that the goal is drawn from; a random walk of so many moves has less."""
        return float(3 / 3 ** len(task.metadata["goal"]))

    def next_call(self, episode: Episode) -> ToolCall | None:
        """The next moves of a shortest way from where the board stands."""
        here = self.board.replay(episode)["position"]
        moves = shortest_moves(here, episode.task.metadata["goal"])[:_MOVES_A_CALL]
        return self.board.write(" ".join(moves)) if moves else None


class Run(NamedTuple):
    """What came of moves.

    Attributes:
        position: Where the discs lie.
        made: How many moves were made.
        fault: Why the next one cannot be made; empty if all were made.
    """

    position: str
    made: int
    fault: str = ""


def run_moves(position: str, moves: Sequence[str]) -> Run:
    """Makes moves up to the first that cannot be made.

    Args:
        position: The peg of each disc, the smallest first.
        moves: Moves such as `AC`.
    """
    for made, move in enumerate(moves):
        source, target = move[0], move[1]
        disc, below = position.find(source), position.find(target)
        if source == target or disc < 0:
            return Run(position, made, f"{move} moves no disc")
        if 0 <= below < disc:
            return Run(position, made, f"in {move} disc {disc + 1} cannot lie on disc {below + 1}")
        position = moved(position, source, target)
    return Run(position, len(moves))


def read_moves(text: str) -> list[str]:
    """The moves that a text lists; none if it holds anything else than moves, spaces, commas and semicolons."""
    if len(text) > LONGEST_MOVE or not text.isascii():
        return []
    found = [_MOVE.fullmatch(word) for word in re.split(r"[\s,;]+", text.upper().strip(" \t\r\n,;"))]
    moves = [word[1] + word[2] for word in found if word is not None]
    return moves if len(moves) == len(found) else []


@lru_cache(maxsize=2_048)  # all positions of up to six discs
def neighbours(position: str) -> tuple[tuple[str, str], ...]:
    """The moves from a position and where they lead.

    Args:
        position: The peg of each disc, the smallest first.
    """
    tops = {peg: position.find(peg) for peg in PEGS}  # the first disc that lies there is the smallest
    return tuple(
        (source + target, moved(position, source, target))
        for source in PEGS
        for target in PEGS
        if tops[source] >= 0 and (tops[target] < 0 or tops[source] < tops[target])
    )


def moved(position: str, source: str, target: str) -> str:
    """The position after a move."""
    return position.replace(source, target, 1)


@lru_cache(maxsize=32)
def distances(start: str) -> Mapping[str, int]:
    """Fewest moves from a position to each position."""
    away, waiting = {start: 0}, deque([start])
    while waiting:
        position = waiting.popleft()
        for _, other in neighbours(position):
            if other not in away:
                away[other] = away[position] + 1
                waiting.append(other)
    return away


def shortest_moves(start: str, goal: str) -> list[str]:
    """The moves of a shortest way between two positions."""
    left, moves = distances(goal), []
    while start != goal:
        move, start = min(neighbours(start), key=lambda found: left[found[1]])
        moves.append(move)
    return moves


def draw_pegs(position: str) -> str:
    """The discs on each peg, from bottom to top."""
    rows = []
    for peg in PEGS:
        discs = [str(disc + 1) for disc in reversed(range(len(position))) if position[disc] == peg]
        rows.append(f"{peg}: {' '.join(discs) or '-'}")
    return "\n".join(rows)
