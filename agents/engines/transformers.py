"""Hugging Face causal language models, decoded by a batched loop over a slot cache."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch

from ...envs.episode import FinishReason
from ...tools.errors import InputError
from .base import Generation, GenerationRequest, InferenceEngine
from .model_loading import load_model, refuse_unsupported
from .sampling import BatchSampler, UniformStream
from .slot import Slot
from .slot_cache import ATTENTION, SlotCache
from .stops import StopDetector

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from ..encoding import Codec

_SCATTERED = 0.75
"""Rows are read as one range of slots while this share of the range is at work; otherwise they are gathered."""


class TransformersEngine(InferenceEngine):
    """Decodes with any causal language model of `transformers` whose layers all have full attention.

    Requests join the running batch whenever a slot is free. The next request of a session continues in the slot that
    holds its tokens; the ids are compared, and a session that does not continue verbatim is computed afresh. Sessions
    that wait give way, least recently used first, when others need their slots. A request's tokens depend on the
    model, its ids and its sampling parameters; what shares the batch changes no more than float rounding.

    Args:
        model: The engine's own copy: it is set to evaluation mode and to the engine's attention function.
        codec: Decodes what was sampled and knows the ids that end a turn.
        slots: Most requests decoded at once.
        prefill_tokens: Most tokens, padding included, of one prefill pass.
        policy_version: Version of the weights that the model came with.

    Raises:
        InputError: If the model has layers that the cache cannot serve.
    """

    exact_tokens: ClassVar[bool] = True

    def __init__(
        self,
        model: PreTrainedModel,
        codec: Codec,
        slots: int = 64,
        *,
        prefill_tokens: int = 8192,
        policy_version: int = 0,
    ) -> None:
        super().__init__()
        if slots < 1 or prefill_tokens < 1:
            raise InputError(f"slots and prefill_tokens must be at least 1, not {slots} and {prefill_tokens}")
        refuse_unsupported(model)
        if model._supports_attention_backend:
            model.set_attn_implementation(ATTENTION)
        self.model, self.codec = model.train(False), codec
        self.policy_version = policy_version
        self.prefill_tokens = prefill_tokens
        config = model.config.get_text_config()
        self.max_context: int | None = getattr(config, "max_position_embeddings", None)
        self._device = model.device
        self._slots = [Slot(index) for index in range(slots)]
        self._cache = SlotCache(slots, config.num_hidden_layers, model.device, model.dtype)
        self._sessions: dict[str, Slot] = {}
        self._waiting: deque[GenerationRequest] = deque()
        self._active: list[Slot] = []
        self._refused: list[Generation] = []
        self._sampler: BatchSampler | None = None
        self._detectors: dict[tuple[str, ...], StopDetector] = {}
        self._steps = 0
        self._check_model()

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        codec: Codec,
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = torch.float32,
        **options: Any,
    ) -> Self:
        """Loads the model of a checkpoint folder (or of a name in the local Hugging Face cache).

        Args:
            folder: The folder.
            codec: See the class.
            device: Where to put the model.
            dtype: Of the weights, such as `float32` or `bfloat16`.
            options: Further arguments of the class.

        Raises:
            InputError: If there is no model or the device or the dtype does not exist.
        """
        return cls(load_model(folder, device, dtype), codec, **options)

    # The protocol of engines -----------------------------------------------------------------------------------

    def submit(self, request: GenerationRequest) -> None:
        """Queues a request; one that leaves no room in the context window comes back with an error."""
        length = len(request.token_ids)
        if length == 0:
            error = "the prompt has no tokens"
        elif self.max_context is not None and length >= self.max_context:
            error = f"the prompt's {length} tokens leave no room in the model's context of {self.max_context}"
        else:
            return self._waiting.append(request)
        self._refused.append(Generation(request.id, policy_version=self.policy_version, error=error))

    @property
    def pending(self) -> int:
        """Requests that have been submitted and not returned."""
        return len(self._waiting) + len(self._active) + len(self._refused)

    @torch.inference_mode()
    def step(self) -> list[Generation]:
        """Admits what fits, computes the new prompts, and samples a token for every request."""
        started = time.perf_counter()
        finished, self._refused = self._refused, []
        self._steps += 1
        admitted = self._admit()
        if admitted:
            for slots, logits in self._prefill(admitted):
                sampler = BatchSampler([slot.request.sampling for slot in slots if slot.request], self._device)
                finished += self._take(slots, logits, sampler)
        if self._active:
            finished += self._decode()
        self.statistics.seconds += time.perf_counter() - started
        return finished

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Copies weights into the model and drops all cached keys, values and sessions.

        Requests in progress start again from their prompts, so that no generation mixes two policies.

        Raises:
            InputError: If a weight is unknown, has another shape or is missing; the model then keeps what was copied.
        """
        own, loaded = self.model.state_dict(), set()
        with torch.no_grad():
            for name, tensor in weights:
                if name not in own:
                    raise InputError(f"the engine's model has no weight {name!r}, but {next(iter(own))!r} and others")
                if own[name].shape != tensor.shape:
                    raise InputError(
                        f"weight {name!r} has shape {tuple(tensor.shape)}, the engine's model {tuple(own[name].shape)}"
                    )
                own[name].copy_(tensor)
                loaded.add(own[name].data_ptr())
        missing = [name for name, _ in self.model.named_parameters() if own[name].data_ptr() not in loaded]
        if missing:
            raise InputError(f"{len(missing)} weights of the engine's model were not given, {missing[0]!r} among them")
        self.policy_version = version
        self._restart()

    def release(self, session: str) -> None:
        """Frees the slot of a session, at once or when its running request ends."""
        slot = self._sessions.pop(session, None)
        if slot is None:
            return
        if slot.request is None:
            slot.clear()
        else:
            slot.released = True

    def close(self) -> None:
        """Drops all requests and sessions and frees the cache."""
        self._restart()
        self._waiting.clear()
        self._refused.clear()
        self._cache.free()

    # Slots ------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _restart(self) -> None:
        running = [slot.request for slot in sorted(self._active, key=lambda slot: slot.used) if slot.request]
        self._waiting.extendleft(reversed(running))
        self._active, self._sampler = [], None
        self._sessions.clear()
        for slot in self._slots:
            slot.clear()
        self._cache.wipe()

    def _admit(self) -> list[Slot]:
        """Gives slots to waiting requests: first to those whose session holds one, then in order of arrival."""
        admitted, others = [], []
        for request in self._waiting:
            slot = self._sessions.get(request.session)
            if slot is not None and slot.request is None:
                admitted.append(self._occupy(slot, request))
            else:
                others.append(request)
        self._waiting = deque(others)
        idle = [slot for slot in self._slots if slot.request is None]
        # Empty slots first, the lowest of them; then the session that has waited longest.
        idle.sort(key=lambda slot: (slot.used, slot.index) if slot.session else (-1, slot.index), reverse=True)
        while idle and self._waiting:
            slot = idle.pop()
            self._sessions.pop(slot.session, None)
            slot.clear()
            admitted.append(self._occupy(slot, self._waiting.popleft()))
        return admitted

    def _occupy(self, slot: Slot, request: GenerationRequest) -> Slot:
        """Puts a request into a slot, keeping the keys and values of the tokens that it begins with."""
        ids, sampling = list(request.token_ids), request.sampling
        if slot.ids[: slot.length] != ids[: slot.length]:
            slot.length = 0
        slot.length = min(slot.length, len(ids) - 1)  # the last token must be computed: it predicts the next
        self.statistics.reused_tokens += slot.length
        self.statistics.prefilled_tokens += len(ids) - slot.length
        slot.ids, slot.prompt, slot.request, slot.logprobs = ids, len(ids), request, []
        slot.limit = sampling.max_tokens
        if self.max_context is not None:
            slot.limit = min(slot.limit, self.max_context - len(ids))
        slot.uniforms = UniformStream(sampling.seed)
        if sampling.stop not in self._detectors:
            self._detectors[sampling.stop] = StopDetector(sampling.stop, self.codec.decode)
        slot.stops = self._detectors[sampling.stop]
        slot.used = self._steps
        if request.session and request.session not in self._sessions:
            slot.session = request.session
            self._sessions[request.session] = slot
        return slot

    # Passes through the model ------------------------------------------------------------------------------------

    def _prefill(self, admitted: Sequence[Slot]) -> Iterable[tuple[list[Slot], torch.Tensor]]:
        """Computes prompts, several of similar length at once, long ones in pieces.

        Yields:
            Slots whose prompts are complete and the logits that follow them, `[slots, vocabulary]`.
        """
        open_slots = sorted(admitted, key=lambda slot: len(slot.ids) - slot.length)
        while open_slots:
            width = min(len(open_slots[-1].ids) - open_slots[-1].length, self.prefill_tokens)
            group: list[Slot] = []
            while open_slots and (len(group) + 1) * width <= self.prefill_tokens:
                if 4 * (len(open_slots[-1].ids) - open_slots[-1].length) < width:
                    break  # mostly padding
                group.append(open_slots.pop())
            group.sort(key=lambda slot: slot.index)
            counts = np.array([min(width, len(slot.ids) - slot.length) for slot in group])
            ids = np.zeros((len(group), width), dtype=np.int64)
            for row, (slot, count) in enumerate(zip(group, counts, strict=True)):
                ids[row, width - count :] = slot.ids[slot.length : slot.length + count]
            starts = np.array([slot.length for slot in group])
            # Tokens stand at the right end of the pass, so that its last column predicts for every row. The padding
            # before them is written behind them, where nothing reads it before it is overwritten.
            offsets = np.arange(width)[None] - (width - counts)[:, None]
            positions = starts[:, None] + np.where(offsets < 0, offsets + width, offsets)
            rows, reach = np.array([slot.index for slot in group]), int((starts + counts).max())
            logits = self._forward(rows, ids, positions, reach)
            for slot, count in zip(group, counts, strict=True):
                slot.length += int(count)
            complete = [row for row, slot in enumerate(group) if slot.length == len(slot.ids)]
            open_slots += [slot for slot in group if slot.length < len(slot.ids)]
            open_slots.sort(key=lambda slot: len(slot.ids) - slot.length)
            if complete:
                yield [group[row] for row in complete], logits[complete]

    def _decode(self) -> list[Generation]:
        """Computes the token that every running request sampled last, and samples the next."""
        slots = self._active
        first, last = slots[0].index, slots[-1].index
        rows = slots if len(slots) < _SCATTERED * (last + 1 - first) else self._slots[first : last + 1]
        # A slot without a request, inside the range, computes a token for nobody behind its own.
        ids = np.array([slot.ids[-1] if slot.request else 0 for slot in rows])[:, None]
        positions = np.array([slot.length for slot in rows])[:, None]
        reach = max(slot.length for slot in slots) + 1
        logits = self._forward(np.array([slot.index for slot in rows]), ids, positions, reach)
        if len(rows) > len(slots):
            logits = logits[torch.tensor([slot.index - first for slot in slots], device=self._device)]
        for slot in slots:
            slot.length += 1
        if self._sampler is None:
            self._sampler = BatchSampler([slot.request.sampling for slot in slots if slot.request], self._device)
        return self._take(slots, logits, self._sampler)

    def _forward(
        self, rows: NDArray[np.int64], ids: NDArray[np.int64], positions: NDArray[np.int64], reach: int
    ) -> torch.Tensor:
        """One pass through the model.

        Args:
            rows: Slot of each row, ascending, shape `[batch]`.
            ids: Shape `[batch, queries]`.
            positions: Where each token is written, same shape.
            reach: Positions that are read.

        Returns:
            Logits of the last column, shape `[batch, vocabulary]`.
        """
        mask = self._cache.aim(rows, positions, reach)
        if self.max_context is not None:
            positions = np.minimum(positions, self.max_context - 1)  # of padding alone
        output = self.model(
            input_ids=torch.from_numpy(ids).to(self._device),
            attention_mask=mask,
            position_ids=torch.from_numpy(positions).to(self._device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    # Ends --------------------------------------------------------------------------------------------------------

    def _take(self, slots: Sequence[Slot], logits: torch.Tensor, sampler: BatchSampler) -> list[Generation]:
        """Samples a token for each slot and returns the generations that end with it."""
        tokens, logprobs = sampler(logits, [slot.uniforms.next() for slot in slots])
        finished = []
        for slot, token, logprob in zip(slots, tokens, logprobs, strict=True):
            slot.ids.append(token)
            slot.logprobs.append(logprob)
            generation = self._ended(slot, token)
            if generation is not None:
                finished.append(generation)
        self.statistics.generated_tokens += len(slots)
        active = [slot for slot in self._slots if slot.request is not None and len(slot.ids) > slot.prompt]
        if finished or len(active) != len(self._active):
            self._active, self._sampler = active, None
        return finished

    def _ended(self, slot: Slot, token: int) -> Generation | None:
        """The slot's generation if it ends with this token."""
        assert slot.request is not None and slot.stops is not None
        if math.isnan(slot.logprobs[-1]):
            error = "the model's logits are not finite; the weights are broken, or the dtype is too narrow for them"
            generation = Generation(slot.request.id, policy_version=self.policy_version, error=error)
            self._cache.wipe(slot.index)
            self._sessions.pop(slot.session, None)
            slot.clear()
            return generation
        if token in self.codec.end_ids:
            return self._finish(slot, self.codec.decode(slot.ids[slot.prompt : -1]), "eos")
        if slot.stops.may_end(token):
            cut = slot.stops.cut(slot.ids, slot.prompt)
            if cut is not None:
                return self._finish(slot, cut[0], "stop", cut[1])
        if len(slot.ids) - slot.prompt >= slot.limit:
            return self._finish(slot, self.codec.decode(slot.ids[slot.prompt :]), "length")
        return None

    def _finish(self, slot: Slot, text: str, reason: FinishReason, surplus: int = 0) -> Generation:
        """Makes a slot's generation and lets the slot wait for the session's next request."""
        assert slot.request is not None
        sampled, logprobs = tuple(slot.ids[slot.prompt :]), tuple(slot.logprobs)
        generation = Generation(slot.request.id, sampled, logprobs, text, reason, surplus, self.policy_version)
        slot.request = None
        slot.used = self._steps
        if slot.released or not slot.session:
            slot.clear()
        return generation

    def _check_model(self) -> None:
        """Compares a cached pass of a few tokens with a plain one."""
        ids = np.arange(4)[None] % self.model.config.get_text_config().vocab_size
        row, positions = np.zeros(1, dtype=np.int64), np.arange(4)[None]
        try:
            with torch.inference_mode():
                plain = self.model(input_ids=torch.from_numpy(ids).to(self._device), use_cache=False).logits[0, -1]
                self._forward(row, ids[:, :3], positions[:, :3], 3)
                cached = self._forward(row, ids[:, 3:], positions[:, 3:], 4)[0]
                self._cache.wipe()
        except (TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            name, reason = type(self.model).__name__, (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"the transformers engine cannot run {name}: {reason}; use the vllm engine") from error
        scale = 1e-3 if self.model.dtype == torch.float32 else 0.1
        if not torch.allclose(plain, cached, rtol=scale, atol=scale * max(1.0, float(plain.abs().max()))):
            raise InputError(
                f"the transformers engine cannot serve {type(self.model).__name__}: its cached logits differ from the "
                "plain ones; use the vllm engine"
            )
