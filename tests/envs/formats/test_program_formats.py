"""ReTool, ToRL and SimpleTIR, action by action; expectations worked out from the published rollouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from toolgym.envs.episode import Action, StopReason
from toolgym.envs.formats import action_format
from toolgym.envs.limits import Limits
from toolgym.envs.python_math import PythonMathEnv
from toolgym.tools.base import ToolCall, ToolResult, ToolStatus

CALL = ToolCall("python", {"code": "x"})
TRACEBACK = (
    'Traceback (most recent call last):\n  File "<cell 1>", line 2, in <module>\n    1/0\nZeroDivisionError: zero\n'
)
SYNTAX = '  File "<cell 1>", line 1\n    1+\n      ^\nSyntaxError: invalid syntax\n'
EXITED = "SystemExit: 3\n"
KILLED = "TimeoutError: killed after 2 seconds. The interpreter was restarted: its variables and files are lost."


def python(code: str) -> list[tuple[str, dict[str, Any]]]:
    return [("python", {"code": code})]


def render(name: str, output: str, status: ToolStatus = ToolStatus.OK) -> str:
    return action_format(name).render([CALL], [ToolResult(status, output)])


CODE = [
    ("t\n<code>\n```python\nprint(1)\n```\n</code>", "", python("print(1)"), None, set()),
    ("<code>```python print(1)```</code>", "", python("print(1)"), None, set()),
    # What follows the last ```python of the turn runs, wherever <code> stands; fences in it go.
    ("```python\na\n```\n<code>\n```python\nb\n```\n</code>", "", python("b"), None, set()),
    ("```python\na\n```\n</code>", "", python("a"), None, {"misplaced"}),
    ("<code>```python\nprint(1)\n</code>", "", python("print(1)"), None, {"unclosed"}),
    ("<code>```python\na\n```\nb\n```</code>", "", python("a\n\nb"), None, set()),
    # Without that fence, what follows the last <code>.
    ("<code>print(1)</code>", "", python("print(1)"), None, set()),
    ("<code>```py\na\n\nb```</code>", "", python("a\n\nb"), None, set()),
    ("<code>```\n  indented\n```</code>", "", python("indented"), None, set()),
    ("<code>a</code>", " <code>b</code>", python("a"), None, {"text_after_action"}),
    ("<code>```</code>", "", [], None, {"bad_call"}),
    ("<code>```python\n```</code>", "", [], None, {"bad_call"}),
    ("<code> </code>", "", [], None, {"bad_call"}),
    # The last turn: its last box, or else its first answer block.
    ("<answer>\n\\boxed{4}\n</answer>", "", [], "4", set()),
    ("\\boxed{3} or <answer>\\boxed{4}</answer>", "", [], "4", set()),
    ("\\boxed{4}", "", [], "4", set()),
    ("<answer>4</answer>", "", [], "4", set()),
    ("<answer>4</answer> done", "", [], "4", {"text_after_action"}),
    ("```python\nprint(1)\n```", "", [], None, {"no_action"}),
    ("<code>print(1)", "", [], None, {"no_action", "unclosed"}),
    (
        "<code>a</code>",
        "\n<interpreter>4</interpreter>",
        python("a"),
        None,
        {"forged_observation", "text_after_action"},
    ),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), CODE)
def test_retool(
    read: Callable[..., Any], text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]
) -> None:
    assert read("code", text + surplus) == (text, surplus, calls, answer, faults)


def test_retool_answers_a_turn_without_a_program(parse: Callable[..., Any]) -> None:
    assert parse("code", "<code></code>").reply == "\n<interpreter>\nNone</interpreter>\n\n"
    assert parse("code", "<code>a</code>").reply is None is parse("code", "nothing").reply


@pytest.mark.parametrize(
    ("output", "status", "shown"),
    [
        (" 42 \n", ToolStatus.OK, "42"),
        ("", ToolStatus.OK, ""),
        ("1\n" + TRACEBACK, ToolStatus.ERROR, "ZeroDivisionError: zero"),
        ("a" * 400, ToolStatus.OK, "a" * 400),
        ("a" * 201 + "b" * 200, ToolStatus.OK, "a" * 200 + "..." + "b" * 200),
        ("1\n" + KILLED, ToolStatus.TIMEOUT, "Timeout Error"),
        ("a\n" + EXITED, ToolStatus.ERROR, "SystemExit: 3"),
        ("Unknown tool 'x'.", ToolStatus.UNKNOWN_TOOL, "Unknown tool 'x'."),
    ],
)
def test_retool_shows_the_ends_of_outputs_and_the_last_line_of_errors(
    output: str, status: ToolStatus, shown: str
) -> None:
    assert render("code", output, status) == f"\n<interpreter>\n{shown}</interpreter>\n\n"


OUTPUT = "```output"

TORL = [
    ("t\n```python\nprint(1)\n```\n", OUTPUT, python("print(1)"), None, set()),
    # The last block, whose fences are whole lines' beginnings or, to open, ends.
    ("```python\na\n```\nt ```python\nb\nc\n```\n", OUTPUT, python("b\nc"), None, set()),
    ("```python\na\n```\n```\nb\n```\n", OUTPUT, python("a"), None, set()),
    ("```python\n\n```\n", OUTPUT, python(""), None, set()),
    ("```python\na\n```\n", f"{OUTPUT}\n5\n```\n", python("a"), None, {"forged_observation", "text_after_action"}),
    # Left open, empty, or none at all.
    ("```python\na\n```\n```python\nb\n", OUTPUT, [], None, {"bad_call"}),
    ("```python\n```\n", OUTPUT, [], None, {"bad_call"}),
    ("```py\na\n```\n", OUTPUT, [], None, {"bad_call"}),
    ("t ", OUTPUT, [], None, {"bad_call"}),
    # A turn that ends otherwise is the last one.
    ("```python\na\n```\n", "", [], None, {"no_action"}),
    ("So \\boxed{3}, no, \\boxed{4}.", "", [], "4", set()),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), TORL)
def test_torl(
    read: Callable[..., Any], text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]
) -> None:
    assert read("torl", text + surplus) == (text, surplus, calls, answer, faults)


def test_torl_closes_an_output_block_without_a_program(parse: Callable[..., Any]) -> None:
    assert parse("torl", "t ```output").reply == "```output\n\n```\n"
    assert parse("torl", "```python\na\n```\n```output").reply is None is parse("torl", "t").reply


def test_torl_neither_stops_nor_calls_in_its_last_turn() -> None:
    made = action_format("torl")
    text = "```python\na\n```\n```output\n5\n```\nSo \\boxed{5}"
    parsed = made.parse_final(Action(text))
    assert (made.stop, made.final_stop) == (("```output",), ())
    assert (parsed.text, parsed.calls, parsed.answer) == (text, (), "5")
    assert [fault.value for fault in parsed.faults] == ["forged_observation"]


@pytest.mark.parametrize(
    ("output", "status", "shown"),
    [
        (" 42 \n", ToolStatus.OK, "42"),
        ("1\n2\n", ToolStatus.OK, "1\n2"),
        # Only the last line of what holds the word "Error", printed or not.
        (TRACEBACK, ToolStatus.ERROR, "ZeroDivisionError: zero"),
        (SYNTAX, ToolStatus.ERROR, "SyntaxError: invalid syntax"),
        ("No Error\nhere \n", ToolStatus.OK, "here"),
        # What a failed program printed is all that is shown.
        ("1\n" + TRACEBACK, ToolStatus.ERROR, "1"),
        ("a\n" + EXITED, ToolStatus.ERROR, "a"),
        (EXITED, ToolStatus.ERROR, "SystemExit: 3"),
        # The report follows a last line that was not ended.
        ("1" + TRACEBACK, ToolStatus.ERROR, "1"),
        ("a\nb" + EXITED, ToolStatus.ERROR, "a\nb"),
        # Nothing printed counts as a time limit passed.
        ("", ToolStatus.OK, "timeout_decorator.timeout_decorator.TimeoutError: 'Timed Out'"),
        (" \n", ToolStatus.OK, "timeout_decorator.timeout_decorator.TimeoutError: 'Timed Out'"),
        (KILLED, ToolStatus.TIMEOUT, "timeout_decorator.timeout_decorator.TimeoutError: 'Timed Out'"),
        ("1\n" + KILLED, ToolStatus.TIMEOUT, "1"),
        # 256 characters are too many by one.
        ("a" * 255, ToolStatus.OK, "a" * 255),
        ("a" * 128 + "b" * 128, ToolStatus.OK, "a" * 128 + "..." + "b" * 128),
    ],
)
def test_torl_observations(output: str, status: ToolStatus, shown: str) -> None:
    assert render("torl", output, status) == f"```output\n{shown}\n```\n"


SIMPLETIR = [
    ("t\n```python\nprint(1)\n```", "\n", python("print(1)"), None, set()),
    ("t ```py\n  print(1)\n\n```", "", python("print(1)"), None, set()),
    ("```\na\n```", "\n", python("a"), None, set()),
    ("```python\na\n```", " and ```python\nb\n```", python("a"), None, {"text_after_action"}),
    # A fence opens at a line's end and closes at a line's start; one that closed another kind of block opens, too.
    ("```python a\n```\nb\n```", "", python("b"), None, set()),
    ("```json\n{}\n```\nfoo\n```", "", python("foo"), None, set()),
    ("```python\na```\nb\n```", "", python("a```\nb"), None, set()),
    ("```python\n\n```", "", python(""), None, set()),
    # A box before the program does not keep it from running.
    ("\\boxed{3}\n```python\na\n```", "\n", python("a"), None, set()),
    ("So \\boxed{3}, no, \\boxed{4}.", "", [], "4", set()),
    ("So \\boxed{3", "", [], "", set()),
    # Void turns.
    ("t", "", [], None, {"no_action"}),
    ("```python\na", "", [], None, {"no_action", "unclosed"}),
    ("```python\n```", "", [], None, {"no_action", "unclosed"}),
    ("\nCode execution result: 4\n", "", [], None, {"no_action", "forged_observation"}),
    ("```python\na\n```", "\nCode execution result: 4", python("a"), None, {"forged_observation", "text_after_action"}),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), SIMPLETIR)
def test_simpletir(
    read: Callable[..., Any], text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]
) -> None:
    assert read("simpletir", text + surplus) == (text, surplus, calls, answer, faults)


def test_simpletir_goes_on_with_a_program_whose_bare_fence_stopped_the_engine(
    parse: Callable[..., Any], read: Callable[..., Any]
) -> None:
    begun = "I calculate:\n```\n"
    assert parse("simpletir", begun).reply == ""
    assert parse("simpletir", begun, "stop", "User Question:\nQ").reply == ""
    assert read("simpletir", "print(1)\n```\n", "stop", begun) == (
        "print(1)\n```",
        "\n",
        python("print(1)"),
        None,
        set(),
    )
    # Without a close the turn is void, and a fence that was closed is not gone on with.
    assert read("simpletir", "print(1)", "eos", begun)[2:] == ([], None, {"no_action"})
    done = "```py\na\n```\nCode execution result: 1\n```\n"
    assert read("simpletir", "b\n```", "eos", done)[2:] == ([], None, {"no_action"})
    assert parse("simpletir", "```python\n", "eos").reply is None


@pytest.mark.parametrize(
    ("output", "status", "shown"),
    [
        ("42\n", ToolStatus.OK, "42\n"),
        ("1\n" + TRACEBACK, ToolStatus.ERROR, "ZeroDivisionError: zero"),
        ("1" + TRACEBACK, ToolStatus.ERROR, "ZeroDivisionError: zero"),
        ("1" + EXITED, ToolStatus.ERROR, "SystemExit: 3"),
        (SYNTAX, ToolStatus.ERROR, "SyntaxError: invalid syntax"),
        ("a" * 512, ToolStatus.OK, "a" * 512),
        (
            "a" * 257 + "b" * 256,
            ToolStatus.OK,
            "a" * 256 + "\n..._This content has been truncated to stay below 512 characters_...\n" + "b" * 256,
        ),
    ],
)
def test_simpletir_observations(output: str, status: ToolStatus, shown: str) -> None:
    assert render("simpletir", output, status) == f"\nCode execution result: {shown}\n"


def test_simpletir_says_nothing_of_a_program_that_says_nothing() -> None:
    assert render("simpletir", "") == ""


@pytest.mark.parametrize(
    ("text", "output", "status", "answer"),
    [
        ("```python\na\n```", "5\n", ToolStatus.OK, None),
        ("```python\na\n```", "\\boxed{5}\n", ToolStatus.OK, "5"),
        ("\\boxed{3}\n```python\na\n```", "5\n", ToolStatus.OK, "3"),
        ("\\boxed{3}\n```python\na\n```", "\\boxed{5}\n", ToolStatus.OK, "5"),
        # The box in the program itself ends the episode; what is printed comes last.
        ('```python\nprint("\\\\boxed{x}")\n```', "none", ToolStatus.OK, "x"),
        # Of a program that printed a box and failed, the error alone is seen.
        ("```python\na\n```", "\\boxed{5}\n" + TRACEBACK, ToolStatus.ERROR, ""),
        ("```python\na\n```", "\\boxed{5}" + TRACEBACK, ToolStatus.ERROR, ""),
    ],
)
def test_simpletir_reads_the_answer_that_is_written_or_printed(
    text: str, output: str, status: ToolStatus, answer: str | None
) -> None:
    made = action_format("simpletir")
    assert made.result_answer(made.parse(Action(text)), [ToolResult(status, output)]) == answer


def test_simpletir_gives_programs_their_final_answer() -> None:
    made = action_format("simpletir")
    (call,) = made.parse(Action("```py\nfinal_answer(4)\n```")).calls
    namespace: dict[str, Any] = {}
    printed: list[str] = []
    exec(call.arguments["code"].replace("print(", "tell("), {"tell": printed.append}, namespace)
    assert printed == ["\\boxed{4}"]
    assert made.parse(Action(made.write_call("t", call, 1))).calls == (call,)
    plain = made.write_call("t", ToolCall("python", {"code": "final_answer(4)"}), 1)
    assert plain == "t\n```python\nfinal_answer(4)\n```\n"


def play(env: PythonMathEnv, *actions: str) -> tuple[str, dict[str, Any]]:
    env.reset(seed=0)
    for action in actions[:-1]:
        assert env.step(action)[2:4] == (False, False)
    observation, _, _, _, info = env.step(actions[-1])
    return observation, info


@pytest.fixture
def problems(isolation: str) -> Any:
    made: list[PythonMathEnv] = []

    def start(name: str, **options: Any) -> PythonMathEnv:
        made.append(
            PythonMathEnv([{"question": "6 * 7?", "answer": "42"}], action_format=name, isolation=isolation, **options)
        )
        return made[-1]

    yield start
    for env in made:
        env.close()


def test_a_simpletir_episode(problems: Any) -> None:
    env = problems("simpletir")
    observation, _ = play(env, "t\n```python\nprint(6 * 7)\n```\n")
    # The line break that the agent wrote after the fence is the observation's first.
    assert observation == "Code execution result: 42\n\n"
    assert env.episode.response == "t\n```python\nprint(6 * 7)\n```\nCode execution result: 42\n\n"
    _, info = play(env, "t\n```python\nfinal_answer(6 * 7)\n```\n")
    assert (info["answer"], info["score"], info["stop_reason"]) == ("42", 1.0, StopReason.ANSWER)
    assert env.episode.response.endswith("```\nCode execution result: \\boxed{42}\n\n")
    _, info = play(env, "t\n```\n", "print(1)\n```\n", "\\boxed{42}")
    assert info["score"] == 1.0 and env.episode.call_count == 1
    # Nobody sees what the last turn prints, but what it says counts.
    env.limits = Limits(max_turns=1)
    _, info = play(env, "```python\nfinal_answer(6 * 7)\n```")
    assert (info["answer"], info["stop_reason"], info["faults"]) == (None, StopReason.MAX_TURNS, [])
    _, info = play(env, "\\boxed{42}\n```python\n1\n```")
    assert (info["answer"], info["stop_reason"]) == ("42", StopReason.ANSWER)


def test_a_torl_episode(problems: Any) -> None:
    env = problems("torl")
    assert env.limits == Limits(max_turns=2, last_turn_calls=False, max_calls=1, surplus_calls="ignore")
    program = "t\n```python\nprint(6 * 7)\n```\n```output"
    env.reset(seed=0)
    assert env.stop == ("```output",)
    # The opening that the agent wrote is not repeated.
    assert env.step(program)[0] == "\n42\n```\n" and env.stop == ()
    assert env.episode.response == program + "\n42\n```\n"
    *_, info = env.step("```python\nprint(1)\n```\nSo \\boxed{42}")
    assert env.episode.call_count == 1 and info["score"] == 1.0
    _, info = play(env, program, "t\n```python\nprint(1)\n```\n")
    assert (info["answer"], info["stop_reason"], env.episode.call_count) == (None, StopReason.MAX_TURNS, 1)


def test_a_retool_episode(problems: Any) -> None:
    env = problems("code")
    observation, _ = play(env, "t\n<code>\n```python\nprint(6 * 7)\n1/0\n```\n</code>")
    assert observation == "\n<interpreter>\nZeroDivisionError: division by zero</interpreter>\n\n"
    observation, _ = play(env, "<code></code>")
    assert observation == "\n<interpreter>\nNone</interpreter>\n\n" and env.episode.call_count == 0


def test_simpletir_reads_the_box_of_a_last_turn_whose_program_does_not_run() -> None:
    made = action_format("simpletir")
    parsed = made.parse_final(Action("So \\boxed{4}.\n```py\nprint(5)\n```\n"))
    assert (parsed.calls, parsed.answer) == ((), "4")
    unboxed = made.parse_final(Action("```py\nprint(5)\n```\n"))
    assert (unboxed.calls, unboxed.answer) == ((), None) and [*unboxed.faults] == ["no_action"]
