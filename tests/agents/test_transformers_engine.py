"""The batched decoding loop against plain passes of the model."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from toolgym.agents import GenerationRequest, SamplingParams
from toolgym.agents.engines.sampling import BatchSampler, UniformStream
from toolgym.agents.engines.slot_cache import SlotCache
from toolgym.tools.errors import InputError

torch.set_num_threads(1)


def drain(engine):
    done = {}
    while engine.pending:
        for generation in engine.step():
            assert generation.request_id not in done
            done[generation.request_id] = generation
    return done


def ask(name, ids, session="", **sampling):
    sampling.setdefault("max_tokens", 12)
    return GenerationRequest(name, tuple(ids), SamplingParams(**sampling), session)


def plain_logits(model, prompt, sampled):
    """Logits that predict each sampled token, `[sampled, vocabulary]`."""
    with torch.no_grad():
        return model(torch.tensor([[*prompt, *sampled]])).logits[0, len(prompt) - 1 : -1].float()


def truncated_logprobs(logits, params):
    """Log-probabilities after the cuts, one row at a time in plain Python."""
    rows = []
    for row in (logits / params.temperature).double():
        probabilities = row.softmax(-1).tolist()
        order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])
        order = [i for i in order if probabilities[i] >= params.min_p * probabilities[order[0]]]
        order = order[: params.top_k or None]
        mass, kept, held = sum(probabilities[i] for i in order), [], 0.0
        for i in order:
            kept.append(i)
            held += probabilities[i] / mass
            if held >= params.top_p:
                break
        out = torch.full_like(row, -torch.inf)
        out[kept] = torch.tensor([probabilities[i] for i in kept]).log().double()
        rows.append(out - out.logsumexp(-1))
    return torch.stack(rows)


def prompts(codec, count, seed=0):
    pick = random.Random(seed)
    return [[pick.randrange(5, codec.vocabulary_size) for _ in range(pick.randrange(1, 40))] for _ in range(count)]


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_logprobs_are_those_of_a_plain_pass(codec, engine_of, tiny_models, kind):
    engine = engine_of(codec, kind, slots=5)
    plain = tiny_models.make_model(kind, codec.vocabulary_size)
    cases = [
        SamplingParams(temperature=temperature, seed=index, max_tokens=5 + index, **cut)
        for index, (temperature, cut) in enumerate(
            [
                (1.0, {}),
                (0.7, {}),
                (1.5, {}),
                (1.0, {"top_p": 0.7}),
                (0.7, {"top_k": 5}),
                (1.5, {"min_p": 0.05}),
                (1.3, {"top_p": 0.9, "top_k": 30, "min_p": 0.01}),
                (1.0, {}),
                (0.0, {}),
                (0.0, {"top_p": 0.5}),
            ]
        )
    ]
    asked = prompts(codec, len(cases))
    for index, (prompt, params) in enumerate(zip(asked, cases, strict=True)):
        engine.submit(GenerationRequest(str(index), tuple(prompt), params))
    done = drain(engine)
    for index, (prompt, params) in enumerate(zip(asked, cases, strict=True)):
        generation = done[str(index)]
        assert not generation.error and generation.policy_version == 0
        logits = plain_logits(plain, prompt, generation.token_ids)
        sampled = torch.tensor(generation.token_ids)[:, None]
        if params.temperature == 0:
            assert generation.token_ids == tuple(logits.argmax(-1).tolist())
            expected = logits.log_softmax(-1)
        else:
            expected = truncated_logprobs(logits, params)
        difference = expected.gather(1, sampled)[:, 0] - torch.tensor(generation.logprobs)
        assert difference.abs().max() < 1e-5
        if params.truncates and params.temperature > 0:
            assert (expected.exp().sum(-1) - 1).abs().max() < 1e-9


def test_what_shares_the_batch_changes_nothing(codec, engine_of):
    asked = [ask(str(i), ids, seed=i, max_tokens=4 + 3 * (i % 7)) for i, ids in enumerate(prompts(codec, 20))]
    together = engine_of(codec, slots=6)
    for request in asked:
        together.submit(request)
    done = drain(together)
    alone = engine_of(codec, slots=1)
    for request in reversed(asked):
        alone.submit(request)
        generation = drain(alone)[request.id]
        assert generation.token_ids == done[request.id].token_ids
        assert np.allclose(generation.logprobs, done[request.id].logprobs, atol=1e-5)
        assert generation.text == done[request.id].text


def test_seeds_make_streams_of_their_own(codec, engine_of):
    engine = engine_of(codec)
    for i in range(6):
        engine.submit(ask(str(i), [9, 8, 7], seed=i % 3, max_tokens=30))
    done = drain(engine)
    assert [done[str(i)].token_ids for i in range(3)] == [done[str(i)].token_ids for i in range(3, 6)]
    assert len({done[str(i)].token_ids for i in range(3)}) == 3
    state = torch.random.get_rng_state()
    engine.submit(ask("again", [9, 8, 7], seed=0, max_tokens=30))
    assert drain(engine)["again"].token_ids == done["0"].token_ids
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_session_goes_on_where_it_stopped(codec, engine_of, tiny_models):
    engine, fresh = engine_of(codec, slots=3), engine_of(codec, slots=3)
    plain = tiny_models.make_model("qwen3", codec.vocabulary_size)
    rows = {f"s{i}": ids for i, ids in enumerate(prompts(codec, 3, seed=3))}
    reused = 0
    for turn in range(4):
        for session, row in rows.items():
            engine.submit(ask(f"{session}/{turn}", row, session, seed=turn))
            fresh.submit(ask(f"{session}/{turn}", row, seed=turn))
        done, others = drain(engine), drain(fresh)
        for session, row in rows.items():
            generation, other = done[f"{session}/{turn}"], others[f"{session}/{turn}"]
            assert generation.token_ids == other.token_ids
            assert np.allclose(generation.logprobs, other.logprobs, atol=1e-5)
            logits = plain_logits(plain, row, generation.token_ids).log_softmax(-1)
            exact = logits.gather(1, torch.tensor(generation.token_ids)[:, None])[:, 0]
            assert (exact - torch.tensor(generation.logprobs)).abs().max() < 1e-5
            if turn:
                reused += len(row) - 1 - 3  # all but the last sampled token and the observation
            row += [*generation.token_ids, 20 + turn, 21, 22]
    assert engine.statistics.reused_tokens == reused
    assert fresh.statistics.reused_tokens == 0
    total = engine.statistics.prefilled_tokens + engine.statistics.reused_tokens
    assert total == fresh.statistics.prefilled_tokens


def test_a_session_that_does_not_go_on_verbatim_is_computed_afresh(codec, engine_of):
    engine, fresh = engine_of(codec), engine_of(codec)
    engine.submit(ask("a", [7, 8, 9, 10], "s"))
    first = drain(engine)["a"]
    rewritten = [7, 8, 99, 10, *first.token_ids, 50]
    engine.submit(ask("b", rewritten, "s"))
    fresh.submit(ask("b", rewritten))
    assert drain(engine)["b"].token_ids == drain(fresh)["b"].token_ids
    assert engine.statistics.reused_tokens == 0
    engine.submit(ask("c", [7, 8], "s"))  # shorter than what is held
    fresh.submit(ask("c", [7, 8]))
    assert drain(engine)["c"].token_ids == drain(fresh)["c"].token_ids


def test_the_same_ids_again_compute_one_token(codec, engine_of):
    engine = engine_of(codec)
    engine.submit(ask("a", [7, 8, 9], "s", max_tokens=2))
    first = drain(engine)["a"]
    engine.submit(ask("b", [7, 8, 9, *first.token_ids], "s", max_tokens=2))
    drain(engine)
    assert engine.statistics.prefilled_tokens == 3 + 1


def test_idle_sessions_give_way_and_come_back(codec, engine_of):
    engine, fresh = engine_of(codec, slots=2), engine_of(codec, slots=2)
    rows = {f"s{i}": ids for i, ids in enumerate(prompts(codec, 5, seed=4))}
    for turn in range(3):
        for session, row in rows.items():
            engine.submit(ask(f"{session}/{turn}", row, session, seed=turn))
            fresh.submit(ask(f"{session}/{turn}", row, seed=turn))
        done, others = drain(engine), drain(fresh)
        for session, row in rows.items():
            assert done[f"{session}/{turn}"].token_ids == others[f"{session}/{turn}"].token_ids
            row += [*done[f"{session}/{turn}"].token_ids, 30]


def test_released_sessions_hold_nothing(codec, engine_of):
    engine = engine_of(codec)
    engine.submit(ask("a", [7, 8, 9], "s"))
    engine.step()
    engine.release("s")  # while it runs
    first = drain(engine)["a"]
    engine.submit(ask("b", [7, 8, 9, *first.token_ids, 5], "s"))
    drain(engine)
    assert engine.statistics.reused_tokens == 0
    engine.release("s")
    engine.release("never seen")


def test_new_weights_leave_nothing_of_the_old(codec, engine_of, tiny_models):
    engine = engine_of(codec)
    engine.submit(ask("a", [7, 8, 9], "s", seed=1))
    before = drain(engine)["a"]
    row = [7, 8, 9, *before.token_ids, 5]
    other = tiny_models.make_model("qwen3", codec.vocabulary_size, seed=1)
    engine.load_weights(other.state_dict().items(), version=7)
    engine.submit(ask("b", row, "s", seed=1))
    after = drain(engine)["b"]
    assert after.policy_version == 7 and before.policy_version == 0
    assert engine.statistics.reused_tokens == 0
    logits = plain_logits(other, row, after.token_ids).log_softmax(-1)
    exact = logits.gather(1, torch.tensor(after.token_ids)[:, None])[:, 0]
    assert (exact - torch.tensor(after.logprobs)).abs().max() < 1e-5
    engine.submit(ask("c", [7, 8, 9], "s2", seed=1))
    assert drain(engine)["c"].logprobs != before.logprobs


def test_new_weights_restart_what_runs(codec, engine_of, tiny_models):
    engine = engine_of(codec, slots=2)
    asked = [ask(str(i), ids, f"s{i}", seed=i) for i, ids in enumerate(prompts(codec, 4))]
    for request in asked:
        engine.submit(request)
    for _ in range(3):
        engine.step()
    engine.load_weights(tiny_models.make_model("qwen3", codec.vocabulary_size, seed=1).named_parameters(), 1)
    done = drain(engine)
    fresh = engine_of(codec, slots=2, seed=1)
    for request in asked:
        fresh.submit(request)
    expected = drain(fresh)
    assert {name: g.token_ids for name, g in done.items()} == {name: g.token_ids for name, g in expected.items()}
    assert {g.policy_version for g in done.values()} == {1}


def test_wrong_weights_are_named(codec, engine_of):
    engine = engine_of(codec)
    with pytest.raises(InputError, match="no weight 'nonsense'"):
        engine.load_weights([("nonsense", torch.zeros(1))], 1)
    with pytest.raises(InputError, match="has shape"):
        engine.load_weights([("model.norm.weight", torch.zeros(3))], 1)
    with pytest.raises(InputError, match="were not given"):
        engine.load_weights([("model.norm.weight", torch.ones(32))], 1)


def test_broken_weights_are_an_error_of_the_request_alone(codec, engine_of):
    engine = engine_of(codec, slots=2)
    good = {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}
    bad = {**good, "model.norm.weight": torch.full_like(good["model.norm.weight"], torch.nan)}
    engine.submit(ask("before", [7, 8, 9]))
    before = drain(engine)["before"]
    engine.load_weights(bad.items(), 1)
    engine.submit(ask("bad", [7, 8, 9]))
    assert "not finite" in drain(engine)["bad"].error
    engine.load_weights(good.items(), 2)
    engine.submit(ask("after", [7, 8, 9]))
    assert drain(engine)["after"].logprobs == before.logprobs


def test_the_context_window_is_an_error_or_a_limit(codec, engine_of):
    engine = engine_of(codec, context=16)
    engine.submit(ask("long", range(5, 21)))
    engine.submit(ask("empty", []))
    engine.submit(ask("close", range(5, 18), max_tokens=50))
    done = drain(engine)
    assert "16 tokens leave no room" in done["long"].error and done["long"].token_ids == ()
    assert "no tokens" in done["empty"].error
    assert len(done["close"].token_ids) <= 3
    assert done["close"].finish_reason in ("length", "eos")


def test_long_prompts_are_computed_in_pieces(codec, engine_of):
    whole, pieces = engine_of(codec), engine_of(codec, engine_options={"prefill_tokens": 16})
    for engine in (whole, pieces):
        for index, ids in enumerate([*prompts(codec, 4), list(range(5, 105))]):
            engine.submit(ask(str(index), ids, seed=index))
    first, second = drain(whole), drain(pieces)
    assert {name: g.token_ids for name, g in first.items()} == {name: g.token_ids for name, g in second.items()}


def test_closing_drops_everything_and_may_be_repeated(codec, engine_of):
    engine = engine_of(codec)
    engine.submit(ask("a", [7, 8, 9]))
    engine.step()
    engine.submit(ask("b", [7, 8, 9]))
    engine.close()
    engine.close()
    assert engine.pending == 0 and engine.step() == []


def test_models_that_cannot_be_served_are_refused(codec, tiny_models):
    from transformers import MistralConfig, MistralForCausalLM, Qwen3Config, Qwen3ForCausalLM

    from toolgym.agents import TransformersEngine

    small = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
    small |= {"vocab_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 64}
    mixed = Qwen3Config(
        **small, layer_types=["full_attention", "sliding_attention"], sliding_window=8, use_sliding_window=True
    )
    with pytest.raises(InputError, match="'sliding_attention' layers"):
        TransformersEngine(Qwen3ForCausalLM(mixed), codec)
    with pytest.raises(InputError, match="'sliding_attention' layers"):
        TransformersEngine(MistralForCausalLM(MistralConfig(**small, sliding_window=8)), codec)
    with pytest.raises(InputError, match="slots"):
        TransformersEngine(tiny_models.make_model(), codec, slots=0)


def test_other_families_are_served(codec, tiny_models):
    from transformers import GPT2Config, GPT2LMHeadModel

    from toolgym.agents import TransformersEngine

    config = GPT2Config(vocab_size=codec.vocabulary_size, n_embd=16, n_layer=2, n_head=2, n_positions=64)
    model = GPT2LMHeadModel(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    engine = TransformersEngine(model, codec, slots=3)
    asked = {str(i): ids for i, ids in enumerate(prompts(codec, 5))}
    for name, ids in asked.items():
        engine.submit(ask(name, ids))
    for name, generation in drain(engine).items():
        logits = plain_logits(model.eval(), asked[name], generation.token_ids).log_softmax(-1)
        exact = logits.gather(1, torch.tensor(generation.token_ids)[:, None])[:, 0]
        assert (exact - torch.tensor(generation.logprobs)).abs().max() < 1e-5


def test_bfloat16(codec, engine_of, tiny_models):
    from toolgym.agents import TransformersEngine

    model = tiny_models.make_model("qwen3", codec.vocabulary_size).to(torch.bfloat16)
    engine = TransformersEngine(model, codec, slots=4)
    for index, ids in enumerate(prompts(codec, 6)):
        engine.submit(ask(str(index), ids, seed=index))
    assert not any(generation.error for generation in drain(engine).values())


def test_from_pretrained(tiny_folder, tmp_path):
    from toolgym.agents import Codec, TransformersEngine

    codec = Codec.from_folder(tiny_folder)
    assert len(codec.end_ids) == 2
    engine = TransformersEngine.from_pretrained(tiny_folder, codec, slots=2)
    engine.submit(ask("a", codec.encode_text("Where was the mayor born?")))
    assert len(drain(engine)["a"].token_ids) > 0
    with pytest.raises(InputError, match=r"no config\.json"):
        TransformersEngine.from_pretrained(tmp_path, codec)
    with pytest.raises(InputError, match="dtype must be"):
        TransformersEngine.from_pretrained(tiny_folder, codec, dtype="float31")
    with pytest.raises(InputError, match="device 'cuda:77'"):
        TransformersEngine.from_pretrained(tiny_folder, codec, device="cuda:77")
    with pytest.raises(InputError, match="no model could be loaded"):
        TransformersEngine.from_pretrained(tmp_path / "missing", codec)


def test_uniform_streams_are_uniform_and_keyed():
    stream = UniformStream(5)
    drawn = [stream.next() for _ in range(4000)]
    again = UniformStream(5)
    assert drawn[:200] == [again.next() for _ in range(200)]
    assert all(0 <= value < 1 for value in drawn)
    assert abs(np.mean(drawn) - 0.5) < 0.02
    assert UniformStream(6).next() != drawn[0]
    UniformStream(2**63 - 1).next()


def test_sampling_follows_the_distribution():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, -torch.inf]])
    sampler = BatchSampler([SamplingParams()], torch.device("cpu"))
    grid = [(i + 0.5) / 2000 for i in range(2000)]
    counts = np.zeros(5)
    for uniform in grid:
        (token,), (logprob,) = sampler(logits, [uniform])
        counts[token] += 1
        assert abs(logprob - logits.log_softmax(-1)[0, token]) < 1e-6
    assert np.abs(counts / 2000 - logits.softmax(-1)[0].numpy()).max() < 1e-3
    (last,), _ = sampler(logits, [np.nextafter(1.0, 0.0)])
    assert last == 3  # never the one of weight 0


def test_the_cache_grows_in_powers_of_two():
    cache = SlotCache(3, 1, torch.device("cpu"), torch.float32, initial_capacity=4)
    rows, generator = np.array([0, 2]), torch.Generator().manual_seed(0)
    held = torch.zeros(2, 2, 0, 8)
    for position in range(0, 20, 5):
        new = torch.randn(2, 2, 5, 8, generator=generator)
        cache.aim(rows, np.arange(position, position + 5)[None].repeat(2, 0), position + 5)
        keys, values = cache.update(new, 2 * new, 0)
        held = torch.cat([held, new], 2)
        assert torch.equal(keys, held) and torch.equal(values, 2 * held)
    assert cache.layers[0].keys.shape == (3, 2, 32, 8)
    assert not cache.layers[0].keys[1].any()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_what_the_cpu_gives(codec, tiny_models):
    from toolgym.agents import TransformersEngine

    results = []
    for device in ("cpu", "cuda"):
        engine = TransformersEngine(tiny_models.make_model("qwen3", codec.vocabulary_size).to(device), codec)
        for index, ids in enumerate(prompts(codec, 8)):
            engine.submit(ask(str(index), ids, seed=index))
        results.append(drain(engine))
    for name, generation in results[0].items():
        assert np.allclose(generation.logprobs[:3], results[1][name].logprobs[:3], atol=1e-2)
