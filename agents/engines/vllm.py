"""vLLM in this process: the CUDA build on GPUs, the CPU build elsewhere.

Importing this module does not import vLLM. Making an engine does, after setting these environment variables where
they are unset: `VLLM_ENABLE_V1_MULTIPROCESSING=0` (everything happens in this process), `VLLM_LOGGING_LEVEL=ERROR` and
`VLLM_NO_USAGE_STATS=1`.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch

from ...envs.episode import FinishReason
from ...tools.errors import InputError
from .base import Generation, GenerationRequest, InferenceEngine
from .stops import StopDetector
from .vllm_setup import check_build, first_line, model_length, plain_cpu_kernels, shut_down, untouched_process_state

if TYPE_CHECKING:
    from ..encoding import Codec

_CPU_BLOCK = 32
"""Tokens of a cache block: the smallest that the CPU attention is fast with, so that short turns are reused too."""
_GIB = 2**30


@dataclass
class _Running:
    """A request inside vLLM.

    Attributes:
        request: As submitted.
        stops: Finds its stop strings.
        ids: Prompt and sampled ids.
        logprobs: Of the sampled ids.
    """

    request: GenerationRequest
    stops: StopDetector
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def restart(self) -> None:
        """Forgets what was sampled."""
        self.ids, self.logprobs = list(self.request.token_ids), []

    @property
    def sampled(self) -> list[int]:
        """The ids sampled so far."""
        return self.ids[len(self.request.token_ids) :]


class VllmEngine(InferenceEngine):
    """Decodes with vLLM's own scheduler, paged cache and prefix cache.

    Logprobs are those of the distribution that was sampled from, temperature and truncation included. A request's
    random stream depends on its seed alone; what shares the batch changes no more than float rounding. New weights
    are copied in place, and every key and value of the old ones is dropped.

    Args:
        model_folder: Checkpoint folder in Hugging Face format (or a name in the local Hugging Face cache).
        codec: Decodes what was sampled and knows the ids that end a turn.
        dtype: Of weights and cache.
        slots: Most requests decoded at once.
        max_model_len: Most tokens in a row; None takes the model's.
        prefill_tokens: Most tokens of one prefill pass; at least `max_model_len` is used on the CPU, where vLLM cannot
            split the prompt of a seeded request.
        kv_cache_gb: Size of the cache; None means 1 on the CPU and, on a GPU, what `memory_fraction` leaves.
        memory_fraction: Share of the GPU's memory for weights and cache together, without `kv_cache_gb`.
        compiled: Whether vLLM compiles the model and captures graphs: minutes of start, faster decoding on a GPU.
        device: `cpu` or `cuda`, to insist on one; None takes what the installed build of vLLM is for.
        policy_version: Version of the weights that the folder holds.

    Raises:
        InputError: If vLLM is missing, is built for another device, or cannot serve the model.
    """

    exact_tokens: ClassVar[bool] = True
    _alive: ClassVar[int] = 0
    _found_process_group: ClassVar[bool] = False

    def __init__(
        self,
        model_folder: str | Path,
        codec: Codec,
        *,
        dtype: Literal["float32", "bfloat16"] = "float32",
        slots: int = 64,
        max_model_len: int | None = None,
        prefill_tokens: int = 8192,
        kv_cache_gb: float | None = None,
        memory_fraction: float = 0.4,
        compiled: bool = False,
        device: str | None = None,
        policy_version: int = 0,
    ) -> None:
        super().__init__()
        if slots < 1 or prefill_tokens < 1 or (kv_cache_gb is not None and kv_cache_gb <= 0):
            raise InputError(
                f"slots and prefill_tokens must be at least 1 and kv_cache_gb above 0, "
                f"not {slots}, {prefill_tokens} and {kv_cache_gb}"
            )
        self.codec, self.policy_version = codec, policy_version
        self.on_cpu = check_build(device)
        if kv_cache_gb is None and self.on_cpu:
            kv_cache_gb = 1.0
        options: dict[str, Any] = {
            "model": str(model_folder),
            "dtype": dtype,
            "max_model_len": max_model_len,
            "max_num_seqs": slots,
            "max_num_batched_tokens": max(prefill_tokens, slots),
            "enforce_eager": not compiled,
            "logprobs_mode": "processed_logprobs",
            "enable_prefix_caching": True,
            "async_scheduling": False,
            "skip_tokenizer_init": True,
            "generation_config": "vllm",
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
            "gpu_memory_utilization": memory_fraction,
            "kv_cache_memory_bytes": None if kv_cache_gb is None else int(kv_cache_gb * _GIB),
        }
        self._seed_bits = 32 if self.on_cpu else 63  # the CPU generator reads no more
        self._engine: Any = self._build(options)
        model_config = self._engine.model_config
        self.max_context: int | None = int(model_config.max_model_len)
        self._vocabulary = int(model_config.get_vocab_size())
        self._shapes = _checkpoint_shapes(Path(model_folder))
        self._tied = bool(getattr(model_config.hf_text_config, "tie_word_embeddings", False))
        self._end_ids = sorted(codec.end_ids)
        self._running: dict[str, _Running] = {}
        self._refused: list[Generation] = []
        self._detectors: dict[tuple[str, ...], StopDetector] = {}

    def _build(self, options: dict[str, Any]) -> Any:
        from vllm import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        if self.on_cpu:
            # vLLM rewinds the generator of a seeded request whose prompt it splits, which CPU generators cannot do.
            length = model_length(options, EngineArgs)
            options["max_num_batched_tokens"] = max(options["max_num_batched_tokens"], length)
            options |= {"enable_chunked_prefill": False, "block_size": _CPU_BLOCK}
        if VllmEngine._alive == 0:
            VllmEngine._found_process_group = torch.distributed.is_initialized()
        with untouched_process_state(), plain_cpu_kernels() if self.on_cpu else contextlib.nullcontext():
            try:
                engine = LLMEngine.from_engine_args(EngineArgs(**options))
            except ValueError as error:  # what vLLM raises for models and lengths that it cannot serve
                raise InputError(f"vLLM cannot serve {options['model']}: {first_line(error)}") from error
        VllmEngine._alive += 1
        return engine

    # The protocol of engines -----------------------------------------------------------------------------------

    def submit(self, request: GenerationRequest) -> None:
        """Queues a request; one that leaves no room in the context window comes back with an error."""
        if request.id in self._running:
            raise ValueError(f"request {request.id!r} is already running")
        stop, length = request.sampling.stop, len(request.token_ids)
        if length == 0:
            self._refuse(request, "the prompt has no tokens")
        elif self.max_context is not None and length >= self.max_context:
            self._refuse(request, f"the prompt's {length} tokens leave no room in the context of {self.max_context}")
        elif not 0 <= min(request.token_ids) <= max(request.token_ids) < self._vocabulary:
            self._refuse(request, f"the prompt has ids outside the model's vocabulary of {self._vocabulary}")
        else:
            if stop not in self._detectors:
                self._detectors[stop] = StopDetector(stop, self.codec.decode)
            self._admit(_Running(request, self._detectors[stop]))

    @property
    def pending(self) -> int:
        """Requests that have been submitted and not returned."""
        return len(self._running) + len(self._refused)

    def step(self) -> list[Generation]:
        """Samples a token for every request that fits, new prompts included, and returns what ended."""
        started = time.perf_counter()
        finished, self._refused = self._refused, []
        aborted: list[str] = []
        if self._running:
            # On the CPU, vLLM draws from the global generator at every step and throws the numbers away.
            with torch.random.fork_rng(devices=[], enabled=self.on_cpu):
                outputs = self._engine.step()
            for output in outputs:
                generation = self._take(output)
                if generation is None:
                    continue
                finished.append(generation)
                del self._running[generation.request_id]
                if not output.finished:
                    aborted.append(generation.request_id)
        if aborted:
            self._engine.abort_request(aborted)
        self.statistics.seconds += time.perf_counter() - started
        return finished

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Copies weights into the model and drops all cached keys and values.

        Requests in progress start again from their prompts, so that no generation mixes two policies.

        Raises:
            InputError: If a weight is unknown, has another shape or is missing, or the model's layout does not allow
                updates; the model then keeps what was copied.
        """
        if self._running:
            self._engine.abort_request(list(self._running))
        try:
            self._copy(weights)
        finally:
            self._drop_cache()
            running, self._running = list(self._running.values()), {}
            for entry in running:
                self._admit(entry)
        self.policy_version = version

    def close(self) -> None:
        """Shuts vLLM down and frees its memory; requests that are running are dropped."""
        if self._engine is None:
            return
        VllmEngine._alive -= 1
        engine, self._engine = self._engine, None
        self._running, self._refused = {}, []
        shut_down(engine, last=VllmEngine._alive == 0, foreign_group=VllmEngine._found_process_group)

    # Requests ---------------------------------------------------------------------------------------------------

    def _refuse(self, request: GenerationRequest, error: str) -> None:
        self._refused.append(Generation(request.id, policy_version=self.policy_version, error=error))

    def _admit(self, entry: _Running) -> None:
        """Hands a request to vLLM, from its prompt."""
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        entry.restart()
        request, sampling = entry.request, entry.request.sampling
        assert self.max_context is not None
        params = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            seed=_fold(sampling.seed, self._seed_bits),
            max_tokens=min(sampling.max_tokens, self.max_context - len(entry.ids)),
            stop_token_ids=self._end_ids,
            ignore_eos=True,  # the end ids above are the codec's
            logprobs=0,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )
        try:
            self._engine.add_request(request.id, TokensPrompt(prompt_token_ids=list(request.token_ids)), params)
        except ValueError as error:  # ids outside the vocabulary, for one
            return self._refuse(request, f"vLLM refused the request: {first_line(error)}")
        self._running[request.id] = entry

    def _take(self, output: Any) -> Generation | None:
        """Adds what vLLM sampled to its request and returns the generation if it ended."""
        entry, completion = self._running[output.request_id], output.outputs[0]
        if not entry.logprobs and completion.token_ids:
            reused = output.num_cached_tokens or 0
            self.statistics.reused_tokens += reused
            self.statistics.prefilled_tokens += len(entry.ids) - reused
        for token, candidates in zip(completion.token_ids, completion.logprobs or (), strict=True):
            self.statistics.generated_tokens += 1
            entry.ids.append(int(token))
            entry.logprobs.append(float(candidates[token].logprob))
            generation = self._ended(entry)
            if generation is not None:
                return generation
        if not output.finished:
            return None
        if completion.finish_reason != "length":
            error = f"vLLM ended the request with {completion.finish_reason!r}"
            return Generation(entry.request.id, policy_version=self.policy_version, error=error)
        return self._finish(entry, self.codec.decode(entry.sampled), "length")

    def _ended(self, entry: _Running) -> Generation | None:
        """The generation if it ends with the last token for another reason than its length."""
        token = entry.ids[-1]
        if math.isnan(entry.logprobs[-1]):
            error = "the model's logits are not finite; the weights are broken, or the dtype is too narrow for them"
            return Generation(entry.request.id, policy_version=self.policy_version, error=error)
        if token in self.codec.end_ids:
            return self._finish(entry, self.codec.decode(entry.sampled[:-1]), "eos")
        if entry.stops.may_end(token):
            cut = entry.stops.cut(entry.ids, len(entry.request.token_ids))
            if cut is not None:
                return self._finish(entry, cut[0], "stop", cut[1])
        return None

    def _finish(self, entry: _Running, text: str, reason: FinishReason, surplus: int = 0) -> Generation:
        ids, logprobs = tuple(entry.sampled), tuple(entry.logprobs)
        return Generation(entry.request.id, ids, logprobs, text, reason, surplus, self.policy_version)

    # Weights ----------------------------------------------------------------------------------------------------

    def _copy(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Copies weights into vLLM's model and checks that every one of it was given."""
        given: set[str] = set()

        def load(model: torch.nn.Module) -> list[str]:
            if self.on_cpu and any(parameter.ndim > 2 for parameter in model.parameters()):
                raise InputError("vLLM's CPU build packs this model's experts, so that its weights cannot be replaced")
            with torch.no_grad():
                loaded = model.load_weights(self._checked(weights, given))  # type: ignore[operator]
            return [name for name, _ in model.named_parameters() if name not in loaded]

        try:
            missing: list[str] = self._engine.apply_model(load)[0]
        except (ValueError, KeyError, AssertionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"vLLM's model does not take these weights: {first_line(error)}") from error
        missing += [name for name in self._shapes if name not in given and not (self._tied and _is_head(name))]
        if missing:
            raise InputError(f"{len(missing)} weights of the engine's model were not given, {missing[0]!r} among them")

    def _checked(
        self, weights: Iterable[tuple[str, torch.Tensor]], given: set[str]
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """The weights, each held against the name and the shape that the checkpoint has for it."""
        for name, tensor in weights:
            if self._tied and _is_head(name):
                continue
            if self._shapes and name not in self._shapes:
                raise InputError(f"the engine's model has no weight {name!r}, but {next(iter(self._shapes))!r}")
            expected = self._shapes.get(name)
            if expected is not None and expected != tuple(tensor.shape):
                raise InputError(f"weight {name!r} has shape {tuple(tensor.shape)}, the engine's model {expected}")
            given.add(name)
            yield name, tensor.detach()

    def _drop_cache(self) -> None:
        if not self._engine.reset_prefix_cache():
            raise RuntimeError("vLLM kept its prefix cache, whose keys and values belong to the old weights")


def _checkpoint_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each weight in a folder's safetensors files; empty if it has none."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        shapes |= {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    return shapes


def _fold(seed: int, bits: int) -> int:
    """A seed of `bits` bits that depends on every bit of the given one."""
    folded, rest = 0, abs(seed)
    while rest:
        folded ^= rest & ((1 << bits) - 1)
        rest >>= bits
    return folded


def _is_head(name: str) -> bool:
    return name.endswith("lm_head.weight")
