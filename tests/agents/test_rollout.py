"""The loop between engine and environments: random policies, limits, failures, schedules."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace

from toolgym.agents import EpisodeRequest, Generation, Role, SamplingParams, rollout
from toolgym.envs.episode import StopReason
from toolgym.envs.limits import Limits
from toolgym.tools.errors import InputError, ToolUnavailable

QUESTIONS = tuple(f"Question {i}?" for i in range(6))
SEARCH, ANSWER = "<search> a </search>", "<answer> right </answer>"


def episodes(count, tasks=6):
    return [EpisodeRequest(f"t{i % tasks}", f"e{i}", f"g{i % tasks}") for i in range(count)]


def check_laws(result, spy, codec):
    """Laws 1 and 2 and the books, for any rollout of an engine that was spied on."""
    by_episode = {}
    for row in result.trajectories:
        by_episode.setdefault(row.outcome.episode_id, []).append(row)
    for episode_id, rows in by_episode.items():
        outcome = rows[0].outcome
        requests = [r for r in spy.requests if r.id.startswith(f"{episode_id}/")]
        attempt = max(int(r.id.split("/")[1]) for r in requests) if requests else 0
        requests = [r for r in requests if int(r.id.split("/")[1]) == attempt]
        sampled = [spy.generations[r.id].token_ids for r in requests if not spy.generations[r.id].error]
        actions = [s for row in rows for s in row.segments if s.role is Role.ACTION]
        assert [s.token_ids for s in actions] == sampled  # every sampled token is an action, once
        assert [s.turn for s in actions] == list(range(1, len(actions) + 1))
        assert outcome.action_tokens == sum(map(len, sampled))
        held = {r.session: r.token_ids + spy.generations[r.id].token_ids for r in requests}
        previous = {}
        for request in requests:
            before = previous.get(request.session, ())
            assert request.token_ids[: len(before)] == before
            previous[request.session] = request.token_ids + spy.generations[request.id].token_ids
        for number, row in enumerate(rows):
            assert row.row == number and row.segments[0].role is Role.PROMPT
            if f"{episode_id}/{attempt}/{number + 1}" in held:
                ids = held[f"{episode_id}/{attempt}/{number + 1}"]
                assert tuple(row.token_ids[: len(ids)]) == ids
            assert sum(row.loss_mask) == (row.action_token_count if row.trainable else 0)
            if spy.exact_tokens:
                assert row.has_logprobs
        assert outcome.stop_reason in set(StopReason)
        special = set(codec.tokenizer.all_special_ids)
        for row in rows:
            for segment in row.segments:
                if segment.role is Role.OBSERVATION and not codec.chat:
                    assert not special & set(segment.token_ids)
    assert spy.pending == 0
    assert {r.session for r in spy.requests} <= set(spy.released)


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        ("text", "search_r1"),
        ("text", "react"),
        ("text", "simpletir"),
        ("text", "r1_searcher"),
        ("qwen3", "research"),
        ("qwen3", "hermes"),
        ("qwen3", "recall"),
        ("llama", "code"),
        ("llama", "torl"),
    ],
)
def test_a_random_policy_never_breaks_a_law(codecs, toys, engine_of, kind, wire):
    codec = codecs[kind]
    limits = Limits(max_turns=4, max_tokens=100, max_observation_tokens=12, max_turn_tokens=16)
    env = toys.ToyEnv(wire, QUESTIONS, "found <|im_end|> <|eot_id|> it " * 9, limits=limits)
    env.action_format = _Forgiving(env.action_format)
    spy = toys.SpyEngine(engine_of(codec, "llama" if kind == "llama" else "qwen3", slots=12))
    result = rollout(spy, codec, env, episodes(20), SamplingParams(temperature=3.0), seed=3, concurrency=16)
    assert result.statistics.episodes == 20 and result.statistics.failed == 0
    check_laws(result, spy, codec)
    assert any(row.outcome.turns > 1 for row in result.trajectories)
    assert all(row.outcome.action_tokens + row.outcome.observation_tokens <= 100 for row in result.trajectories)


class _Forgiving:
    """A format that answers every fault by a text, so that random policies live for several turns."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def parse_in_place(self, action, functions, before):
        parsed = replace(self._inner.parse_in_place(action, functions, before), answer=None)
        return parsed if parsed.calls else replace(parsed, reply="\nTry <|im_end|> again.\n")


def test_a_random_policy_under_a_template_that_forks(tiny_models, toys, engine_of):
    from toolgym.agents import Codec

    tokenizer = tiny_models.make_tokenizer("qwen3")
    tokenizer.chat_template = tiny_models.QWEN_TEMPLATE.replace("+ content +", "+ content[:3] +")
    codec = Codec(tokenizer)
    env = toys.ToyEnv("hermes", QUESTIONS, limits=Limits(max_turns=4, max_turn_tokens=16))
    env.action_format = _Forgiving(env.action_format)
    spy = toys.SpyEngine(engine_of(codec))
    result = rollout(spy, codec, env, episodes(12), SamplingParams(temperature=3.0))
    assert result.statistics.forks > 12
    check_laws(result, spy, codec)


def test_the_deterministic_schedule_repeats_itself(codec, toys, engine_of):
    def play(schedule, concurrency=7, workers=3):
        env = toys.ToyEnv("search_r1", QUESTIONS, limits=Limits(max_turns=3, max_turn_tokens=8), seconds=0.001)
        options = {"seed": 5, "schedule": schedule, "concurrency": concurrency, "workers": workers}
        result = rollout(engine_of(codec), codec, env, episodes(14), SamplingParams(temperature=2.0), **options)
        return [(row.token_ids, row.logprobs, row.loss_mask, row.outcome.reward) for row in result.trajectories]

    first = play("deterministic")
    assert first == play("deterministic")  # to the last bit
    fast = play("fast", 3, 1)
    assert [row[0] for row in fast] == [row[0] for row in first]
    env = toys.ToyEnv(limits=Limits(wall_seconds=9.0))
    with pytest.raises(InputError, match="no wall-clock limit"):
        rollout(engine_of(codec), codec, env, episodes(1, 1), schedule="deterministic")


def test_a_broken_environment_loses_its_own_episode_alone(codec, toys):
    env = toys.ToyEnv("search_r1", QUESTIONS, broken={"t2": 2, "t4": 1})
    env.broken["t4"] = 1
    spy = toys.SpyEngine(toys.scripted([SEARCH, ANSWER], codec))
    result = rollout(spy, codec, env, episodes(6), retries=1, workers=1)
    rows = {row.outcome.task_id: row for row in result.trajectories}
    assert [row.outcome.task_id for row in result.trajectories] == [f"t{i}" for i in range(6)]
    lost = rows["t2"]
    assert lost.outcome.failed and "OSError: the machine of t2 is gone" in lost.outcome.error
    assert not lost.trainable and not any(lost.loss_mask) and lost.outcome.reward == 0
    for name in ("t0", "t1", "t3", "t4", "t5"):
        assert rows[name].outcome.score == 1.0 and not rows[name].outcome.error and rows[name].trainable
    assert (result.statistics.failed, result.statistics.retried, result.statistics.episodes) == (1, 2, 6)
    check_laws(result, spy, codec)


def test_an_engine_error_is_a_lost_episode(codec, toys):
    def reply(request):
        if request.id.startswith("e1/"):
            return Generation(request.id, error="the card fell off")
        return ((80, codec.end_id), ANSWER, "eos")

    result = rollout(toys.ReplayEngine(reply), codec, toys.ToyEnv("search_r1", QUESTIONS), episodes(3))
    assert [row.outcome.failed for row in result.trajectories] == [False, True, False]
    assert "the card fell off" in result.trajectories[1].outcome.error


def test_a_tool_that_is_gone_costs_the_episode_and_no_reward_says_so(codec, toys):
    # The server is down for the first call of t1, and for every call of t2.
    down = {"t1": 1, "t2": 9}

    def says(call):
        task = call.arguments["query"]
        if down.get(task, 0) > 0:
            down[task] -= 1
            raise ToolUnavailable("the server is down")
        return "found"

    def reply(request):
        text = ANSWER if request.episode.turns else f"<search>t{request.id[1]}</search>"
        return ((80,), text, "stop")

    env = toys.ToyEnv("search_r1", QUESTIONS, says)
    result = rollout(toys.ReplayEngine(reply), codec, env, episodes(4), retries=1, workers=1)
    outcomes = [row.outcome for row in result.trajectories]
    assert [outcome.failed for outcome in outcomes] == [False, False, True, False]
    assert outcomes[2].error == "ToolUnavailable: the server is down" and outcomes[2].reward == 0
    assert not result.trajectories[2].trainable
    search = result.statistics.tools["search"]
    assert (search.unavailable, search.calls, search.statuses["ok"]) == (3, 3, 3)
    assert (result.statistics.failed, result.statistics.retried) == (1, 2)


def test_calls_are_counted_by_function_with_those_beyond_the_budget(codec, toys):
    call = '<tool_call>{"name": "search", "arguments": {"query": "a"}}</tool_call>'
    replies = {
        "e0": [call, ANSWER],
        "e1": [call, call, call],  # the third one ends the episode
        "e2": [call.replace('"query": "a"', ""), ANSWER],
    }

    def reply(request):
        text = replies[request.id.partition("/")[0]][len(request.episode.turns)]
        return ((80,), text, "stop")

    env = toys.ToyEnv("hermes", QUESTIONS, "x" * 20_000, limits=Limits(max_calls=2))
    first = rollout(toys.ReplayEngine(reply), codec, env, episodes(3)).statistics
    search = first.tools["search"]
    assert set(first.tools) == {"search"}
    assert search.statuses == {"ok": 3, "budget": 1, "bad_arguments": 1}
    assert first.calls == {status: count for status, count in search.statuses.items() if status != "budget"}
    assert search.omitted_characters >= 3 * 10_000 and search.latency.count == search.statuses["ok"]
    both = first.combined(rollout(toys.ReplayEngine(reply), codec, env, episodes(3)).statistics)
    assert both.tools["search"].calls == 2 * search.calls and both.abandoned_calls == 0
    assert both.episodes == 6 and first.tools["search"].calls == search.calls


def test_calls_of_functions_that_do_not_exist_have_one_name_together(codec, toys):
    env = toys.ToyEnv("hermes", QUESTIONS)
    call = '<tool_call>\n{"name": "%s", "arguments": {}}\n</tool_call>'

    def reply(request):
        if request.episode.turns:
            return ((80,), "<answer>right</answer>", "stop")
        return ((80,), call % f"made_up_{request.id[1]}", "stop")

    tools = rollout(toys.ReplayEngine(reply), codec, env, episodes(4)).statistics.tools
    assert {name: dict(tool.statuses) for name, tool in tools.items()} == {"search": {}, "unknown": {"unknown_tool": 4}}


def test_when_everything_fails_the_first_error_is_raised(codec, toys):
    env = toys.ToyEnv("search_r1", QUESTIONS, broken={f"t{i}": 9 for i in range(6)})
    with pytest.raises(RuntimeError, match=r"all 6 episodes failed.*the machine of t0 is gone"):
        rollout(toys.scripted([SEARCH, ANSWER], codec), codec, env, episodes(6), retries=1)


def test_a_mistake_of_the_person_is_raised(codec, toys):
    env = toys.ToyEnv("search_r1", QUESTIONS)
    with pytest.raises(InputError, match="no task has the id 'nope'"):
        rollout(toys.scripted([ANSWER], codec), codec, env, [EpisodeRequest("nope", "e")])
    with pytest.raises(InputError, match="unique"):
        rollout(toys.scripted([ANSWER], codec), codec, env, [EpisodeRequest("t0", "e")] * 2)


def one(codec, toys, texts, limits, says="found", engine=None, **options):
    env = toys.ToyEnv("search_r1", ["Q?"], says, limits=limits)
    result = rollout(engine or toys.scripted(texts, codec), codec, env, [EpisodeRequest("t0", "e")], **options)
    (row,) = result.trajectories
    return row


def test_every_limit_has_its_own_reason(codec, toys):
    forever = [SEARCH] * 50
    row = one(codec, toys, forever, Limits(max_turns=3))
    assert row.outcome.stop_reason is StopReason.MAX_TURNS and row.outcome.turns == 3
    row = one(codec, toys, forever, Limits(max_turns=None, max_calls=2))
    assert row.outcome.stop_reason is StopReason.MAX_CALLS and row.outcome.call_statuses == {"ok": 2}
    row = one(codec, toys, forever, Limits(max_turns=None, max_tokens=100))
    assert row.outcome.stop_reason is StopReason.MAX_TOKENS
    assert row.outcome.action_tokens + row.outcome.observation_tokens <= 100
    row = one(codec, toys, forever, Limits(max_turns=None, max_context=120))
    assert row.outcome.stop_reason is StopReason.MAX_CONTEXT and len(row) <= 120
    row = one(codec, toys, forever, Limits(max_turns=None, max_context=3))
    assert row.outcome.stop_reason is StopReason.MAX_CONTEXT and row.outcome.turns == 0
    row = one(codec, toys, forever, Limits(max_turns=None, wall_seconds=0.0))
    assert row.outcome.stop_reason is StopReason.WALL_TIME
    for limits in (Limits(max_turns=3), Limits(max_turns=None, max_tokens=100)):
        row = one(codec, toys, forever, limits)
        assert row.segments[-1].role is Role.ACTION or row.outcome.stop_reason is not StopReason.MAX_TURNS
        assert row.outcome.score == 0 and not row.outcome.failed


def test_the_engine_limits_the_context_too(codec, toys):
    engine = toys.scripted([SEARCH] * 50, codec)
    engine.max_context = 90
    row = one(codec, toys, None, Limits(max_turns=None), engine=engine)
    assert row.outcome.stop_reason is StopReason.MAX_CONTEXT and len(row) <= 90


def test_an_answer_at_the_last_token_counts(codec, toys):
    length = len(codec.encode_text(ANSWER))
    row = one(codec, toys, [ANSWER], Limits(max_tokens=length))
    assert row.outcome.stop_reason is StopReason.ANSWER and row.outcome.score == 1.0
    row = one(codec, toys, [ANSWER], Limits(max_tokens=length - 1))
    assert row.outcome.stop_reason is StopReason.MAX_TOKENS and row.outcome.turns == 1


def test_an_observation_without_room_is_left_out(codec, toys):
    action = len(codec.encode_text(SEARCH))
    row = one(codec, toys, [SEARCH] * 9, Limits(max_turns=None, max_tokens=action + 3), says="long " * 50)
    assert [segment.role for segment in row.segments] == [Role.PROMPT, Role.ACTION]
    assert row.outcome.stop_reason is StopReason.MAX_TOKENS and row.outcome.observation_tokens == 0


def test_observations_are_cut_to_tokens(codec, toys):
    row = one(codec, toys, [SEARCH, ANSWER], Limits(max_observation_tokens=60), says="long " * 300)
    assert row.outcome.observation_tokens <= 60 + len(codec.encode_text("\n\n<information></information>\n\n")) + 2
    assert "omitted" in codec.decode(row.segments[2].token_ids)


def test_tool_time_hides_under_decoding(codec, toys):
    def reply(request):
        return ((80, 81), SEARCH if len(request.episode.turns) < 2 else ANSWER, "stop")

    env = toys.ToyEnv("search_r1", QUESTIONS, seconds=0.05)
    slow = rollout(toys.ReplayEngine(reply, seconds=0.02), codec, env, episodes(12), concurrency=4, workers=4)
    statistics = slow.statistics
    assert 0.0 <= statistics.hidden_tool_share <= 1.0
    assert statistics.tool_seconds > 0.05 and statistics.seconds >= statistics.waiting_seconds
    assert statistics.calls == {"ok": 24} and statistics.generated_tokens == 2 * 36
    alone = rollout(toys.ReplayEngine(reply), codec, env, episodes(1), concurrency=1)
    assert alone.statistics.hidden_tool_share < 0.5  # nothing to hide it under
    idle = rollout(
        toys.ReplayEngine(lambda r: ((80,), ANSWER, "stop")), codec, toys.ToyEnv("search_r1"), episodes(1, 1)
    )
    assert idle.statistics.tokens_per_second > 0


def test_episodes_advance_on_their_own(codec, toys):
    # The second episode finishes while the first one's tool is still at work.
    gate = threading.Event()

    def says(call):
        if call.arguments["query"] == "slow":
            assert gate.wait(20)
        return "found"

    def reply(request):
        turn, first = len(request.episode.turns), request.id.startswith("e0")
        if turn < 2:
            return ((80,), "<search> slow </search>" if first else SEARCH, "stop")
        gate.set()
        return ((80,), ANSWER, "stop")

    env = toys.ToyEnv("search_r1", QUESTIONS, says)
    seen = []
    result = rollout(
        toys.ReplayEngine(reply), codec, env, episodes(2), on_episode=lambda outcome: seen.append(outcome.episode_id)
    )
    assert seen == ["e1", "e0"]
    assert [row.outcome.episode_id for row in result.trajectories] == ["e0", "e1"]
