"""Display and sound server that die and come back, under a server that stays."""

import contextlib
import itertools
import os
import signal
import subprocess
import time

import pytest
import sandbox
import seccomp
import wait
from crosspoint import AUDIO, SOCKET_AUDIO, Crosspoint, send_ahead
from pattern import Screen, shows
from pattern import decode as decoded
from skew import Beeper
from test_stream import Viewer


@pytest.fixture
def lone(folder, tmp_path):
    """A sandbox and a server that no other test shares."""
    runtime = folder / tmp_path.name
    runtime.mkdir()
    display, sound = sandbox.Display(tmp_path), sandbox.Sound(runtime)
    io = "epoll" if seccomp.io_uring_refusal() else "uring"
    crosspoint = Crosspoint(tmp_path / "crosspoint", io, {**sound.env, "DISPLAY": display.name})
    ends = contextlib.ExitStack()
    for thing in (display, sound, crosspoint):
        ends.callback(thing.end)
    with ends:
        yield crosspoint, display, sound, lambda thing: ends.callback(thing.end)


def test_display_that_dies_is_told_of_and_streamed_again_when_it_is_back(lone, tmp_path):
    crosspoint, display, _, keep = lone
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "screen"})
    viewer = Viewer(crosspoint, "screen")
    viewer.until_pictures(2)
    display.end()
    wait.until(lambda: crosspoint.streams()["screen"]["last_error"], "the stream to say what is wrong")
    assert crosspoint.streams()["screen"]["is_streaming"] is False
    keep(sandbox.Display(tmp_path, display.name))
    wait.until(lambda: crosspoint.streams()["screen"]["is_streaming"], "the stream to go on", 30)
    screen = Screen(display.name)
    try:
        blocks = screen.draw(5)
        wait.until(lambda: shows(decoded(viewer.media())[-1], blocks), "the new display in the old viewer's stream", 30)
    finally:
        screen.close()
        viewer.close()
    assert crosspoint.process.alive


def test_sound_server_that_dies_is_connected_to_again(lone, folder, tmp_path, clips):
    crosspoint, _, sound, keep = lone
    crosspoint.configure(audio=SOCKET_AUDIO)
    wait.until(lambda: sound.default("source") == "microphone", "the microphone")
    sound.end()
    wait.until(lambda: crosspoint.status()["last_error"], "the status to say what is wrong")
    again = sandbox.Sound(folder / tmp_path.name)
    keep(again)
    wait.until(lambda: {"audio_input", "audio_output"} <= again.names("sinks"), "the sinks to be made anew", 30)
    wait.until(lambda: crosspoint.status()["last_error"] is None, "the status to be well again")
    with crosspoint.publisher(AUDIO) as socket:
        send_ahead(socket, clips.tone(hertz=440.0, seconds=6))
        wait.until(lambda: max(abs(sample) for sample in memoryview(again.record("microphone", 0.2)).cast("f")) > 0.05, "the tone")


def test_sound_server_that_comes_late_is_heard_in_a_stream_that_runs(lone, folder, tmp_path):
    crosspoint, _, sound, keep = lone
    sound.end()
    crosspoint.configure(audio=SOCKET_AUDIO)
    wait.until(lambda: crosspoint.status()["last_error"], "the status to say what is wrong")
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "screen"})
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "sound", "video": False})
    with contextlib.closing(Viewer(crosspoint, "screen")) as viewer, contextlib.closing(Viewer(crosspoint, "sound")) as listener:
        viewer.until_pictures(2)
        assert tracks(viewer.media()) == {"video"}
        keep(sandbox.Sound(folder / tmp_path.name))
        wait.until(lambda: tracks(viewer.media()) == {"audio", "video"}, "sound in the stream", 30)
        wait.until(lambda: tracks(listener.received()) == {"audio"}, "the sound alone", 30)


def test_players_clock_goes_on_while_the_sound_server_is_away(lone, folder, tmp_path):
    crosspoint, _, sound, keep = lone
    wait.until(lambda: "audio_output" in sound.names("sinks"), "the speaker")
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "sound", "video": False})
    with contextlib.closing(Viewer(crosspoint, "sound")) as listener:

        def until_more(what: str):
            before = len(times_s(listener.received()))
            wait.until(lambda: len(times_s(listener.received())) > before + 50, what, 30)

        with contextlib.closing(Beeper(sound)):
            until_more("sound")
            sound.end()
            until_more("silence in its place")
        again = sandbox.Sound(folder / tmp_path.name)
        keep(again)
        wait.until(lambda: "audio_output" in again.names("sinks"), "the speaker to be made anew", 30)
        with contextlib.closing(Beeper(again)):
            until_more("sound again")
        steps = [later - earlier for earlier, later in itertools.pairwise(times_s(listener.received()))]
    # A packet is 21 ms; where two clocks meet less than one is missing, and less than half of one is doubled.
    assert 0.01 < min(steps) and max(steps) < 0.5, f"{min(steps):.3f} to {max(steps):.3f} s"


@pytest.mark.parametrize("who", ["sound", "crosspoint"])
def test_sound_that_a_standstill_held_back_is_left_out(lone, who):
    """Viewers would take it in, and be as late as the standstill was long from then on."""
    crosspoint, _, sound, _ = lone
    pid = {"sound": sound.pid, "crosspoint": crosspoint.process.pid}[who]
    wait.until(lambda: "audio_output" in sound.names("sinks"), "the speaker")
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "sound", "video": False})
    with contextlib.closing(Beeper(sound)), contextlib.closing(Viewer(crosspoint, "sound")) as listener:
        wait.until(lambda: len(times_s(listener.received())) > 100, "sound")
        os.kill(pid, signal.SIGSTOP)
        wait.until_moment(time.monotonic() + 1.5)
        os.kill(pid, signal.SIGCONT)
        before = len(times_s(listener.received()))
        wait.until(lambda: len(times_s(listener.received())) > before + 100, "sound to go on")
        longest = max(later - earlier for earlier, later in itertools.pairwise(times_s(listener.received())))
    assert longest > 1.25, f"no more than {longest:.3f} s are missing"


def times_s(media: bytes) -> list[float]:
    """The packets' presentation times."""
    words = ["ffprobe", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-show_entries", "packet=pts_time", "-of", "csv=p=0"]
    told = subprocess.run(words, input=media, capture_output=True, text=False).stdout.decode().replace(",", " ").split()
    return [float(time) for time in told if time != "N/A"]


def tracks(media: bytes) -> set[str]:
    words = ["ffprobe", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-show_entries", "packet=codec_type", "-of", "csv=p=0"]
    return set(subprocess.run(words, input=media, capture_output=True, text=False).stdout.decode().replace(",", " ").split())
