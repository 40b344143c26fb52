"""Each layer of isolation "sandbox", and what happens without it."""

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from toolgym.tools import InputError, PythonTool
from toolgym.tools.errors import ToolUnavailable
from toolgym.tools.sandbox import REQUIRED, Execution, Outcome, Sandbox, SandboxLimits, isolation_report
from toolgym.tools.sandbox.layers import LEVELS
from toolgym.tools.sandbox.prepared import POOL, close_parents

LIMITS = SandboxLimits(wall_seconds=60, cpu_seconds=60)
LAYERS = {layer.name: layer for layer in isolation_report("sandbox")}
MISSING = [name for name in REQUIRED if not LAYERS[name].active]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"this machine lacks {', '.join(MISSING)}")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox("sandbox", LIMITS) as sandbox:
        yield sandbox


def run(code: str, without: tuple[str, ...] = (), **limits: float) -> Execution:
    with Sandbox("sandbox", replace(LIMITS, **limits), without=without) as sandbox:  # type: ignore[arg-type]
        return sandbox.run(code)


def last_line(execution: Execution) -> str:
    return execution.output.strip().splitlines()[-1]


def test_the_report_names_every_layer_and_says_what_to_do() -> None:
    assert set(LAYERS) == set(LEVELS["sandbox"]) >= set(REQUIRED)
    assert all(layer.stops and bool(layer.advice) != layer.active for layer in LAYERS.values())


def test_sandbox_is_the_default() -> None:
    assert Sandbox().isolation == PythonTool().isolation == "sandbox"


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs util-linux's unshare")
def test_a_machine_without_namespaces_is_refused_with_the_reason() -> None:
    code = (
        "from toolgym.tools import InputError, PythonTool\nfrom toolgym.tools.sandbox import Sandbox\n"
        "try:\n    PythonTool()\nexcept InputError as error:\n    print(error)\n"
        "print(Sandbox('process').run('1 + 1').output)"
    )
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$0" -c "$1"'
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    refusal, _, two = done.stdout.strip().partition("\n")
    assert two == "2"
    assert refusal.startswith('isolation "sandbox" is not to be had here, missing user_namespace ([Errno 28] unshare: ')
    assert "sysctl user.max_user_namespaces=" in refusal and 'isolation="process"' in refusal


def test_limits_that_cannot_be_held_are_refused() -> None:
    with pytest.raises(InputError, match="allows no child processes; give 0"):
        Sandbox("sandbox", SandboxLimits(processes=1))


def test_layers_to_leave_out_must_exist() -> None:
    with pytest.raises(InputError, match=r"without names \['walls'\].*choose from .*seccomp"):
        Sandbox(without={"walls"})
    with pytest.raises(InputError, match="cannot be left out"):
        Sandbox(without={"separate_interpreter"})
    with pytest.raises(InputError, match="only 'sandbox' takes it"):
        Sandbox("process", without={"seccomp"})


# Files -----------------------------------------------------------------------------------------------------------


def test_the_machines_files_are_not_there(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    secret.chmod(0o644)
    for path in (secret, "/etc/passwd", "/proc/self/environ", "/proc", "/sys", "/home", Path(__file__)):
        assert "Error" in last_line(sandbox.run(f"import os; open({str(path)!r}).read()")), path
    for path in ("/usr/x", "/sandbox/x", "/etc/x", sys.prefix + "/lib/x", "/dev/x", tmp_path / "x", "x/../../../x"):
        assert "Error" in last_line(sandbox.run(f"open({str(path)!r}, 'w')")) or not os.path.exists(path), path
    assert secret.read_text() == "hunter2"


def test_without_the_private_root_landlock_still_guards_the_files() -> None:
    read = "len(open('/etc/passwd').read()) > 0"
    if LAYERS["landlock"].active:
        assert "PermissionError" in run(read, without=("mount_namespace",)).output
    assert run(read, without=("mount_namespace", "landlock")).output == "True\n"


def test_without_landlock_the_private_root_still_guards_the_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    for path in (tmp_path / "secret", "/etc/passwd", "/proc/self/environ"):
        assert "FileNotFoundError" in run(f"open({str(path)!r})", without=("landlock",)).output
    stdlib = os.path.dirname(os.__file__)
    for path in ("/x", "/etc/x", f"{stdlib}/x"):
        assert "Read-only file system" in run(f"open({path!r}, 'a')", without=("landlock",)).output
    assert (
        "PermissionError"
        in run(
            "open('f', 'w').write('#!/bin/true')\nimport mmap, os\nfd = os.open('f', os.O_RDONLY)\n"
            "mmap.mmap(fd, 4, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)"
        ).output
    )


def test_the_own_folder_is_capped_in_bytes_and_files(sandbox: Sandbox) -> None:
    many = "for i in range(100): open(f'{i}', 'w').close()"
    assert "No space left" in run(many, files=10).output
    assert run("for i in range(10): open(f'{i}', 'w').close()", files=10).outcome is Outcome.OK
    large = "for i in range(4): open(f'{i}', 'wb').write(bytes(1 << 20))"
    assert "No space left" in run(large, disk_bytes=3 << 20).output
    assert "File too large" in run(large, file_bytes=1 << 19).output
    assert sandbox.run("import os; print(os.getcwd(), os.listdir())").output == "/sandbox/work []\n"


def test_semaphores_and_temporary_files_work(sandbox: Sandbox) -> None:
    code = "import tempfile\nfrom multiprocessing.pool import ThreadPool\n"
    assert sandbox.run(code + "tempfile.TemporaryFile().close()\nThreadPool(2).map(abs, [-1, 2])").output == "[1, 2]\n"


# Processes, network, system calls --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "import subprocess; subprocess.run(['true'])",
        "import multiprocessing; multiprocessing.Pool(1)",
        "import socket; socket.socket()",
        "import socket; socket.socket(socket.AF_UNIX)",
        "import socket; socket.socketpair(type=socket.SOCK_DGRAM)",
        "os.memfd_create('x')",
        "os.setuid(0)",
        "os.chroot('.')",
        "os.mknod('x', 0o20666, os.makedev(1, 3))",
        "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
        "os.setpriority(os.PRIO_PROCESS, 0, -5)",
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
        "import fcntl; fcntl.fcntl(1, 1031, 1 << 20)",
    ],
)
def test_calls_that_are_not_on_the_list_fail(code: str, sandbox: Sandbox) -> None:
    result = sandbox.run(f"import os\n{code}")
    assert result.outcome is Outcome.ERROR, result.output
    assert "PermissionError" in result.output or "not allowed" in result.output
    assert sandbox.run("1 + 1").output == "2\n"


def test_without_the_filter_processes_and_sockets_can_be_made_but_lead_nowhere() -> None:
    off = ("seccomp",)
    assert run("import os\nif os.fork() == 0: os._exit(7)\nos.wait()[1] >> 8", without=off).output == "7\n"
    # Threads are tasks, too: the kernel's limit on their number bounds a fork bomb.
    bomb = "import os, time\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(60)\n"
    bomb += "except BlockingIOError: print(1)"
    if LAYERS["own_user"].active:
        assert run(bomb, without=off).output == "1\n"
    connect = "import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=5)\nprint('through')"
    with Listener() as port:
        alone = run(connect.format(port=port), without=(*off, "landlock"))
        assert "Network is unreachable" in alone.output
        open_door = run(connect.format(port=port), without=(*off, "landlock", "network_namespace"))
        assert open_door.output == "through\n"


def test_no_process_but_the_own_is_seen() -> None:
    own = f"import os\nprint(os.getpid())\nos.kill({os.getpid()}, 0)"
    assert run(own).output.startswith("1\n") and "ProcessLookupError" in run(own).output
    off = ("pid_namespace", "landlock")
    code = "import os\nprint(os.getpid() == 1)\nos.kill(-1, 0)"
    assert run(code, without=off).output.startswith("False\n")


def test_the_code_is_another_user_without_rights(sandbox: Sandbox) -> None:
    assert sandbox.run("import os; os.getuid(), os.geteuid(), os.getgid(), os.getgroups()").output.startswith(
        "(1000, 1000, 1000"
    )
    # Mounting is refused by the filter; without it, by the lack of capabilities.
    mount = "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n"
    mount += "c.mount(b'x', b'/sandbox/tmp', b'tmpfs', 0, None), ctypes.get_errno()"
    assert run(mount).output == run(mount, without=("seccomp", "landlock")).output == "(-1, 1)\n"
    assert run(mount, without=("seccomp", "landlock", "capabilities")).output == "(0, 0)\n"


@pytest.mark.skipif(not LAYERS["own_user"].active or os.geteuid() != 0, reason="only root becomes another user")
def test_roots_sessions_are_nobody_to_the_machine() -> None:
    def users() -> set[str]:
        status = [Path(f"/proc/{pid}/status").read_text() for pid in set(descendants(os.getpid())) - others]
        return {line.split()[1] for text in status for line in text.splitlines() if line.startswith("Uid:")}

    close_parents()
    others = set(descendants(os.getpid()))  # what other tests of this process have left running
    with Sandbox("sandbox", LIMITS) as sandbox:
        sandbox.run("1")
        assert users() == {"65534"}
    close_parents()
    with Sandbox("sandbox", LIMITS, without=("own_user",)) as sandbox:
        sandbox.run("1")
        assert users() == {"0"}


def test_the_host_name_is_hidden() -> None:
    name = "import os; os.uname().nodename"
    assert run(name).output == "'sandbox'\n"
    assert run(name, without=("host_name",)).output == f"{os.uname().nodename!r}\n"


def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLGYM_TEST_SECRET", "hunter2")
    look = "import ctypes, os\nc = ctypes.CDLL(None)\nc.getenv.restype = ctypes.c_char_p\n"
    look += "print(os.environ.get('TOOLGYM_TEST_SECRET'), c.getenv(b'TOOLGYM_TEST_SECRET'))"
    assert run(look).output == "None None\n"
    assert run(look, without=("empty_environment",)).output == "hunter2 b'hunter2'\n"


# Time and memory -------------------------------------------------------------------------------------------------


def test_processor_time_counts_all_threads_and_native_code() -> None:
    spin = "import hashlib, threading\nf = lambda: hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
    result = run(spin + "for _ in range(3): threading.Thread(target=f).start()\nf()", cpu_seconds=0.5)
    assert result.outcome is Outcome.TIMEOUT and "0.5 seconds of processor time" in result.output
    blocked = (
        "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass\n"
    )
    assert run(blocked + "while True: pass", cpu_seconds=0.5).outcome is Outcome.TIMEOUT


def test_the_processor_limit_is_per_run(sandbox: Sandbox) -> None:
    spin = "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass"
    with Sandbox("sandbox", replace(LIMITS, cpu_seconds=1)) as sandbox:
        assert [sandbox.run(spin).outcome for _ in range(3)] == [Outcome.OK] * 3


def test_threads_left_behind_rest_between_calls() -> None:
    spin = "import threading, time\ndef f():\n    while True: pass\nthreading.Thread(target=f, daemon=True).start()"
    used = "time.process_time()"
    spent = {}
    for without in ((), ("stopped_between_calls",)):
        with Sandbox("sandbox", LIMITS, without=without) as sandbox:
            sandbox.run(spin)
            before = float(sandbox.run(used).output)
            time.sleep(1.0)
            spent[without] = float(sandbox.run(used).output) - before
    assert spent[()] < spent["stopped_between_calls",] * 0.7


def test_memory_threads_and_descriptors_are_capped() -> None:
    assert "MemoryError" in run("x = bytearray(200 << 20)", memory_bytes=100 << 20).output
    assert run("x = bytearray(80 << 20); len(x)", memory_bytes=100 << 20).output == f"{80 << 20}\n"
    assert "Too many open files" in run("f = [open('/dev/null') for _ in range(40)]", descriptors=30).output
    if LAYERS["own_user"].active:
        start = "import threading, time\nfor i in range(9):\n"
        start += "    threading.Thread(target=time.sleep, args=(9,), daemon=True).start()"
        assert "can't start new thread" in run(start, threads=5).output
        assert run(start, threads=10).outcome is Outcome.OK


def test_without_limits_of_the_host_only_the_kernels_hold() -> None:
    assert run("import time; time.sleep(0.5)", without=("wall_clock",), wall_seconds=0.1).outcome is Outcome.OK
    assert run("print('x' * 99)", without=("output_limit",), output_bytes=10).outcome is Outcome.OK
    assert run("print('x' * 99)", output_bytes=10).outcome is Outcome.KILLED


# The fork server -------------------------------------------------------------------------------------------------


def descendants(pid: int) -> list[int]:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        children = [int(c) for task in tasks for c in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [*children, *(below for child in children for below in descendants(child))]


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def entries(folder: Path) -> int:
    try:
        return len(os.listdir(folder))
    except OSError:
        return -1


def inventory(others: int) -> list[int]:
    """Descriptors of this process and the fork servers (as far as they can be looked at), and the number of processes.

    Taken when it no longer changes: the servers bury and refill in their own time. `others` is how many processes of
    other tests, which stay until the end, were there before.
    """
    deadline = time.monotonic() + 30
    while True:
        readings = []
        for _ in range(2):
            processes = [os.getpid(), *descendants(os.getpid())]
            folders = [Path(f"/proc/{pid}/fd") for pid in processes]
            readings.append([len(processes), *map(entries, folders)])
            time.sleep(0.3)
        settled = readings[0] == readings[1] and len(processes) == 1 + others + 2 + POOL  # this, the server, its keeper
        if settled or time.monotonic() > deadline:
            return readings[1]


def test_nothing_stays_behind() -> None:
    gc.collect()
    close_parents()
    others = len(descendants(os.getpid()))
    with Sandbox("sandbox", LIMITS) as sandbox:
        sandbox.run("1")
    before = inventory(others)
    for ending in ("1", "import os; os._exit(1)", "import ctypes; ctypes.string_at(0)", "input(", "print('x' * 10**6)"):
        for _ in range(3):
            with Sandbox("sandbox", replace(LIMITS, output_bytes=10**5)) as sandbox:
                sandbox.run(ending)
    forgotten = [Sandbox("sandbox", LIMITS) for _ in range(3)]
    for sandbox in forgotten:
        sandbox.run("1")
    del forgotten, sandbox
    gc.collect()
    assert inventory(others) == before


def test_sandboxes_of_many_threads_do_not_meet() -> None:
    outputs: dict[int, list[str]] = {}

    def work(number: int) -> None:
        for round_ in range(3):
            with Sandbox("sandbox", LIMITS, seed=number) as sandbox:
                sandbox.run(f"x = {number}")
                outputs.setdefault(number, []).append(sandbox.run(f"x + {round_}").output)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {number: [f"{number + round_}\n" for round_ in range(3)] for number in range(6)}


def test_a_killed_fork_server_is_replaced(sandbox: Sandbox) -> None:
    sandbox.run("x = 1")
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    assert sandbox.run("x").outcome is Outcome.KILLED
    assert sandbox.run("1").output == "1\n"


def test_a_program_that_ends_takes_the_server_with_it() -> None:
    code = (
        "import os\nfrom toolgym.tools.sandbox import Sandbox\nsandbox = Sandbox()\nprint(sandbox.run('1').output)\n"
        "print(open(f'/proc/self/task/{os.getpid()}/children').read())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    for ending in ("", "os._exit(0)", "os.kill(os.getpid(), 9)"):
        done = subprocess.run(
            [sys.executable, "-u", "-c", code + ending], capture_output=True, text=True, env=environment
        )
        assert done.stdout.startswith("1\n") and done.stderr == ""
        server = int(done.stdout.split()[1])
        wait_until(lambda server=server: descendants(server) == [])  # type: ignore[misc]


def test_a_server_that_cannot_start_says_why() -> None:
    if os.geteuid() == 0:
        pytest.skip("root does without a user namespace")
    with pytest.raises(ToolUnavailable, match=r"fork server did not start: .*unshare"):
        run("1", without=("user_namespace",))


def test_the_servers_can_be_closed() -> None:
    with Sandbox("sandbox", LIMITS) as sandbox:
        sandbox.run("1")
        close_parents()
        assert sandbox.run("1").outcome is Outcome.KILLED
        assert sandbox.run("1").output == "1\n"


class Listener:
    """A port on this machine that somebody listens on."""

    def __enter__(self) -> int:
        self._socket = socket.create_server(("127.0.0.1", 0))
        return int(self._socket.getsockname()[1])

    def __exit__(self, *exception: object) -> None:
        self._socket.close()
