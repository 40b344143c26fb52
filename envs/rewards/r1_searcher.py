"""The rewards of R1-Searcher: stage 1 for searching, 2 for answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ...tools.errors import InputError
from .scanning import without
from .text import as_answers, cover_exact_match, f1_score, one_of

Stage = Literal[1, 2]
Model = Literal["qwen_zero", "llama"]
Variant = Literal["code", "paper"]

STAGE_1_BONUS = 0.5
STAGE_2_PENALTY: dict[Model, float] = {"qwen_zero": -2.0, "llama": -1.0}
MAX_ANSWER_WORDS = 10
"""Constants of R1-Searcher (arXiv 2503.05592; RUCAIBox/R1-Searcher, `train/reward_server_*.py`)."""

EOS: dict[Model, str] = {"qwen_zero": "<|endoftext|>", "llama": "<|eot_id|>"}
"""End-of-turn tokens of the two base models; the reward servers end every text with it before they read it."""

PROMPT_END: dict[Model, str] = {
    "qwen_zero": "\nAssistant: <think>",
    "llama": "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n<think>",
}
"""What ends the prompts; the servers read what follows the last of them."""

_DOCUMENTS, _DOCUMENTS_END = "<|begin_of_documents|>", "<|end_of_documents|>"
_MARKS = (
    f"{_DOCUMENTS}\n",
    f"{_DOCUMENTS_END}\n\n",
    "<|begin_of_query|>",
    "<|end_of_query|>",
    _DOCUMENTS,
    _DOCUMENTS_END,
    f"{_DOCUMENTS}\n(1)",
)


def r1_searcher_reward(
    response: str,
    answers: str | Sequence[str],
    *,
    stage: Stage = 2,
    model: Model | None = None,
    variant: Variant = "code",
    eos: str | None = None,
) -> float:
    """The reward of a whole response: in [-1, 2] in stage 1, in [-2, 1] in stage 2 (Llama: [-1, 1]).

    Source: R1-Searcher, arXiv 2503.05592 (`paper`); RUCAIBox/R1-Searcher, `train/reward_server_*.py` (`code`).

    Stage 1. Paper: 0.5 for at least one retrieval and 0.5 for form; the answer plays no part. Code (Llama alone has
    one): +1 if the answer covers the gold answer (`cover_exact_match`, `tokens`) and -1 if not, 0.5 for at least one
    well-formed retrieval, 0.5 for well-formed thought and answer.

    Stage 2. F1 (`r1_searcher` rules; 0 without both answer tags), less 2 (Llama: 1) for any fault of `stage_2_format`.
    The paper's is Qwen's. No retrieval at all is no fault.

    The answer is what follows the last `<answer>` up to `</answer>`, or else up to the end of the text. With `code`, a
    response that repeats the prompt's end (`PROMPT_END`) counts from there on.

    Args:
        response: All that follows the prompt and its `<think>`, documents included.
        answers: Accepted answers; the official servers know one.
        stage: 1 or 2.
        model: Whose script: `qwen_zero` or `llama`; by default Llama's in stage 1, Qwen's in stage 2.
        variant: `code` or `paper`.
        eos: The end-of-turn token that the text ends with, whether the response still holds it or not; by default that
            of the model. It becomes part of an answer that is never closed.

    Raises:
        InputError: For an unknown option, stage 1 of `qwen_zero` (no code was published), or no answers.
    """
    one_of("stage", stage, Stage)
    one_of("variant", variant, Variant)
    model = ("llama" if stage == 1 and variant == "code" else "qwen_zero") if model is None else model
    one_of("model", model, Model)
    end = EOS[model] if eos is None else eos
    text = _ended_once(response, end)
    if variant == "code":
        text = text.rpartition(PROMPT_END[model])[2]
    golds = as_answers(answers)
    if stage == 2:
        answered = "<answer>" in text and "</answer>" in text
        f1 = f1_score(_answer(text), golds, "r1_searcher") if answered else 0.0
        return f1 + (0.0 if stage_2_format(text, model) else STAGE_2_PENALTY[model])
    searched, formed = _searches(text) > 0, _thought_and_answer(text)
    if variant == "paper":
        return STAGE_1_BONUS * (_DOCUMENTS in text) + STAGE_1_BONUS * (formed and _searches(text) >= 0)
    if model != "llama":
        raise InputError("stage 1 of R1-Searcher has published code for model 'llama' alone; use variant='paper'")
    answered = "<answer>" in text and "</answer>" in text
    right = answered and cover_exact_match(_answer(text), golds, "tokens") > 0
    return (1.0 if right else -1.0) + STAGE_1_BONUS * searched + STAGE_1_BONUS * formed


def stage_2_format(response: str, model: Model = "qwen_zero") -> bool:
    """Whether a response has the form that stage 2 asks for.

    The marks of queries and documents are equally many (none at all is fine), and there are no `<think>`, one
    `</think>`, one `<answer>` and one `</answer>`; no Chinese character stands outside the documents. Qwen's script
    asks for more: the word "assistant" or "Assistant" nowhere, retrieved text included; no mark of a query or of
    documents in the answer; at most ten words in the answer.
    """
    if _searches(response) < 0 or not _thought_and_answer(response):
        return False
    if any("\u4e00" <= character <= "\u9fff" for character in without(response, _DOCUMENTS, _DOCUMENTS_END)):
        return False
    if model == "llama":
        return True
    answer = _answer(response)
    marked = "begin_of_query" in answer or "begin_of_documents" in answer
    named = "assistant" in response or "Assistant" in response
    return not (marked or named) and len(answer.split()) <= MAX_ANSWER_WORDS


def _searches(text: str) -> int:
    """The number of well-formed retrievals; -1 if the marks are not equally many."""
    counts = {text.count(mark) for mark in _MARKS}
    return counts.pop() if len(counts) == 1 else -1


def _thought_and_answer(text: str) -> bool:
    closed = all(text.count(tag) == 1 for tag in ("</think>", "<answer>", "</answer>"))
    return closed and "<think>" not in text


def _answer(text: str) -> str:
    return text.rpartition("<answer>")[2].partition("</answer>")[0].strip()


def _ended_once(text: str, end: str) -> str:
    stop = len(text)
    while end and text.endswith(end, 0, stop):
        stop -= len(end)
    return text[:stop] + end
