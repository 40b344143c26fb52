"""Invariants of segments, rows and masks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.agents import Outcome, Role, Segment, Trajectory

ids = st.lists(st.integers(0, 999), max_size=6).map(tuple)


@st.composite
def segments(draw):
    role = draw(st.sampled_from(list(Role)))
    token_ids = draw(ids)
    logprobs = tuple(-1.0 - token for token in token_ids) if role is Role.ACTION and draw(st.booleans()) else None
    return Segment(role, token_ids, logprobs, draw(st.integers(0, 5)))


@given(st.lists(segments(), max_size=8), st.booleans())
def test_what_is_derived_is_aligned(parts, trainable):
    row = Trajectory(Outcome("e", "t", "g"), parts, trainable=trainable)
    assert len(row.token_ids) == len(row.loss_mask) == len(row.logprobs) == len(row)
    actions = [segment for segment in parts if segment.role is Role.ACTION]
    assert sum(row.loss_mask) == (sum(len(s.token_ids) for s in actions) if trainable else 0)
    assert row.action_token_count == sum(len(s.token_ids) for s in actions)
    assert [tuple(row.token_ids[a:b]) for a, b in row.turn_spans] == [s.token_ids for s in actions]
    if trainable:
        inside = {position for a, b in row.turn_spans for position in range(a, b)}
        assert inside == {position for position, trained in enumerate(row.loss_mask) if trained}
    for position, logprob in enumerate(row.logprobs):
        assert logprob == 0.0 or logprob == -1.0 - row.token_ids[position]
    assert row.has_logprobs == all(s.logprobs is not None for s in actions)


@given(st.sampled_from([Role.PROMPT, Role.OBSERVATION]), ids)
def test_only_actions_have_logprobs(role, token_ids):
    with pytest.raises(ValueError, match="only actions"):
        Segment(role, token_ids, tuple(0.0 for _ in token_ids))


def test_logprobs_fit_their_tokens():
    with pytest.raises(ValueError, match="2 tokens cannot have 1"):
        Segment(Role.ACTION, (1, 2), (-0.1,))


def test_a_filter_can_only_take_away():
    row = Trajectory(Outcome("e", "t", "g"), [Segment(Role.PROMPT, (1,)), Segment(Role.ACTION, (2, 3), (-1.0, -2.0))])
    assert row.loss_mask == [False, True, True]
    row.trainable = False
    assert row.loss_mask == [False, False, False]
    assert row.logprobs == [0.0, -1.0, -2.0]
