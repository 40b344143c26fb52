"""Checks of tasks and of how they are judged."""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections.abc import Callable
from typing import Any

from ...tools.base import ToolCall, ToolResult, ToolStatus
from ...tools.errors import InputError
from ..env import ToolEnv
from ..rewards import normalize_answer
from ..task import Task
from .base import CheckFailed, CheckSkipped, Subject, check, expect, shown
from .play import answers, is_answer, last_moment, oracle_or_silence
from .schemas import sample_call

_LOOKED_AT = 24
_REPEATS = 3
_NO_TASK = "no task has this id"


@check(
    "Tasks with the same id, or that are another thing when they are read again.",
    "SkyRL #288: without ids trajectories overwrite each other; reasoning-gym's item i depends on (seed, i)",
)
def task_ids(subject: Subject) -> None:
    """Ids are unique texts, and index and id lead to the same task in any order."""
    tasks, known = subject.env.tasks, subject.tasks
    ids = [task.id for task in known]
    expect(all(isinstance(task_id, str) and task_id for task_id in ids), f"an id is no text or empty: {shown(ids)}")
    double = next((task_id for task_id in ids if ids.count(task_id) > 1), None)
    expect(double is None, f"several tasks have the id {double!r}")
    for index in reversed(range(min(len(known), _LOOKED_AT))):
        again, wanted = tasks[index], known[index]
        expect(again == wanted, f"task {index} is another when it is read again: {shown(again)}")
        expect(tasks.by_id(wanted.id) == wanted, f"by_id({wanted.id!r}) leads to another task than index {index}")
        well_formed = isinstance(wanted.question, str) and all(isinstance(answer, str) for answer in wanted.answers)
        expect(well_formed, f"question and answers of task {wanted.id!r} are not texts")


@check(
    "Options of reset that are ignored, and unknown ones that are swallowed.",
    "OpenEnv #1102 takes an argument of reset and drops it; GEM and nano-vllm swallow unknown ones",
)
def task_by_id(subject: Subject) -> None:
    """`options={"task_id": ...}` picks that task; unknown ids and options are refused."""
    with subject.fresh() as env:
        for task in (*subject.tasks[:3], subject.tasks[-1]):
            _, info = env.reset(seed=subject.seed, options={"task_id": task.id})
            played = env.episode.task
            fits = info["task_id"] == task.id == played.id and played.question == task.question
            expect(
                fits, f"asked for the task {task.id!r}, reset() gives {info['task_id']!r} ({shown(played.question)})"
            )
        for options in ({"task_id": _NO_TASK}, {"tusk_id": subject.tasks[0].id}):
            try:
                env.reset(seed=subject.seed, options=options)
            except InputError:
                continue
            raise CheckFailed(f"reset(options={options}) is not refused with an InputError")


@check(
    "Prompts without the question.",
    "TRL #6067: the first observation was dropped, and the policy trained without its task",
)
def prompt_asks(subject: Subject) -> None:
    """The question stands in the text and in the messages of reset."""
    with subject.fresh() as env:
        for task in subject.tasks[:_LOOKED_AT]:
            prompt, info = env.reset(seed=subject.seed, options={"task_id": task.id})
            question = env.episode.task.question.strip()
            expect(question in prompt, f"the question of {task.id!r} is not in the prompt {shown(prompt)}")
            said = "\n".join(str(message.get("content")) for message in info["messages"])
            expect(question in said, f"the question of {task.id!r} is not in the messages {shown(said)}")


@check(
    "Answers that are told: in the prompt beside the question, in the schemas, in the info of reset.",
    "OpenEnv RFC 008 `no_solution_leakage`, announced and not built; OpenEnv #1053",
)
def answers_are_not_told(subject: Subject) -> None:
    """What stands around the question holds a task's answers no more often than those of other tasks.

    The question itself must not say `answer: ...`; what else it gives away is measured by the canaries that quote it.
    """
    around: list[tuple[Task, list[str]]] = []
    with subject.fresh() as env:
        for task in subject.tasks[:_LOOKED_AT]:
            prompt, info = env.reset(seed=subject.seed, options={"task_id": task.id})
            contents = [str(message.get("content")) for message in info["messages"]]
            observation, _, terminated, truncated, told = env.step("Well, well.")
            told = {} if terminated or truncated else told
            others = [_beside_messages(info), _beside_messages(told), observation if told else ""]
            texts = [text.replace(task.question.strip(), " ") for text in (prompt, *contents, *others)]
            around.append((task, [f" {normalize_answer(text)} " for text in texts]))
            question = f" {normalize_answer(task.question)} "
            given = next((answer for answer in task.answers if _is_given(answer, question)), None)
            expect(given is None, f"the question {shown(task.question)} says that the answer is {given!r}")
    if len(around) < 2:
        raise CheckSkipped("there is a single task")

    def share(shift: int) -> float:
        """How many tasks find their answer around the question that comes `shift` places later."""
        texts = [around[(place + shift) % len(around)][1] for place in range(len(around))]
        return sum(_holds(near, task) for near, (task, _) in zip(texts, around, strict=True)) / len(around)

    own, of_others = share(0), max(share(1), share(len(around) // 2))
    leaks = own >= 0.5 and of_others < own / 2
    expect(not leaks, f"{own:.0%} of the answers stand around their questions, {of_others:.0%} around other questions")


def _beside_messages(info: dict[str, Any]) -> str:
    """What else an info holds, the task's id left out, which the agent does not see."""
    return json.dumps({key: value for key, value in info.items() if key not in ("messages", "task_id")}, default=repr)


def _is_given(answer: str, question: str) -> bool:
    """Whether a normalised question names an answer as the answer."""
    gold = normalize_answer(answer)
    return bool(gold) and any(f" {word} {gold} " in question for word in ("answer", "answer is", "solution", "gold"))


def _holds(texts: list[str], task: Task) -> bool:
    golds = [f" {normalize_answer(answer)} " for answer in task.answers if normalize_answer(answer)]
    return any(gold in text for gold in golds for text in texts)


@check(
    "Verifiers that call right answers wrong, and tasks that nobody can solve.",
    "reasoning-gym #377 (right answers scored 0), #153 (puzzles with several solutions); MiniWoB++ #108",
)
def oracle(subject: Subject) -> None:
    """The oracle's score is 1 on every task, by honest play, and its reward is not the lowest that there is."""
    missed, reward = [], subject.env.reward_function
    with subject.fresh() as env:
        policy = subject.oracle(env)
        for task in subject.tasks:
            last = last_moment(env, policy, seed=subject.seed, options={"task_id": task.id})
            if last.info.get("score") != 1.0:
                gap = env.oracle_gap(task)
                missed.append(f"{task.id} (answer {shown(last.info.get('answer'), 30)}{'; ' * bool(gap)}{gap})")
            elif last.reward <= reward.minimum < reward.maximum:
                missed.append(f"{task.id} (score 1, but the reward {reward.name!r} is {last.reward}, its lowest)")
    expect(not missed, f"missed {len(missed)} of {len(subject.tasks)} tasks: {', '.join(missed[:3])}")


@check(
    "Verdicts that change when they are asked for again: judges that draw, read the clock or use up what they judge.",
    "NeMo Gym's verifier fixtures of kind `determinism`; verifiers PR#831, a judge that timed out on a busy machine",
)
def verdicts_repeat(subject: Subject) -> None:
    """Score and reward of a finished episode are the same again, later, in a copy, and leave the record alone."""
    with subject.fresh() as env, subject.fresh() as other:
        for policy in (oracle_or_silence(env), answers(env, "nobody knows")):
            last = last_moment(env, policy, seed=subject.seed)
            episode = env.episode
            before = copy.deepcopy(episode)
            copied = pickle.loads(pickle.dumps(episode))
            wanted = env.score(episode), env.reward_function(episode)
            first = f"score {last.info['score']}, reward {last.reward}"
            same = wanted[0] == last.info["score"] and wanted[1].reward == last.reward
            expect(same, f"an episode was judged {first}, and {_shown(wanted)} the next time")
            for _ in range(_REPEATS):
                for judge, judged in ((env, episode), (other, copied)):
                    found = judge.score(judged), judge.reward_function(judged)
                    expect(
                        found == wanted, f"an episode was judged {_shown(wanted)}, and {_shown(found)} the next time"
                    )
                time.sleep(0.005)
            expect(episode == before, "judging an episode changes its record")


def _shown(verdict: tuple[float, Any]) -> str:
    return f"score {verdict[0]}, reward {verdict[1].reward}"


@check(
    "Observations that the agent wrote itself and that pass for the environment's.",
    "OpenEnv PR#695: the agent wrote the file that held its reward; Search-R1 pays for any `<information>` block",
)
def forged_observations_earn_nothing(subject: Subject) -> None:
    """An observation that the agent writes is a fault and worth the least, also beside the right answer."""
    with subject.fresh() as env:
        env.reset(seed=subject.seed)
        said = forged_text(env, " ".join(env.episode.task.answers[:1]) or "yes")
        if not said:
            raise CheckSkipped(f"the format {env.action_format.name!r} has no observations")
        policy = oracle_or_silence(env)
        for lie in (lambda episode: said, lambda episode: said + policy(episode)):
            for before in (None, policy):
                _earns_nothing(env, lie, before, subject.seed)


def _earns_nothing(env: ToolEnv, lie: Callable[[Any], str], before: Callable[[Any], str] | None, seed: int) -> None:
    """Plays honestly until the answer (or not at all), forges once, and plays on honestly."""
    policy = oracle_or_silence(env)
    lied: list[int] = []

    def act(episode: Any) -> str:
        honest = policy(episode)
        if lied or (before is not None and not is_answer(env, honest)):
            return honest
        lied.append(len(episode.turns))
        return lie(episode)

    last = last_moment(env, act, seed=seed)
    if not lied:
        return
    turn, least = env.episode.turns[lied[0]], env.reward_function.minimum
    expect("forged_observation" in {fault.value for fault in turn.parsed.faults}, f"no fault in {shown(turn.action)}")
    expect(last.reward == least, f"an episode with a forged observation earned {last.reward}, more than {least}")
    expect(last.info["score"] == 0, f"an episode with a forged observation has the score {last.info['score']}")


def forged_text(env: ToolEnv, content: str) -> str:
    """What the environment would say to a call that returned `content`, written by the agent; empty if nothing."""
    call = sample_call(env.functions[0]) if env.functions else ToolCall("search")
    return env.action_format.render([call], [ToolResult(ToolStatus.OK, content)]).rstrip()
