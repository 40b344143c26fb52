"""A run's report: one HTML file that needs no network, with everything the run wrote in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .run_folder import RunFolder
from .summary import run_summary

PAGE = Path(__file__).parent / "report_page"
MOST_TOKENS = 600_000
"""Tokens of trajectories that a report holds; of longer runs it takes episodes evenly over the steps."""


def write_report(run: RunFolder) -> Path:
    """Writes `report.html` into the run's folder.

    Args:
        run: The run; it may still be going on.

    Returns:
        The file.
    """
    run.write_text("report.html", report_html(report_data(run)))
    return run.path / "report.html"


def report_html(data: dict[str, Any]) -> str:
    """The page around the data of a report."""
    page = (PAGE / "page.html").read_text(encoding="utf-8")
    scripts = [(PAGE / name).read_text(encoding="utf-8") for name in ("charts.js", "trajectories.js", "page.js")]
    parts = {
        "STYLE": (PAGE / "style.css").read_text(encoding="utf-8"),
        "DATA": as_script_json(data),
        "SCRIPT": "\n".join(scripts),
    }
    for name, text in parts.items():
        before, _, after = page.partition(f"{{{{{name}}}}}")
        page = before + text + after
    return page


def as_script_json(data: Any) -> str:
    """JSON that may stand in a script element: no text in it can end the element or open a comment."""
    text = json.dumps(_finite(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def report_data(run: RunFolder) -> dict[str, Any]:
    """What a report shows, as JSON."""
    trajectories = list(run.read_trajectories())
    kept = _thin(trajectories, MOST_TOKENS)
    versions = run.path / "versions.json"
    return {
        "summary": run_summary(run),
        "metrics": run.metrics(),
        "evaluations": [_evaluation(one) for one in run.read_evaluations()],
        "recipe": (run.path / "recipe.toml").read_text(encoding="utf-8"),
        "versions": json.loads(versions.read_text(encoding="utf-8")) if versions.is_file() else {},
        "trajectories": [_compact(row) for row in kept],
        "texts": _token_texts(kept),
        "trajectories_stored": len(trajectories),
    }


def _evaluation(result: dict[str, Any]) -> dict[str, Any]:
    """An evaluation without its episodes, which lie in the run's folder."""
    return {key: value for key, value in result.items() if not isinstance(value, list)}


def _compact(row: dict[str, Any]) -> dict[str, Any]:
    """A stored row without the texts, which one table holds for all, and with short logprobs."""
    segments = [
        {
            "role": segment["role"],
            "turn": segment["turn"],
            "ids": segment["token_ids"],
            "logprobs": segment["logprobs"] and [round(value, 4) for value in segment["logprobs"]],
            "version": segment["policy_version"],
        }
        for segment in row["segments"]
    ]
    return {**row, "segments": segments}


def _token_texts(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Text of every token id that occurs."""
    return {
        str(token_id): text
        for row in rows
        for segment in row["segments"]
        for token_id, text in zip(segment["token_ids"], segment["texts"], strict=True)
    }


def _thin(rows: list[dict[str, Any]], most_tokens: int) -> list[dict[str, Any]]:
    """Whole episodes evenly over the run, so that their tokens stay within a bound."""
    tokens = sum(len(segment["token_ids"]) for row in rows for segment in row["segments"])
    if tokens <= most_tokens:
        return rows
    episodes = list(dict.fromkeys((row["stage"], row["step"], row["episode_id"]) for row in rows))
    count = max(1, math.floor(len(episodes) * most_tokens / tokens))
    kept = {episodes[index * len(episodes) // count] for index in range(count)}
    return [row for row in rows if (row["stage"], row["step"], row["episode_id"]) in kept]


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
