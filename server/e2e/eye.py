"""The camera as its readers have it, without a browser: a reader of the live Y4M that logs every picture, as Chromium's capture does."""

import os
import pathlib
import threading
import time

import clip
import numpy as np
import wait
from chromium import BLACK

# Chromium's fake capture reads a frame on every tick of a timer at the file's rate.
PERIOD_S = 1 / 30


class Eye:
    """Reads the camera file from a thread at 30 Hz; logs what a `CameraPage` logs: [milliseconds, top code, bottom code, mean luma]."""

    def __init__(self, path: pathlib.Path):
        self._file = os.open(path, os.O_RDONLY)
        header = os.pread(self._file, 200, 0).partition(b"\n")[0]
        words = {word[:1]: word[1:] for word in header.split()[1:]}
        self.width, self.height = int(words[b"W"]), int(words[b"H"])
        self._start = len(header) + 1 + len(b"FRAME\n")
        self._bytes = self.width * self.height * 3 // 2
        self._log: list[list] = []
        # The shape (width / height) that pictures are looked for in; the canvas's own when not told.
        self.aspect = self.width / self.height
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eye")
        self._thread.start()

    def _run(self):
        due = time.monotonic()
        while not self._ended.is_set():
            frame = np.frombuffer(os.pread(self._file, self._bytes, self._start), np.uint8)
            luma = frame[: self.width * self.height].reshape(self.height, self.width)
            top, bottom = clip.read_codes(self._inner(luma))
            self._log.append([time.monotonic() * 1000, top, bottom, float(luma[4::16, 4::16].mean())])
            # As a timer does that is never early: a tick that was missed is gone.
            due = max(due + PERIOD_S, time.monotonic())
            self._ended.wait(due - time.monotonic())

    def _inner(self, luma: np.ndarray) -> np.ndarray:
        """The part of the canvas that a letterboxed picture fills."""
        inner = min(self.width, round(self.height * self.aspect))
        tall = min(self.height, round(self.width / self.aspect))
        left, top = (self.width - inner) // 2, (self.height - tall) // 2
        return luma[top : top + tall, left : left + inner]

    def frames(self, start: int = 0) -> list[list]:
        return self._log[start:]

    def mark(self) -> int:
        """Where the log stands now."""
        return len(self._log)

    def until_seen(self, wanted: range, start: int = 0, deadline=wait.DEADLINE_S):
        """Waits until one of these numbers has been seen since `start`."""
        said = lambda: f"frames {wanted} (seen: {sorted({frame[1] for frame in self.frames(start) if frame[1] is not None})[-5:]})"
        wait.until(lambda: any(frame[1] in wanted for frame in self.frames(start) if frame[1] is not None), said, deadline)

    def until_black(self):
        """Waits until the newest frame is black."""
        wait.until(lambda: self._log and self._log[-1][3] <= BLACK, lambda: f"a black picture (luma {self._log[-1:]})")

    def until_looked(self, frames: int):
        """Waits until as many more frames have been read."""
        end = self.mark() + frames
        wait.until(lambda: self.mark() >= end, f"{frames} frames of the camera")

    def close(self):
        self._ended.set()
        self._thread.join()
        os.close(self._file)
