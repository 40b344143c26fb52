"""Stop strings, end tokens and surplus, down to the token."""

from __future__ import annotations

import pytest

from toolgym.agents import Codec, GenerationRequest, SamplingParams
from toolgym.agents.engines.base import StopChecker
from toolgym.agents.engines.stops import StopDetector


@pytest.fixture(scope="module")
def merged(tiny_models):
    """A codec whose vocabulary has tokens that run past a stop string."""
    tokenizer = tiny_models.make_tokenizer("qwen3", chat=False, extra_tokens=["</search>\n\n", "h>\n\n", ">\n\n", "é>"])
    return Codec(tokenizer)


def forced(engine, ids):
    """Makes an engine's model sample the given ids, whatever it computes."""
    import torch

    forward, left = engine.model.forward, list(ids)

    def replay(**inputs):
        output = forward(**inputs)
        output.logits = torch.full_like(output.logits, -30.0)
        output.logits[..., left.pop(0)] = 30.0
        return output

    engine.model.forward = replay
    return engine


def run(engine, stop=("</search>",), max_tokens=50):
    engine.submit(GenerationRequest("r", (7, 8, 9), SamplingParams(stop=stop, max_tokens=max_tokens), "s"))
    while engine.pending:
        for generation in engine.step():
            return generation
    raise AssertionError


CASES = [
    (("x", "</searc", "h>\n\n", "never"), "x</search>", 2),
    (("x", "<", "/", "s", "e", "a", "r", "c", "h", ">", "never"), "x</search>", 0),
    (("x", "</search", ">\n\n", "never"), "x</search>", 2),
    (("</search>\n\n", "never"), "</search>", 2),
]


@pytest.mark.parametrize(("pieces", "text", "surplus"), CASES)
def test_ids_through_the_stop_string_are_kept_and_the_text_is_cut(merged, engine_of, pieces, text, surplus):
    ids = [token for piece in pieces for token in merged.encode_text(piece)]
    expected = [token for piece in pieces[:-1] for token in merged.encode_text(piece)]
    generation = run(forced(engine_of(merged), ids))
    assert generation.token_ids == tuple(expected)
    assert generation.text == text
    assert generation.surplus_characters == surplus
    assert generation.finish_reason == "stop"
    assert len(generation.logprobs) == len(generation.token_ids)
    assert "</search>" not in merged.decode(expected[:-1])


def test_a_vocabulary_token_runs_past_the_stop_string(merged):
    assert len(merged.encode_text("</search>\n\n")) == 1, "the crafted vocabulary must hold the long token"


def test_end_tokens_are_kept_in_the_ids_and_not_in_the_text(codec, engine_of):
    word = codec.encode_text("Who")
    generation = run(forced(engine_of(codec), [*word, codec.end_id, 9]))
    assert generation.token_ids == (*word, codec.end_id)
    assert (generation.text, generation.finish_reason) == ("Who", "eos")


def test_every_end_id_ends(codecs, engine_of):
    codec = Codec(codecs["qwen3"].tokenizer, end_ids=[0])
    for end in codec.end_ids:
        generation = run(forced(engine_of(codec), [20, end, 9]))
        assert generation.token_ids == (20, end) and generation.finish_reason == "eos"


def test_the_token_limit(codec, engine_of):
    word = codec.encode_text("Who wrote")
    generation = run(forced(engine_of(codec), [*word] * 9), max_tokens=len(word) * 2)
    assert generation.token_ids == word * 2
    assert (generation.text, generation.finish_reason) == ("Who wroteWho wrote", "length")


def test_a_stop_string_at_the_limit_is_a_stop(codec, engine_of):
    ids = codec.encode_text("</search>")
    generation = run(forced(engine_of(codec), ids), max_tokens=len(ids))
    assert (generation.text, generation.finish_reason) == ("</search>", "stop")


def test_the_prompt_is_no_part_of_a_stop_string(codec, engine_of):
    engine = forced(engine_of(codec), [*codec.encode_text("h> more"), codec.end_id])
    engine.submit(GenerationRequest("r", codec.encode_text("</searc"), SamplingParams(stop=("</search>",))))
    (generation,) = [generation for _ in range(20) if engine.pending for generation in engine.step()]
    assert (generation.text, generation.finish_reason) == ("h> more", "eos")


def test_the_stop_string_that_is_complete_first_counts():
    checker = StopChecker(("</answer>", "</search>"))
    assert checker.cut("a</search>b</answer>") == ("a</search>", len("b</answer>"))
    assert StopChecker(("abc", "b")).cut("xabc") == ("xab", 1)
    assert StopChecker(("", "z")).cut("abc") is None


@pytest.mark.parametrize("stop", ["</search>", "é", "\nObservation", "end ", "→"])
def test_looking_at_tails_finds_what_looking_at_everything_finds(merged, stop):
    text = f"for {stop[:-1]} é→ éé x\n\nObservatio " + stop + "\n\n more"
    ids = merged.encode_text(text)
    detector, checker = StopDetector((stop,), merged.decode), StopChecker((stop,))
    for count in range(1, len(ids) + 1):
        found = detector.cut(ids[:count], 0) if detector.may_end(ids[count - 1]) else None
        assert found == checker.cut(merged.decode(ids[:count]))
        if found:
            break
    else:
        raise AssertionError("the stop string is in the text")
