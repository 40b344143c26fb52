"""All checks, in the order of the table, and picking some by name."""

from __future__ import annotations

from collections.abc import Sequence

from ..formats.names import unknown_name
from . import contract, determinism, parsing, schemas, state, tasks
from .base import Check
from .canaries import CANARIES, Canary

CHECKS: tuple[Check, ...] = (
    tasks.task_ids,
    tasks.task_by_id,
    tasks.prompt_asks,
    tasks.answers_are_not_told,
    contract.order_of_calls,
    contract.endings,
    contract.budgets,
    contract.rewards,
    contract.info_is_json,
    contract.observations_are_text,
    contract.record_is_complete,
    contract.render_is_the_transcript,
    contract.double_close,
    determinism.same_seed_alone,
    determinism.seeds_differ,
    determinism.episodes_leave_nothing,
    determinism.same_seed_interleaved,
    determinism.same_seed_on_threads,
    determinism.same_seed_in_a_vector,
    determinism.same_seed_in_another_process,
    determinism.global_random_state,
    state.spawn_shares_no_episode,
    state.fork,
    state.snapshot,
    state.pickling,
    schemas.messages_and_tools_are_openai,
    schemas.schemas_against_execution,
    schemas.observations_are_bounded,
    parsing.parser_fuzz,
    parsing.parse_time,
    tasks.oracle,
    tasks.verdicts_repeat,
    tasks.forged_observations_earn_nothing,
)
"""Each stops a defect that somebody has shipped: `Check.stops` says which, `Check.seen` where."""


def picked(only: Sequence[str] | None) -> tuple[tuple[Check, ...], tuple[Canary, ...]]:
    """Checks and canaries by name; all where nothing is asked for. `canaries` stands for all canaries.

    Raises:
        InputError: For a name that neither a check nor a canary has.
    """
    if only is None:
        return CHECKS, CANARIES
    known = {check.name for check in CHECKS} | {canary.name for canary in CANARIES} | {"canaries"}
    for name in only:
        if name not in known:
            raise unknown_name("check", name, known)
    checks = tuple(check for check in CHECKS if check.name in only)
    return checks, tuple(canary for canary in CANARIES if canary.name in only or "canaries" in only)
