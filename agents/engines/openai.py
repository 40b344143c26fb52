"""Models behind an OpenAI-compatible server, for evaluation."""

from __future__ import annotations

import os
import queue
import random
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import httpx

from ...envs.episode import FinishReason
from ...envs.formats.openai import action_text
from ...tools.errors import InputError
from ...tools.http_client import retry_after
from ..encoding import Codec, TextCodec, valid_message
from .base import Generation, GenerationRequest, InferenceEngine, StopChecker

__all__ = ["OpenAIEngine", "TextCodec"]

_MOST_STOPS = 4
_OPENINGS = (("</", "<"), ("<|end_of_", "<|begin_of_"))
"""How closing marks begin, and the opening marks that belong to them."""
_FENCE = "```"
_LONGEST_WAIT = 60.0
_POLL = 0.02


class OpenAIEngine(InferenceEngine):
    """Asks an OpenAI-compatible `/chat/completions` endpoint, several requests at once.

    The ids of its generations are an encoding of the text, without logprobs: nothing here can be trained. Requests
    that the server turns away for now (429, 5xx, time-outs, lost connections) are tried again, after the time that its
    `Retry-After` header asks for or an exponentially growing one; a request that fails for good comes back with an
    error. What only a person can put right raises `InputError` from `step`.

    Servers drop the stop string that ended a text. It is put back when the server names it (`stop_reason`, as vLLM
    does); otherwise when generation ended by itself and a stop string of the form `</tag>` belongs to a `<tag>` that
    the text opened and did not close, the last such tag if there are several; `<|end_of_X|>` and `<|begin_of_X|>`
    likewise, a line of three backticks after an odd number of fences, and a fence with a word to it where the text ends
    with a closed one. Other stop strings are not put back.

    A request with `tools` gets native tool calls: a response that holds some becomes the text of an action of the
    `openai` format. Without `tools` none are asked for.

    Args:
        base_url: Such as `http://localhost:8000/v1`.
        model: Name of the model on the server.
        api_key: Key; the environment variable `OPENAI_API_KEY` by default, none if that is not set.
        codec: Encodes what came back; `TextCodec` needs no tokenizer.
        concurrency: Most requests in flight.
        retries: How often a request is tried again.
        timeout: Seconds until a request counts as lost.
        backoff: Seconds before the first new try; doubles with each.

    Raises:
        InputError: If the URL is none or a number makes no sense.
    """

    exact_tokens: ClassVar[bool] = False

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        codec: Codec | None = None,
        *,
        concurrency: int = 16,
        retries: int = 5,
        timeout: float = 600.0,
        backoff: float = 0.5,
    ) -> None:
        super().__init__()
        if not base_url.startswith(("http://", "https://")):
            raise InputError(f"endpoint {base_url!r} is no URL; it should look like http://localhost:8000/v1")
        if concurrency < 1 or retries < 0 or timeout <= 0:
            raise InputError(
                f"concurrency must be at least 1, retries 0 or more and timeout above 0, not {concurrency}, {retries} "
                f"and {timeout}"
            )
        self.url = base_url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self.model, self.codec = model, codec or TextCodec()
        self.retries, self.backoff = retries, backoff
        key = api_key or os.environ.get("OPENAI_API_KEY")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout,
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        )
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="endpoint")
        self._answers: queue.SimpleQueue[tuple[Generation, Mapping[str, Any]] | BaseException] = queue.SimpleQueue()
        self._pending = 0
        self._closed = threading.Event()
        self._limit_key = "max_tokens"

    # The protocol of engines -----------------------------------------------------------------------------------

    def submit(self, request: GenerationRequest) -> None:
        """Sends a request as soon as fewer than `concurrency` are in flight.

        Raises:
            ValueError: If it carries no messages.
        """
        if not request.messages:
            raise ValueError(f"request {request.id!r} has no messages; an endpoint takes nothing else")
        self._pending += 1
        self._pool.submit(self._serve, request)

    @property
    def pending(self) -> int:
        """Requests that have been submitted and not returned."""
        return self._pending

    def step(self) -> list[Generation]:
        """Returns what has come back; waits a moment if nothing has.

        Raises:
            InputError: If the server refused a request for a reason that only a person can put right.
        """
        started = time.perf_counter()
        generations: list[Generation] = []
        wait = _POLL
        while self._pending:
            try:
                answer = self._answers.get(timeout=wait)
            except queue.Empty:
                break
            self._pending -= 1
            if isinstance(answer, BaseException):
                raise answer
            self._count(*answer)
            generations.append(answer[0])
            wait = 0.0
        self.statistics.seconds += time.perf_counter() - started
        return generations

    def close(self) -> None:
        """Drops all requests and closes the connections."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()
        self._pending = 0

    # In worker threads -----------------------------------------------------------------------------------------

    def _serve(self, request: GenerationRequest) -> None:
        try:
            self._answers.put(self._ask(request))
        except BaseException as error:  # raised again by `step`, on the caller's thread
            self._answers.put(error)

    def _ask(self, request: GenerationRequest) -> tuple[Generation, Mapping[str, Any]]:
        """Sends a request until there is an answer or the tries are used up."""
        jitter = random.Random(request.sampling.seed)
        problem, attempt = "", 0
        while attempt <= self.retries and not self._closed.is_set():
            wait, limit_key = self.backoff * 2**attempt * (0.5 + jitter.random() / 2), self._limit_key
            try:
                response = self._client.post(self.url, json=self._payload(request, limit_key))
            except (httpx.TransportError, httpx.DecodingError) as error:
                problem = f"{self.url}: {type(error).__name__}: {str(error) or 'no answer'}"
            else:
                if response.status_code == 200:
                    try:
                        return self._generation(request, response.json())
                    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
                        problem = f"{self.url} returned no chat completion: {_one_line(response.text)}"
                else:
                    problem = f"{self.url} answered {response.status_code}: {_message(response)}"
                    if response.status_code == 400 and "max_completion_tokens" in problem and limit_key == "max_tokens":
                        self._limit_key = "max_completion_tokens"  # newer OpenAI models know no other name
                        continue
                    if 400 <= response.status_code < 500 and response.status_code not in (408, 409, 425, 429):
                        if _too_long(problem):
                            break
                        raise InputError(self._refusal(response.status_code, problem))
                    wait = retry_after(response.headers.get("retry-after", "")) or wait
            attempt += 1
            if attempt <= self.retries:
                self._closed.wait(min(wait, _LONGEST_WAIT))
        tries = f" (after {attempt} tries)" if attempt > 1 else ""
        return Generation(request.id, error=f"{problem}{tries}"), {}

    def _refusal(self, status: int, problem: str) -> str:
        advice = {
            401: "; set OPENAI_API_KEY to a valid key",
            403: "; the key may not use this model",
            404: f"; check the URL and the model's name {self.model!r}",
        }
        return problem + advice.get(status, "")

    def _payload(self, request: GenerationRequest, limit_key: str) -> dict[str, Any]:
        sampling = request.sampling
        payload: dict[str, Any] = {
            "model": self.model,
            "messages": list(map(valid_message, request.messages)),
            "temperature": sampling.temperature,
            limit_key: sampling.max_tokens,
            "seed": sampling.seed % 2**31,
        }
        if request.tools:
            payload["tools"] = list(request.tools)
        if sampling.stop:
            payload["stop"] = list(sampling.stop[:_MOST_STOPS])  # the text is cut here for any that are left over
        # Not in OpenAI's interface, but in those of vLLM, SGLang and llama.cpp: sent only when asked for.
        options = {"top_p": (sampling.top_p, 1.0), "top_k": (sampling.top_k, 0), "min_p": (sampling.min_p, 0.0)}
        payload.update({name: value for name, (value, default) in options.items() if value != default})
        return payload

    def _generation(self, request: GenerationRequest, body: Mapping[str, Any]) -> tuple[Generation, Mapping[str, Any]]:
        choice = body["choices"][0]
        text, reason = action_text(choice["message"]), choice.get("finish_reason")
        stop = () if choice["message"].get("tool_calls") else request.sampling.stop
        finish: FinishReason = "length" if reason == "length" else "eos"
        cut = StopChecker(stop).cut(text)
        if cut is not None:
            text, finish = cut[0], "stop"
        elif reason == "stop":
            dropped = dropped_stop(text, stop, choice.get("stop_reason"))
            text, finish = text + dropped, "stop" if dropped else "eos"
        return Generation(request.id, self.codec.encode_text(text), None, text, finish), body.get("usage") or {}

    def _count(self, generation: Generation, usage: Mapping[str, Any]) -> None:
        statistics = self.statistics
        statistics.generated_tokens += int(usage.get("completion_tokens") or len(generation.token_ids))
        reused = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        statistics.prefilled_tokens += int(usage.get("prompt_tokens") or 0) - reused
        statistics.reused_tokens += reused


def dropped_stop(text: str, stop: Sequence[str], named: object = None) -> str:
    """The stop string that a server dropped from the end of a text, or "" if none can be told.

    Args:
        text: What the server returned.
        stop: Stop strings of the request.
        named: What the server says ended the text, if it says so.
    """
    if isinstance(named, str) and named in stop:
        return named
    opened = [(_opened_at(text, mark), mark) for mark in stop]
    position, mark = max(opened, default=(-1, ""))
    return mark if position >= 0 else ""


def _opened_at(text: str, mark: str) -> int:
    """Where a text opens what a mark closes; -1 if it has closed it already, or nobody can tell."""
    if mark.strip() == _FENCE:
        return text.rfind(_FENCE) if text.count(_FENCE) % 2 else -1
    if mark.startswith(_FENCE):
        return len(text) if text.count(_FENCE) % 2 == 0 and text.rstrip().endswith(f"\n{_FENCE}") else -1
    opening = next((new + mark.removeprefix(old) for old, new in _OPENINGS if mark.startswith(old)), None)
    position = -1 if opening is None else text.rfind(opening)
    return position if position > text.rfind(mark) else -1


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _message(response: httpx.Response) -> str:
    """The server's own words, in one line."""
    try:
        body = response.json()
        error = body.get("error", body)
        text = error.get("message", error) if isinstance(error, Mapping) else error
    except (ValueError, AttributeError):
        text = response.text
    return _one_line(str(text)) or response.reason_phrase


def _too_long(problem: str) -> bool:
    """Whether a request was refused for its length: that is one episode's trouble, not the whole run's."""
    lowered = problem.lower()
    return any(words in lowered for words in ("context length", "context_length", "context window", "maximum context"))
