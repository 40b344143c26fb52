"""Inference engines: `transformers`, `vllm`, `openai` and `scripted`, all behind `base.InferenceEngine`.

Each is imported from its own module, or by name from `toolgym.agents`, so that none pulls in what another needs.
"""
