"""Tiny random models with byte-level tokenizers and ordinary chat templates, made on the spot."""

from __future__ import annotations

from pathlib import Path

QWEN_TEMPLATE = """\
{%- if messages[0].role == 'system' -%}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' -}}
{%- endif -%}
{%- set ns = namespace(last=messages|length - 1) -%}
{%- for message in messages -%}
{%- if message.role == 'user' and not message.content.startswith('<tool_response>') -%}
{%- set ns.last = loop.index0 -%}
{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{%- elif message.role == 'assistant' -%}
{%- set content = message.content -%}
{%- if loop.index0 < ns.last and '</think>' in content -%}
{%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{{- '<|im_start|>assistant\\n' + content + '<|im_end|>\\n' -}}
{%- elif message.role == 'tool' -%}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' -%}
{{- '<|im_start|>user' -}}
{%- endif -%}
{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' -}}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- else -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}"""
"""Like Qwen3: thoughts of assistant turns before the last question of a person are left out."""

LLAMA_TEMPLATE = """\
{{- '<|begin_of_text|>' -}}
{%- for message in messages -%}
{%- set role = 'ipython' if message.role == 'tool' else message.role -%}
{{- '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
{%- endif -%}"""
"""Like Llama 3: trims what a message says."""

_SPECIALS = {
    "qwen3": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "llama": ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
}

_WORDS = (
    "<think> </think> <search> </search> <result> </result> <information> </information> <answer> </answer>\n\n "
    "<tool_call> </tool_call> search query Who wrote the first book of the author? Thought: Action: Observation: "
    "Where was the mayor born? I need to look that up. The answer is 42.\n```python\nprint(42)\n```\n"
)


def make_tokenizer(kind="qwen3", chat=True, extra_tokens=(), vocabulary=512):
    """A byte-level BPE tokenizer.

    `extra_tokens` are strings that become single tokens by merges of their own, as training on text would make them.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    # Without a splitting pattern, so that tokens such as ">\n\n" may span what words would split.
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not extra_tokens)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(_SPECIALS[kind]),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([*extra_tokens] * 50 or [_WORDS] * 2, trainer)
    bos, eos = (
        (None, "<|im_end|>" if chat else "<|endoftext|>")
        if kind == "qwen3"
        else (
            "<|begin_of_text|>",
            "<|eot_id|>" if chat else "<|end_of_text|>",
        )
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=bos,
        eos_token=eos,
        pad_token=_SPECIALS[kind][0 if kind == "qwen3" else 1],
        additional_special_tokens=list(_SPECIALS[kind]),
    )
    if chat:
        tokenizer.chat_template = QWEN_TEMPLATE if kind == "qwen3" else LLAMA_TEMPLATE
    return tokenizer


def make_model(kind="qwen3", vocabulary=512, *, seed=0, layers=2, width=32, context=2048, spread=0.3, tied=True):
    """A random model with weights from a generator of its own."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM
    from transformers.initialization import no_init_weights

    families = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}
    config_class, model_class = families[kind]
    config = config_class(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=max(8, width // 4),
        max_position_embeddings=context,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=None,
    )
    with no_init_weights():
        model = model_class(config)
    model.tie_weights()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, spread, generator=generator)
    return model.eval()


def save_tiny(folder: Path, kind="qwen3", **options) -> Path:
    """A model and its tokenizer in an ordinary Hugging Face folder."""
    tokenizer = make_tokenizer(kind)
    model = make_model(kind, len(tokenizer), **options)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
