"""Who acts: inference engines, the rollout, trajectories and the codec.

Engines are imported when they are first used, so that `import toolgym.agents` needs neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .encoding import Codec, TextCodec
from .engines.base import Generation, GenerationRequest, InferenceEngine, SamplingParams

# Imported here and not on demand: the function `rollout` takes the place of the module of that name.
from .rollout import EpisodeRequest, Rollout, rollout
from .trajectory import Outcome, Role, Segment, Trajectory

if TYPE_CHECKING:
    from .engines.openai import OpenAIEngine
    from .engines.scripted import ScriptedEngine
    from .engines.transformers import TransformersEngine
    from .engines.vllm import VllmEngine

_LAZY = {
    "OpenAIEngine": "openai",
    "ScriptedEngine": "scripted",
    "TransformersEngine": "transformers",
    "VllmEngine": "vllm",
}

__all__ = [
    "Codec",
    "EpisodeRequest",
    "Generation",
    "GenerationRequest",
    "InferenceEngine",
    "OpenAIEngine",
    "Outcome",
    "Role",
    "Rollout",
    "SamplingParams",
    "ScriptedEngine",
    "Segment",
    "TextCodec",
    "Trajectory",
    "TransformersEngine",
    "VllmEngine",
    "rollout",
]


def __getattr__(name: str) -> Any:
    """Imports an engine when its name is first used."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".engines.{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value
