"""The learner: one optimizer, one update at a time, the same gradient however the batch is cut."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .batching import Layout, MicroBatch, TrainingRow, micro_batches
from .logprobs import TokenLogprobs, token_logprobs
from .recipe import Optimizer

TokenLoss = Callable[[MicroBatch, TokenLogprobs], Tensor]
"""Loss of each trained token of a micro-batch, shape (N,), before it is weighted."""


class Update(NamedTuple):
    """What an optimizer step did: the weighted loss, the gradient's norm before clipping, and the learning rate."""

    loss: float
    gradient_norm: float
    lr: float


class Learner:
    """Holds the model that is trained, its optimizer and schedule.

    Args:
        model: A Hugging Face causal language model with fp32 (or fp64) master weights.
        settings: Optimizer and schedule.
        total_steps: Optimizer steps of the stage, for schedules that end.
        device: Where to train.
        dtype: Compute precision; `bfloat16` runs the forward pass under autocast.

    Attributes:
        model: The model.
        optimizer: AdamW.
        scheduler: Learning-rate schedule.
    """

    def __init__(
        self, model: Any, settings: Optimizer, total_steps: int, *, device: str = "cpu", dtype: str = "float32"
    ) -> None:
        self.model = model.to(device)
        self.settings, self.device, self.dtype = settings, device, dtype
        decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        plain = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, _schedule(settings, total_steps))

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The compute precision, as a context."""
        if self.dtype == "bfloat16":
            return torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def logprobs(
        self, rows: Sequence[TrainingRow], token_budget: int, layout: Layout, temperature: float
    ) -> list[Tensor]:
        """Logprobs of each row's trained tokens under the current weights, without gradient.

        Returns:
            One tensor per row, shape (trained tokens,).
        """
        result: dict[int, Tensor] = {}
        with torch.no_grad(), self.autocast():
            for batch in micro_batches(rows, token_budget, layout=layout, device=self.device):
                values = token_logprobs(self.model, batch, temperature=temperature).logprobs
                counts = [rows[index].trained_count for index in batch.rows]
                result.update(zip(batch.rows, torch.split(values, counts), strict=True))
        return [result[index] for index in range(len(rows))]

    def accumulate(
        self, rows: Sequence[TrainingRow], loss: TokenLoss, token_budget: int, layout: Layout, temperature: float
    ) -> float:
        """Adds the gradient of `sum(weight * loss)` over the rows; returns the sum.

        The weights were fixed for the whole optimizer step, so that nothing depends on how the rows are cut.
        """
        total = 0.0
        for batch in micro_batches(rows, token_budget, layout=layout, device=self.device):
            with self.autocast():
                scored = token_logprobs(self.model, batch, temperature=temperature)
            weighted = (batch.weights.to(scored.logprobs.dtype) * loss(batch, scored)).sum()
            weighted.backward()  # type: ignore[no-untyped-call]
            total += float(weighted.detach())
        return total

    def update(
        self, rows: Sequence[TrainingRow], loss: TokenLoss, token_budget: int, layout: Layout, temperature: float = 1.0
    ) -> Update:
        """One optimizer step on rows that carry their weights.

        Raises:
            FloatingPointError: If the gradient is not finite; the weights are left as they were.
        """
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = self.accumulate(rows, loss, token_budget, layout, temperature)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_gradient_norm)
        if not math.isfinite(float(norm)):
            raise FloatingPointError(f"the gradient norm is {float(norm)}; lower the learning rate or clip harder")
        lr = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.scheduler.step()
        return Update(total, float(norm), lr)

    def state(self) -> dict[str, Any]:
        """Optimizer and schedule, for a checkpoint."""
        return {"optimizer": self.optimizer.state_dict(), "scheduler": self.scheduler.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continues from a checkpoint's optimizer and schedule."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])


def _schedule(settings: Optimizer, total_steps: int) -> Callable[[int], float]:
    def share(step: int) -> float:
        if step < settings.warmup_steps:
            return (step + 1) / settings.warmup_steps
        if settings.schedule == "constant":
            return 1.0
        progress = min(1.0, (step - settings.warmup_steps) / max(1, total_steps - settings.warmup_steps))
        left = 1.0 - progress if settings.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
        return settings.final_lr_share + (1.0 - settings.final_lr_share) * left

    return share
