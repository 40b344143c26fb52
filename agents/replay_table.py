"""Rescored episodes for a terminal: what changed, and by how much."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .replay import PairedDifference, Replay, RescoredEpisode
from .results import one_line


def replay_table(replay: Replay, title: str, listed: Sequence[RescoredEpisode], limit: int) -> RenderableType:
    """A replay for a terminal.

    Args:
        replay: What was found.
        title: What was scored with what.
        listed: Episodes for the list, in its order.
        limit: Most of them that are shown.
    """
    summary = Table(show_header=False)
    summary.add_column(style="dim", no_wrap=True)
    summary.add_column()
    found = replay.as_json([])
    summary.add_row("episodes", f"{found['episodes']}, of {found['tasks']} tasks")
    changed = f"{found['changed']} ({found['changed_rewards']} rewards, {found['changed_scores']} scores)"
    summary.add_row("changed", Text(changed, style="bold"))
    summary.add_row("mean reward", _difference(replay.reward))
    summary.add_row("mean score", _difference(replay.score))
    parts: list[RenderableType] = [Text(title, style="bold"), summary]
    if listed[:limit]:
        parts.append(_episodes(listed[:limit]))
    if len(listed) > limit:
        parts.append(Text(f"{len(listed) - limit} more episodes are not shown (--limit N, --out FILE)", style="dim"))
    return Group(*parts)


def _episodes(episodes: Sequence[RescoredEpisode]) -> Table:
    table = Table()
    table.add_column("episode", no_wrap=True)
    table.add_column("task", overflow="ellipsis", no_wrap=True, max_width=28)
    table.add_column("reward", no_wrap=True)
    table.add_column("score", no_wrap=True)
    table.add_column("terms that changed", max_width=44)
    table.add_column("answer", overflow="ellipsis", no_wrap=True, max_width=28)
    for one in episodes:
        terms = ", ".join(f"{name} {_number(old)} → {_number(new)}" for name, (old, new) in one.changed_terms.items())
        answer = f"({one.stop_reason})" if one.answer is None else one_line(one.answer)
        earned = _pair(one.old_reward, one.reward), _pair(one.old_score, one.score)
        cells = (one.episode_id, one.task_id, *earned, terms, answer)
        table.add_row(*map(Text, cells), style="bold" if one.changed else "dim")
    return table


def _difference(paired: PairedDifference) -> str:
    low, high, _ = paired.interval
    span = f"[{low:+.3f}, {high:+.3f}]  95 %, paired {paired.interval.method} over tasks"
    return f"{paired.old:.3f} → {paired.new:.3f}  difference {paired.difference:+.3f}  {span}"


def _pair(old: float, new: float) -> str:
    return _number(new) if _number(old) == _number(new) else f"{_number(old)} → {_number(new)}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
