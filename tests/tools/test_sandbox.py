import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from toolgym.tools import InputError
from toolgym.tools.sandbox import Execution, Outcome, Sandbox, SandboxLimits, isolation_report

LIMITS = SandboxLimits(wall_seconds=20, cpu_seconds=20)


@pytest.fixture(params=["process", "sandbox"])
def sandbox(request: pytest.FixtureRequest, isolation: str) -> Iterator[Sandbox]:
    if request.param == "sandbox" != isolation:
        pytest.skip("this machine lacks a layer that isolation 'sandbox' requires")
    with Sandbox(request.param, LIMITS) as sandbox:
        yield sandbox


@pytest.fixture
def spawned() -> Iterator[Sandbox]:
    with Sandbox("process", LIMITS) as sandbox:
        yield sandbox


def run_with(code: str, **limits: float) -> Execution:
    with Sandbox("process", replace(LIMITS, **limits)) as sandbox:  # type: ignore[arg-type]
        return sandbox.run(code)


def children() -> set[int]:
    """Processes whose parent is this one, zombies included."""
    return {int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_state_is_kept_and_the_last_value_shown(sandbox: Sandbox) -> None:
    assert sandbox.run("import math\nx = 3\nx + 1").output == "4\n"
    assert sandbox.run("x * math.pi // 1").output == "9.0\n"
    assert sandbox.run("_ + 1; None").output == ""
    assert sandbox.run(
        "def f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\nprint([f(i) for i in range(9)])"
    ).output
    assert sandbox.run("f(10)").output == "55\n"
    assert sandbox.run("x = 5;").output == ""


def test_output_and_errors_interleave_as_written(sandbox: Sandbox) -> None:
    code = "import sys\nprint('a')\nprint('b', file=sys.stderr)\nsys.stdout.write('c')\nprint('d')\n'e'"
    assert sandbox.run(code).output == "a\nb\ncd\n'e'\n"


def test_tracebacks_point_into_the_cell_and_nowhere_else(sandbox: Sandbox) -> None:
    sandbox.run("import json\ndef f(text):\n    return json.loads(text)")
    result = sandbox.run("x = 1\n\nf('{')")
    assert result.outcome is Outcome.ERROR and not result.state_lost
    lines = result.output.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert '  File "<cell 2>", line 3, in <module>' in lines and "    f('{')" in lines
    assert '  File "<cell 1>", line 3, in f' in lines and "    return json.loads(text)" in lines
    assert lines[-1].startswith("json.decoder.JSONDecodeError: ")
    assert "worker" not in result.output and "site-packages" not in result.output and result.output.count("File") == 2
    assert sandbox.run("x").output == "1\n"


def test_chained_and_deep_tracebacks_stay_short(sandbox: Sandbox) -> None:
    chained = sandbox.run(
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('k') from error"
    ).output
    assert "ZeroDivisionError" in chained and "direct cause" in chained and "KeyError: 'k'" in chained
    deep = sandbox.run("def f(): g()\ndef g(): f()\nf()").output
    assert "RecursionError" in deep and deep.count("\n") < 50
    syntax = sandbox.run("for x in").output
    assert '  File "<cell 3>", line 1' in syntax and "SyntaxError" in syntax


def test_the_environment_is_empty_and_the_folder_temporary(spawned: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    code = "import os\nprint(dict(os.environ))\nprint(os.getcwd())\nprint(os.listdir())\nopen('f', 'w').write('x')"
    environment, folder, files, _ = spawned.run(code).output.splitlines()
    assert (environment, files) == ("{}", "[]")
    raw = spawned.run("print(open('/proc/self/environ').read())").output
    assert "SECRET" not in raw and "hunter2" not in raw
    assert (Path(folder) / "f").exists() and Path(folder) != Path.cwd()
    spawned.run("os.makedirs('deep/er'); open('deep/er/x', 'w'); os.chmod('deep/er', 0); os.chmod('deep', 0)")
    spawned.close()
    assert not Path(folder).exists()


def test_hashes_and_random_numbers_are_the_same_everywhere(sandbox: Sandbox) -> None:
    code = "import random\nprint(hash('a'), {'x', 'y', 'z'}, random.random())"
    first = sandbox.run(code).output
    with Sandbox("process", LIMITS) as other, Sandbox("process", LIMITS, seed=1) as seeded:
        assert other.run(code).output == first
        different = seeded.run(code).output
        assert different != first and different.split()[:-1] == first.split()[:-1]


def test_numpy_is_importable_and_seeded(sandbox: Sandbox) -> None:
    code = "import numpy as np\nprint(np.random.rand(), np.ones((50, 50)).dot(np.ones(50)).sum())"
    with Sandbox("process", LIMITS) as other:
        assert sandbox.run(code).output == other.run(code).output == "0.5488135039273248 2500.0\n"


def test_sleep_ends_at_the_wall_limit_with_what_was_printed() -> None:
    result = run_with("import time\nprint('before')\ntime.sleep(60)", wall_seconds=0.5)
    assert result.outcome is Outcome.TIMEOUT and result.state_lost
    assert result.output.startswith("before\nTimeoutError: killed after 0.5 seconds.")
    assert "variables and files are lost" in result.output
    assert 0.5 <= result.seconds < 5


def test_a_busy_loop_ends_at_the_processor_limit() -> None:
    result = run_with("while True: pass", cpu_seconds=1)
    assert result.outcome is Outcome.TIMEOUT
    assert "killed after 1 seconds of processor time" in result.output


def test_the_processor_limit_is_per_run() -> None:
    spin = "import time\nend = time.process_time() + 0.8\nwhile time.process_time() < end: pass"
    with Sandbox("process", replace(LIMITS, cpu_seconds=1)) as sandbox:
        assert [sandbox.run(spin).outcome for _ in range(3)] == [Outcome.OK] * 3


def test_memory_is_limited_and_the_session_survives() -> None:
    with Sandbox("process", replace(LIMITS, memory_bytes=200 << 20)) as sandbox:
        result = sandbox.run("x = 1\ny = bytearray(1 << 30)")
        assert result.outcome is Outcome.ERROR and result.output.endswith("MemoryError\n")
        assert "MemoryError" in sandbox.run("z = []\nwhile True: z.append(bytearray(1 << 22))").output
        assert sandbox.run("z = None\nx").output == "1\n"


def test_files_are_limited() -> None:
    result = run_with("open('f', 'wb').write(bytes(2 << 20))", file_bytes=1 << 20)
    assert result.outcome is Outcome.ERROR and "File too large" in result.output


def test_a_flood_of_output_is_bounded_in_time_and_memory() -> None:
    result = run_with("while True: print('flood' * 100)", output_characters=1_000, output_bytes=1 << 20)
    assert result.outcome is Outcome.KILLED and "killed after printing 1,048,576 bytes" in result.output
    assert len(result.output) <= 1_000 and result.omitted_characters > 1_000_000 and result.seconds < 10
    assert result.output.startswith("floodflood") and "characters omitted" in result.output


def test_long_output_keeps_head_and_tail() -> None:
    result = run_with("print('a' * 5_000 + 'é' * 5_000)", output_characters=500)
    assert result.outcome is Outcome.OK and len(result.output) <= 500
    assert result.output.startswith("aaa") and result.output.endswith("éé\n") and result.omitted_characters > 9_500


@pytest.mark.parametrize(
    "code",
    [
        "import os\nwhile True: os.fork()",
        "import subprocess\nsubprocess.run(['true'])",
        "import os\nos.system('true')",
        "import multiprocessing\nmultiprocessing.get_context('spawn').Process(target=print).start()",
        "import os\nos.posix_spawn('/bin/true', ['true'], {})",
    ],
)
def test_no_process_can_be_started(code: str, spawned: Sandbox) -> None:
    result = spawned.run(code)
    assert result.outcome is Outcome.ERROR and "may start 0 child processes" in result.output
    assert spawned.run("1").output == "1\n"


def test_allowed_processes_are_counted_and_die_with_the_session() -> None:
    code = "import subprocess\np = [subprocess.Popen(['sleep', '60']).pid for _ in range(2)]\nprint(*p)\n"
    with Sandbox("process", replace(LIMITS, processes=2)) as sandbox:
        pids = [int(word) for word in sandbox.run(code).output.split()]
        assert len(pids) == 2 and all(map(exists, pids))
        assert "may start 2 child processes" in sandbox.run("subprocess.run(['true'])").output
    deadline = time.monotonic() + 5
    # Orphans are reaped by init, which may take a moment or, in a container, never come: a zombie runs no more.
    while any(exists(pid) and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_forked_child_never_answers_for_its_parent() -> None:
    with Sandbox("process", replace(LIMITS, processes=1)) as sandbox:
        assert sandbox.run("import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('x')").output.count("x") == 2
        assert sandbox.run("2").output == "2\n"


def test_a_signal_that_ended_the_interpreter_is_named(spawned: Sandbox) -> None:
    assert "SIGKILL" in spawned.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").output


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os; os.closerange(3, 256)", "the interpreter ended with exit code 1"),
    ],
)
def test_a_crash_is_told_and_a_fresh_interpreter_follows(code: str, words: str, sandbox: Sandbox) -> None:
    sandbox.run("x = 1; open('f', 'w')")
    result = sandbox.run(f"print('last words')\n{code}")
    assert result.outcome is Outcome.KILLED and result.state_lost
    assert words in result.output and result.output.startswith("last words\n")
    assert "NameError" in sandbox.run("x").output
    assert sandbox.run("import os; os.listdir()").output == "[]\n"


@pytest.mark.parametrize(
    ("code", "outcome", "output"),
    [
        ("", Outcome.OK, ""),
        ("exit()", Outcome.OK, ""),
        ("import sys; sys.exit(2)", Outcome.ERROR, "SystemExit: 2\n"),
        ("input()", Outcome.ERROR, "EOFError"),
        ("raise KeyboardInterrupt", Outcome.ERROR, "KeyboardInterrupt"),
        ("import sys; sys.stdout.close()", Outcome.OK, ""),
        ("import os; os.close(1); os.close(2)", Outcome.OK, ""),
        ("import sys; sys.stdout = None", Outcome.OK, ""),
        ("class Bad:\n    def __repr__(self): return 1 / 0\nBad()", Outcome.ERROR, "ZeroDivisionError"),
        ("class Bad(Exception):\n    def __str__(self): return 1 / 0\nraise Bad", Outcome.ERROR, "Bad"),
        ("print('\\ud800')", Outcome.OK, "\\ud800\n"),
        ("\ud800", Outcome.ERROR, "UnicodeEncodeError"),
        ("import os; os.write(1, b'\\xff\\x00')", Outcome.OK, "\ufffd\ufffd2\n"),
        ("x = '" + "y" * 300_000 + "'\nlen(x)", Outcome.OK, "300000\n"),
        ("(" * 5_000, Outcome.ERROR, "SyntaxError"),
    ],
    ids=str,
)
def test_odd_code_leaves_the_session_well(code: str, outcome: Outcome, output: str, sandbox: Sandbox) -> None:
    result = sandbox.run(code)
    assert result.outcome is outcome and output in result.output, result.output
    assert sandbox.run("print('well')").output == "well\n"


def test_prints_cannot_corrupt_the_protocol(sandbox: Sandbox) -> None:
    assert sandbox.run("import os\nfor fd in (1, 2): os.write(fd, b'ek')").output == "ekek2\n"[:4]
    assert sandbox.run("1 + 1").output == "2\n"


def test_nothing_stays_behind() -> None:
    before = children()
    sandboxes = [Sandbox("process", LIMITS) for _ in range(3)]
    folders = [Path(sandbox.run("import os; print(os.getcwd())").output.strip()) for sandbox in sandboxes]
    assert len(children() - before) == 3
    sandboxes[0].close()
    sandboxes[0].close()
    sandboxes[1].run("import os; os._exit(0)")
    assert len(children() - before) == 1
    del sandboxes
    gc.collect()
    assert children() == before and not any(folder.exists() for folder in folders)


def test_a_program_that_ends_takes_its_interpreters_with_it() -> None:
    code = (
        "from toolgym.tools.sandbox import Sandbox\nsandbox = Sandbox('process')\n"
        "print(sandbox.run('import os; print(os.getpid(), os.getcwd())').output)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=with_path())
    pid, folder = done.stdout.split()
    assert not exists(int(pid)) and not Path(folder).exists() and done.stderr == ""


def with_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}


def test_an_interrupted_run_drops_the_interpreter(sandbox: Sandbox) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    sandbox.run("x = 1")
    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            sandbox.run("import time; time.sleep(30)")
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert not sandbox.running and "NameError" in sandbox.run("x").output


def test_isolation_must_be_named() -> None:
    for isolation in (None, "docker", 3):
        with pytest.raises(InputError, match="choose from 'sandbox', 'process', 'none'"):
            Sandbox(isolation)  # type: ignore[arg-type]
    layers = {layer.name: layer.active for layer in isolation_report("process")}
    assert layers["wall_clock"] and layers["process_audit"]
    assert not layers["network_namespace"] and not layers["mount_namespace"] and not layers["seccomp"]
    bare = [layer.name for layer in isolation_report("none") if layer.active]
    assert bare == ["separate_interpreter", "empty_environment", "wall_clock", "output_limit"]


def test_limits_are_checked() -> None:
    with pytest.raises(InputError, match=r"SandboxLimits.wall_seconds is 0"):
        SandboxLimits(wall_seconds=0)
    assert SandboxLimits(processes=0).processes == 0


def test_deep_folders_are_removed_too(spawned: Sandbox) -> None:
    folder = spawned.run("import os\nprint(os.getcwd())").output.strip()
    spawned.run("for _ in range(1_100):\n    os.mkdir('d')\n    os.chdir('d')\nos.chmod('.', 0)")
    spawned.close()
    assert not Path(folder).exists()


def test_answers_that_nobody_asked_for_cost_the_session(sandbox: Sandbox) -> None:
    find = (
        "import os, stat\n"
        "def is_socket(number):\n"
        "    try:\n        return stat.S_ISSOCK(os.fstat(number).st_mode)\n    except OSError:\n        return False\n"
        "control = next(filter(is_socket, range(3, 64)))\n"
    )
    sandbox.run(find)
    assert sandbox.run("os.write(control, b'k' * 40)").outcome is Outcome.KILLED
    assert sandbox.run("1").output == "1\n"


def test_a_session_that_lies_is_found_out_at_its_next_call(sandbox: Sandbox) -> None:
    # The worker's own frame holds the token. The first answer ends the call; the second, its real one, shows the lie.
    lie = "import sys, time\nframe = sys._getframe()\nwhile 'token' not in frame.f_locals: frame = frame.f_back\n"
    lie += "import os\nos.write(frame.f_locals['control'], b'k' + frame.f_locals['token'])\ntime.sleep(0.5)"
    assert sandbox.run(lie).outcome is Outcome.OK
    lost = sandbox.run("1")
    assert lost.outcome is Outcome.KILLED and "broke the protocol" in lost.output
    assert sandbox.run("1").output == "1\n"


def test_forks_and_snapshots_replay(sandbox: Sandbox) -> None:
    sandbox.run("import random\nx = [random.random()]")
    sandbox.run("open('note', 'w').write('kept')")
    state = sandbox.snapshot()
    with sandbox.fork() as twin:
        ask = "x[0], random.random(), open('note').read()"
        told = twin.run(ask)
        assert told.output == sandbox.run(ask).output and told.differing == ()
        twin.run("x.append(1)")
        assert sandbox.run("len(x)").output == "1\n"
    sandbox.run("x.clear()")
    sandbox.restore(state)
    assert not sandbox.running and sandbox.run("len(x)").output == "1\n"


def test_a_replay_that_gives_something_else_is_told(sandbox: Sandbox) -> None:
    sandbox.run("import os")
    sandbox.run("y = os.urandom(8)\ny")
    sandbox.run("z = 1")
    with sandbox.fork() as twin:
        assert twin.run("z").differing == (2,)
        assert twin.run("z").differing == (2,)
    assert sandbox.run("z").differing == ()


def test_a_sandbox_that_need_not_remember_keeps_nothing() -> None:
    with Sandbox("process", LIMITS, remember=False) as sandbox:
        sandbox.run("x = 1")
        assert sandbox.run("x").output == "1\n"
        for copying in (sandbox.fork, sandbox.snapshot):
            with pytest.raises(RuntimeError, match="remember=False"):
                copying()
        sandbox.close()
        assert "NameError" in sandbox.run("x").output


def test_a_bare_interpreter_has_only_what_the_host_holds() -> None:
    with Sandbox("none", replace(LIMITS, file_bytes=1, wall_seconds=2)) as sandbox:
        assert sandbox.run(
            "import subprocess\nopen('f', 'w').write('long')\nsubprocess.run(['true']).returncode"
        ).output
        assert sandbox.run("import time; time.sleep(60)").outcome is Outcome.TIMEOUT


def test_a_fork_of_the_program_replays_in_an_interpreter_of_its_own(sandbox: Sandbox) -> None:
    sandbox.run("x = 1")
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writable, sandbox.run("x += 1\nx").output.encode())
            sandbox.close()
        finally:
            os._exit(0)
    os.close(writable)
    with open(readable) as file:
        assert file.read() == "2\n"
    os.waitpid(child, 0)
    assert sandbox.run("x").output == "1\n"
