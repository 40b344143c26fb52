"""The policy: a checkpoint that is loaded, or a small transformer that is made on the spot."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils.logging import disable_progress_bar

from ..agents.encoding import Codec
from ..agents.engines.base import SamplingParams
from ..agents.engines.model_loading import load_model
from ..agents.engines.scripted import ScriptedEngine
from ..agents.rollout import EpisodeRequest, rollout
from ..envs.env import ToolEnv
from .recipe import Recipe, ScratchModel

END = "<|endoftext|>"
_TOKENIZER_EPISODES = 500


class Policy(NamedTuple):
    """A causal language model in fp32 and the codec of its tokenizer."""

    model: Any
    codec: Codec


def load_policy(folder: str | Path, chat: bool | None = None) -> Policy:
    """Loads a Hugging Face checkpoint folder, or a name in the local cache, as fp32 master weights.

    Raises:
        InputError: If the folder, its model or its tokenizer is missing.
    """
    codec = Codec.from_folder(folder, chat)
    return Policy(load_model(folder, "cpu", torch.float32), codec)


def make_policy(recipe: Recipe, env: ToolEnv) -> Policy:
    """The policy a run starts from: loaded by name, or made from scratch for the environment."""
    if recipe.model != "scratch":
        return load_policy(recipe.model, recipe.chat)
    tokenizer = train_tokenizer(environment_texts(env), recipe.scratch)
    model = scratch_model(recipe.scratch, len(tokenizer), int(tokenizer.eos_token_id), recipe.seed)
    return Policy(model, Codec(tokenizer, recipe.chat))


def environment_texts(env: ToolEnv) -> list[str]:
    """Transcripts of the oracle, from which a tokenizer learns the environment's language.

    No model sees them; the texts are the training split's.
    """
    # Bytes stand in for tokens: the rollout needs some codec before there is a tokenizer.
    codec = Codec(_byte_tokenizer(), chat=False)
    env = env.spawn()
    env.limits = replace(
        env.limits, max_turn_tokens=None, max_tokens=None, max_context=None, max_observation_tokens=None
    )
    requests = [EpisodeRequest(task.id, task.id) for task in env.tasks.head(_TOKENIZER_EPISODES)]
    sampling = SamplingParams(max_tokens=1 << 20)
    played = rollout(ScriptedEngine(env.oracle(), codec), codec, env, requests, sampling)
    return [codec.decode(row.token_ids).replace(END, "") for row in played.trajectories]


def train_tokenizer(texts: Iterable[str], scratch: ScratchModel) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer; the tags found in the texts become tokens of their own.

    Byte-level, so that every text survives encoding and decoding; the tags are ordinary added tokens, as in Qwen3.
    """
    texts = list(texts)
    tags = sorted({tag for text in texts for tag in re.findall(r"</?[a-z_]+>", text)})
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=scratch.vocabulary - len(tags),
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pattern = re.compile("|".join(map(re.escape, tags))) if tags else None
    pieces = (piece for text in texts for piece in (pattern.split(text) if pattern else [text]))
    tokenizer.train_from_iterator(pieces, trainer)
    tokenizer.add_tokens(tags)
    return _fast(tokenizer)


def scratch_model(scratch: ScratchModel, vocabulary: int, end_id: int, seed: int) -> Qwen3ForCausalLM:
    """A Qwen3 model with random weights drawn from the seed alone."""
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=scratch.width,
        intermediate_size=scratch.feed_forward,
        num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads,
        num_key_value_heads=scratch.key_value_heads,
        head_dim=scratch.head_width,
        max_position_embeddings=scratch.context,
        tie_word_embeddings=True,
        eos_token_id=end_id,
        bos_token_id=None,
        pad_token_id=end_id,
    )
    model = Qwen3ForCausalLM(config)  # type: ignore[no-untyped-call]
    # transformers draws from torch's global stream; drawing again from our own keeps runs independent of it.
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.ndim > 1:
                parameter.normal_(0.0, config.initializer_range, generator=generator)
    return model


def save_policy(policy: Policy, folder: Path) -> None:
    """Saves an ordinary Hugging Face checkpoint folder, tokenizer included."""
    disable_progress_bar()  # type: ignore[no-untyped-call]  # it would tear the live display
    policy.model.save_pretrained(folder)
    policy.codec.tokenizer.save_pretrained(folder)


def _byte_tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({symbol: index for index, symbol in enumerate([*alphabet, END])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _fast(tokenizer)


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token=END, pad_token=END
    )
