"""Child processes that end with the tests, each by its own process group."""

import os
import pathlib
import signal
import subprocess

import wait


class Process:
    """A child in its own session, its output in a file."""

    def __init__(self, words, log: pathlib.Path, *, env=None, preexec_fn=None, pass_fds=()):
        self.log = log
        self._out = open(log, "ab")
        self._child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            preexec_fn=preexec_fn,
            pass_fds=pass_fds,
        )
        self.pid = self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    @property
    def code(self) -> int | None:
        """The exit code, or nothing while it runs."""
        return self._child.poll()

    def output(self, start: int = 0) -> str:
        with open(self.log, "rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")

    def until(self, condition, what: str, deadline=wait.DEADLINE_S):
        """Waits for a condition as long as the child lives."""

        def check():
            assert self.alive, f"ended with code {self.code} before {what}:\n{self.output()[-4000:]}"
            return condition()

        return wait.until(check, lambda: f"{what}:\n{self.output()[-4000:]}", deadline)

    def end(self):
        """Asks it to end, and makes it after five seconds."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, sign)
            except ProcessLookupError:
                break
            try:
                self._child.wait(5)
                break
            except subprocess.TimeoutExpired:
                continue
        self._child.wait()
        self._out.close()

    close = end
