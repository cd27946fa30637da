"""Sound of every format and rate through a running server into the microphone: its pitch, its depth, no gaps."""

import array
import contextlib
import itertools
import math
import os
import signal
import subprocess
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed

import clip
import wait
from crosspoint import AUDIO, SOCKET_AUDIO, send_ahead
from runtime import any_runtime

HERTZ = 440.0
MICROPHONE = "audio_input.monitor"
# A sender that is woken later than this, once, is on a machine that is too busy to be measured without a gap.
PUNCTUAL_S = 0.005
# A frame of 24 ms, as long as each other of its kind.
FRAME_BYTES, FRAME_S = 384, 0.024

MP3, MP2, AAC = ["-c:a", "libmp3lame", "-f", "mp3"], ["-c:a", "mp2", "-f", "mp2"], ["-c:a", "aac", "-f", "adts"]
OPUS, VORBIS, FLAC = (["-c:a", name, "-f", "ogg"] for name in ("libopus", "libvorbis", "flac"))
S16, U8, S24, F32 = (["-c:a", f"pcm_{name}", "-f", "wav"] for name in ("s16le", "u8", "s24le", "f32le"))

CELLS = {
    "mp3_8k_mono": (MP3, 8000, 1),
    "mp3_11k_stereo": (MP3, 11025, 2),
    "mp3_22k_mono": (MP3, 22050, 1),
    "mp3_44k_stereo": (MP3, 44100, 2),
    "mp3_48k_mono": (MP3, 48000, 1),
    "mp2_44k_stereo": (MP2, 44100, 2),
    "aac_8k_mono": (AAC, 8000, 1),
    "aac_22k_stereo": (AAC, 22050, 2),
    "aac_48k_5.1": (AAC, 48000, 6),
    "aac_96k_stereo": (AAC, 96000, 2),
    "opus_mono": (OPUS, 48000, 1),
    "opus_stereo": (OPUS, 48000, 2),
    "opus_5.1": (OPUS, 48000, 6),
    "vorbis_44k_stereo": (VORBIS, 44100, 2),
    "vorbis_8k_mono": (VORBIS, 8000, 1),
    "flac_96k_stereo": (FLAC, 96000, 2),
    "flac_48k_5.1": (FLAC, 48000, 6),
    "wav_s16_44k_stereo": (S16, 44100, 2),
    "wav_u8_8k_mono": (U8, 8000, 1),
    "wav_u8_11k_mono": (U8, 11025, 1),
    "wav_s24_96k_5.1": (S24, 96000, 6),
    "wav_f32_22k_stereo": (F32, 22050, 2),
}


def made(words, rate: int, channels: int, seconds: float) -> bytes:
    """A tone that is the same in every channel, as FFmpeg writes it into a pipe: lengths in headers are unknown."""
    wave = "|".join([f"0.4*sin(2*PI*{HERTZ}*t)"] * channels)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    source = ["-f", "lavfi", "-i", f"aevalsrc='{wave}':s={rate}:d={seconds}:c={layout}"]
    return subprocess.run([*clip.FFMPEG, *source, *words, "pipe:1"], check=True, stdout=subprocess.PIPE).stdout


def pitch(samples: bytes, rate=48000) -> float:
    """Upward crossings of zero a second, by the middle four fifths of the distances between them; 0 in silence."""
    wave = array.array("f", samples)
    if max(wave) < 0.02:
        return 0.0
    ups = [at + a / (a - b) for at, (a, b) in enumerate(itertools.pairwise(wave)) if a < 0 <= b]
    periods = sorted(after - before for before, after in itertools.pairwise(ups))
    middle = periods[len(periods) // 10 : -len(periods) // 10] or [math.inf]
    return rate * len(middle) / sum(middle)


def longest_silence_s(samples: bytes, rate=48000) -> float:
    longest = run = 0
    for sample in array.array("f", samples):
        run = run + 1 if abs(sample) < 1e-4 else 0
        longest = max(longest, run)
    return longest / rate


@contextlib.contextmanager
def meanwhile(work, *args, **options):
    done = threading.Event()

    def run():
        # A server that took another publisher, or has no room at the end, is not what is tested.
        with contextlib.suppress(ConnectionClosed):
            work(*args, **options, stop=done.is_set)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def send_live(socket, media: bytes, *, speed=1.0, late=None, stop=lambda: False):
    """Sends one frame a message, by a clock that is as much faster as is said; adds to `late` by how much each was late."""
    start = time.monotonic()
    for index in range(len(media) // FRAME_BYTES):
        if stop():
            return
        due = start + index * FRAME_S / speed
        wait.until_moment(due)
        if late is not None:
            late.append(time.monotonic() - due)
        socket.send(media[index * FRAME_BYTES : (index + 1) * FRAME_BYTES])


def until_heard(sound):
    wait.until(lambda: abs(pitch(sound.record(MICROPHONE, 0.3)) - HERTZ) < 5, f"{HERTZ} Hz in the microphone")


@any_runtime
@pytest.mark.parametrize("cell", CELLS)
def test_every_format_and_rate_is_heard_at_its_pitch(crosspoint, sound, cell):
    media = made(*CELLS[cell], 6.0)
    crosspoint.configure(audio=SOCKET_AUDIO)
    before = crosspoint.stats()
    with crosspoint.publisher(AUDIO) as socket, meanwhile(send_ahead, socket, media):
        assert socket.greeting == "mp3", "what the format is called, whatever the bytes are"
        until_heard(sound)
        heard = pitch(sound.record(MICROPHONE, 1.0))
        stats = crosspoint.stats()
    assert math.isclose(heard, HERTZ, rel_tol=0.006), f"{heard} Hz"
    assert stats["bad_units"] == before["bad_units"], "all of it was understood"
    assert stats["microphone_depth_ms"] <= max(200.0, 2.5 * stats["microphone_target_ms"])


def test_steady_publisher_is_held_at_40_ms_without_a_gap(crosspoint, sound, clips):
    crosspoint.configure(audio=SOCKET_AUDIO)
    before = crosspoint.stats()
    late = []
    with crosspoint.publisher(AUDIO) as socket, meanwhile(send_live, socket, clips.tone(hertz=HERTZ, seconds=20), late=late):
        until_heard(sound)
        samples = sound.record(MICROPHONE, 4.0)
        stats = crosspoint.stats()
    assert stats["microphone_depth_ms"] <= 200 and stats["microphone_target_ms"] <= 120, stats
    if max(late) < PUNCTUAL_S:
        assert abs(stats["microphone_depth_ms"] - 40) < 15 and stats["microphone_target_ms"] < 60, stats
        assert stats["microphone_underruns"] == before["microphone_underruns"]
        assert stats["microphone_dropped_ms"] - before["microphone_dropped_ms"] < 50
        assert longest_silence_s(samples) < 0.002


@any_runtime
@pytest.mark.parametrize("speed", [1.004, 0.996])
def test_publisher_with_another_clock_neither_gains_delay_nor_runs_dry(crosspoint, sound, clips, speed):
    crosspoint.configure(audio=SOCKET_AUDIO)
    before = crosspoint.stats()
    late, media = [], clips.tone(hertz=HERTZ, seconds=24)
    with crosspoint.publisher(AUDIO) as socket, meanwhile(send_live, socket, media, speed=speed, late=late):
        start = time.monotonic()
        wait.until(lambda: time.monotonic() > start + 18, "18 s of a foreign clock", 30)
        stats = crosspoint.stats()
        heard = pitch(sound.record(MICROPHONE, 2.0))
    assert stats["microphone_depth_ms"] <= 200, stats
    if max(late) < PUNCTUAL_S:
        assert abs(stats["microphone_depth_ms"] - stats["microphone_target_ms"]) < 25, stats
        assert stats["microphone_underruns"] == before["microphone_underruns"], stats
        assert stats["microphone_dropped_ms"] - before["microphone_dropped_ms"] < 50, stats
        assert math.copysign(1, stats["microphone_correction_ppm"]) == math.copysign(1, 1 - speed), stats
        # Drift is heard as pitch: 0.4 % of 440 Hz.
        assert math.isclose(heard, HERTZ * speed, rel_tol=0.002), f"{heard} Hz"


def test_gap_is_silence_and_leaves_no_delay(crosspoint, sound, clips):
    media = clips.tone(hertz=HERTZ, seconds=20)
    crosspoint.configure(audio=SOCKET_AUDIO)
    with crosspoint.publisher(AUDIO) as socket:
        with meanwhile(send_live, socket, media):
            until_heard(sound)
        before = crosspoint.stats()
        wait.until(lambda: pitch(sound.record(MICROPHONE, 0.3)) == 0, "silence in the gap")
        with meanwhile(send_live, socket, media):
            until_heard(sound)
            wait.until(lambda: crosspoint.stats()["microphone_depth_ms"] < 80, "the old depth")
            after = crosspoint.stats()
    assert after["microphone_underruns"] > before["microphone_underruns"]


@pytest.mark.parametrize("who", ["sound", "crosspoint"])
def test_moment_of_standstill_is_heard_as_no_more_than_that(crosspoint, sound, clips, who):
    """A container that was frozen or starved for a moment: either side may find the other far from where it was."""
    pid = {"sound": sound.pid, "crosspoint": crosspoint.process.pid}[who]
    crosspoint.configure(audio=SOCKET_AUDIO)
    with crosspoint.publisher(AUDIO) as socket, meanwhile(send_live, socket, clips.tone(hertz=HERTZ, seconds=60)):
        until_heard(sound)
        for length in (0.3, 1.0):
            os.kill(pid, signal.SIGSTOP)
            wait.until_moment(time.monotonic() + length)
            os.kill(pid, signal.SIGCONT)
            until_heard(sound)
            wait.until(lambda: crosspoint.stats()["microphone_depth_ms"] < 150, "the old depth")


def test_pause_is_silence_and_resume_is_back_at_the_target(crosspoint, sound, clips):
    crosspoint.configure(audio=SOCKET_AUDIO)
    with crosspoint.publisher(AUDIO) as socket, meanwhile(send_live, socket, clips.tone(hertz=HERTZ, seconds=40)):
        until_heard(sound)
        streams = sound.pactl("list", "short", "sink-inputs")
        crosspoint.input("pause")
        wait.until(lambda: pitch(sound.record(MICROPHONE, 0.3)) == 0, "silence while paused")
        crosspoint.input("resume")
        until_heard(sound)
        assert crosspoint.stats()["microphone_depth_ms"] < 90, crosspoint.stats()
        assert sound.pactl("list", "short", "sink-inputs") == streams, "the stream stays open"


def test_second_publisher_takes_the_stream_over(crosspoint, sound, clips):
    crosspoint.configure(audio=SOCKET_AUDIO)
    with crosspoint.publisher(AUDIO) as first, meanwhile(send_ahead, first, clips.tone(hertz=1000.0, seconds=20)):
        wait.until(lambda: abs(pitch(sound.record(MICROPHONE, 0.3)) - 1000) < 10, "the first")
        streams = sound.pactl("list", "short", "sink-inputs")
        with crosspoint.publisher(AUDIO) as second, meanwhile(send_ahead, second, made(S16, 44100, 2, 10.0)):
            until_heard(sound)
            assert sound.pactl("list", "short", "sink-inputs") == streams, "the stream stays open"
