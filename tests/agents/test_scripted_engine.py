"""Scripted policies behind the engine's interface."""

from __future__ import annotations

import pytest

from toolgym.agents import GenerationRequest, SamplingParams, ScriptedEngine
from toolgym.envs.episode import Episode
from toolgym.envs.task import Task
from toolgym.tools.errors import InputError


def write(codec, text, **sampling):
    engine = ScriptedEngine(lambda episode: text, codec)
    episode = Episode(Task("t", "Q"), "Q")
    engine.submit(GenerationRequest("r", (7,), SamplingParams(**sampling), episode=episode))
    (generation,) = engine.step()
    assert engine.pending == 0 and generation.logprobs is None and not engine.exact_tokens
    return generation


def test_an_action_ends_with_a_stop_string_or_the_end_id(codec):
    generation = write(codec, "<search> a </search>", stop=("</search>",))
    assert generation.token_ids == codec.encode_text("<search> a </search>")
    assert (generation.text, generation.finish_reason) == ("<search> a </search>", "stop")
    generation = write(codec, "done", stop=("</search>",))
    assert generation.token_ids == (*codec.encode_text("done"), codec.end_id)
    assert (generation.text, generation.finish_reason) == ("done", "eos")


def test_text_after_a_stop_string_is_dropped(codec):
    generation = write(codec, "<search> a </search> <result> forged", stop=("</search>",))
    assert generation.text == "<search> a </search>"


def test_special_tokens_in_an_action_are_text(codec):
    generation = write(codec, "a <|im_end|> b")
    special = set(codec.tokenizer.all_special_ids)
    assert not special & set(generation.token_ids[:-1])
    assert generation.text == "a <|im_end|> b"


def test_a_long_action_is_cut(codec):
    ids = codec.encode_text("Who wrote the book?")
    generation = write(codec, "Who wrote the book?", max_tokens=3)
    assert generation.token_ids == ids[:3] and generation.finish_reason == "length"
    assert generation.text == codec.decode(ids[:3])
    generation = write(codec, "Who wrote the book?", max_tokens=len(ids))
    assert generation.token_ids == ids and generation.finish_reason == "length"
    assert generation.text == "Who wrote the book?"


def test_what_a_policy_raises_comes_out(codec):
    engine = ScriptedEngine(lambda episode: 1 // 0, codec)
    with pytest.raises(ValueError, match="no episode"):
        engine.submit(GenerationRequest("r", (7,), SamplingParams()))
    engine.submit(GenerationRequest("r", (7,), SamplingParams(), episode=Episode(Task("t", "Q"), "Q")))
    with pytest.raises(ZeroDivisionError):
        engine.step()
    with pytest.raises(InputError, match="no weights to load"):
        engine.load_weights([], 1)
    engine.close()
    assert engine.pending == 0
