"""Picture and sound of the broadcast together, and what it costs while nothing happens."""

import contextlib
import itertools
import subprocess

import pattern
import pytest
import skew
import wait
from rtmp import Recorder
from runtime import any_runtime
from skew import Beeper, Recording
from test_rtmp import platform  # noqa: F401 - fixtures
from test_webrtc import loop, peers  # noqa: F401
from viewer import Viewer, picture_starts

@pytest.fixture
def screen(display):
    screen = pattern.Screen(display.name)
    yield screen
    screen.close()


@pytest.fixture
def viewer(crosspoint):
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "screen"})
    viewer = Viewer(crosspoint, "screen")
    yield viewer
    viewer.close()


@any_runtime
def test_flash_and_beep_leave_in_sync_by_every_way(crosspoint, viewer, screen, sound, platform, tmp_path):  # noqa: F811
    crosspoint.call("POST", "/stream/start", {"mode": "internal", "id": "tv"})
    crosspoint.call("POST", "/stream/start", {"mode": "remote", "id": "pushed", "target_url": f"rtmp://127.0.0.1:{platform.port}/app/pushed"})
    urls = {"player": f"rtmp://{crosspoint.rtmp}/live/tv", "push": f"rtmp://127.0.0.1:{platform.port}/app/pushed"}
    screen.fill(0)
    wait.until(lambda: crosspoint.streams()["pushed"]["is_streaming"], "the push to flow")
    with contextlib.ExitStack() as ends:
        recorders = {name: ends.enter_context(contextlib.closing(Recorder(url, tmp_path / f"{name}.flv"))) for name, url in urls.items()}
        viewer.until_pictures(1)
        for name, recorder in recorders.items():
            wait.until(lambda: recorder.media(), f"media from the {name}")  # noqa: B023
        made = skew.make(screen, sound)
        ways = {"socket": lambda: Recording(viewer.media())}
        ways |= {name: lambda recorder=recorder: Recording(recorder.media(), "flv") for name, recorder in recorders.items()}
        for name, record in ways.items():
            made.assert_in_sync(skew.until_whole(record, name), name)


@any_runtime
def test_speaker_is_not_recorded_while_nothing_plays(crosspoint, viewer, screen, sound):
    def is_recorded():
        # One block of lines a stream; ours into the microphone's remap source is not of the speaker.
        monitor = next(line.split("\t")[0] for line in sound.pactl("list", "short", "sources").splitlines() if "audio_output.monitor" in line)
        blocks = sound.pactl("list", "source-outputs").split("\n\n")
        return any(f"Source: {monitor}" in block and "Corked: no" in block for block in blocks)

    def packets():
        return len(Recording(viewer.media()).times("a")) if picture_starts(viewer.media()) else 0

    screen.draw(1)
    viewer.until_pictures(1)
    wait.until(lambda: not is_recorded(), "the speaker to be left alone")
    before = packets()
    # A second of silence in the stream while nothing is recorded; what is drawn lets pictures close the sound before them.
    wait.until(lambda: screen.draw(2) is not None and screen.draw(3) is not None and packets() >= before + 47, "players' clock to go on")
    assert not is_recorded()
    beeper = Beeper(sound)
    try:
        wait.until(is_recorded, "the speaker to be recorded again")
        wait.until(lambda: beeper.beep() or screen.draw(4) is not None and Recording(viewer.media()).beeps, "a beep in the stream", 30)
    finally:
        beeper.close()
    wait.until(lambda: not is_recorded(), "the speaker to be left alone again")


def test_every_mode_at_once_is_captured_and_encoded_once(crosspoint, screen, sound, peers, platform):  # noqa: F811
    for mode in ("internal", "socket", "webrtc"):
        crosspoint.call("POST", "/stream/start", {"mode": mode, "id": mode})
    pushed = [f"pushed{number}" for number in range(3)]
    before = crosspoint.metrics()
    beeper = Beeper(sound)
    players, sockets, watchers = [], [], []
    try:
        for name in pushed:
            target = f"rtmp://127.0.0.1:{platform.port}/app/{name}"
            crosspoint.call("POST", "/stream/start", {"mode": "remote", "id": name, "target_url": target})
        for _ in range(3):
            words = ["ffmpeg", "-nostdin", "-v", "error", "-i", f"rtmp://{crosspoint.rtmp}/live/internal", "-map", "0:v", "-frames:v", "90"]
            # Pictures a few ms apart are one to the rate that ffmpeg guesses: of two at one time it is to take one, not to complain.
            words += ["-fps_mode", "vfr"]
            players.append(subprocess.Popen([*words, "-f", "null", "-"], stderr=subprocess.PIPE))
            sockets.append(Viewer(crosspoint, "socket"))
            watchers.append(peers())
            watchers[-1].receive("video", "audio")
            # On a busy machine aiortc finds its way narrow, and would get pictures of its own.
            watchers[-1].estimates = False
            watchers[-1].connect(crosspoint, "/stream/webrtc/offer")
        seeds = itertools.count()

        def served():
            screen.draw(next(seeds))
            return (
                all(player.poll() is not None for player in players)
                and all(len(picture_starts(socket.media())) >= 90 for socket in sockets)
                and all(len(watcher.pictures) >= 3 and len(watcher.samples) for watcher in watchers)
                and all(crosspoint.streams()[name]["is_streaming"] for name in pushed)
            )

        wait.until(served, "all to be served", 40)
        assert [(player.returncode, player.stderr.read()) for player in players] == [(0, b"")] * 3
        after = crosspoint.metrics()
        received = max(len(socket.received()) for socket in sockets)
    finally:
        beeper.close()
        for player in players:
            player.kill()
            player.wait()
        for socket in sockets:
            socket.close()
    spent = {name: value - before.get(name, 0) for name, value in after.items()}
    # What a test before this one had encoded may still run.
    assert spent["crosspoint_screen_encoders_opened_total"] <= 1, "one H.264 for all of them"
    assert spent["crosspoint_sound_encoders_opened_total"] <= 2, "one AAC and one Opus"
    pictures = spent['crosspoint_screen_pictures_total{codec="h264"}'] + spent["crosspoint_screen_patches_total"]
    assert pictures + spent["crosspoint_screen_repeats_total"] >= 90, "pictures, and what repeats them while the display rests"
    assert 0 < spent["crosspoint_screen_captures_total"] <= pictures + 5, "one capture for all of them"
    # What three viewers share was packed once: it is no more than what one of them got, and what came before it joined.
    assert spent['crosspoint_packed_bytes_total{packing="ts"}'] <= 1.5 * received
    viewers = {packing: after[f'crosspoint_viewers{{packing="{packing}"}}'] for packing in ("flv", "rtp", "ts")}
    assert viewers["ts"] == viewers["rtp"] == 3 and viewers["flv"] >= 3, viewers
