"""Rewards by name, with options, and as weighted sums."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ...tools.errors import InputError
from ..episode import Episode, RewardResult
from ..formats.names import unknown_name
from ..reward import RewardFunction

RewardMaker = Callable[..., RewardFunction]
SHARED_TERMS = frozenset({"em", "f1", "answered", "correct", "length"})
"""Terms that say the same whichever reward gives them (F1: each by its own rules); a sum keeps those of its first."""

_NUMBER = r"[-+]?\s*(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_TERM = re.compile(rf"\s*(?:({_NUMBER})\s*\*\s*)?([A-Za-z_]\w*)\s*(?:\(([^()]*)\))?\s*", re.ASCII)
_OPTION = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s,=\"']+))\s*(,|$)", re.ASCII)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Part:
    """One summand of a reward.

    Attributes:
        weight: What its reward is multiplied with; 0 makes it a metric.
        reward: The reward function.
        label: Name of its reward among the terms.
    """

    weight: float
    reward: RewardFunction
    label: str


def parse_spec(text: str) -> list[tuple[float, str, dict[str, Any]]]:
    """Weights, names and options of a sum such as `exact_match - 0.1*repetition(ngram_size=4)`.

    Raises:
        InputError: If it is no such sum.
    """
    terms: list[tuple[float, str, dict[str, Any]]] = []
    position, sign = 0, 1.0
    while True:
        term = _TERM.match(text, position)
        if term is None:
            raise InputError(_not_read(text, position))
        weight = float(re.sub(r"\s", "", term[1])) if term[1] else 1.0
        terms.append((sign * weight, term[2], _parse_options(term[3] or "", text)))
        position = term.end()
        if position == len(text):
            return terms
        if text[position] not in "+-":
            raise InputError(_not_read(text, position))
        sign = 1.0 if text[position] == "+" else -1.0
        position += 1


def _not_read(text: str, position: int) -> str:
    return (
        f"the reward {text!r:.200} cannot be read from {text[position:]!r:.40} on; "
        "write a sum like 'exact_match + 0.1*repetition(ngram_size=4)'"
    )


def _parse_options(inside: str, text: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    position = 0
    while inside.strip():
        option = _OPTION.match(inside, position)
        if option is None or option[1] in options:
            raise InputError(
                f"the reward {text!r:.200} has options that cannot be read from {inside[position:].strip()!r:.40} on; "
                "write each once, as key=value"
            )
        quoted = option[2] if option[2] is not None else option[3]
        options[option[1]] = _value(option[4]) if quoted is None else quoted
        position = option.end()
        if not option[5]:
            break
    return options


def _value(word: str) -> Any:
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def make_reward(name: str, options: Mapping[str, Any], makers: Mapping[str, RewardMaker]) -> RewardFunction:
    """The reward of a name with options.

    Args:
        name: One of `makers`.
        options: Values by name; they must be parameters of the maker and of their types.
        makers: What makes the rewards, by name.

    Raises:
        InputError: For an unknown name or option, or a value that an option cannot have.
    """
    if name not in makers:
        raise unknown_name("reward", name, makers)
    kinds = get_type_hints(makers[name])
    parameters = inspect.signature(makers[name]).parameters
    checked = {}
    for option, value in options.items():
        if option not in parameters:
            if not parameters:
                raise InputError(f"the reward {name!r} has no options, so not {option!r} either")
            raise unknown_name(f"option of the reward {name!r}", option, parameters)
        checked[option] = _checked(f"{name}({option}=...)", value, kinds[option])
    made = makers[name](**checked)
    changed = {option: value for option, value in checked.items() if value != parameters[option].default}
    if not changed:
        return made
    return replace(
        made, name=f"{name}({', '.join(f'{option}={_written(value)}' for option, value in changed.items())})"
    )


def _written(value: Any) -> str:
    """A value as it stands in a spec."""
    named = next((word for word, meant in _WORDS.items() if meant is value), None)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return f'"{value}"' if isinstance(value, str) and not value.isidentifier() else named or str(value)


def _checked(option: str, value: Any, kind: Any) -> Any:
    """The value, if it is of a parameter's type; whole numbers are floats too."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    for one in kinds:
        if get_origin(one) is Literal:
            if any(value == choice and type(value) is type(choice) for choice in get_args(one)):
                return value
        elif one is float:
            if type(value) in (int, float) and math.isfinite(value):
                return float(value)
        elif type(value) is one:
            return value
    raise InputError(f"{option} must be {' or '.join(map(_described, kinds))}, not {value!r:.60}")


def _described(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text", NoneType: "none"}[kind]


def weighted_sum(parts: Sequence[tuple[float, RewardFunction]]) -> RewardFunction:
    """The weighted sum of rewards; its range and its ceiling for wrong answers are those of its parts.

    Its terms hold the reward of each part under the part's name, and the terms of all parts; one that several parts
    have, and that may differ between them, gets its part's name before it from the second on. A part that sees its
    whole group does so in a sum too. The ceiling holds for episodes that every part calls wrong.

    Args:
        parts: Weights and rewards; a weight of 0 makes a metric, a negative one a penalty.

    Raises:
        InputError: If there are no parts, a weight is no number, or two parts have the same name and options.
    """
    if not parts:
        raise InputError("a sum of rewards needs at least one part")
    names = [reward.name for _, reward in parts]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{doubled.pop()!r} stands in the sum twice; give it one weight")
    for weight, reward in parts:
        if not math.isfinite(weight):
            raise InputError(f"the weight of {reward.name!r} must be a number, not {weight!r}")
    if len(parts) == 1 and parts[0][0] == 1.0:
        return parts[0][1]
    labels = [name.partition("(")[0] for name in names]
    made = [
        Part(weight, reward, label if labels.count(label) == 1 else reward.name)
        for (weight, reward), label in zip(parts, labels, strict=True)
    ]
    return RewardFunction(
        " + ".join(part.reward.name if part.weight == 1.0 else f"{part.weight:g}*{part.reward.name}" for part in made),
        _Sum(tuple(made)),
        minimum=_bound(made, lambda reward: (reward.minimum, reward.maximum)),
        maximum=_bound(made, lambda reward: (reward.maximum, reward.minimum)),
        wrong_ceiling=_bound(made, lambda reward: (reward.wrong_ceiling, reward.minimum)),
        group=_GroupSum(tuple(made)) if any(part.reward.group for part in made) else None,
    )


def _bound(parts: Sequence[Part], of: Callable[[RewardFunction], tuple[float, float]]) -> float:
    """A bound of a sum from a bound of its parts: the first where a weight is positive, else the second."""
    return sum(part.weight * of(part.reward)[part.weight < 0] for part in parts if part.weight != 0)


@dataclass(frozen=True)
class _Sum:
    """The reward of one episode."""

    parts: tuple[Part, ...]

    def __call__(self, episode: Episode) -> RewardResult:
        return self.added([part.reward(episode) for part in self.parts])

    def added(self, results: Sequence[RewardResult]) -> RewardResult:
        """The sum of the parts' results."""
        terms: dict[str, float] = {}
        for part, result in zip(self.parts, results, strict=True):
            terms[part.label] = result.reward
        for part, result in zip(self.parts, results, strict=True):
            for name, value in result.terms.items():
                if name not in terms:
                    terms[name] = value
                elif name not in SHARED_TERMS:
                    terms[f"{part.label}.{name}"] = value
        reward = sum(part.weight * result.reward for part, result in zip(self.parts, results, strict=True))
        return RewardResult(float(reward), terms)


@dataclass(frozen=True)
class _GroupSum:
    """The rewards of a group: the parts that see it judge it, and the sums are made anew."""

    parts: tuple[Part, ...]

    def __call__(self, episodes: Sequence[Episode], results: Sequence[RewardResult]) -> list[RewardResult]:
        columns = [
            part.reward.for_group(episodes, [part.reward(episode) for episode in episodes]) for part in self.parts
        ]
        return [_Sum(self.parts).added(row) for row in zip(*columns, strict=True)]
