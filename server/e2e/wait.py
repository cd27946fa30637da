"""Waiting for conditions: nothing in these tests sleeps for a guessed time."""

import threading
import time

# Nothing that these tests wait for takes longer on a loaded two-core machine, except what says so.
DEADLINE_S = 20.0
POLL_S = 0.02

_never = threading.Event()


def until(condition, what, deadline=DEADLINE_S):
    """Polls `condition` until it is true and returns its value; fails with `what` when the deadline passes first."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            said = what() if callable(what) else what
            raise AssertionError(f"waited {deadline:g} s for {said}")
        _never.wait(POLL_S)


def until_moment(moment):
    """Returns when the monotonic clock shows `moment`: how a sender keeps real time."""
    _never.wait(max(moment - time.monotonic(), 0))
