"""Every shipped recipe runs as it is, with a model of one's own and fewer episodes."""

import pytest

from toolgym.trainers import RunFolder, load_recipe, recipe_names, train
from toolgym.trainers.recipe import ColdStart, Evaluate, Grpo

FEW_TOKENS = {"max_turns": 2, "max_turn_tokens": 12, "max_tokens": 200, "max_context": None}


def shortened(name, folder):
    recipe = load_recipe(name, [f"model={folder}", "device=cpu", "dtype=float32", "threads=1", "evaluation.tasks=2"])
    stages = []
    for stage in recipe.stage:
        few = {
            Evaluate: {},
            Grpo: {"steps": 1, "tasks_per_step": 2, "group_size": 2, "minibatches": 1},
            ColdStart: {"steps": 1, "demonstrations": 2, "batch_size": 2},
        }
        stages.append(stage.model_copy(update=few[type(stage)]))
    return recipe.model_copy(update={"stage": stages, "limits": {**recipe.limits, **FEW_TOKENS}})


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_runs(name, tiny_folder, tmp_path):
    recipe = shortened(name, tiny_folder)
    summary = train(recipe, tmp_path / "run")
    lines = RunFolder.open(summary.folder).metrics()
    trained = [stage.name for stage in recipe.stage if not isinstance(stage, Evaluate)]
    assert [line["stage"] for line in lines] == trained
    assert trained or not list((tmp_path / "run" / "checkpoints").iterdir())
    assert {result["stage"] for result in summary.evaluations} == {stage.name for stage in recipe.stage}
    assert all(line["failed_episodes"] == 0 for line in lines if "failed_episodes" in line)
