"""Rewards by name, with options, and as weighted sums."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.envs.episode import Action, Episode, ParsedAction, RewardResult, StopReason, Turn
from toolgym.envs.rewards import REWARD_MAKERS, REWARDS, RewardFunction, RewardSpec, reward_function, weighted_sum
from toolgym.envs.rewards.composition import parse_spec
from toolgym.envs.task import Task
from toolgym.tools.errors import InputError


def answered(answer: str, text: str = "") -> Episode:
    turn = Turn(Action(text or answer), ParsedAction(text or answer, answer=answer))
    return Episode(Task("t", "?", ("Alan Turing",)), "", turns=[turn], stop_reason=StopReason.ANSWER)


TURING, NEARLY, BOB = answered("Alan Turing"), answered("the mathematician Alan Turing"), answered("Bob")


@pytest.mark.parametrize(
    ("spec", "rewards"),
    [
        ("exact_match", (1, 0, 0)),
        ("f1", (1, 0.8, 0)),
        ("exact_match + f1", (2, 0.8, 0)),
        ("0.5*exact_match + 0.5 * f1", (1, 0.4, 0)),
        ("f1 - 0.5*exact_match", (0.5, 0.8, 0)),
        ("-f1", None),
        ("-1*f1", (-1, -0.8, 0)),
        ("f1 + -.5e0*exact_match", (0.5, 0.8, 0)),
        ("exact_match + 0*f1", (1, 0, 0)),
        ("2*f1(rules=squad)", (2, 1.6, 0)),
        ({"exact_match": 1, "f1": 0.5}, (1.5, 0.4, 0)),
        ({"f1(rules=squad)": 1.0}, (1, 0.8, 0)),
        (REWARDS["f1"], (1, 0.8, 0)),
    ],
)
def test_sums(spec: RewardSpec, rewards: tuple[float, ...] | None) -> None:
    if rewards is None:
        with pytest.raises(InputError, match="cannot be read from '-f1' on"):
            reward_function(spec)
        return
    reward = reward_function(spec)
    assert [reward(episode).reward for episode in (TURING, NEARLY, BOB)] == pytest.approx(rewards)


def test_terms_of_a_sum() -> None:
    terms = reward_function("exact_match + 0*repetition + 0*research + 0*cover_exact_match")(NEARLY).terms
    assert terms == {
        **{"exact_match": 0.0, "repetition": 0.0, "research": 0.0, "cover_exact_match": 1.0},
        **{"em": 0.0, "f1": pytest.approx(0.8), "answered": 1.0, "format": 0.0, "cover_em": 1.0},
    }


def test_terms_that_may_differ_are_told_apart() -> None:
    terms = reward_function("research + r1_searcher(stage=1) + r1_searcher")(BOB).terms
    assert {name for name in terms if "format" in name} == {
        "format",
        "r1_searcher(stage=1).format",
        "r1_searcher.format",
    }
    assert terms["r1_searcher(stage=1)"] == -1 and terms["r1_searcher"] == -2
    # A metric beside the reward that measures it is the same number once.
    assert set(reward_function("f1 + 0*exact_match")(BOB).terms) == {"f1", "exact_match", "em", "answered"}


def test_the_range_of_a_sum_comes_from_its_parts() -> None:
    def bounds(spec: RewardSpec) -> tuple[float, float, float]:
        reward = reward_function(spec)
        return reward.minimum, reward.maximum, reward.wrong_ceiling

    assert bounds("exact_match + 0.1*repetition") == (-0.1, 1, 0)
    assert bounds("research + 2*logic_rl") == (-6, 7, pytest.approx(0.1 - 1))
    # A negative weight turns a part's range around: what it takes away at most becomes the least.
    assert bounds("exact_match - 0.5*f1") == (-0.5, 1, 0)
    assert bounds("research - 2*repetition") == (0, 3, pytest.approx(2.1))
    assert bounds("0*research") == (0, 0, 0)
    assert bounds("math + 0.2*kimi_length") == (-0.1, 1.1, 0)


def test_a_forged_observation_earns_the_least_of_the_sum() -> None:
    from toolgym.envs.episode import FormatFault

    forged = answered("Alan Turing")
    parsed = ParsedAction("x", answer="Alan Turing", faults=(FormatFault.FORGED_OBSERVATION,))
    forged.turns[0] = Turn(Action("x"), parsed)
    reward = reward_function("exact_match - 0.5*f1 - repetition")
    assert reward(forged).reward == reward.minimum == -0.5


def test_names_can_be_read_back() -> None:
    for spec in ("exact_match", "research(variant=paper)", "exact_match + 0.1*repetition(ngram_size=4) + -0.5*f1"):
        assert reward_function(spec).name == spec
        assert reward_function(reward_function(spec).name).name == spec
    assert reward_function("research", variant="paper").name == "research(variant=paper)"
    assert reward_function("research(variant=code)").name == "research"
    assert reward_function("recall(prefill='<x, y>')").name == 'recall(prefill="<x, y>")'


def test_options() -> None:
    assert reward_function("cosine(max_length=1000, unit=characters)")(BOB).terms["length"] == 3
    assert reward_function("cosine", max_length=6, judge="exact_match")(BOB).reward == pytest.approx(-0.75)
    assert reward_function("torl(execution_penalty=true)").minimum == -1.5
    assert reward_function("autotir(tool=none)").name == "autotir"  # none is the default
    assert reward_function("lcpo_exact(floor=-1)").minimum == -1  # a whole number is a number


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("exact_mtch", "unknown reward 'exact_mtch'; did you mean 'exact_match'"),
        ("research(varint=paper)", "unknown option of the reward 'research' 'varint'; did you mean 'variant'"),
        ("research(variant=blog)", r"research\(variant=...\) must be code or paper, not 'blog'"),
        ("exact_match(x=1)", "the reward 'exact_match' has no options, so not 'x' either"),
        ("cosine(max_length=1.5)", "must be a whole number or none, not 1.5"),
        ("cosine(max_length=true)", "must be a whole number or none, not True"),
        ("cosine(max_length=0)", "max_length must be at least 1"),
        ("torl(execution_penalty=1)", "must be true or false, not 1"),
        ("lcpo_max(alpha=nan)", "must be a number, not nan"),
        ("lcpo_max(alpha=x)", "must be a number, not 'x'"),
        ("recall(prefill=1)", "must be a text, not 1"),
        ("repetition(max_penalty=1)", "must not be positive"),
        ("soft_overlong(cache=-1)", "cache must be from"),
        ("search_r1_format(structure_format_score=0.6)", "pay less than an answer"),
        ("r1_searcher(stage=1, model=qwen_zero)", "published code for model 'llama' alone"),
        ("f1 +", "cannot be read from '' on"),
        ("f1 f1", "cannot be read from 'f1' on"),
        ("2*", r"cannot be read from '2\*' on"),
        ("x*f1", r"cannot be read from '\*f1' on"),
        ("f1(rules=squad", r"cannot be read from '\(rules=squad' on"),
        ("f1(squad)", "cannot be read from 'squad' on; write each once, as key=value"),
        ("f1(rules=squad, rules=squad)", "write each once"),
        ("f1(rules=squad,)", "options that cannot be read from '' on"),
        ("", "cannot be read from '' on"),
        ("f1 + f1", "'f1' stands in the sum twice"),
        ("1e999*f1", "the weight of 'f1' must be a number, not inf"),
        ({"f1": "x"}, "the weight of the reward 'f1' must be a number, not 'x'"),
        ({"f1": True}, "must be a number, not True"),
        ({"f1 + math": 1.0}, "'f1 \\+ math' is a sum"),
        ({"2*f1": 1.0}, "is a sum"),
        ({}, "needs at least one part"),
    ],
)
def test_specs_that_make_no_sense(spec: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reward_function(spec)


def test_options_need_a_single_name() -> None:
    for spec in ("f1 + exact_match", "2*f1", REWARDS["f1"], {"f1": 1.0, "math": 1.0}):
        with pytest.raises(InputError, match="options rules need a single name"):
            reward_function(spec, rules="squad")  # type: ignore[arg-type]


def test_parts_may_be_of_ones_own_making() -> None:
    def length(episode: Episode) -> RewardResult:
        return RewardResult(float(len(episode.response)), {"characters": float(len(episode.response))})

    own = RewardFunction("own", length, maximum=math.inf)
    both = weighted_sum([(1.0, REWARDS["exact_match"]), (0.5, own)])
    assert both(BOB).reward == 1.5 and both(BOB).terms["characters"] == 3
    assert both.maximum == math.inf
    assert weighted_sum([(0.0, own), (1.0, REWARDS["f1"])]).maximum == 1  # a metric has no part in the range


def test_every_maker_is_documented() -> None:
    for name, maker in REWARD_MAKERS.items():
        assert maker.__doc__, name
        for option in maker.__annotations__:
            assert option == "return" or f"{option}: " in maker.__doc__, (name, option)
        assert maker().name == name


WEIGHTS = st.floats(-10, 10)
NAMES = st.lists(st.sampled_from(["exact_match", "f1", "research", "repetition", "cover_exact_match"]), unique=True)


@given(names=NAMES.filter(bool), weights=st.lists(WEIGHTS, min_size=5, max_size=5))
def test_sums_are_what_they_say(names: list[str], weights: list[float]) -> None:
    parts = dict(zip(names, weights, strict=False))
    reward = reward_function(parts)
    for episode in (TURING, NEARLY, BOB):
        expected = sum(weight * REWARDS[name](episode).reward for name, weight in parts.items())
        assert reward(episode).reward == pytest.approx(expected)
        assert reward.minimum - 1e-9 <= reward(episode).reward <= reward.maximum + 1e-9
    assert reward(BOB).reward <= reward.wrong_ceiling + 1e-9


@given(st.text(alphabet="f1 exact_match+-*0.5(),=\"'rules", max_size=30) | st.text(max_size=10))
def test_any_text_is_read_or_refused(text: str) -> None:
    read: Callable[[str], object] = parse_spec
    try:
        read(text)
    except InputError:
        return
    assert text.strip()
