"""Flashes on the display with beeps from the speaker, and what is found of them in a recorded stream by decoding it."""

import contextlib
import functools
import os
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass

import numpy as np
import wait
from timing import Ear

RATE = 48000
# Sound played at a time, in samples: 10 ms.
BLOCK = 480
BEEP_S = 0.1
# What a picture and its sound may be apart.
SKEW_S = 0.040
FLASHES = 8
# How long the display stands white, and black.
STAND_S = 0.3


class Beeper:
    """Plays silence into the speaker, and beeps when asked."""

    def __init__(self, sound):
        words = ["pacat", "-d", "audio_output", "--rate", str(RATE), "--channels", "1", "--format", "float32le", "--latency-msec", "20"]
        self._player = subprocess.Popen(words, env={**os.environ, **sound.env}, stdin=subprocess.PIPE, bufsize=0)
        self._blocks = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def beep(self):
        self._blocks = round(BEEP_S * RATE / BLOCK)

    def _play(self):
        assert self._player.stdin
        tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(BLOCK) / RATE)).astype(np.float32).tobytes()
        due = time.monotonic()
        # The player goes when its sound server does.
        with contextlib.suppress(BrokenPipeError):
            while not self._ended.is_set():
                self._player.stdin.write(tone if self._blocks > 0 else bytes(len(tone)))
                self._blocks -= 1
                due += BLOCK / RATE
                wait.until_moment(due)

    def close(self):
        self._ended.set()
        self._thread.join()
        self._player.terminate()
        self._player.wait()


@dataclass
class Recording:
    """What was recorded of a stream, and in which container."""

    media: bytes
    container: str = "mpegts"

    @functools.cached_property
    def flashes(self) -> list[float]:
        """When the picture turns white."""
        raw = self._decoded("-map", "0:v", "-fps_mode", "passthrough", "-vf", "scale=16:9,format=gray", "-f", "rawvideo", "-")
        levels = np.frombuffer(raw, np.uint8).reshape(-1, 144).mean(1)
        shown = [at for at, _ in self.times("v")]
        return [at for at, before, level in zip(shown[1:], levels, levels[1:]) if before < 128 <= level]

    @functools.cached_property
    def beeps(self) -> list[float]:
        """When a sound begins after a silence."""
        samples = np.frombuffer(self._decoded("-map", "0:a", "-ac", "1", "-f", "f32le", "-"), np.float32)
        when = np.concatenate([start + np.arange(count) / RATE for start, count in self.times("a")])[: len(samples)]
        loud = np.flatnonzero(np.abs(samples[: len(when)]) > 0.1)
        return list(when[loud[np.diff(loud, prepend=-RATE) > RATE / 10]])

    def times(self, track: str) -> list[tuple[float, int]]:
        """When each decoded frame is shown or heard, in seconds, and how many samples it has."""
        words = ["ffprobe", "-v", "error", "-select_streams", track, "-show_entries", "frame=pts_time,nb_samples", "-of", "csv=p=0"]
        rows = [row.split(",") for row in self._run(*words, "-f", self.container, "-").decode().split() if row[0].isdigit()]
        return [(float(row[0]), int(row[1]) if len(row) > 1 and row[1].isdigit() else 0) for row in rows]

    def _decoded(self, *words: str) -> bytes:
        return self._run("ffmpeg", "-nostdin", "-v", "error", "-f", self.container, "-i", "-", *words)

    def _run(self, *words: str) -> bytes:
        done = subprocess.run(words, input=self.media, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


@dataclass
class Made:
    """The moments at which the display was white and the beep in the speaker."""

    drawn: list[float]
    heard: list[float]

    def skews_in(self, recording: Recording) -> list[float]:
        """By how many seconds each picture is behind its sound, beyond what they were apart where they were made."""
        seen, sounded = recording.flashes[-FLASHES:], recording.beeps[-FLASHES:]
        assert len(seen) == len(sounded) == FLASHES
        return [(picture - sound) - (at - ear) for picture, sound, at, ear in zip(seen, sounded, self.drawn, self.heard)]

    def assert_in_sync(self, recording: Recording, where: str):
        skews = self.skews_in(recording)
        assert abs(statistics.median(skews)) < SKEW_S, f"{where}: the picture is behind its sound by {[round(skew * 1000) for skew in skews]} ms"


def make(screen, sound) -> Made:
    """Flashes the display and beeps with it, some times; the stream is being recorded already."""
    beeper, ear, drawn = Beeper(sound), Ear(sound.env, "audio_output.monitor"), []
    try:
        screen.fill(0)
        wait.until(lambda: len(ear.log) > 100 and ear.level == 0, "silence from the speaker")
        for _ in range(FLASHES):
            before = len(ear.onsets())
            beeper.beep()
            screen.fill(255)
            drawn.append(time.monotonic())
            wait.until(lambda: len(ear.onsets()) > before, "the beep from the speaker")
            # White and black both stand long enough to be captured, however long the beep took to be heard.
            wait.until_moment(time.monotonic() + STAND_S)
            screen.fill(0)
            wait.until_moment(time.monotonic() + STAND_S)
        return Made(drawn, ear.onsets()[-FLASHES:])
    finally:
        beeper.close()
        ear.close()


def until_whole(record, where: str) -> Recording:
    """Waits until all flashes and beeps are in what `record` gives."""
    recording = Recording(b"")

    def is_whole() -> bool:
        nonlocal recording
        recording = record()
        return min(len(recording.flashes), len(recording.beeps)) >= FLASHES

    wait.until(is_whole, lambda: f"{FLASHES} flashes and beeps by {where} (seen: {len(recording.flashes)} and {len(recording.beeps)})")
    return recording
