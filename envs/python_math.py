"""Word problems with a Python interpreter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..tools.base import ToolCall, ToolStatus
from .choices import commonest_share, pick_format
from .env import ScriptedPolicy, ToolEnv
from .episode import Episode
from .formats.base import ActionFormat, PromptStyle
from .limits import LimitsChoice
from .math_problems import make_problem
from .reward import RewardSpec
from .sources import TaskSource, load_tasks, split_seed
from .task import Task, TaskSet

if TYPE_CHECKING:
    from ..tools.sandbox import Isolation

ANNOTATION = re.compile(r"<<([^<>=]+)=([^<>]*)>>")
FINAL = re.compile(r"####\s*(.+?)\s*$")
PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_DECIMALS = 9


class PythonMathEnv(ToolEnv):
    """Solves maths problems, with Python to calculate.

    Args:
        tasks: None for generated word problems; otherwise rows with `question` and `answer` (which may end in
            `#### NUMBER`, as GSM8K's do) and, if known, a `solution` with `<<6*7=42>>` annotations; or a `TaskSet`.
        action_format: Name or instance of the wire language; `code` and `hermes` fit.
        reward: Name or instance of what a trainer optimises.
        prompt: `full` or `question`; for a format given by name.
        split: Which split of the folder or data set, or `train` or `test` of the generated problems.
        size: How many problems are generated.
        task_seed: Which problems are generated.
        isolation: How the code is confined: see `PythonTool`.
        timeout: Seconds per call.
        limits: Bounds of an episode.
        render_mode: `ansi` or None.

    Raises:
        InputError: If a file cannot be read, an option is unknown, or math-verify, which answers are compared by, is
            not installed.
    """

    def __init__(
        self,
        tasks: TaskSource | None = None,
        *,
        action_format: str | ActionFormat = "code",
        reward: RewardSpec = "math",
        prompt: PromptStyle = "full",
        split: str = "train",
        size: int = 500,
        task_seed: int = 0,
        isolation: Isolation = "sandbox",
        timeout: float = 10.0,
        limits: LimitsChoice = None,
        render_mode: str | None = None,
    ) -> None:
        from ..tools import PythonTool
        from ..tools.sandbox import SandboxLimits
        from .rewards.verifier import require_math_verify

        require_math_verify()
        if tasks is None:
            loaded = generated_problems(split, size, task_seed)
        else:
            loaded = load_tasks(tasks, self.task_from_row, split)
        super().__init__(
            loaded,
            [PythonTool(isolation=isolation, limits=SandboxLimits(wall_seconds=timeout, cpu_seconds=timeout))],
            action_format=pick_format(action_format, prompt),
            reward=reward,
            limits=limits,
            render_mode=render_mode,
        )
        self.guess_rate = commonest_share(loaded)

    @staticmethod
    def task_from_row(row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row with `question` and `answer`.

        Raises:
            KeyError: If one of them is missing.
        """
        answer = str(row["answer"])
        solution = row.get("solution", answer if "####" in answer else None)
        final = FINAL.search(answer)
        if final is not None:
            answer = final[1].replace(",", "")
        metadata = {} if solution is None else {"solution": str(solution)}
        return Task(str(row.get("id", default_id)), str(row["question"]), (answer,), metadata)

    def score(self, episode: Episode) -> float:
        """Whether the answer is mathematically equal to the accepted one."""
        from .rewards import math_equal

        return float(any(math_equal(episode.answer or "", answer) for answer in episode.task.answers))

    def oracle(self) -> ScriptedPolicy:
        """Runs the calculations of the annotated solution and answers with what Python printed last.

        It looks at the answer only where the solution has no annotations, since prose cannot be run: there it tests the
        format and the comparison of answers alone.
        """
        return self._solve

    def oracle_gap(self, task: Task) -> str:
        """A last annotated value that is not the answer."""
        from .rewards import math_equal

        annotated = ANNOTATION.findall(str(task.metadata.get("solution", "")))
        if not annotated:
            return ""
        expression, value = annotated[-1]
        if math_equal(value, task.answers[0]):
            return ""
        return f"the solution's last calculation is not the answer: {expression}={value}, not {task.answers[0]}"

    def _solve(self, episode: Episode) -> str:
        turn = len(episode.turns) + 1
        code = solution_code(str(episode.task.metadata.get("solution", "")))
        if turn == 1 and code:
            call = ToolCall(self.tools[0].functions[0].name, {"code": code})
            return self.action_format.write_call("I calculate step by step.", call, turn)
        if not code:
            return self.action_format.write_answer("I know this one.", episode.task.answers[0], turn)
        printed = _rounded(_last_printed(episode))
        if not printed:
            return self.action_format.write_answer("I have nothing calculated to go by.", "unknown", turn)
        return self.action_format.write_answer(f"The last result is {printed}.", printed, turn)


def generated_problems(split: str = "train", size: int = 500, seed: int = 0) -> TaskSet:
    """Generated word problems; those of the two splits are drawn from different seeds.

    Raises:
        InputError: If the split is neither `train` nor `test`.
    """
    return TaskSet.generate(make_problem, size, split_seed(split, seed), f"problems-{split}-{seed}")


def solution_code(solution: str) -> str:
    """Python that prints the value of every annotated calculation, in order; empty if there is none."""
    lines = []
    for match in ANNOTATION.finditer(solution):
        lines.append(f"print({python_expression(match[1])})")
    return "\n".join(lines)


def python_expression(expression: str) -> str:
    """An annotated calculation as Python: percentages, thousands separators, dollar signs and crosses are rewritten."""
    expression = expression.replace("$", "").replace("×", "*").replace("x", "*").replace(",", "")
    expression = PERCENT.sub(r"(\1/100)", expression)
    return re.sub(r"(?<![\d.])0+(?=\d)", "", expression).strip()


def _last_printed(episode: Episode) -> str:
    if not episode.turns or not episode.turns[-1].results or episode.turns[-1].results[-1].status is not ToolStatus.OK:
        return ""
    lines = episode.turns[-1].results[-1].output.split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _rounded(printed: str) -> str:
    """A number as a person reads it off: 6 where Python prints 6.0, and 11 for 11.000000000000002."""
    try:
        value = round(float(printed), _DECIMALS)
    except ValueError:
        return printed
    return printed if "." not in printed else repr(value).removesuffix(".0")
