"""Rewards of an episode that pay for form, read in its text.

They judge the answer in that text as published. Where the format of the episode reads another answer, or none (one that
is never closed), the reward is at most what a wrong answer earns.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

from ...tools.errors import InputError
from ..episode import Episode, RewardResult
from ..reward import RewardFunction
from ..task import Task
from . import autotir as autotir_text
from . import logic_rl as logic_rl_text
from . import r1 as r1_text
from . import r1_searcher as r1_searcher_text
from . import recall as recall_text
from . import research as research_text
from . import scanning, search_f1, search_r1, text
from .episodes import answer_terms, math_terms, quoted, response_of, written_by_agent

ResearchPrompt = Literal["base", "chat"]
_HEADERS: dict[ResearchPrompt, str] = {"base": "Assistant:", "chat": scanning.CHAT_HEADER}


def research(*, variant: research_text.Variant = "code", prompt: ResearchPrompt = "base") -> RewardFunction:
    """ReSearch (arXiv 2503.19470): F1 of the boxed answer, 0.1 for form; wrong is what shares no token with an answer.

    Args:
        variant: See `research_reward`, the function of text.
        prompt: `base` where the prompt ends with `Assistant:`, `chat` under a chat template: a response that repeats
            it is cut there.
    """
    function = partial(_research, variant=variant, header=_HEADERS[prompt])
    return RewardFunction("research", function, wrong_ceiling=research_text.FORM_REWARD)


def _research(episode: Episode, variant: research_text.Variant, header: str) -> RewardResult:
    response, finished = response_of(episode, "<result>", "</result>", _nothing), episode.finished_by_agent
    reward = research_text.research_reward(
        response, episode.task.answers, variant=variant, finished=finished, header=header
    )
    terms = {**answer_terms(episode), "format": float(finished and research_text.research_format(response))}
    return RewardResult(_capped(reward, terms["f1"], research_text.FORM_REWARD), terms)


def autotir(*, tool: autotir_text.RequiredTool | None = None) -> RewardFunction:
    """AutoTIR (arXiv 2507.21836): as ReSearch, and -0.1 for another tool than the task asks for.

    Args:
        tool: `search`, `code` or `general` (none); by default what the task's metadata says under `tool`.
    """
    return RewardFunction(
        "autotir",
        partial(_autotir, tool=tool),
        minimum=autotir_text.WRONG_TOOL,
        wrong_ceiling=research_text.FORM_REWARD,
    )


def _autotir(episode: Episode, tool: autotir_text.RequiredTool | None) -> RewardResult:
    required = episode.task.metadata.get("tool") if tool is None else tool
    if required is None:
        raise InputError(
            "autotir needs to know the tool of each task: its metadata's 'tool', or the option tool=search"
        )
    response = response_of(episode, "<result>", "</result>", _nothing)
    reward = autotir_text.autotir_reward(
        response, episode.task.answers, tool=required, finished=episode.finished_by_agent
    )
    terms = {**answer_terms(episode), "wrong_tool": float(reward == autotir_text.WRONG_TOOL)}
    return RewardResult(_capped(reward, terms["f1"], research_text.FORM_REWARD), terms)


def recall(*, prefill: str = "<think>") -> RewardFunction:
    """ReCall (Agent-RL/ReCall): F1 of the box in the last turn, 0.1 for form.

    Args:
        prefill: What the framework put before each of the agent's turns.
    """
    return RewardFunction("recall", partial(_recall, prefill=prefill), wrong_ceiling=research_text.FORM_REWARD)


def _recall(episode: Episode, prefill: str) -> RewardResult:
    turns = [f"{prefill}{turn.parsed.text}".strip() for turn in episode.turns]
    reward = recall_text.recall_reward(turns, episode.task.answers, finished=episode.finished_by_agent)
    terms = {**answer_terms(episode), "format": float(recall_text.recall_format(turns))}
    return RewardResult(_capped(reward, terms["f1"], research_text.FORM_REWARD), terms)


def search_r1_format(
    *,
    structure_format_score: float = search_r1.STRUCTURE_FORMAT_SCORE,
    final_format_score: float = search_r1.FINAL_FORMAT_SCORE,
    retrieval_score: float = search_r1.RETRIEVAL_SCORE,
) -> RewardFunction:
    """Search-R1 with bonuses for form and retrieval (arXiv 2505.15117), for the answer that the episode ended with.

    Args:
        structure_format_score: See `search_r1_reward`.
        final_format_score: See `search_r1_reward`.
        retrieval_score: See `search_r1_reward`; runs that pay for retrieval use 0.1.

    Raises:
        InputError: If a score is negative, or form is worth more than the answer.
    """
    scores = (structure_format_score, final_format_score, retrieval_score)
    ceiling = max(structure_format_score + retrieval_score, final_format_score)
    if min(scores) < 0 or ceiling > 1 - structure_format_score:
        raise InputError(
            f"search_r1_format: the scores of form must be at least 0 and pay less than an answer, not {scores}"
        )
    return RewardFunction("search_r1_format", partial(_search_r1_format, scores=scores), wrong_ceiling=ceiling)


def _search_r1_format(episode: Episode, scores: tuple[float, float, float]) -> RewardResult:
    response, terms = response_of(episode, "<information>", "</information>"), answer_terms(episode)
    formed = search_r1.search_r1_format(response)
    retrieved = search_r1.answer_retrieved(response, episode.task.answers)
    # The answer is the episode's: what an earlier turn opened and never closed does not swallow it.
    reward = search_r1.graded(terms["em"] > 0, formed, retrieved, scores) if terms["answered"] else 0.0
    return RewardResult(reward, {**terms, "format": float(formed), "retrieved": float(retrieved)})


def r1_searcher(
    *,
    stage: r1_searcher_text.Stage = 2,
    model: r1_searcher_text.Model | None = None,
    variant: r1_searcher_text.Variant = "code",
) -> RewardFunction:
    """R1-Searcher (arXiv 2503.05592): stage 1 pays for searching, stage 2 for the answer.

    Args:
        stage: See `r1_searcher_reward`, the function of text.
        model: See there.
        variant: See there. `code` hears the word "assistant" in retrieved text too, and takes a search that found
            nothing for a fault; `paper` reads nothing in what was retrieved. In stage 1 of the paper the answer plays
            no part, and a wrong one may earn all.
    """
    function = partial(_r1_searcher, stage=stage, model=model, variant=variant)
    function(Episode(Task("probe", "", ("x",)), ""))  # options that do not go together fail here, not in training
    if stage == 2:
        minimum, maximum = r1_searcher_text.STAGE_2_PENALTY[model or "qwen_zero"], 1.0
    else:
        minimum, maximum = (0.0, 1.0) if variant == "paper" else (-1.0, 2.0)
    ceiling = 1.0 if stage == 1 and variant == "paper" else 0.0
    return RewardFunction("r1_searcher", function, minimum=minimum, maximum=maximum, wrong_ceiling=ceiling)


def _r1_searcher(
    episode: Episode,
    stage: r1_searcher_text.Stage,
    model: r1_searcher_text.Model | None,
    variant: r1_searcher_text.Variant,
) -> RewardResult:
    payload = quoted if variant == "code" else _one_document
    response = response_of(episode, "<|begin_of_documents|>", "<|end_of_documents|>", payload)
    answer, answers = episode.answer or "", episode.task.answers
    f1 = text.f1_score(answer, answers, "r1_searcher")
    reward = r1_searcher_text.r1_searcher_reward(response, answers, stage=stage, model=model, variant=variant)
    if stage == 2:
        reward = _capped(reward, f1, 0.0)
    elif variant == "code":
        reward = _capped(reward, text.cover_exact_match(answer, answers, "tokens", variant="strict"), 0.0)
    formed = r1_searcher_text.stage_2_format(response, model or "qwen_zero")
    searches = response.count("<|begin_of_documents|>")
    terms = {**answer_terms(episode), "f1": f1}
    return RewardResult(reward, {**terms, "format": float(formed), "searches": float(searches)})


def deep_researcher() -> RewardFunction:
    """DeepResearcher (arXiv 2504.03160): F1 of the answer block over sets of tokens, -1 for the wrong form."""
    return RewardFunction("deep_researcher", _deep_researcher, minimum=search_f1.BAD_FORM)


def _deep_researcher(episode: Episode) -> RewardResult:
    formed = search_f1.deep_researcher_format(written_by_agent(episode)) and episode.answer is not None
    f1 = search_f1.deep_researcher_f1(episode.answer or "", episode.task.answers)
    terms = {**answer_terms(episode), "f1": f1, "format": float(formed)}
    return RewardResult(f1 if formed else search_f1.BAD_FORM, terms)


def step_search() -> RewardFunction:
    """StepSearch (arXiv 2505.15107): F1, and 0.618 of the share of the task's `search_keys` that were met; or -1."""
    return RewardFunction(
        "step_search",
        _step_search,
        minimum=search_f1.BAD_FORM,
        maximum=1.0 + search_f1.SEARCH_KEYS_WEIGHT,
        wrong_ceiling=search_f1.SEARCH_KEYS_WEIGHT,
    )


def _step_search(episode: Episode) -> RewardResult:
    answer, task = episode.answer, episode.task
    if answer is None:
        return RewardResult(search_f1.BAD_FORM, answer_terms(episode))
    queries, keys = search_f1.queries_of(written_by_agent(episode)), task.metadata.get("search_keys", ())
    terms = {**answer_terms(episode), "f1": search_f1.rounded_f1(answer, task.answers)}
    return RewardResult(search_f1.step_search_score(answer, task.answers, queries, keys), terms)


def logic_rl(*, prefill: str = "<think>") -> RewardFunction:
    """Logic-RL (arXiv 2502.14768): form, then the roles of all persons of a puzzle.

    Args:
        prefill: What the framework put before the response; the form is judged with it.
    """
    return RewardFunction(
        "logic_rl",
        partial(_logic_rl, prefill=prefill),
        minimum=-logic_rl_text.FORMAT_REWARD + logic_rl_text.UNREADABLE,
        maximum=logic_rl_text.FORMAT_REWARD + logic_rl_text.RIGHT,
        wrong_ceiling=logic_rl_text.FORMAT_REWARD + logic_rl_text.WRONG,
    )


def _logic_rl(episode: Episode, prefill: str) -> RewardResult:
    response, roles = written_by_agent(episode), logic_rl_text.solution_roles(_solution(episode.task))
    right = logic_rl_text.read_roles(episode.answer or "", roles) == roles
    ceiling = logic_rl_text.FORMAT_REWARD + logic_rl_text.WRONG
    reward = _capped(logic_rl_text.logic_rl_reward(response, roles, prefill=prefill), right, ceiling)
    formed = logic_rl_text.logic_rl_format(prefill + response)
    answered = float(episode.answer is not None)
    return RewardResult(reward, {"format": float(formed), "correct": float(right), "answered": answered})


def _solution(task: Task) -> Mapping[str, bool] | str:
    """Roles by name, from the metadata (a mapping, or `names` beside a list of roles) or else from the answer."""
    solution, names = task.metadata.get("solution"), task.metadata.get("names")
    if isinstance(solution, Mapping):
        return solution
    if solution is not None and names is not None:
        return dict(zip(names, solution, strict=True))
    return text.as_answers(task.answers)[0]


def r1(*, form: r1_text.R1Form = "paper", prefill: str = "<think>") -> RewardFunction:
    """DeepSeek-R1-Zero (arXiv 2501.12948): 1 for the right answer and 1 for form.

    Args:
        form: See `r1_format`.
        prefill: What the framework put before the response; the form is judged with it.
    """
    return RewardFunction("r1", partial(_r1, form=form, prefill=prefill), maximum=2.0, wrong_ceiling=1.0)


def _r1(episode: Episode, form: r1_text.R1Form, prefill: str) -> RewardResult:
    terms = math_terms(episode)
    formed = r1_text.r1_format(prefill + written_by_agent(episode), form)
    return RewardResult(terms["correct"] + formed, {**terms, "format": formed})


def r1_format(*, form: r1_text.R1Form = "paper", prefill: str = "<think>") -> RewardFunction:
    """1 for form alone: a part of sums such as open-rs's `r1_format(form=open_rs) + 2*cosine(form=open_rs)`.

    Args:
        form: See `r1_format`, the function of text.
        prefill: What the framework put before the response; the form is judged with it.
    """
    return RewardFunction("r1_format", partial(_r1_format, form=form, prefill=prefill), wrong_ceiling=1.0)


def _r1_format(episode: Episode, form: r1_text.R1Form, prefill: str) -> RewardResult:
    return RewardResult(r1_text.r1_format(prefill + written_by_agent(episode), form))


def orz() -> RewardFunction:
    """Open-Reasoner-Zero (arXiv 2503.24290): 1 if the agent stopped by itself and its answer is right, else 0."""
    return RewardFunction("orz", _orz)


def _orz(episode: Episode) -> RewardResult:
    terms, finished = math_terms(episode), float(episode.finished_by_agent)
    return RewardResult(terms["correct"] * finished, {**terms, "finished": finished})


def _capped(reward: float, right: float, ceiling: float) -> float:
    """The reward, or at most the ceiling where the answer that the episode ended with is not right at all."""
    return reward if right else min(reward, ceiling)


def _nothing(payload: str) -> str:
    return ""


def _one_document(payload: str) -> str:
    """Documents in the published form, of which nothing is read."""
    return "\n(1)\n"
