"""The exchange of a cell with an interpreter: code out, output and a short answer back, within limits."""

from __future__ import annotations

import math
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from ..output import BoundedText

_PIPE_BYTES = 1 << 16
_TOKEN_BYTES = 8
_LONGEST_ANSWER = 64
_LONGEST_WAIT = 60.0
_SHORTEST_WAIT = 0.01


class Ended(Enum):
    """How the exchange of a cell ended."""

    OK = auto()
    RAISED = auto()
    TIMEOUT = auto()
    PROCESSOR = auto()
    FLOOD = auto()
    DIED = auto()
    NONSENSE = auto()


_ANSWERS = {b"r": Ended.OK, b"k": Ended.OK, b"e": Ended.RAISED}


@dataclass(frozen=True)
class Bounds:
    """What one exchange may take.

    Attributes:
        wall_seconds: Wall time.
        output_bytes: What may be printed.
        cpu_seconds: Processor time by `cpu_clock`.
        cpu_clock: Tells the processor time in seconds that the interpreter has used, if this side is to watch it.
    """

    wall_seconds: float = math.inf
    output_bytes: float = math.inf
    cpu_seconds: float = math.inf
    cpu_clock: Callable[[], float] | None = None


class Channel:
    """The host's ends of an interpreter's control socket and output pipe.

    Whatever comes from the other side is foreign: at most so many bytes of it are kept, and nothing is ever decoded but
    as text. An answer is one byte of three and the token that came with the message, so that none can be given ahead.

    Args:
        control: The socket; it is made non-blocking.
        output: The pipe's descriptor.
    """

    def __init__(self, control: socket.socket, output: int) -> None:
        self.control = control
        self.output = output
        control.setblocking(False)

    def exchange(self, message: bytes | None, bounds: Bounds, output: BoundedText) -> Ended:
        """Sends a message and reads output until the interpreter answers, dies, or a bound passes.

        Args:
            message: What to send; None to wait for an unasked answer.
            bounds: When to give up.
            output: Where the output goes.
        """
        token, framed = b"", b""
        if message is not None:
            token = os.urandom(_TOKEN_BYTES)
            if self._readable(self.control.fileno()):
                return self._receive(token)
            framed = (_TOKEN_BYTES + len(message)).to_bytes(8, "little") + token + message
        watch = _Watch(bounds)
        control, pending, printed = self.control.fileno(), memoryview(framed), 0
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        poll.register(control, select.POLLIN | (select.POLLOUT if pending else 0))
        while True:
            wait = watch.wait()
            if isinstance(wait, Ended):
                return wait
            events = dict(poll.poll(math.ceil(wait * 1000)))
            if self.output in events:
                data = os.read(self.output, _PIPE_BYTES)
                if not data:
                    poll.unregister(self.output)  # the code closed its side
                output.feed(data)
                printed += len(data)
                if printed > bounds.output_bytes:
                    return Ended.FLOOD
            event = events.get(control, 0)
            try:
                if event & ~select.POLLOUT:
                    answer = self._receive(token)
                    self._drain(output)
                    return answer
                if event & select.POLLOUT:
                    pending = pending[self.control.send(pending) :]
                    if not pending:
                        poll.modify(control, select.POLLIN)
            except BrokenPipeError:
                self._drain(output)
                return Ended.DIED

    def close(self) -> None:
        """Closes both ends."""
        self.control.close()
        os.close(self.output)

    def _receive(self, token: bytes) -> Ended:
        """One answer with this token; anything else is nonsense."""
        try:
            answer = self.control.recv(_LONGEST_ANSWER)
        except ConnectionResetError:
            answer = b""
        if not answer:
            return Ended.DIED
        return _ANSWERS.get(answer[:1], Ended.NONSENSE) if answer[1:] == token else Ended.NONSENSE

    def _drain(self, output: BoundedText) -> None:
        """Reads what was printed before the answer: it lies in the pipe already, and is no more than fits into it."""
        read = 0
        while read < _PIPE_BYTES and self._readable(self.output):
            data = os.read(self.output, _PIPE_BYTES - read)
            if not data:
                return
            read += len(data)
            output.feed(data)

    @staticmethod
    def _readable(descriptor: int) -> bool:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return any(event & select.POLLIN for _, event in poll.poll(0))


class _Watch:
    """Says how long to wait before looking again, or which time limit has passed."""

    def __init__(self, bounds: Bounds) -> None:
        self._deadline = time.monotonic() + bounds.wall_seconds
        self._clock = bounds.cpu_clock
        self._allowed = bounds.cpu_seconds + (self._clock() if self._clock else 0.0)
        self._cores = os.cpu_count() or 1

    def wait(self) -> float | Ended:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            return Ended.TIMEOUT
        if self._clock is not None:
            left = self._allowed - self._clock()
            if left <= 0:
                return Ended.PROCESSOR
            # All cores at once could use it up no sooner.
            remaining = min(remaining, max(left / self._cores, _SHORTEST_WAIT))
        return min(remaining, _LONGEST_WAIT)
