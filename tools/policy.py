"""How the calls of a tool are run over all episodes of a process: limits of concurrency and rate, retries, a cache."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from .errors import InputError

_LEAST = {
    "burst": 1,
    "retries": 0,
    "retry_seconds": 0,
    "max_retry_seconds": 0,
    "cache_entries": 0,
    "cache_bytes": 0,
    "max_abandoned": 1,
}


@dataclass(frozen=True)
class ToolPolicy:
    """Bounds that all episodes of a process share, since they share the tool. None means no bound.

    A call that waits for its turn is in the queue: that time counts as `ToolResult.queue_seconds`, not towards the
    tool's timeout. Sessions with state are never called twice for one call, whatever stands here.

    Attributes:
        max_concurrency: Calls that run at once.
        calls_per_second: Calls that start per second in the long run, retries included.
        burst: Calls that may start at once after a pause.
        retries: How often a call is tried again after a `TransientError`, or after the timeout with `retry_timeouts`.
        retry_timeouts: Whether the timeout is a reason to try again.
        retry_seconds: Wait before the first retry; each further one waits twice as long.
        max_retry_seconds: The longest of these waits.
        cache_entries: Results that the cache of a `cacheable` tool holds; 0 switches it off.
        cache_bytes: Bytes that they may take together.
        max_abandoned: Calls that passed their timeout and still run, since a thread cannot be stopped. With as many
            as this the tool counts as unavailable.

    Raises:
        InputError: If a number is out of range.
    """

    max_concurrency: int | None = None
    calls_per_second: float | None = None
    burst: int = 1
    retries: int = 0
    retry_timeouts: bool = False
    retry_seconds: float = 0.5
    max_retry_seconds: float = 30.0
    cache_entries: int = 10_000
    cache_bytes: int = 64 * 2**20
    max_abandoned: int = 32

    def __post_init__(self) -> None:
        rate = self.calls_per_second
        if rate is not None and not 0 < rate < math.inf:
            raise InputError(f"ToolPolicy: calls_per_second is {rate}; give a number above 0, or None")
        if self.max_concurrency is not None and not self.max_concurrency >= 1:
            raise InputError(f"ToolPolicy: max_concurrency is {self.max_concurrency}; give at least 1, or None")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is None or not value >= least:
                raise InputError(f"ToolPolicy: {name} is {value}; give at least {least}")

    @cached_property
    def queues(self) -> bool:
        """Whether a call may have to wait for its turn."""
        return self.max_concurrency is not None or self.calls_per_second is not None

    def wait_before_retry(self, retry: int) -> float:
        """Seconds to wait before a retry, counted from 0. No jitter: the limits above spread the calls already."""
        return float(min(self.max_retry_seconds, self.retry_seconds * 2.0 ** min(retry, 60)))


def changed_policy(policy: ToolPolicy, settings: Mapping[str, Any]) -> ToolPolicy:
    """A policy with some fields changed; a `timeout` among the settings is checked and left to the tool.

    Raises:
        InputError: If a setting is unknown or out of range.
    """
    changes = dict(settings)
    timeout = changes.pop("timeout", None)
    if timeout is not None and not timeout > 0:
        raise InputError(f"a tool's timeout is {timeout}; give a number of seconds above 0, or none")
    unknown = set(changes) - set(ToolPolicy.__dataclass_fields__)
    if unknown:
        known = ", ".join(("timeout", *ToolPolicy.__dataclass_fields__))
        raise InputError(f"a tool has no setting {min(unknown)!r}; it has {known}")
    return replace(policy, **changes)


class Clock:
    """Time as the limits see it; tests put their own in its place."""

    def now(self) -> float:
        """Seconds from some fixed moment, never running backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


class TokenBucket:
    """Tells each call how long it has to wait, so that a rate is kept: a bucket that may be drawn on in advance.

    Calls get their times in the order in which they ask. Not safe for threads by itself.
    """

    def __init__(self) -> None:
        self._tokens = math.inf  # the first call finds the bucket full, whatever its size
        self._seen = 0.0

    def reserve(self, now: float, rate: float, burst: int) -> float:
        """Takes a token.

        Args:
            now: The time in seconds.
            rate: Tokens that flow in per second.
            burst: Tokens that the bucket holds.

        Returns:
            Seconds until the token is there; 0.0 if it is there already.
        """
        flowed = 0.0 if math.isinf(self._tokens) else max(0.0, now - self._seen) * rate
        self._tokens = min(float(burst), self._tokens + flowed) - 1.0
        self._seen = now
        return max(0.0, -self._tokens / rate)


class Queue:
    """Lets calls begin when a policy allows it."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._running = 0
        self._bucket = TokenBucket()

    def enter(self, policy: ToolPolicy, clock: Clock) -> float:
        """Waits for a place among the running calls, then for the rate.

        The place comes first: calls that already hold a token could start in a bunch when places come free.

        Returns:
            Seconds waited.
        """
        began, wait = clock.now(), 0.0
        with self._changed:
            while policy.max_concurrency is not None and self._running >= policy.max_concurrency:
                self._changed.wait()
            self._running += 1
            if policy.calls_per_second is not None:
                wait = self._bucket.reserve(clock.now(), policy.calls_per_second, policy.burst)
        try:
            if wait > 0:
                clock.sleep(wait)
        except BaseException:
            self.leave()
            raise
        return clock.now() - began

    def leave(self) -> None:
        """Gives the place back."""
        with self._changed:
            self._running -= 1
            self._changed.notify()
