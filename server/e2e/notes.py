"""A tune whose notes follow no rule, 20 ms each: who misses one cannot guess it from those before."""

import difflib
import itertools
import wave

import numpy as np

RATE = 48_000
# As long as a packet of most senders of Opus.
NOTE = RATE // 50
PITCHES = [400 + 160 * number for number in range(16)]
LENGTH = 100
# How far the look goes on each time, and how long a note is seen at the least.
STEP = NOTE // 8
LEAST_STEPS = 3


def _tune() -> list[int]:
    dice = np.random.default_rng(7)
    notes = [int(dice.integers(len(PITCHES)))]
    while len(notes) < LENGTH:
        note = int(dice.integers(len(PITCHES)))
        # The tune is played over and over: its last note is followed by its first.
        if note != notes[-1] and (len(notes) < LENGTH - 1 or note != notes[0]):
            notes.append(note)
    return notes


TUNE = _tune()


def write(path):
    """The tune as a WAV file."""
    hertz = np.repeat([PITCHES[note] for note in TUNE], NOTE)
    samples = 0.4 * np.sin(2 * np.pi * np.cumsum(hertz) / RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())


def heard(samples: np.ndarray) -> float:
    """The part of the notes of what was recorded that were heard, in their order."""
    time = np.arange(NOTE) / RATE
    waves = np.exp(-2j * np.pi * np.outer(PITCHES, time)) * np.hanning(NOTE)
    windows = np.lib.stride_tricks.sliding_window_view(samples, NOTE)[::STEP]
    strongest = np.abs(windows @ waves.T).argmax(axis=1)
    runs = [note for note, run in itertools.groupby(strongest.tolist()) if len(list(run)) >= LEAST_STEPS]
    lasts = len(samples) // NOTE
    played = TUNE * (lasts // LENGTH + 2)
    best = 0
    for start in range(LENGTH):
        matcher = difflib.SequenceMatcher(None, played[start : start + lasts], runs, autojunk=False)
        best = max(best, sum(block.size for block in matcher.get_matching_blocks()))
    return best / lasts
