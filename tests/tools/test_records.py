"""A record made by the quick `__init__` is the frozen dataclass it was."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from toolgym.tools.records import quick_init


@dataclass(frozen=True)
class Plain:
    a: int
    b: list[int] = field(default_factory=list)
    c: str = "c"


@quick_init
@dataclass(frozen=True)
class Quick:
    a: int
    b: list[int] = field(default_factory=list)
    c: str = "c"


@pytest.mark.parametrize("given", [(1,), (1, [2]), (1, [2], "d"), ()])
@pytest.mark.parametrize("named", [{}, {"c": "d"}, {"b": []}, {"a": 3}])
def test_it_takes_the_same_arguments_to_the_same_fields(given, named) -> None:
    named = {name: value for name, value in named.items() if "abc".index(name) >= len(given)}
    if not given and "a" not in named:
        named["a"] = 1
    assert vars(Quick(*given, **named)) == vars(Plain(*given, **named))


def test_the_signature_and_the_errors_are_a_dataclass_own() -> None:
    assert list(inspect.signature(Quick).parameters) == list(inspect.signature(Plain).parameters)
    with pytest.raises(TypeError, match=r"Quick.__init__\(\) missing 1 required positional argument: 'a'"):
        Quick()
    with pytest.raises(TypeError, match="unexpected keyword argument 'd'"):
        Quick(1, d=2)


def test_each_instance_has_a_default_of_its_own() -> None:
    first, second = Quick(1), Quick(1)
    assert first == second and first.b is not second.b


def test_it_stays_frozen_and_can_be_replaced_copied_and_pickled() -> None:
    made = Quick(1, [2])
    with pytest.raises(FrozenInstanceError):
        made.a = 2
    assert replace(made, c="d") == Quick(1, [2], "d")
    for copied in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert copied == made and repr(copied) == "Quick(a=1, b=[2], c='c')"
