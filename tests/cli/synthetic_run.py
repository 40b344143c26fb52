"""A run folder as a training would leave it, made without training."""

import math
import random
from pathlib import Path

from toolgym.agents.intervals import wilson_interval
from toolgym.agents.trajectory import Outcome, Role, Segment, Trajectory
from toolgym.envs.episode import StopReason
from toolgym.trainers.recipe import load_recipe
from toolgym.trainers.run_folder import RunFolder

HOSTILE = '</script><script>document.title="broken"</script><!--'
TEXTS = [
    HOSTILE,
    *"<|im_end|> \n\n <think> I need the capital of Norland . </think> <search> </search> <answer> </answer>".split(
        " "
    ),
    *(
        f" {word}"
        for word in "Doc 1 Title The river of Norland is Elva and its mayor was Marit Holm 1902 unknown".split()
    ),
    "\n",
    " ",
    "\t",
    "é",
    "\ufffd",
    "  ",
]


class WordCodec:
    """Decodes ids as words."""

    def decode(self, token_ids):
        return "".join(TEXTS[token_id] for token_id in token_ids)


def make_row(draw: random.Random, index: int, demonstration: bool = False) -> Trajectory:
    score = float(draw.random() < 0.5)
    outcome = Outcome(
        episode_id=f"e{index}",
        task_id=f"world-{index // 4}",
        group_id=f"world-{index // 4}",
        reward=score,
        score=score,
        reward_terms={"exact_match": score, "format": 0.1},
        stop_reason=StopReason.ANSWER if draw.random() < 0.8 else StopReason.MAX_TURNS,
        answer="Elva" if score else HOSTILE,
        turns=2,
    )
    words = lambda count: tuple(draw.randrange(1, len(TEXTS)) for _ in range(count))  # noqa: E731
    segments = [Segment(Role.PROMPT, (0, *words(30)))]
    for turn in (1, 2):
        ids = words(draw.randrange(12, 40))
        logprobs = None if demonstration else tuple(-draw.expovariate(2.0) for _ in ids)
        segments.append(Segment(Role.ACTION, ids, logprobs, turn, None if demonstration else 3))
        if turn == 1:
            segments.append(Segment(Role.OBSERVATION, (0, *words(40)), turn=1))
    row = Trajectory(outcome, segments)
    row.advantage = None if demonstration else draw.gauss(0, 1)
    row.trainable = draw.random() < 0.9
    return row


def grpo_metrics(draw: random.Random, step: int, steps: int, global_step: int) -> dict[str, float]:
    share = step / steps
    reward = 0.25 + 0.5 * share + draw.gauss(0, 0.03)
    generate, tools, train = draw.uniform(2, 2.6), draw.uniform(0.2, 0.4), draw.uniform(1.2, 1.6)
    return {
        "global_step": global_step,
        "reward_mean": reward,
        "reward_std": 0.4 - 0.1 * share,
        "reward/exact_match": reward,
        "score_mean": reward,
        "turns_mean": 2 + share,
        "calls_mean": 1 + share,
        "call_failure_rate": 0.08 * (1 - share),
        "calls/ok": 180 + 60 * share,
        "calls/error": 12 * (1 - share),
        "tool/search/calls": 192 + 48 * share,
        "tool/search/ok": 180 + 60 * share,
        **{f"tool/search/{kind}": 0 for kind in ("unknown_tool", "bad_arguments", "error", "budget", "unavailable")},
        "tool/search/timeout": 12 * (1 - share),
        "tool/search/retries": 0,
        "tool/search/omitted_characters": 0,
        "tool_seconds/search/queue": 0.0,
        "tool_seconds/search/latency_p50": 0.002,
        "tool_seconds/search/latency_p95": 0.009,
        "stop/answer": 110 + 15 * share,
        "stop/max_turns": 12 * (1 - share),
        "stop/no_action": 6 * (1 - share),
        "fault/unclosed": 5 * (1 - share),
        "fault/no_action": 6 * (1 - share),
        "action_tokens_mean": 48 + 20 * share + draw.gauss(0, 1),
        "observation_tokens_mean": 40 + 18 * share,
        "entropy": 0.6 * math.exp(-2 * share) + 0.05,
        "kl": 0.002 + 0.03 * share,
        "clip_fraction_low": 0.01 + 0.01 * draw.random(),
        "clip_fraction_high": 0.02 + 0.01 * draw.random(),
        "gradient_norm": 0.5 + 0.3 * draw.random(),
        "lr": 3e-4,
        "loss": draw.gauss(0, 0.01),
        "sampler_trainer_logprob_difference": 1e-6 * (1 + draw.random()),
        "sampler_trainer_logprob_difference_max": 4e-5 * (1 + draw.random()),
        "weight_check_difference": 0.0,
        "zero_variance_groups": 4 + 6 * share,
        "groups": 16,
        "failed_episodes": 0,
        "trained_tokens": 5200 + 500 * share,
        "seconds": generate + train + 0.1,
        "seconds/generate": generate,
        "seconds/tools": tools,
        "seconds/train": train,
        "seconds/sync": 0.05,
        "tokens_per_second": 2100 + draw.gauss(0, 60),
        "hidden_tool_share": 0.9 + 0.05 * draw.random(),
    }


def make_run(path: Path, cold: int = 60, grpo: int = 80) -> RunFolder:
    """A finished run of the quickstart recipe with `cold` + `grpo` steps."""
    recipe = load_recipe("quickstart", [f"stage.cold_start.steps={cold}", f"stage.grpo.steps={grpo}"])
    run = RunFolder.create(path, recipe)
    draw, codec = random.Random(0), WordCodec()
    for step in range(1, cold + 1):
        loss = 3 * math.exp(-4 * step / cold) + 0.2 + draw.gauss(0, 0.02)
        line = {"global_step": step, "loss": loss, "gradient_norm": 1.0, "lr": 3e-3 * (1 - step / cold)}
        run.append_metrics(
            "cold_start",
            step,
            {**line, "trained_tokens": 3000, "seconds": 0.4, "seconds/train": 0.4, "tokens_per_second": 7000.0},
        )
    for step in range(1, grpo + 1):
        run.append_metrics("grpo", step, grpo_metrics(draw, step, grpo, cold + step))
    points = [("cold_start", cold, 0.21)]
    points += [
        ("grpo", step, 0.25 + 0.5 * step / grpo) for step in range(max(1, grpo // 4), grpo + 1, max(1, grpo // 4))
    ]
    for stage, step, score in points:
        interval = wilson_interval(round(score * 256), 256)
        run.write_evaluation(
            stage,
            step,
            {
                "global_step": step if stage == "cold_start" else cold + step,
                "score": round(score * 256) / 256,
                "score_low": interval.low,
                "score_high": interval.high,
                "reward": score,
                "tasks": 256,
                "seconds": 9.5,
                "stop_reasons": {"answer": 240, "max_turns": 16},
                "records": [],
            },
        )
    run.write_trajectories("cold_start", 1, [make_row(draw, index, True) for index in range(4)], codec)
    for step in (1, grpo // 2, grpo):
        run.write_trajectories("grpo", step, [make_row(draw, 100 * step + index) for index in range(8)], codec)
    return run
