"""Loading Hugging Face models, and knowing which ones the slot cache can serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ...tools.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_model(folder: str | Path, device: str | torch.device, dtype: str | torch.dtype) -> PreTrainedModel:
    """Loads a causal language model.

    Raises:
        InputError: If there is no model, or the device or the dtype does not exist.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    # Bars for files that are read in milliseconds would tear a live display.
    disable_progress_bar()  # type: ignore[no-untyped-call]
    kind = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(kind, torch.dtype):
        raise InputError(f"dtype must be float32, bfloat16 or float16, not {dtype!r}")
    if Path(folder).exists() and not (Path(folder) / "config.json").exists():
        raise InputError(f"{folder}: the model folder holds no config.json; give the folder of a saved model")
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(str(folder), dtype=kind)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: no model could be loaded ({str(error).splitlines()[0]})") from error
    try:
        model.to(device)  # type: ignore[arg-type]
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {str(device)!r} cannot be used ({str(error).splitlines()[0]})") from error
    return model


def refuse_unsupported(model: PreTrainedModel) -> None:
    """Refuses layers whose state is not one key and one value per token.

    Raises:
        InputError: Naming the layer type.
    """
    config = model.config.get_text_config()
    refusal = f"the transformers engine cannot serve {type(model).__name__}:"
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if not kinds and window is not None and getattr(config, "use_sliding_window", True):
        kinds = {"sliding_attention"}
    scaling = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    odd = sorted(kinds - {"full_attention"})
    if odd:
        raise InputError(f"{refusal} it has {odd[0]!r} layers; use the vllm engine")
    if scaling == "longrope":  # rotates every row by the longest one's length
        raise InputError(f"{refusal} its rope type is 'longrope'; use the vllm engine")
