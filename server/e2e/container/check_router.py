"""The router's image, run as it is meant to be: beside a display and a sound server, behind a port mapping."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import chromium
import pytest
import rtc_page
import rtc_peer
import rtmp
import wait
from container.engine import Container, Share
from container.mapping import Mapping
from crosspoint import AUDIO, CAMERA_NAME, SOCKET_AUDIO, SOCKET_VIDEO, VIDEO, Api, send_ahead
from ear import Ear
from eye import Eye
from pattern import Screen
from viewer import Viewer
from websockets.exceptions import ConnectionClosed

# Times that it is started, for a mean.
STARTS = 20
# It gives memory back five seconds after the start.
RESTS_S = 8.0
MOST_PRIVATE_BYTES = MOST_RESIDENT_BYTES = 12 << 20
IMAGE = os.environ.get("CROSSPOINT_IMAGE", "localhost/crosspoint")


class Router(Api):
    """A container of the router's image with the display, the sound server and the shared memory of this machine."""

    def __init__(self, folder, display, sound, *, udp: bool):
        folder.mkdir()
        self._ends = contextlib.ExitStack()
        with contextlib.ExitStack() as ends:
            self.mapping = Mapping(folder, udp=udp)
            ends.callback(self.mapping.end)
            super().__init__(f"{self.mapping.address}:444")
            camera_folder = pathlib.Path(tempfile.mkdtemp(prefix="crosspoint-e2e-", dir="/dev/shm"))
            ends.callback(shutil.rmtree, camera_folder, ignore_errors=True)
            camera_folder.chmod(0o777)
            self.camera_file = camera_folder / CAMERA_NAME
            pulse = pathlib.Path(sound.env["XDG_RUNTIME_DIR"]) / "pulse"
            pulse.chmod(0o755)
            env = {"DISPLAY": display.name, "PULSE_SERVER": "unix:/run/pulse/native", "CROSSPOINT_CAMERA": f"file:{self.camera_file}"}
            volumes = {"/tmp/.X11-unix": "/tmp/.X11-unix", pulse: "/run/pulse"}
            # Pictures of the display and of the camera are memory that is shared.
            self.container = Container(
                IMAGE, folder, f"crosspoint-{os.getpid()}", self.mapping.inside, env=env, volumes=volumes, flags=["--ipc=host"]
            )
            ends.callback(self.container.end)
            self.container.until_healthy()
            self._ends = ends.pop_all()

    def end(self):
        self._ends.close()


@pytest.fixture(scope="module", params=["udp", "tcp"])
def router(request, folder, sound, open_display):
    router = Router(folder / f"router-{request.param}", open_display, sound, udp=request.param == "udp")
    router.udp = request.param == "udp"
    yield router
    router.end()


@pytest.fixture
def fresh(router):
    """The router with nothing configured and nothing streamed."""
    router.reset()
    return router


@pytest.fixture
def screen(open_display):
    with contextlib.closing(Screen(open_display.name)) as screen:
        yield screen


@pytest.fixture(scope="module")
def chrome(playwright):
    browser = playwright.chromium.launch(executable_path=chromium.EXECUTABLE, args=[*chromium.QUIET, "--no-sandbox"])
    yield browser
    browser.close()


def test_image_runs_as_nobody_in_particular_and_says_what_it_is():
    told = json.loads(subprocess.run(["podman", "image", "inspect", IMAGE], capture_output=True, check=True).stdout)[0]
    assert told["User"] == "1000:1000"
    assert {"10001/tcp", "10001/udp", "1935/tcp", "1936/tcp"} <= set(told["Config"]["ExposedPorts"])
    assert told["Labels"]["org.opencontainers.image.title"] == "Crosspoint"
    assert told["Healthcheck"]["Test"] == ["CMD", "crosspoint-health"]
    size = told["Size"]
    print(f"\n{IMAGE}: {size / 1e6:.0f} MB")


def test_ring_is_refused_and_epoll_serves(router):
    assert "epoll" in router.container.process.output()
    status = pathlib.Path(f"/proc/{next(iter(pid for pid in router.container.pids()))}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert int(fields["CapEff"], 16) == 0 and fields["Seccomp"] == "2" and fields["NoNewPrivs"] == "1"
    assert fields["Uid"].split()[0] == "1000"


def test_idle_router_is_small_and_starts_soon(fresh):
    """Prints how small and how soon."""
    (pid,) = fresh.container.pids()
    libraries = {line.split()[-1] for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines() if ".so" in line}
    # At rest, what only starting needed is given back. Of Debian's FFmpeg much stays: its libraries' own constants, relocated.
    if not any("libavcodec" in library for library in libraries):
        wait.until(lambda: Share([pid]).resident_bytes <= MOST_RESIDENT_BYTES, "memory to be given back")
    else:
        wait.until_moment(time.monotonic() + RESTS_S)
    share, mib = Share([pid]), 2**20
    run = f"time (for run in $(seq {STARTS}); do crosspoint --version; done)"
    told = fresh.container.run("bash", "-c", f"TIMEFORMAT=%R; {run} >/dev/null")
    start_ms = float(told.stderr.split()[-1]) * 1000 / STARTS
    print(f"\nidle: {share.resident_bytes / mib:.1f} MiB resident, {share.private_bytes / mib:.1f} MiB of it its own; {len(libraries)} libraries;")
    print(f"started and ended in {start_ms:.0f} ms")
    assert share.private_bytes <= MOST_PRIVATE_BYTES


def test_camera_and_microphone_get_what_a_websocket_sends(fresh, sound, clips):
    fresh.configure(SOCKET_VIDEO, SOCKET_AUDIO)
    with contextlib.closing(Eye(fresh.camera_file)) as eye, contextlib.closing(Ear(sound)) as ear:
        start, heard = eye.mark(), ear.mark()
        with fresh.publisher(VIDEO) as video, fresh.publisher(AUDIO) as audio:
            send_ahead(audio, clips.tone(hertz=700.0, seconds=2))
            send_ahead(video, clips.video(seconds=2))
            eye.until_seen(range(30, 60), start)
            ear.until_heard(700, heard)


def test_screen_is_seen_over_websocket_rtmp_and_webrtc(fresh, screen, chrome):
    for mode in ("socket", "internal", "webrtc"):
        fresh.call("POST", "/stream/start", {"mode": mode, "id": mode})
    with contextlib.ExitStack() as ends:
        viewer = ends.enter_context(contextlib.closing(Viewer(fresh, "socket")))
        rtc_page.draw_until(screen, lambda: viewer.received()[:1] == b"\x47", "a transport stream")
        player = ends.enter_context(contextlib.closing(rtmp.Player(f"{fresh.mapping.address}:1935", "internal")))
        assert player.next_of(rtmp.VIDEO)
        page = ends.enter_context(contextlib.closing(rtc_page.open_page(chrome, fresh)))
        rtc_page.view(page, fresh, "webrtc")
        seen = rtc_page.draw_until(
            screen, lambda: (now := page.evaluate(rtc_page.SEEN)).get("video", {}).get("frames", 0) > 10 and now, "ten pictures"
        )
        assert seen["protocol"] == ("udp" if fresh.udp else "tcp")
        metrics = fresh.metrics()
        viewers = {name: value for name, value in metrics.items() if "viewers" in name}
        assert sum(viewers.values()) >= 3, viewers


def test_aiortc_publishes_through_the_mapping(fresh, clips):
    if not fresh.udp:
        pytest.skip("aiortc has no ICE over TCP")
    import media

    clip = media.Recipe("mp4", "h264", "aac", size=(640, 360), seconds=6, start=20_000, hertz=900)
    fresh.configure({"type": "webrtc"}, {"type": "webrtc"})
    loop = rtc_peer.Loop()
    peer = rtc_peer.Peer(loop)
    try:
        with contextlib.closing(Eye(fresh.camera_file)) as eye:
            eye.aspect, start = 640 / 360, eye.mark()
            peer.publish(media.file(clip))
            peer.connect(fresh, "/input/devices/virtual/webrtc/offer")
            eye.until_seen(clip.numbers, start)
    finally:
        peer.close()
        loop.end()


def test_viewers_are_told_at_sigterm_and_it_ends_well(fresh):
    fresh.call("POST", "/stream/start", {"mode": "socket", "id": "last"})
    with fresh.socket("/stream/socket/last") as viewer:
        assert viewer.recv(timeout=wait.DEADLINE_S)
        os.kill(fresh.container.process.pid, 15)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                viewer.recv(timeout=wait.DEADLINE_S)
        assert closed.value.rcvd.code == 1001
    wait.until(lambda: not fresh.container.process.alive, "the container to end")
    assert fresh.container.process.code == 0, fresh.container.process.output()
