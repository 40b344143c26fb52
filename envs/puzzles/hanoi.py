"""Tower of Hanoi from any position to any other."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache

from ...tools.base import ToolCall, ToolResult
from ..episode import Episode, Limits
from ..task import Task
from .base import MOST_UNSOLVED, Judgement, PuzzleEnv, level
from .board import LONGEST_MOVE, BoardTool, State, illegal, seen
from .draws import Draws

PEGS = "ABC"
_MOVE = re.compile(r"([ABC])(?:->?|>)?([ABC])")
_MOVES_A_CALL = 8  # of the oracle


class HanoiBoard(BoardTool):
    """`move(moves)`: moves top discs, in order, up to the first move that cannot be made."""

    function = "move"
    argument = "moves"
    description = "Moves the top disc of one peg to another and shows the pegs. Several moves are made in order."
    meaning = "A move from peg to peg, such as AC, or several: AC AB CB."

    def start(self, task: Task) -> State:
        """The first position and all moves left."""
        return {key: task.metadata[key] for key in ("position", "goal", "moves")}

    def play(self, state: State, move: str) -> ToolResult:
        """Makes moves."""
        words = [_MOVE.fullmatch(word) for word in re.split(r"[\s,;]+", move.upper().strip(" \t\r\n,;"))]
        moves = [(word[1], word[2]) for word in words if word is not None]
        if len(moves) < len(words):
            return illegal("a move names two of the pegs A, B and C, such as AC; several moves are AC AB CB.")
        for number, (source, target) in enumerate(moves):
            fault = _fault(state, source, target)
            if fault and number == 0:
                return illegal(f"{source}{target} cannot be made: {fault}.")
            if fault:
                return seen(f"Stopped before move {number + 1}, {source}{target}: {fault}.\n{_view(state)}")
            state["position"] = moved(state["position"], source, target)
            state["moves"] -= 1
        return seen(_view(state))


class HanoiEnv(PuzzleEnv):
    """Moves discs between three pegs, one at a time and never onto a smaller one, from a position to another.

    Start and goal are any two positions that lie far apart, so that no known sequence of moves fits. What counts is
    the position on the board when the agent answers, and the moves that the answer lists in addition, if it lists any;
    nothing else that it says. From 3 discs (difficulty 0) to 6, with half as many moves again as the shortest solution
    takes.
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
        budget = away[goal] * 3 // 2
        question = (
            f"Discs 1 (smallest) to {discs} lie on the pegs A, B and C. A move takes the top disc of a peg to another "
            f"peg, never onto a smaller disc.\nNow, from bottom to top:\n{draw_pegs(start)}\nGoal:\n{draw_pegs(goal)}\n"
            f"Reach the goal with at most {budget} moves, then answer with the word done."
        )
        metadata = {"position": start, "goal": goal, "moves": budget}
        return Task("", question, (" ".join(shortest_moves(start, goal)),), metadata)

    @classmethod
    def verify(cls, answer: str, task: Task) -> bool:
        """Whether an answer is a list of moves that leads from the start to the goal."""
        return _judge(cls.board.start(task), answer).solved

    @classmethod
    def partial_credit(cls, answer: str, task: Task) -> float:
        """The share of discs in place, the largest first and without a gap, after the moves that an answer lists."""
        return _judge(cls.board.start(task), answer).credit

    @classmethod
    def judge(cls, episode: Episode) -> Judgement:
        """By the position on the board, or after the moves that the answer adds to it."""
        if episode.answer is None:
            return Judgement(False, 0.0)
        return _judge(cls.board.replay(episode), episode.answer)

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """One of the positions that the goal is drawn from; a random walk of so many moves has less."""
        return float(3 / 3 ** len(task.metadata["goal"]))

    def solution(self, task: Task) -> str:
        """What the oracle says when the board shows the goal."""
        return "done"

    def next_call(self, episode: Episode) -> ToolCall | None:
        """The next moves of a shortest way from where the board stands."""
        state = self.board.replay(episode)
        moves = shortest_moves(state["position"], state["goal"])[:_MOVES_A_CALL]
        return self.board.write(" ".join(moves)) if moves and state["moves"] else None


def neighbours(position: str) -> Iterator[tuple[str, str]]:
    """The moves from a position and where they lead.

    Args:
        position: The peg of each disc, the smallest first.
    """
    tops = {peg: position.find(peg) for peg in PEGS}  # the first disc that lies there is the smallest
    for source in PEGS:
        for target in PEGS:
            if tops[source] >= 0 and (tops[target] < 0 or tops[source] < tops[target]):
                yield source + target, moved(position, source, target)


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


def _fault(state: State, source: str, target: str) -> str:
    """Why a move cannot be made; empty if it can."""
    position = state["position"]
    disc, below = position.find(source), position.find(target)
    if state["moves"] <= 0:
        return "no moves are left"
    if source == target or disc < 0:
        return f"peg {source} has no disc to move there"
    return f"disc {disc + 1} cannot lie on disc {below + 1}" if 0 <= below < disc else ""


def _view(state: State) -> str:
    return f"{draw_pegs(state['position'])}\nMoves left: {state['moves']}."


def _judge(state: State, answer: str) -> Judgement:
    """What a board is worth, or what it is worth after the moves that an answer lists."""
    if state["position"] != state["goal"] and len(answer) <= LONGEST_MOVE and answer.isascii():
        HanoiEnv.board.play(state, answer)
    if state["position"] == state["goal"]:
        return Judgement(True, 1.0)
    placed = 0
    for here, there in zip(reversed(state["position"]), reversed(state["goal"]), strict=True):
        if here != there:
            break
        placed += 1
    return Judgement(False, min(placed / len(state["goal"]), MOST_UNSOLVED))
