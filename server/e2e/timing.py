"""Looks at the camera file and listens to the microphone directly: when what was seen and heard, to some milliseconds."""

import mmap
import os
import subprocess
import threading
import time

import clip
import numpy as np
import wait

RATE = 48000
# Samples read at a time: 5 ms.
BLOCK = 240
# The mean luma below which a picture is black.
BLACK = 18


class Eye:
    """Reads the codes of a camera file's picture from memory, which no reader of the file sees."""

    def __init__(self, path, width=1280, height=720):
        self.width, self.height = width, height
        self._fd = os.open(path, os.O_RDONLY)
        self._map = mmap.mmap(self._fd, 0, prot=mmap.PROT_READ)
        self._start = self._map.find(b"FRAME\n") + len(b"FRAME\n")
        self._ended = threading.Event()
        self.log: list[tuple[float, int | None, float]] = []
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def luma(self) -> np.ndarray:
        return np.frombuffer(self._map, np.uint8, self.width * self.height, self._start).reshape(self.height, self.width)

    def _look(self):
        luma = self.luma()
        row = round(self.height * clip.ROW)
        while not self._ended.wait(0.003):
            number = clip.read_row(luma[:row])
            mean = float(luma[:: self.height // 16, ::16].mean())
            # What changes is what counts; a picture that is half overwritten with black may be as dark as 22.
            if not self.log or self.log[-1][1] != number or abs(self.log[-1][2] - mean) > 8 or (mean < BLACK) != self.is_black:
                self.log.append((time.monotonic(), number, mean))
        del luma

    @property
    def now(self) -> int | None:
        return self.log[-1][1] if self.log else None

    @property
    def is_black(self) -> bool:
        return bool(self.log) and self.log[-1][2] < BLACK

    def numbers(self, start: int = 0) -> list[int]:
        return [number for _, number, _ in self.log[start:] if number is not None]

    def mark(self) -> int:
        return len(self.log)

    def until_seen(self, number: int, start: int = 0):
        wait.until(lambda: any(n >= number for n in self.numbers(start)), lambda: f"picture {number} (seen: {self.numbers(start)[-5:]})")

    def until_black(self):
        wait.until(lambda: self.is_black, lambda: f"black (seen: {self.log[-1:]})")

    def close(self):
        self._ended.set()
        self._thread.join()
        self._map.close()
        os.close(self._fd)


class Ear:
    """Records a source's level, block by block."""

    def __init__(self, env: dict[str, str], source="audio_input.monitor"):
        words = ["parec", "-d", source, "--rate", str(RATE), "--channels", "1", "--format", "float32le", "--latency-msec", "5"]
        self._recorder = subprocess.Popen(words, env={**os.environ, **env}, stdout=subprocess.PIPE)
        self.log: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        wait.until(lambda: self.log, "sound from the monitor")

    def _listen(self):
        assert self._recorder.stdout
        while block := self._recorder.stdout.read(BLOCK * 4):
            samples = np.frombuffer(block, np.float32)
            self.log.append((time.monotonic(), float(np.sqrt((samples**2).mean())) if len(samples) else 0.0))

    def onsets(self, start: float = 0.0) -> list[float]:
        """The moments at which sound began after a silence of a tenth of a second."""
        found, quiet = [], 0
        for at, level in list(self.log):
            if level > 0.05:
                if quiet >= 20 and at >= start:
                    found.append(at)
                quiet = 0
            else:
                quiet += 1
        return found

    @property
    def level(self) -> float:
        """The loudest block of the last tenth of a second."""
        return max(level for _, level in self.log[-20:])

    def close(self):
        self._recorder.terminate()
        self._thread.join()
        self._recorder.wait()
