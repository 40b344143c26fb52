"""The engine for served models, against a fake server."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from toolgym.agents import EpisodeRequest, GenerationRequest, OpenAIEngine, SamplingParams, TextCodec, rollout
from toolgym.agents.engines.openai import dropped_stop
from toolgym.tools.errors import InputError


def ask(engine, name="r", **sampling):
    messages = ({"role": "user", "content": "Q?"},)
    engine.submit(GenerationRequest(name, (7,), SamplingParams(**sampling), messages=messages))


def drain(engine):
    done = {}
    while engine.pending:
        done.update({generation.request_id: generation for generation in engine.step()})
    return done


@pytest.fixture
def served(fake_openai, monkeypatch):
    """Starts a fake server and an engine that talks to it."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    opened = []

    def start(reply=lambda body: "fine", failures=(), headers=None, messages=None, **options):
        server = fake_openai(reply, failures, headers, messages)
        server.__enter__()
        engine = OpenAIEngine(server.url, "tiny", **{"backoff": 0.01, **options})
        opened.append((engine, server))
        return engine, server

    yield start
    for engine, server in opened:
        engine.close()
        server.__exit__()


def test_what_is_sent_and_what_comes_back(served, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    engine, server = served(lambda body: "an answer")
    ask(engine, temperature=0.5, max_tokens=9, stop=("</a>", "</b>", "</c>", "</d>", "</e>"), top_p=0.9, seed=2**40 + 3)
    generation = drain(engine)["r"]
    assert (generation.text, generation.finish_reason, generation.logprobs) == ("an answer", "eos", None)
    assert engine.codec.decode(generation.token_ids) == "an answer" and not engine.exact_tokens
    assert server.requests == [
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": "Q?"}],
            "temperature": 0.5,
            "max_tokens": 9,
            "seed": 3,
            "stop": ["</a>", "</b>", "</c>", "</d>"],
            "top_p": 0.9,
        }
    ]
    assert server.authorizations == ["Bearer from-environment"]
    statistics = engine.statistics
    assert (statistics.generated_tokens, statistics.prefilled_tokens, statistics.reused_tokens) == (3, 6, 4)


def test_keys(served):
    engine, server = served(api_key="given")
    ask(engine)
    drain(engine)
    other, without = served()
    ask(other)
    drain(other)
    assert server.authorizations == ["Bearer given"] and without.authorizations == [None]


def test_what_passes_is_tried_again(served):
    engine, server = served(failures=[500, 429, "drop", "garbage", 503])
    ask(engine)
    assert drain(engine)["r"].text == "fine"
    assert len(server.requests) == 6


def test_tries_run_out(served):
    engine, server = served(failures=[500] * 9, retries=2)
    ask(engine)
    generation = drain(engine)["r"]
    assert generation.error.endswith("answered 500: scripted failure 500 (after 3 tries)")
    assert "\n" not in generation.error and len(server.requests) == 3


def test_a_server_that_hangs(served):
    engine, server = served(failures=["hang"], timeout=0.2)
    ask(engine)
    assert drain(engine)["r"].text == "fine" and len(server.requests) == 2


def test_nobody_there():
    engine = OpenAIEngine("http://127.0.0.1:9/v1/", "tiny", retries=1, backoff=0.01)
    assert engine.url == "http://127.0.0.1:9/v1/chat/completions"
    ask(engine)
    assert "ConnectError" in drain(engine)["r"].error
    engine.close()


@pytest.mark.parametrize(
    "value", ["0.3", formatdate(time.time() + 1, usegmt=True), "soon"], ids=["seconds", "date", "neither"]
)
def test_retry_after(served, value):
    engine, _ = served(failures=[429], headers={"Retry-After": value}, backoff=0.001)
    started = time.perf_counter()
    ask(engine)
    assert drain(engine)["r"].text == "fine"
    if value == "0.3":
        assert time.perf_counter() - started >= 0.3


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "set OPENAI_API_KEY"), (404, "check the URL and the model's name 'tiny'"), (400, "scripted failure 400")],
)
def test_what_a_person_must_put_right(served, status, words):
    engine, server = served(failures=[status])
    ask(engine)
    with pytest.raises(InputError, match=words) as caught:
        drain(engine)
    assert "\n" not in str(caught.value) and f"answered {status}" in str(caught.value)
    assert len(server.requests) == 1


def test_a_context_that_is_too_long_costs_one_episode(served):
    engine, _ = served(failures=[400], messages={400: "This model's maximum context length is 10 tokens"})
    ask(engine)
    assert "maximum context length" in drain(engine)["r"].error


def test_newer_models_name_the_limit_otherwise(served):
    engine, server = served(failures=[400], messages={400: "Use 'max_completion_tokens' instead of 'max_tokens'"})
    ask(engine, max_tokens=5)
    assert drain(engine)["r"].text == "fine"
    assert server.requests[1]["max_completion_tokens"] == 5 and "max_tokens" not in server.requests[1]


def test_no_more_requests_at_once_than_allowed(served):
    engine, server = served(lambda body: time.sleep(0.02) or "fine", concurrency=3)
    for index in range(12):
        ask(engine, str(index))
    assert len(drain(engine)) == 12
    assert 1 <= server.most_at_once <= 3


@pytest.mark.parametrize(
    ("text", "stop", "named", "expected"),
    [
        ("<search> a ", ("</search>", "</answer>"), None, "</search>"),
        ("<search> a </search> <answer> b", ("</search>", "</answer>"), None, "</answer>"),
        ("<answer> <search> b", ("</search>", "</answer>"), None, "</search>"),
        ("<search> a </search> done", ("</search>",), None, ""),
        ("no tag", ("</search>",), None, ""),
        ("Action 1: Search[x]", ("\nObservation",), None, ""),
        ("Action 1: Search[x]", ("\nObservation",), "\nObservation", "\nObservation"),
        ("<search> a", ("</search>",), 151645, "</search>"),
    ],
)
def test_stop_strings_that_the_server_dropped(text, stop, named, expected):
    assert dropped_stop(text, stop, named) == expected


def test_stops_and_lengths(served):
    replies = {
        "dropped": "<search> a ",
        "kept": "<search> a </search> and more",
        "cut": {"content": "<search> a ", "finish_reason": "length"},
        "named": {"content": "x", "stop_reason": "</search>"},
        "empty": {"content": None},
    }
    for name, reply in replies.items():
        engine, _ = served(lambda body, reply=reply: reply)
        ask(engine, stop=("</search>",))
        generation = drain(engine)["r"]
        expected = {
            "dropped": ("<search> a </search>", "stop"),
            "kept": ("<search> a </search>", "stop"),
            "cut": ("<search> a ", "length"),
            "named": ("x</search>", "stop"),
            "empty": ("", "eos"),
        }
        assert (generation.text, generation.finish_reason) == expected[name]


def test_mistakes_are_named():
    with pytest.raises(InputError, match="is no URL"):
        OpenAIEngine("localhost:8000", "tiny")
    with pytest.raises(InputError, match="concurrency"):
        OpenAIEngine("http://localhost:8000", "tiny", concurrency=0)
    engine = OpenAIEngine("http://localhost:8000", "tiny")
    with pytest.raises(ValueError, match="no messages"):
        engine.submit(GenerationRequest("r", (7,), SamplingParams()))
    with pytest.raises(InputError, match="no weights"):
        engine.load_weights([], 1)
    engine.close()


@pytest.mark.parametrize("wire", ["research", "search_r1", "hermes", "code"])
def test_whole_episodes_without_a_tokenizer(served, toys, wire):
    env = toys.ToyEnv(wire, ["Q?"] * 2, "found")
    calls = {
        "code": "<code>print(1)",
        "hermes": '<tool_call>{"name": "search", "arguments": {"query": "a"}}</tool_call>',
    }
    answers = {"hermes": "\\boxed{right}", "research": "<answer> \\boxed{right} </answer>", "code": "\\boxed{right}"}

    def reply(body):
        asked = sum(message["role"] == "assistant" for message in body["messages"])
        if asked:
            assert "found" in body["messages"][-1]["content"]
            return answers.get(wire, "<answer> right ")
        return calls.get(wire, "<search> a ")

    engine, _ = served(reply)
    result = rollout(engine, TextCodec(), env, [EpisodeRequest("t0", "a"), EpisodeRequest("t1", "b")])
    for row in result.trajectories:
        assert row.outcome.score == 1.0 and row.outcome.call_statuses == {"ok": 1}
        assert not row.has_logprobs and row.outcome.action_tokens > 0


def test_the_text_codec_loses_nothing():
    codec = TextCodec()
    for text in ("", "abc", "abcdefghi", "\x00\x00a\x00", "naïve 漢字 🙂 e\u0301", "a <|im_end|> b", "\ud800x"):
        ids = codec.encode_text(text)
        assert codec.decode(ids) == text.replace("\ud800", "?")
        assert all(0 < token < codec.vocabulary_size for token in ids)
    assert len(codec.encode_text("word " * 100)) == 125
    assert len(codec.encode_text(codec.truncate("word " * 100, 40))) <= 40
    assert codec.decode((*codec.encode_text("x"), codec.end_id)) == "x"
