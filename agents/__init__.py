"""Who acts: inference engines, the rollout, trajectories and the codec.

Engines are imported when they are first used, so that `import toolgym.agents` needs neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..tools.lazy import lazy_names
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

_HOMES = {
    "OpenAIEngine": "engines.openai",
    "ScriptedEngine": "engines.scripted",
    "TransformersEngine": "engines.transformers",
    "VllmEngine": "engines.vllm",
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


__getattr__ = lazy_names(__name__, _HOMES)
