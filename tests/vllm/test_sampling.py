"""What the vLLM engine samples: logprobs, ends, random streams, multi-turn sessions."""

from __future__ import annotations

import random

import pytest

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of vLLM and what it imports
]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_are_those_of_the_sampling_distribution(served, complete, difference, prompt, temperature, tolerance):
    prompts = [prompt(length, length) for length in (1, 31, 32, 33, 200, 700)]
    generations = complete(served.engine, prompts, temperature=temperature, max_tokens=40)
    for ids, generation in zip(prompts, generations, strict=True):
        assert generation.error == "" and len(generation.logprobs) == len(generation.token_ids)
        assert difference(served.model, ids, generation, temperature) < tolerance


def test_greedy_takes_the_most_likely_token(untied, complete, prompt):
    import torch

    ids = prompt(50)
    (generation,) = complete(untied.engine, [ids], temperature=0, max_tokens=20)
    with torch.no_grad():
        logits = untied.model(torch.tensor([[*ids, *generation.token_ids]])).logits[0, len(ids) - 1 : -1]
    assert tuple(logits.argmax(-1).tolist()) == generation.token_ids


def test_truncated_tails_are_renormalised(untied, complete, prompt):
    import torch

    ids = prompt(40)
    (generation,) = complete(untied.engine, [ids], top_k=5, max_tokens=20)
    with torch.no_grad():
        logits = untied.model(torch.tensor([[*ids, *generation.token_ids]])).logits[0, len(ids) - 1 : -1]
    for row, token, logprob in zip(logits, generation.token_ids, generation.logprobs, strict=True):
        kept = row.topk(5)
        assert token in kept.indices
        assert logprob == pytest.approx(float(row[token] - kept.values.logsumexp(-1)), abs=1e-2)


def test_a_seed_fixes_the_tokens_whatever_shares_the_batch(untied, complete, prompt):
    ids = prompt(60)
    (alone,) = complete(untied.engine, [ids], seeds=[2**40 + 3], max_tokens=24)
    prompts = [prompt(300, start) for start in range(40)] + [ids] * 3
    among = complete(untied.engine, prompts, seeds=[*range(40), 2**40 + 3, 3, 2**62 + 3], max_tokens=24)
    assert among[40].token_ids == alone.token_ids
    assert among[40].logprobs == pytest.approx(alone.logprobs, abs=1e-4)
    # Every bit of a seed counts, also those that the generators do not take.
    assert len({among[position].token_ids for position in (40, 41, 42)}) == 3


def test_more_prompt_tokens_than_one_pass_takes(untied, complete, difference, prompt, tolerance):
    prompts = [prompt(900, start) for start in range(24)]
    generations = complete(untied.engine, prompts, max_tokens=4)
    assert difference(untied.model, prompts[-1], generations[-1]) < tolerance


def test_no_global_random_state_is_touched(untied, complete, prompt):
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    complete(untied.engine, [prompt(20)], max_tokens=8)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_making_an_engine_leaves_the_process_as_it_was(serve, complete, difference, prompt, tolerance):
    import torch

    before = torch.get_rng_state(), random.getstate(), torch.get_num_threads(), torch.get_default_dtype()
    other = serve(seed=5)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), torch.get_num_threads(), torch.get_default_dtype()) == before[1:]
    torch.set_num_threads(torch.get_num_threads())  # vLLM replaces it with one that warns and does nothing
    assert torch.set_num_threads.__module__ != "vllm.v1.worker.cpu_worker"
    ids = prompt(40)
    assert difference(other.model, ids, complete(other.engine, [ids], max_tokens=8)[0]) < tolerance
    other.engine.close()
    other.engine.close()


def test_an_end_token_stays_in_the_ids_and_leaves_the_text(untied, complete, prompt):
    engine = untied.engine
    generations = complete(engine, [prompt(20, start) for start in range(32)], max_tokens=150, temperature=1.3)
    ended = [generation for generation in generations if generation.finish_reason == "eos"]
    assert len(engine.codec.end_ids) == 2
    assert {generation.token_ids[-1] for generation in ended} == set(engine.codec.end_ids)
    for generation in ended:
        assert generation.text == engine.codec.decode(generation.token_ids[:-1])
        assert len(generation.logprobs) == len(generation.token_ids)
    for generation in generations:
        assert engine.codec.end_ids.isdisjoint(generation.token_ids[:-1])


def test_a_stop_string_keeps_the_ids_through_its_last_token(untied, complete, prompt):
    engine, ids = untied.engine, prompt(30)
    decode = engine.codec.decode
    (free,) = complete(engine, [ids], seeds=[3], max_tokens=40)
    starts = [(start, length) for start in range(4, min(len(free.text), 60)) for length in (1, 2, 5)]
    marks = [free.text[start : start + length] for start, length in starts]
    marks = [mark for mark in dict.fromkeys(marks) if mark.isascii() and not mark.isspace()]
    cuts = complete(engine, [ids] * len(marks), [3] * len(marks), [("never written", mark) for mark in marks])
    across, inside = set(), set()
    for mark, cut in zip(marks, cuts, strict=True):
        count = next(count for count in range(1, 41) if mark in decode(free.token_ids[:count]))
        held = decode(free.token_ids[:count])
        end = held.index(mark) + len(mark)
        assert (cut.text, cut.finish_reason, cut.surplus_characters) == (held[:end], "stop", len(held) - end)
        assert cut.token_ids == free.token_ids[:count]
        assert cut.logprobs == pytest.approx(free.logprobs[:count], abs=1e-4)
        across.add(mark not in decode(free.token_ids[count - 1 : count]))
        inside.add(cut.surplus_characters > 0)
    assert across == inside == {True, False}
    assert engine.pending == 0


def test_length_ends(untied, complete, prompt):
    (generation,) = complete(untied.engine, [prompt(30)], seeds=[3], max_tokens=5)
    assert (generation.finish_reason, len(generation.token_ids)) == ("length", 5)
    assert generation.text == untied.engine.codec.decode(generation.token_ids)
    (full,) = complete(untied.engine, [prompt(1020)], max_tokens=50)
    assert len(full.token_ids) <= 4 and full.error == ""


def test_bad_prompts_come_back_with_an_error(untied, complete, prompt):
    empty, long, foreign, good = complete(untied.engine, [[], prompt(1024), [5, 10**6], prompt(9)], max_tokens=3)
    assert "no tokens" in empty.error and "1024" in long.error and foreign.error and not good.error
    assert empty.token_ids == () and untied.engine.pending == 0


def test_the_next_turn_reuses_the_last_one(untied, complete, difference, prompt, tolerance):
    statistics = untied.engine.statistics
    ids = prompt(150, 77)
    (first,) = complete(untied.engine, [ids], max_tokens=64)
    second_prompt = [*ids, *first.token_ids, *prompt(30, 5)]
    reused, prefilled, generated = statistics.reused_tokens, statistics.prefilled_tokens, statistics.generated_tokens
    (second,) = complete(untied.engine, [second_prompt], max_tokens=20)
    assert difference(untied.model, second_prompt, second) < tolerance
    reused, prefilled = statistics.reused_tokens - reused, statistics.prefilled_tokens - prefilled
    assert reused >= len(ids) and reused + prefilled == len(second_prompt)
    assert statistics.generated_tokens - generated == len(second.token_ids) and statistics.seconds > 0


def test_episodes_of_an_environment(untied, difference, tolerance):
    from toolgym import make_env
    from toolgym.agents.engines.base import SamplingParams
    from toolgym.agents.rollout import EpisodeRequest, rollout
    from toolgym.agents.trajectory import Role, Segment, Trajectory

    env = make_env("toolgym/KnightsAndKnaves-v0")
    tasks = [task.id for task in list(env.tasks)[:3]]
    requests = [EpisodeRequest(episode_id=f"e{n}", task_id=tasks[n % 3], group_id=tasks[n % 3]) for n in range(9)]
    results = [
        rollout(untied.engine, untied.engine.codec, env, requests, SamplingParams(max_tokens=32), seed=4, workers=2)
        for _ in range(2)
    ]
    rows: list[Trajectory] = results[0].trajectories
    assert [row.token_ids for row in rows] == [row.token_ids for row in results[1].trajectories]
    assert len(rows) == 9 and not any(row.outcome.failed for row in rows)
    for row in rows:
        action: Segment = next(segment for segment in row.segments if segment.role is Role.ACTION)
        context = row.token_ids[: row.turn_spans[0].start]
        assert difference(untied.model, context, action) < tolerance


def test_heads_that_the_cpu_attention_lacks_are_refused(device, tiny_models, tmp_path):
    if device != "cpu":
        pytest.skip("about the CPU build")
    from toolgym.agents.encoding import Codec
    from toolgym.agents.engines.vllm import VllmEngine
    from toolgym.tools.errors import InputError

    folder = tiny_models.save_tiny(tmp_path / "narrow", width=64)
    with pytest.raises(InputError, match=r"heads of 16.*32, 64"):
        VllmEngine(folder, Codec.from_folder(folder))
    with pytest.raises(InputError, match="runs on the CPU"):
        VllmEngine(folder, Codec.from_folder(folder), device="cuda")
    with pytest.raises(InputError, match="cannot serve"):
        VllmEngine(tmp_path / "nothing", Codec.from_folder(folder))
