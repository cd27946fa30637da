"""The microphone without a browser: a recorder of the sink's monitor that says which pitch it hears."""

import os
import subprocess
import threading

import numpy as np
import wait

RATE = 48000
# Long enough to tell two pitches of the tests apart within 1 %, short enough for a clip of two seconds.
WINDOW = RATE // 2
KEPT = RATE * 4
# The root mean square under which there is nothing to hear.
SILENT = 0.001
SAMPLE_BYTES = 4


class Ear:
    """Records a source of the sound server from a thread, all its channels or one; keeps the last seconds."""

    def __init__(self, sound, source="audio_input.monitor", channel=None):
        words = ["parec", "-d", source, "--rate", str(RATE), "--channels", "1", "--format", "float32le", "--latency-msec", "20"]
        words += ["--channel-map", channel, "--no-remix"] if channel else []
        self._recorder = subprocess.Popen(words, env={**os.environ, **sound.env}, stdout=subprocess.PIPE)
        # The last samples, and how many there were in all: replaced as one, for whoever reads meanwhile.
        self._state = (np.zeros(0, np.float32), 0)
        self._thread = threading.Thread(target=self._run, name="ear")
        self._thread.start()
        wait.until(self.mark, f"samples of {source}")

    def _run(self):
        assert self._recorder.stdout
        rest = b""
        while piece := os.read(self._recorder.stdout.fileno(), 1 << 16):
            rest += piece
            whole = len(rest) // SAMPLE_BYTES * SAMPLE_BYTES
            samples, rest = np.frombuffer(rest[:whole], np.float32), rest[whole:]
            kept, heard = self._state
            self._state = (np.concatenate((kept, samples))[-KEPT:], heard + len(samples))

    def mark(self) -> int:
        """How many samples were heard until now."""
        return self._state[1]

    def since(self, start: int) -> np.ndarray:
        """The samples since a mark, of the last seconds."""
        kept, heard = self._state
        return kept[max(len(kept) - (heard - start), 0) :]

    def last(self, count: int) -> np.ndarray:
        """The newest samples."""
        return self._state[0][-count:]

    def has_heard(self, hertz: float, start: int) -> bool:
        """Whether half a second since `start` was steadily of this pitch, within 1 %."""
        samples = self.since(start)
        steps = range(0, len(samples) - WINDOW + 1, WINDOW // 4)
        return any(abs(pitch(samples[at : at + WINDOW]) - hertz) <= 0.01 * hertz for at in steps)

    def until_heard(self, hertz: float, start: int, deadline=wait.DEADLINE_S):
        said = lambda: f"{hertz} Hz in the microphone (now: {pitch(self.last(WINDOW)):.0f} Hz)"
        wait.until(lambda: self.has_heard(hertz, start), said, deadline)

    def until_silent(self):
        wait.until(lambda: level(self.last(WINDOW // 4)) < SILENT, "silence in the microphone")

    def close(self):
        self._recorder.terminate()
        self._recorder.wait()
        self._thread.join()


def level(samples: np.ndarray) -> float:
    """The root mean square, 1 for full scale."""
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def pitch(samples: np.ndarray) -> float:
    """The strongest frequency in hertz, or 0 in silence; between the spectrum's bins by a parabola."""
    if len(samples) < WINDOW or level(samples) < SILENT:
        return 0.0
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    peak = int(spectrum[1:-1].argmax()) + 1
    below, at, above = spectrum[peak - 1 : peak + 2]
    bend = below - 2 * at + above
    return float((peak + ((below - above) / (2 * bend) if bend else 0)) * RATE / len(samples))
