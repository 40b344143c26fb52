"""Fact checking with an encyclopaedia: search a page, look up words on it, give a claim its label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..tools.errors import InputError
from .choices import commonest_share, pick_format
from .claims import NOT_ENOUGH_INFO, WorldClaims, claim_answer, pages_of_claims
from .env import ScriptedPolicy, ToolEnv
from .formats.base import ActionFormat, PromptStyle
from .limits import LimitsChoice
from .react_pages import empty_pages, make_pages
from .react_paper import FEVER_ROWS, POSITION, Subset, choose_subset
from .react_policies import ChainPolicy, PagePolicy, chain_or_pages
from .react_qa import turn_limits
from .reward import RewardSpec
from .rewards.react import FEVER_LABELS
from .sources import TaskSource, load_tasks
from .task import Task, TaskSet
from .world import World, shared_world

if TYPE_CHECKING:
    from ..tools import PageStore
    from ..tools.retrievers import Corpus

Variant = Literal["code", "paper"]
MAX_TURNS: Mapping[str, int] = {"code": 7, "paper": 5}
"""Actions that ReAct allows for FEVER: the notebook's loop and the paper's section 3.2 differ."""

_QUESTION = (
    "Does the encyclopaedia support this claim, refute it, or not say enough about it? The answer is SUPPORTS, REFUTES "
    "or NOT ENOUGH INFO. Claim: {claim}"
)
_ESCAPES = {
    "-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}", "-COLON-": ":", "_": " ",
}  # fmt: skip


class ReActFeverEnv(ToolEnv):
    """Labels claims by pages of an offline encyclopaedia, as ReAct does with FEVER (Yao et al., arXiv 2210.03629).

    The answer is `SUPPORTS`, `REFUTES` or `NOT ENOUGH INFO`, compared after the normalisation of SQuAD (ysymyth/ReAct,
    `wrappers.py`). Under the `react` format the task is the bare claim, which the prompt says how to read; other
    formats are asked in words. Generated claims are balanced over the labels, and their pages leave facts out, so that
    nothing but reading tells the labels apart.

    Args:
        tasks: None or a `World` for generated claims; otherwise rows with `claim` and `label`, or a `TaskSet`.
        corpus: A `Corpus`, the path of one, or a `PageStore`. The world's own, with facts left out, by default; rows
            need one.
        action_format: Name or instance of the wire language.
        reward: Name or instance of what a trainer optimises.
        prompt: `full` or `question`; for a format given by name.
        split: Which split of the world, folder or data set.
        subset: `all`, or `paper` for the 500 claims on which the paper evaluates: `tasks` is then the whole
            `paper_dev` file in its order, or its rows tell their position in it (`dev_index`).
        variant: `code` allows seven turns, `paper` five.
        hops: Facts per generated claim, from 1 to 4.
        size: How many claims are generated; None means that they never run out.
        task_seed: Which claims are generated.
        world_seed: Which world is generated.
        limits: Bounds of an episode; the variant's turns by default. `published` adds the format's bounds in tokens.
        render_mode: `ansi` or None.

    Raises:
        InputError: If the options do not fit together or a file cannot be read.
    """

    def __init__(
        self,
        tasks: TaskSource | World | None = None,
        corpus: Corpus | PageStore | str | Path | None = None,
        *,
        action_format: str | ActionFormat = "react",
        reward: RewardSpec = "fever",
        prompt: PromptStyle = "full",
        split: str = "train",
        subset: Subset = "all",
        variant: Variant = "code",
        hops: int = 2,
        size: int | None = 500,
        task_seed: int = 0,
        world_seed: int = 0,
        limits: LimitsChoice = None,
        render_mode: str | None = None,
    ) -> None:
        from ..tools import WikiTool

        if variant not in MAX_TURNS:
            raise InputError(f"variant must be {' or '.join(map(repr, MAX_TURNS))}, not {variant!r}")
        wire = pick_format(action_format, prompt)
        self._wording = "{claim}" if wire.name == "react" else _QUESTION
        world = shared_world(world_seed) if tasks is None else tasks if isinstance(tasks, World) else None
        if world is not None:
            loaded = WorldClaims(world).tasks(split, hops, size, task_seed, self._wording)
        else:
            assert not isinstance(tasks, World) and tasks is not None
            loaded = load_tasks(tasks, self._worded_task, split)
        if loaded[0].metadata.get("kind") != "claim":
            raise InputError(
                f"{loaded.name}: its tasks are no claims; make them with ReActFeverEnv.task_from_row, or say "
                "metadata={'kind': 'claim'}"
            )
        loaded = choose_subset(loaded, subset, FEVER_ROWS)
        self.pages = make_pages(corpus, world, pages_of_claims)
        super().__init__(
            loaded,
            [WikiTool(self.pages)],
            action_format=wire,
            reward=reward,
            limits=turn_limits(limits, wire, MAX_TURNS[variant]),
            render_mode=render_mode,
        )
        # Each label stands once in every three generated claims.
        self.guess_rate = (
            commonest_share(loaded) if world is None else ceil(len(loaded) / len(FEVER_LABELS)) / len(loaded)
        )

    @staticmethod
    def task_from_row(row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row with `claim` and `label`.

        The titles of the evidence are taken from `evidence_pages`, or from FEVER's own `evidence` (lists of
        `[annotation, evidence, title, sentence]`), with its escapes undone; an `evidence` that is a list of sentences
        is kept as it is.

        Raises:
            KeyError: If the claim or the label is missing.
            InputError: If the label is none of FEVER's three.
        """
        task_id, label = str(row.get("id", default_id)), str(row["label"])
        if label not in FEVER_LABELS:
            raise InputError(f"task {task_id!r}: a label is {', '.join(map(repr, FEVER_LABELS))}, not {label!r}")
        metadata: dict[str, Any] = {"kind": "claim"}
        evidence = row.get("evidence") or []
        if any(isinstance(one, str) for one in evidence):
            metadata["evidence"] = list(evidence)
            evidence = []
        titles = row.get("evidence_pages") or [sentence[2] for group in evidence for sentence in group if sentence[2]]
        metadata["supporting"] = list(dict.fromkeys(map(page_title, titles)))
        if POSITION in row:
            metadata[POSITION] = row[POSITION]
        return Task(task_id, str(row["claim"]), (label,), metadata)

    def _worded_task(self, row: Mapping[str, Any], default_id: str) -> Task:
        task = self.task_from_row(row, default_id)
        return replace(task, question=self._wording.format(claim=task.question))

    @classmethod
    def scoring_options(cls, tasks: TaskSet) -> dict[str, Any]:
        """No pages are read."""
        return {"tasks": tasks, "corpus": empty_pages(), "subset": "all"}

    def oracle(self) -> ScriptedPolicy:
        """Reads what the pages say of a generated claim, or opens the evidence's pages and gives the true label."""

        def conclude(task: Task, learned: str, read: bool) -> tuple[str, str]:
            del learned  # the last fact of the chain, where it was read
            return claim_answer(task.metadata["chain"], task.metadata["named"], read)

        return chain_or_pages(
            ChainPolicy(self.action_format, conclude), PagePolicy(self.action_format, self.limits.max_turns)
        )

    def oracle_gap(self, task: Task) -> str:
        """Pages of the evidence that are unknown, missing or too many for the turns."""
        if "chain" in task.metadata or NOT_ENOUGH_INFO in task.answers:  # nothing is evidence of the latter
            return ""
        return PagePolicy(self.action_format, self.limits.max_turns).gap(task, self.pages)


def page_title(escaped: str) -> str:
    """The title of a page as FEVER writes it: `Soul_Food_-LRB-film-RRB-` is `Soul Food (film)`."""
    for mark, sign in _ESCAPES.items():
        escaped = escaped.replace(mark, sign)
    return escaped
