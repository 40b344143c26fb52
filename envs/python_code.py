"""Programs to write, judged by their unit tests: HumanEval, MBPP, or generated ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..tools.base import ToolCall
from ..tools.errors import InputError
from .choices import pick_format
from .env import ScriptedPolicy, ToolEnv
from .episode import Episode
from .formats.base import ActionFormat, PromptStyle
from .limits import LimitsChoice
from .program_problems import make_program
from .reward import RewardSpec
from .sources import TaskSource, load_tasks, split_seed
from .task import Task, TaskSet

if TYPE_CHECKING:
    from ..tools.sandbox import Isolation


class PythonCodeEnv(ToolEnv):
    """Writes programs, with Python to try them out; unit tests decide.

    The final answer is the program: the last fenced block of the answer, or all of it. What HumanEval's prompt defines
    stands before it, so that the answer may be the whole function or what is missing of it.

    Args:
        tasks: None for generated problems; otherwise HumanEval's or MBPP's rows, rows with `question`, `tests` and, if
            known, `solution`; or a `TaskSet`.
        action_format: Name or instance of the wire language.
        reward: Name or instance of what a trainer optimises; `unit_tests` is 1 if every test passes.
        prompt: `full` or `question`; for a format given by name.
        split: Which split of the folder or data set, or `train` or `test` of the generated problems.
        size: How many problems are generated; None means that they never run out.
        task_seed: Which problems are generated.
        isolation: How code is confined, the tests' included: see `PythonTool`.
        timeout: Seconds per call; seconds of processor time for the tests.
        limits: Bounds of an episode.
        render_mode: `ansi` or None.

    Raises:
        InputError: If a file cannot be read or an option is unknown.
    """

    def __init__(
        self,
        tasks: TaskSource | None = None,
        *,
        action_format: str | ActionFormat = "hermes",
        reward: RewardSpec = "unit_tests",
        prompt: PromptStyle = "full",
        split: str = "train",
        size: int | None = 500,
        task_seed: int = 0,
        isolation: Isolation = "sandbox",
        timeout: float = 10.0,
        limits: LimitsChoice = None,
        render_mode: str | None = None,
    ) -> None:
        from ..tools import PythonTool
        from ..tools.sandbox import SandboxLimits
        from .rewards import reward_function

        if tasks is None:
            name = f"programs-{split}-{task_seed}"
            loaded: TaskSet = TaskSet.generate(make_program, size, split_seed(split, task_seed), name)
        else:
            loaded = load_tasks(tasks, self.task_from_row, split)
        self.isolation: Isolation = isolation
        self.timeout = timeout
        super().__init__(
            loaded,
            [PythonTool(isolation=isolation, limits=SandboxLimits(wall_seconds=timeout, cpu_seconds=timeout))],
            action_format=pick_format(action_format, prompt),
            reward=reward_function(reward, isolation=isolation, seconds=timeout) if reward == "unit_tests" else reward,
            limits=limits,
            render_mode=render_mode,
        )

    @staticmethod
    def task_from_row(row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row of HumanEval, of MBPP, or with `question` and `tests`.

        Raises:
            KeyError: If a field is missing.
        """
        if "entry_point" in row:
            prompt = str(row["prompt"])
            question = f"Complete this Python function.\n\n```python\n{prompt.rstrip()}\n```"
            tests = f"{row['test']}\ncheck({row['entry_point']})"
            facts = {"before": prompt, "solution": row.get("canonical_solution"), "tests": tests}
        elif "test_list" in row:
            shown = "\n".join(row["test_list"])
            question = f"{row['text']}\nYour code has to pass these tests:\n\n```python\n{shown}\n```"
            tests = "\n".join([row.get("test_setup_code", ""), *row["test_list"], *row.get("challenge_test_list", ())])
            facts = {"solution": row.get("code"), "tests": tests}
        else:
            question = str(row["question"])
            facts = {"solution": row.get("solution"), "tests": str(row["tests"])}
        metadata = {name: value for name, value in facts.items() if value is not None}
        return Task(str(row.get("id", row.get("task_id", default_id))), question, (), metadata)

    def score(self, episode: Episode) -> float:
        """1 if the program passes all of its tests, in a fresh session of the sandbox."""
        from .rewards.unit_tests import passes

        return float(passes(episode.answer or "", episode.task.metadata, self.isolation, self.timeout))

    def oracle(self) -> ScriptedPolicy:
        """Runs the known solution with its tests, and gives it as the answer."""
        return self._solve

    def oracle_gap(self, task: Task) -> str:
        """A task without a known solution."""
        return "" if "solution" in task.metadata else "no known solution"

    def _solve(self, episode: Episode) -> str:
        turn, metadata = len(episode.turns) + 1, episode.task.metadata
        solution = str(metadata.get("solution", "pass"))
        if turn == 1:
            code = f"{metadata.get('before', '')}{solution}\n{metadata['tests']}"
            call = ToolCall(self.functions[0].name, {"code": code})
            return self.action_format.write_call("I try the program out.", call, turn)
        thought = "The program does what it should."
        try:
            return self.action_format.write_answer(thought, f"```python\n{solution}\n```", turn)
        except InputError:  # a fence is a call in this format
            return self.action_format.write_answer(thought, solution, turn)
