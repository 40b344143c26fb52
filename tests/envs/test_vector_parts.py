"""The parts of the vectors: batched infos, and texts between processes."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory
from hypothesis import given
from hypothesis import strategies as st

from toolgym.envs import TextSpace
from toolgym.envs.text_memory import TextMemory
from toolgym.envs.vector.infos import batch_infos

KEYS = {
    "number": st.floats(allow_nan=False),
    "count": st.integers(-9, 9),
    "flag": st.booleans(),
    "text": st.text(max_size=3) | st.none(),
    "list": st.lists(st.integers(), max_size=3),
    "array": st.just(np.arange(3.0)),
    "numpy": st.just(np.float32(2)),
    "final_obs": st.text(max_size=3),
}
FLAT = st.fixed_dictionaries({}, optional=KEYS)
INFOS = FLAT | st.builds(lambda flat, inner: {**flat, "terms": inner, "final_info": {"terms": inner}}, FLAT, FLAT)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return (value.dtype, value.tolist()) if isinstance(value, np.ndarray) and value.dtype != object else list(value)


@given(st.dictionaries(st.integers(0, 3), INFOS, max_size=3))
def test_infos_are_batched_as_gymnasium_batches_them(infos: dict[int, dict[str, Any]]) -> None:
    vector: VectorEnv[Any, Any, Any] = VectorEnv()
    vector.num_envs = 4
    theirs: dict[str, Any] = {}
    for index, info in infos.items():
        theirs = vector._add_info(theirs, info, index)
    ours = batch_infos(infos, 4)
    for both in (ours, theirs):
        for batch in (both, both.get("terms", {})):
            assert "array" not in batch or batch["array"].shape == (4, 3)
    assert _lists(plain(ours)) == _lists(plain(theirs))


def _lists(value: Any) -> Any:
    """Arrays inside arrays of objects as lists."""
    if isinstance(value, dict):
        return {key: _lists(one) for key, one in value.items()}
    return [_lists(one) for one in value] if isinstance(value, list | tuple | np.ndarray) else value


def test_numbers_of_several_kinds_are_not_cut_to_the_first() -> None:
    """Gymnasium makes an array of the first value's type: 1 and 2.5 would give [1, 2]."""
    batch = batch_infos({0: {"x": 1, "y": 1.0}, 1: {"x": 2.5, "y": None}}, 3)
    assert batch["x"].tolist() == [1.0, 2.5, 0.0] and batch["_x"].tolist() == [True, True, False]
    assert batch["y"].tolist() == [1.0, None, None]


@pytest.mark.parametrize("text", ["", "a", "\ud800 \x00 é 🦉", "x" * 3_000_000])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_texts_of_any_length_come_back_from_another_process(text: str, method: str) -> None:
    context, space = multiprocessing.get_context(method), TextSpace()
    memory = create_shared_memory(space, n=2, ctx=context)
    texts = read_from_shared_memory(space, memory, n=2)
    assert list(texts) == ["", ""] and len(texts) == 2
    process = context.Process(target=write_to_shared_memory, args=(space, 1, text, memory))
    process.start()
    process.join()
    assert process.exitcode == 0
    kept = copy.deepcopy(texts)
    memory.write(1, "later")
    assert kept == ("", text) and texts[1] == texts[-1] == "later" and texts[:] == ("", "later")


def test_the_folder_goes_with_the_memory_and_with_nothing_else() -> None:
    held = [TextMemory(1)]
    held[0].write(0, "text")
    folder = held[0]._file(0).parent
    assert pickle.loads(pickle.dumps(held[0])).read(0) == "text"
    assert folder.is_dir()  # though a copy is gone
    process = multiprocessing.get_context("fork").Process(target=held.clear)
    process.start()
    process.join()
    assert folder.is_dir()  # though a process forgot it
    held.clear()
    assert not folder.exists()
