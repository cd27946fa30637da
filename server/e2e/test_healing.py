"""Display and sound server that die and come back, under a server that stays."""

import contextlib
import subprocess

import pytest
import sandbox
import seccomp
import wait
from crosspoint import AUDIO, SOCKET_AUDIO, Crosspoint, send_ahead
from pattern import Screen, shows
from pattern import decode as decoded
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


def tracks(media: bytes) -> set[str]:
    words = ["ffprobe", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-show_entries", "packet=codec_type", "-of", "csv=p=0"]
    return set(subprocess.run(words, input=media, capture_output=True, text=False).stdout.decode().replace(",", " ").split())
