"""The infos of several environments as one, in Gymnasium's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def batch_infos(infos: Mapping[int, Mapping[str, Any]], num_envs: int) -> dict[str, Any]:
    """For each key an array with a place for every environment, and under `_KEY` a mask of those that have it.

    What `gymnasium.vector.VectorEnv._add_info` builds, but read at once: nested mappings stay mappings, numbers give
    arrays of numbers, everything else (`final_obs` among it) arrays of objects. A number here and None there gives an
    array of objects, where Gymnasium raises.

    Args:
        infos: The info of each environment that has one, by its position.
        num_envs: Number of environments.
    """
    columns: dict[str, dict[int, Any]] = {}
    for index, info in infos.items():
        for key, value in info.items():
            columns.setdefault(key, {})[index] = value
    batch: dict[str, Any] = {}
    for key, column in columns.items():
        batch[key] = _batch(key, column, num_envs)
        mask = batch[f"_{key}"] = np.zeros(num_envs, dtype=np.bool_)
        mask[list(column)] = True
    return batch


def _batch(key: str, column: Mapping[int, Any], num_envs: int) -> Any:
    values = column.values()
    if key != "final_obs" and all(isinstance(value, dict) for value in values):
        return batch_infos(column, num_envs)
    kinds = {type(value) for value in values}
    array: np.ndarray[Any, Any]
    if kinds <= {int, float, bool} or all(issubclass(kind, np.number) for kind in kinds):
        array = np.zeros(num_envs, dtype=kinds.pop() if len(kinds) == 1 else float)
    elif kinds == {np.ndarray} and len({(value.shape, value.dtype) for value in values}) == 1:
        first = next(iter(values))
        array = np.zeros((num_envs, *first.shape), dtype=first.dtype)
    else:
        array = np.full(num_envs, None, dtype=object)
    for index, value in column.items():
        array[index] = value
    return array
