"""Whether known solutions run correctly in the sandbox: GSM8K's calculations, HumanEval's and MBPP's programs.

    python -m toolgym.benchmarks.code_solutions --gsm8k FOLDER --humaneval FILE --mbpp FILE

Every row runs in a fresh session with all layers on. GSM8K: the annotated calculations of the solution (`<<6*7=42>>`)
run as a program; each has to give the annotated value, and the last one the answer. HumanEval and MBPP: the reference
solution with its tests. A row that does not pass runs again at isolation "process": what fails there in the same way is
a fault of the data, anything else one of the sandbox, and the exit code is 1.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ..envs import read_rows
from ..envs.python_math import ANNOTATION, FINAL, python_expression, solution_code
from ..tools.sandbox import Isolation, Outcome, Sandbox, SandboxLimits, isolation_report
from .measuring import run_command

RESULTS = Path(__file__).parent / "results" / "code_solutions"
LIMITS = SandboxLimits(wall_seconds=60, cpu_seconds=60)
PASSED = "passed"
SAME = "the same"


@dataclass(frozen=True)
class Solution:
    """A program and what it has to print.

    Attributes:
        name: Of the row.
        code: The program.
        steps: For a solution in calculations: each one as annotated, with the value given for it.
        answer: The last value that has to be printed; None when the tests in the program decide.
    """

    name: str
    code: str
    steps: tuple[tuple[str, str], ...] = ()
    answer: str | None = None


@dataclass(frozen=True)
class Failure:
    """A row that did not pass.

    Attributes:
        name: Of the row.
        reason: What was wrong in the sandbox.
        unconfined_reason: What was wrong at isolation "process"; `SAME` for the same.
    """

    name: str
    reason: str
    unconfined_reason: str


def main(
    gsm8k: Annotated[Path | None, typer.Option(help="Folder with train.jsonl.gz and test.jsonl.gz.")] = None,
    humaneval: Annotated[Path | None, typer.Option(help="HumanEval's rows.")] = None,
    mbpp: Annotated[Path | None, typer.Option(help="MBPP's rows.")] = None,
    output: Annotated[Path, typer.Option(help="Result file.")] = RESULTS / "results.json",
) -> None:
    """Runs all rows of the sets given and lists those that do not pass."""
    sets: dict[str, Iterator[Solution]] = {}
    if gsm8k is not None:
        for split in ("train", "test"):
            sets[f"gsm8k-{split}"] = map(from_gsm8k, read_rows(gsm8k, split))
    if humaneval is not None:
        sets["humaneval"] = map(from_humaneval, read_rows(humaneval))
    if mbpp is not None:
        sets["mbpp"] = map(from_mbpp, read_rows(mbpp))
    results = {name: run_all(name, solutions) for name, solutions in sets.items()}
    output.parent.mkdir(parents=True, exist_ok=True)
    layers = {layer.name: layer.active for layer in isolation_report("sandbox")}
    output.write_text(
        json.dumps({"python": sys.version.split()[0], "layers": layers, "sets": results}, indent=1) + "\n"
    )
    raise typer.Exit(any(result["sandbox_faults"] for result in results.values()))


def run_all(name: str, solutions: Iterator[Solution]) -> dict[str, Any]:
    """Runs all solutions of a set and prints those that do not pass."""
    start, rows, failures = time.monotonic(), 0, list[Failure]()
    for solution in solutions:
        rows += 1
        reason = verdict(solution, "sandbox")
        if reason == PASSED:
            continue
        unconfined = verdict(solution, "process")
        failures.append(Failure(solution.name, reason, SAME if unconfined == reason else unconfined))
        typer.echo(f"{name} {solution.name}: {reason}")
    faults = [failure for failure in failures if failure.unconfined_reason != SAME]
    kinds = Counter(failure.reason.partition(":")[0] for failure in failures)
    seconds = time.monotonic() - start
    typer.echo(f"{name}: {rows - len(failures):,} of {rows:,} passed in {seconds:.0f} s; {dict(kinds)}")
    typer.echo(f"{name}: {len(faults)} faults of the sandbox, {len(failures) - len(faults)} of the data")
    return {
        "rows": rows,
        "passed": rows - len(failures),
        "data_faults": len(failures) - len(faults),
        "sandbox_faults": len(faults),
        "kinds": dict(kinds),
        "seconds": round(seconds, 1),
        "failures": [asdict(failure) for failure in failures],
    }


def verdict(solution: Solution, isolation: Isolation) -> str:
    """`passed`, or what was wrong: a kind, a colon, and the details."""
    if not solution.code:
        return "no calculation: the solution has no annotation"
    with Sandbox(isolation, LIMITS) as sandbox:
        execution = sandbox.run(solution.code)
    if execution.outcome is not Outcome.OK:
        return f"{execution.outcome}: {execution.output.strip().splitlines()[-1]}"
    if solution.answer is None:
        return PASSED
    printed = execution.output.split()
    if len(printed) != len(solution.steps):
        return f"misprint: {len(printed)} values for {len(solution.steps)} calculations"
    for value, (expression, annotated) in zip(printed, solution.steps, strict=True):
        if not agrees(value, annotated):
            return f"wrong annotation: {expression}={annotated}, and Python says {value}"
    if not agrees(printed[-1], solution.answer):
        return f"unfinished: the last calculation gives {printed[-1]}, the answer is {solution.answer}"
    return PASSED


def agrees(value: str, written: str) -> bool:
    """Whether a printed value is what people wrote, which may be rounded to the digits that they gave."""
    text = python_expression(written)
    try:
        number = float(text)
    except ValueError:
        # A percentage or a fraction: two numbers at most, and a sign between them.
        parts = text.strip("()").split("/")
        try:
            number = float(parts[0]) / float(parts[1])
        except (ValueError, IndexError, ZeroDivisionError):
            return False
    decimals = len(text.partition(".")[2]) if text.replace(".", "").isdigit() else 6
    return abs(float(value) - number) <= 0.5 * 10.0**-decimals * (1 + 1e-9) + 1e-9 * abs(number)


def from_gsm8k(row: Mapping[str, Any]) -> Solution:
    """The calculations of a row with `id`, `solution` and `answer`."""
    solution = str(row["solution"])
    steps = tuple((match[1], match[2]) for match in ANNOTATION.finditer(solution))
    final = FINAL.search(solution)
    answer = final[1] if final is not None else str(row["answer"])
    return Solution(str(row["id"]), solution_code(solution), steps, answer)


def from_humaneval(row: Mapping[str, Any]) -> Solution:
    """The reference solution and its check."""
    program = f"{row['prompt']}{row['canonical_solution']}\n{row['test']}\ncheck({row['entry_point']})\n"
    return Solution(str(row["task_id"]), program)


def from_mbpp(row: Mapping[str, Any]) -> Solution:
    """The reference solution, what its tests need set up, and the tests."""
    parts = [row["code"], row["test_setup_code"], *row["test_list"], *row["challenge_test_list"]]
    return Solution(f"MBPP/{row['task_id']}", "\n".join(parts))


if __name__ == "__main__":
    run_command(main)
