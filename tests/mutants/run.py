"""Breaks the code in named ways, one at a time, in a copy, and sees whether a test notices.

    python tests/mutants/run.py             all mutants
    python tests/mutants/run.py kl clip     those whose names hold one of the words

Each mutant replaces one piece of text and runs the tests that are expected to catch it. A mutant that survives, a piece
of text that is gone, or a test that fails without any mutant makes the exit status 1.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest
import torch
import transformers  # loaded once for all forks, like its models
import transformers.models.llama.modeling_llama
import transformers.models.qwen3.modeling_qwen3  # noqa: F401
from rich.console import Console
from rich.table import Column, Table

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("src", "envs", "agents", "tools", "trainers", "benchmarks", "tests")
MASKS, ENGINE, ROLLOUT = "agents/test_masks.py", "agents/test_transformers_engine.py", "agents/test_rollout.py"
ADVANTAGES, OBJECTIVES, BATCHING = (f"trainers/test_{name}.py" for name in ("advantages", "objectives", "batching"))
LAYERS, SESSIONS = "tools/test_sandbox_layers.py", "tools/test_recorded_sessions.py"
PLAIN = "envs/test_plain_steps.py"
VECTOR, GROUPS, PARTS = "envs/test_vector.py", "envs/test_vector_groups.py", "envs/test_vector_parts.py"
LOGPROBS, LEARNER, GRPO, RESUME = (f"trainers/test_{name}.py" for name in ("logprobs", "learner", "grpo", "resume"))


class Mutant(NamedTuple):
    """One breakage: in a file, `old` becomes `new`, and one of `tests` (under tests/) must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        "mask off by one",
        "trainers/batching.py",
        "column_index=(columns - 1).to(device)",
        "column_index=columns.to(device)",
        (f"{BATCHING}::test_a_micro_batch_by_hand",),
    ),
    Mutant(
        "packed rows see each other",
        "trainers/batching.py",
        "torch.cat([torch.arange(length) for length in lengths])[None]",
        "torch.arange(sum(lengths))[None]",
        (f"{LOGPROBS}::test_packed_rows_do_not_see_each_other",),
    ),
    Mutant(
        "observation trained as action",
        "agents/trajectory.py",
        "self.trainable and segment.role is Role.ACTION for",
        "self.trainable and segment.role is not Role.PROMPT for",
        (f"{BATCHING}::test_a_row_by_hand", f"{MASKS}::test_masks_with_tokens_counted_by_hand"),
    ),
    Mutant(
        "end mark of the framework trained",
        "agents/rollout.py",
        "            play.append(Role.OBSERVATION, extension.token_ids)\n",
        "            play.append(Role.ACTION, extension.token_ids[:1])\n"
        "            play.append(Role.OBSERVATION, extension.token_ids[1:])\n",
        (f"{MASKS}::test_masks_with_tokens_counted_by_hand", f"{MASKS}::test_every_token_has_its_author[hermes-qwen3]"),
    ),
    Mutant(
        "history re-tokenised",
        "agents/rollout.py",
        "token_ids=tuple(play.rows[-1].token_ids),",
        "token_ids=self.codec.encode_text(self.codec.decode(play.rows[-1].token_ids)),",
        (f"{ROLLOUT}::test_a_random_policy_never_breaks_a_law[text-search_r1]",),
    ),
    Mutant(
        "surplus ids dropped",
        "agents/engines/transformers.py",
        "sampled, logprobs = tuple(slot.ids[slot.prompt :]), tuple(slot.logprobs)",
        "cut = len(slot.ids) - (surplus > 0)\n"
        "        sampled, logprobs = tuple(slot.ids[slot.prompt : cut]), tuple(slot.logprobs)[: cut - slot.prompt]",
        ("agents/test_stops.py",),
    ),
    Mutant(
        "special tokens meant in what a tool wrote",
        "agents/encoding.py",
        "add_special_tokens=False, split_special_tokens=True)",
        "add_special_tokens=False, split_special_tokens=False)",
        (f"{MASKS}::test_special_tokens_in_contents_are_text[research-qwen3]",),
    ),
    Mutant(
        "temperature missing in the trainer",
        "trainers/logprobs.py",
        "logits = logits / temperature",
        "logits = logits / 1.0",
        (f"{LOGPROBS}::test_in_double_precision_they_are_exact", f"{GRPO}::test_sampler_and_trainer_agree[padded-0.7]"),
    ),
    Mutant(
        "temperature missing in the sampler's logprobs",
        "agents/engines/sampling.py",
        "logprobs = (scaled.gather(-1, tokens) - top).double() - total.log()",
        "logprobs = logits.log_softmax(-1).gather(-1, tokens).double()",
        (f"{GRPO}::test_sampler_and_trainer_agree[padded-0.7]",),
    ),
    Mutant(
        "engine never gets the new weights",
        "trainers/run.py",
        "self._engine.load_weights(weights, self.counters.policy_version)",
        "list(weights)",
        (f"{GRPO}::test_the_engine_has_the_new_weights_after_a_step",),
    ),
    Mutant(
        "cache of the old weights kept",
        "agents/engines/transformers.py",
        "        self.policy_version = version\n        self._restart()\n",
        "        self.policy_version = version\n",
        (f"{ENGINE}::test_new_weights_leave_nothing_of_the_old",),
    ),
    Mutant(
        "weights not checked after the update",
        "trainers/run.py",
        "if difference > _WEIGHT_TOLERANCE[self.recipe.dtype]:",
        "if difference < 0:",
        (f"{GRPO}::test_an_engine_that_keeps_its_old_weights_is_found_out",),
    ),
    Mutant(
        "baseline over the batch",
        "trainers/grpo.py",
        "groups = {episode: outcomes[episode].group_id for episode in rewards}",
        'groups = dict.fromkeys(rewards, "batch")',
        (f"{GRPO}::test_the_advantage_is_taken_within_the_group",),
    ),
    Mutant(
        "failed episode counted as reward 0",
        "trainers/grpo.py",
        '        if outcome.stop_reason is StopReason.FAILED:\n            return "drop"\n',
        "",
        (f"{GRPO}::test_failed_episodes_are_left_out_of_the_baseline",),
    ),
    Mutant(
        "biased standard deviation",
        "trainers/advantages.py",
        "values.std(ddof=ddof)",
        "values.std(ddof=0)",
        (f"{ADVANTAGES}::test_one_winner_of_four",),
    ),
    Mutant(
        "clip bounds swapped",
        "trainers/objectives.py",
        "ratio.clamp(1.0 - clip_low, 1.0 + clip_high)",
        "ratio.clamp(1.0 - clip_high, 1.0 + clip_low)",
        (f"{OBJECTIVES}::test_the_two_bounds_are_apart",),
    ),
    Mutant(
        "KL with the wrong sign",
        "trainers/objectives.py",
        "difference = logprobs - reference_logprobs",
        "difference = reference_logprobs - logprobs",
        (f"{OBJECTIVES}::test_kl_estimators_by_hand",),
    ),
    Mutant(
        "rows instead of episodes as units",
        "trainers/objectives.py",
        "lengths[episode] = lengths.get(episode, 0) + count",
        "lengths[episode] = count",
        (f"{OBJECTIVES}::test_aggregations_by_hand",),
    ),
    Mutant(
        "denominator of the micro-batch",
        "trainers/learner.py",
        "weighted = (batch.weights.to(scored.logprobs.dtype) * loss(batch, scored)).sum()",
        "weighted = loss(batch, scored).mean()",
        (f"{LEARNER}::test_the_gradient_does_not_depend_on_the_cut[token_mean]",),
    ),
    Mutant(
        "resume skips tasks",
        "trainers/loop.py",
        "for step in range(first_step, settings.steps):",
        "for step in range(first_step + (first_step > 0), settings.steps):",
        (f"{RESUME}::test_an_interrupted_run_goes_on_with_the_same_tasks_and_numbers",),
    ),
    Mutant(
        "resume forgets the optimizer",
        "trainers/loop.py",
        "stage.learner.load_state(learner_state)",
        "pass",
        (f"{RESUME}::test_an_interrupted_run_goes_on_with_the_same_tasks_and_numbers",),
    ),
    Mutant(
        "system calls are not filtered",
        "tools/sandbox/inside/confinement.py",
        "            self._filter.restrict()",
        "            pass",
        (f"{LAYERS}::test_calls_that_are_not_on_the_list_fail",),
    ),
    Mutant(
        "the fork server stays root",
        "tools/sandbox/inside/confinement.py",
        "                become_nobody()\n        _unshare",
        "                pass\n        _unshare",
        (f"{LAYERS}::test_roots_sessions_are_nobody_to_the_machine",),
    ),
    Mutant(
        "the private root can be written",
        "tools/sandbox/inside/root.py",
        "read_only = linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID",
        "read_only = linux.MOUNT_ATTR_NOSUID",
        (f"{LAYERS}::test_without_landlock_the_private_root_still_guards_the_files",),
    ),
    Mutant(
        "threads without a cap",
        "tools/sandbox/inside/confinement.py",
        "        (resource.RLIMIT_NPROC, limits.threads),\n",
        "",
        (f"{LAYERS}::test_memory_threads_and_descriptors_are_capped",),
    ),
    Mutant(
        "passages with a tie pruned away",
        "tools/retrievers/maxscore.py",
        "keep = scores >= np.partition(scores, -k)[-k]",
        "keep = scores > np.partition(scores, -k)[-k]",
        ("tools/test_maxscore.py",),
    ),
    Mutant(
        "ranks fused from zero",
        "tools/retrievers/hybrid.py",
        "enumerate(ranking, 1)",
        "enumerate(ranking)",
        ("tools/test_hybrid.py",),
    ),
    Mutant(
        "a dead server becomes an observation",
        "tools/guard.py",
        "except (ToolUnavailable, KeyboardInterrupt):",
        "except KeyboardInterrupt:",
        ("tools/test_unruly_tools.py::test_a_tool_that_is_gone_says_which_it_is",),
    ),
    Mutant(
        "recorded calls forget those before them",
        "tools/recorded_tools.py",
        'request = {**request, "after": self._last}',
        'request = {**request, "after": ""}',
        (f"{SESSIONS}::test_a_recorded_session_is_the_session",),
    ),
    Mutant(
        "a recorded session goes on from another state",
        "tools/recorded_tools.py",
        "if _digest(self._tool.tape.as_kept(structs.asdict(result))) != made.digest:",
        "if False:",
        (f"{SESSIONS}::test_an_earlier_call_that_now_gives_something_else_is_an_error",),
    ),
    Mutant(
        "forks share the episode's record",
        "envs/state.py",
        "None if self._episode is None else self._episode.copy()",
        "self._episode",
        ("envs/test_state.py::test_copies_share_no_mutable_state",),
    ),
    Mutant(
        "any snapshot is restored",
        "envs/state.py",
        "    if differing:\n",
        "    if False:\n",
        ("envs/test_state.py::test_a_snapshot_of_another_environment_is_refused_and_changes_nothing",),
    ),
    Mutant(
        "stored surrogates become one character",
        "envs/episode_json.py",
        "if text.isascii() or not _PAIR.search(text):",
        "if text:",
        ("envs/test_episode_json.py::test_two_surrogates_side_by_side_stay_two",),
    ),
    Mutant(
        "a group is never judged",
        "trainers/grpo.py",
        "        self._judge_groups()\n        metrics = rollout_metrics",
        "        metrics = rollout_metrics",
        ("trainers/test_group_rewards.py::test_a_real_step_trains_on_what_the_group_earned",),
    ),
    Mutant(
        "episodes outlive the steps that a resumption forgets",
        "trainers/run_folder.py",
        "(self.trajectories, self.episodes, self.evaluations):\n            for path",
        "(self.trajectories, self.evaluations):\n            for path",
        ("trainers/test_recorded_run.py::test_what_is_logged_after_a_checkpoint_is_forgotten_with_its_episodes",),
    ),
    Mutant(
        "plain steps know no limit",
        "envs/plain_steps.py",
        "if lone is None or self._left < 1 or",
        "if lone is None or",
        (f"{PLAIN}::test_an_episode_is_the_same_either_way",),
    ),
    Mutant(
        "plain steps pass over a time limit set after reset",
        "envs/plain_steps.py",
        "if tool.timeout is not None or tool.policy is not self._policy or",
        "if tool.policy is not self._policy or",
        (f"{PLAIN}::test_a_time_limit_that_is_set_between_two_steps_is_kept[by hand]",),
    ),
    Mutant(
        "the short way is inherited",
        "envs/formats/single.py",
        'cls.lone_call = vars(cls).get("lone_call")',
        "pass",
        (f"{PLAIN}::test_a_format_that_reads_otherwise_does_not_inherit_the_short_way",),
    ),
    Mutant(
        "a fork takes the plain steps of its parent",
        "envs/plain_steps.py",
        "self._episode is not episode or ",
        "",
        (f"{PLAIN}::test_copies_go_their_own_way[fork]",),
    ),
    Mutant(
        "the last observation of an episode is dropped",
        "envs/vector/env.py",
        'info = {"final_obs": step.observation, "final_info": step.info, **info}',
        'info = {"final_info": step.info, **info}',
        (f"{VECTOR}::test_every_vector_gives_what_each_environment_gives_alone",),
    ),
    Mutant(
        "two groups may draw the same task",
        "envs/vector/groups.py",
        "drawn.add(task_id)",
        "pass",
        (f"{GROUPS}::test_a_group_shares_task_and_seed_and_no_two_groups_do",),
    ),
    Mutant(
        "one environment's exception is everybody's",
        "envs/vector/env.py",
        "step = _lost(env, index, error)",
        "raise",
        (f"{VECTOR}::test_one_broken_environment_costs_its_own_episode_alone",),
    ),
    Mutant(
        "slow steps wait for each other",
        "envs/vector/work.py",
        "here = 1 if left else len(pieces)",
        "here = len(pieces)",
        (f"{VECTOR}::test_the_latencies_of_tools_overlap",),
    ),
    Mutant(
        "a forked process removes the texts of its parent",
        "envs/text_memory.py",
        "if os.getpid() == process:",
        "if process:",
        (f"{PARTS}::test_the_folder_goes_with_the_memory_and_with_nothing_else",),
    ),
    Mutant(
        "a bool passes for an integer",
        "tools/arguments.py",
        '"integer": (int,),',
        '"integer": (int, bool),',
        ("tools/test_arguments.py",),
    ),
)


def main(words: list[str]) -> int:
    """Runs the mutants whose names hold one of the words; returns the exit status."""
    if any(name.partition(".")[0] == "toolgym" for name in sys.modules):
        raise SystemExit("toolgym is loaded already; the copies would not be what is tested")
    torch.set_num_threads(1)
    console = Console()
    chosen = [mutant for mutant in MUTANTS if not words or any(word.lower() in mutant.name.lower() for word in words)]
    table = Table("mutant", "file", Column("caught by", overflow="fold"), "seconds")
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "copy"
        _copy(copy)
        started = time.perf_counter()
        tests = sorted({test for mutant in chosen for test in mutant.tests})
        failed, output = _run(copy, tests, stop=False)
        if failed:
            console.print(output, markup=False)
            console.print("These tests fail without any mutant; nothing was tried.")
            return 1
        console.print(f"{len(tests)} tests pass as they are ({time.perf_counter() - started:.0f} s)")
        for mutant in chosen:
            started = time.perf_counter()
            caught = _try(copy, mutant)
            wrong += not caught.startswith("tests/")
            seconds = f"{time.perf_counter() - started:.0f}"
            console.print(f"{mutant.name}: {caught} ({seconds} s)", markup=False, soft_wrap=True)
            table.add_row(mutant.name, mutant.file, caught.removeprefix("tests/"), seconds)
    console.print(table)
    console.print(f"{len(chosen) - wrong} of {len(chosen)} mutants caught")
    return 1 if wrong else 0


def _try(copy: Path, mutant: Mutant) -> str:
    """Applies a mutant, runs its tests and takes it back; the test that caught it, or what went wrong."""
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        return f"THE TEXT TO REPLACE IS THERE {source.count(mutant.old)} TIMES"
    path.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        failed, _ = _run(copy, mutant.tests, stop=True)
    finally:
        path.write_text(source, encoding="utf-8")
    return failed or "SURVIVED"


def _run(copy: Path, tests: tuple[str, ...] | list[str], *, stop: bool) -> tuple[str, str]:
    """Runs tests in the copy; the first failed one ("" if all pass), and the output.

    A mutant is caught by a test that fails, not by one that cannot be collected.
    """
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "--timeout=120",
        "--tb=short",
        "-Wignore::pytest.PytestAssertRewriteWarning",
        *(["-x"] if stop else []),
    ]
    log = copy.parent / "output.txt"
    child = os.fork()
    if not child:
        _become_pytest(copy, log, [*options, *(f"tests/{test}" for test in tests)])
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    output = log.read_text(encoding="utf-8", errors="replace")
    if status == 0:
        return "", output
    found = re.search(r"^FAILED (\S+?)(?:\[.*|\s|$)", output, re.MULTILINE)
    return (found[1] if found else f"NO TEST RAN (exit status {status})"), output


def _become_pytest(copy: Path, log: Path, arguments: list[str]) -> NoReturn:
    """In a forked process, which has torch and its kin loaded already, but nothing of ours."""
    status = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(copy)
        sys.path.insert(0, str(copy / "src"))
        sys.dont_write_bytecode = True  # a mutant may have the size and the second of what it replaces
        status = int(pytest.main(arguments))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _copy(target: Path) -> None:
    """Copies what is needed to import and test; links inside the tree stay links."""
    for name in COPIED:
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
