"""The image of the complete sandbox: its browser has the live camera and microphone; and ten of them on one machine."""

import contextlib
import json
import os
import statistics
import sys
import time

import pytest
import wait
from chromium import CameraPage
from container.engine import Container, Share, command_of
from container.mapping import Mapping
from crosspoint import AUDIO, REPOSITORY, SOCKET_AUDIO, SOCKET_VIDEO, VIDEO, Api, send_ahead
from forwarder import Forwarder
from namespace import Namespace
from process import Process
from viewer import Viewer

IMAGE = os.environ.get("CROSSPOINT_SANDBOX_IMAGE", "localhost/crosspoint-sandbox")
# Chromium's control port, and the page's, in the sandbox's network.
CONTROL, PAGE = 9222, 8000
SANDBOXES = 10
MEASURED_S = 5.0


@pytest.fixture
def mapping(tmp_path):
    mapping = Mapping(tmp_path, udp=True)
    yield mapping
    mapping.end()


def test_browser_inside_has_the_live_camera_and_microphone(mapping, folder, tmp_path, playwright, clips):
    flags = tmp_path / "flags"
    flags.write_text(json.dumps({"flags": [f"--remote-debugging-port={CONTROL}", "--accept-lang=en-GB, en"]}))
    with contextlib.ExitStack() as ends:
        serve = Process(
            [*mapping.inside.prefix, sys.executable, str(REPOSITORY / "samples/camera/serve.py"), str(PAGE)], tmp_path / "page.log"
        )
        ends.callback(serve.end)
        container = Container(IMAGE, folder, f"sandbox-{os.getpid()}", mapping.inside, volumes={flags: "/chromium/flags:ro"})
        ends.callback(container.end)
        container.until_healthy()
        router = Api(f"{mapping.address}:444")
        router.configure(SOCKET_VIDEO, SOCKET_AUDIO)

        control = Forwarder(mapping.inside, folder, udp=False)
        ends.callback(control.end)
        control.lead_to(CONTROL)
        browser = container.process.until(lambda: _connected(playwright, control.port), "the browser can be told what to do", 60)
        camera = CameraPage(browser.contexts[0].pages[0], f"http://localhost:{PAGE}/")
        with router.publisher(VIDEO) as video, router.publisher(AUDIO) as audio:
            start = camera.mark()
            send_ahead(audio, clips.tone(hertz=700.0, seconds=20))
            send_ahead(video, clips.video(seconds=4))
            camera.until_seen(90, start)
            camera.until_pitch(700)
        browser.close()

        router.call("POST", "/stream/start", {"mode": "socket", "id": "screen"})
        with contextlib.closing(Viewer(router, "screen")) as viewer:
            viewer.until_pictures(2)
            os.kill(container.process.pid, 15)
            wait.until(lambda: not viewer.attached, "the viewer to be told of the end")
        wait.until(lambda: not container.process.alive, "the sandbox to end")
        assert container.process.code == 0, container.process.output()[-4000:]


def _connected(playwright, port: int):
    try:
        return playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
    except Exception:
        return None


def test_ten_sandboxes_live_on_one_machine(folder, tmp_path):
    """Prints what each of them takes; none is in another's way."""
    with contextlib.ExitStack() as ends:
        containers = []
        for number in range(SANDBOXES):
            place = tmp_path / str(number)
            place.mkdir()
            inside = Namespace(place)
            ends.callback(inside.end)
            containers.append(Container(IMAGE, place, f"sandbox-{os.getpid()}-{number}", inside, env={"START_URL": "data:text/html,<h1>hello"}))
            ends.callback(containers[-1].end)
        for container in containers:
            container.until_healthy()
        pids = [container.pids() for container in containers]
        for container, own in zip(containers, pids):
            assert any("chromium" in command_of(pid) for pid in container.pids()), f"{container.name} has a browser"
            assert own
        first, before = time.monotonic(), [Share(container.pids()) for container in containers]
        wait.until_moment(first + MEASURED_S)
        after, elapsed = [Share(container.pids()) for container in containers], time.monotonic() - first
        routers = [Share([pid for pid in container.pids() if command_of(pid) == "crosspoint"]) for container in containers]
        mib = lambda shares: statistics.mean(share.bytes for share in shares) / 2**20
        busy = statistics.mean(now.processor_s - then.processor_s for then, now in zip(before, after)) / elapsed
        print(f"\n{SANDBOXES} sandboxes: each {mib(after):.0f} MiB, the router of it {mib(routers):.0f} MiB, and {busy:.1%} of a core")
