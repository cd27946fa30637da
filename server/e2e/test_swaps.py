"""A hundred random swaps of the source while Chromium holds the camera and the microphone: its tracks never notice."""

import contextlib
import random
import threading

import chromium
import hls
import media
import pytest
import wait
from crosspoint import AUDIO, VIDEO, Crosspoint, send_ahead
from media import Recipe
from origin import Origin
from usage import MIB, Usage
from websockets.exceptions import ConnectionClosed

SWAPS = 100
# After so many swaps every kind of source has run, and what is loaded once is loaded.
WARM_UP = 40
# What no new source covers for longer: the 300 ms that the old picture may stay, and a loaded browser's way to the page.
OLD_PICTURE_MS = 300 + 250
# Until a source must be seen or heard: files and sockets are quick, HTTP and HLS fetch and probe first.
START_UP_S = 8
# FFmpeg's and the allocator's own waves; a leak of one picture a swap would be 80 MiB.
GROWTH_BYTES = 24 * MIB

LENGTH = {"seconds": 4.0, "gop": 30}
# What is played, each with numbers and a pitch of its own.
RECIPES = {
    "socket-mpeg1": Recipe("ts", "mpeg1", start=1000, **LENGTH),
    "socket-h264": Recipe("ts", "h264", start=2000, **LENGTH),
    "file-mp4": Recipe("mp4", "h264", "aac", start=3000, hertz=500, **LENGTH),
    "file-webm": Recipe("webm", "vp9", "opus", start=4000, hertz=600, **LENGTH),
    "file-png": Recipe("png", "png", start=5000, pixels="rgb24"),
    "http-mp4": Recipe("mp4", "h264-b-frames", "aac", start=6000, hertz=700, extra=("-movflags", "+faststart"), **LENGTH),
    "hls": Recipe("ts", "h264", "aac", start=7000, hertz=800, **LENGTH),
    "socket-mp3": Recipe("mp3", audio="mp3", hertz=900, **LENGTH),
    "file-wav": Recipe("wav", audio="pcm", hertz=1000, **LENGTH),
}
CONTROLS = ["stop", "pause-and-resume"]

# Keeps what happens to the tracks that the page holds.
WATCH_TRACKS = """() => {
    window.trackEvents = [];
    for (const track of document.getElementById('view').srcObject.getTracks()) {
        for (const kind of ['ended', 'mute']) track.addEventListener(kind, () => window.trackEvents.push(`${track.kind} ${kind}`));
    }
}"""


class Publisher:
    """Sends a file again and again until the server closes the socket."""

    def __init__(self, crosspoint, path: str, body: bytes):
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(crosspoint.publisher(path))
        self._body = body
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with contextlib.suppress(ConnectionClosed):
            while True:
                send_ahead(self._socket, self._body)

    def until_closed(self):
        """Waits until the server has closed it, as it does to whoever is replaced."""
        self._thread.join(wait.DEADLINE_S)
        assert not self._thread.is_alive(), "the publisher that was replaced is closed"
        self._open.close()


class Stage:
    """A server, a page that holds its devices, and the source that plays."""

    def __init__(self, crosspoint, page, origin):
        self.crosspoint, self.page, self._origin = crosspoint, page, origin
        self.playing: str | None = None
        self._publisher: Publisher | None = None
        self._vod = hls.Presentation({"only": hls.cut(RECIPES["hls"])})

    def swap(self, to: str):
        """Goes over to a source or a control, and judges what the page sees and hears of it."""
        start, swapped_at = self.page.mark(), self.page.page.evaluate("performance.now()")
        match to:
            case "stop":
                self.crosspoint.input("stop")
                self._replace(None)
                self.playing = None
            case "pause-and-resume":
                self._pause_and_resume()
                return
            case _:
                self._play(to)
                self.playing = to
        recipe = RECIPES.get(to)
        self._until_shown(recipe, start)
        self._assert_newest(recipe, start, swapped_at)
        if recipe and recipe.audio:
            self.page.until_pitch(recipe.tone, within=0.01 * recipe.tone)
        else:
            self.page.until_silent()

    def _play(self, name: str):
        recipe, body = RECIPES[name], media.file(RECIPES[name])
        way = name.partition("-")[0]
        if way == "socket":
            path = VIDEO if recipe.video else AUDIO
            self.crosspoint.configure(*({"type": "socket"} if path == track else None for track in (VIDEO, AUDIO)))
            self._replace(Publisher(self.crosspoint, path, body.read_bytes()))
            return
        kind, url = {
            "file": lambda: ("file", str(body)),
            "http": lambda: ("stream", self._origin.put(body)),
            "hls": lambda: ("stream", self._origin.put_playlist("swaps", self._vod)),
        }[way]()
        track = {"type": kind, "url": url, "loop": True}
        self.crosspoint.configure(track if recipe.video else None, track if recipe.audio else None)
        self._replace(None)

    def _replace(self, publisher: Publisher | None):
        old, self._publisher = self._publisher, publisher
        if old:
            old.until_closed()

    def _pause_and_resume(self):
        if not self.playing:
            return
        assert self.crosspoint.input("pause")["state"] == "paused"
        self.page.until_black()
        self.page.until_silent()
        start = self.page.mark()
        assert self.crosspoint.input("resume")["state"] == "running"
        recipe = RECIPES[self.playing]
        self._until_shown(recipe, start)
        if recipe.audio:
            self.page.until_pitch(recipe.tone, within=0.01 * recipe.tone)

    def _until_shown(self, recipe: Recipe | None, start: int):
        if recipe and recipe.video:
            numbers = lambda: {top for _, top, _, _ in self.page.frames(start)} & set(recipe.numbers)
            said = lambda: f"a picture of {recipe} ({self.crosspoint.status()['last_error']})"
            wait.until(lambda: len(numbers()) >= min(recipe.pictures, 2), said, START_UP_S)
        else:
            self.page.until_black()

    def _assert_newest(self, recipe: Recipe | None, start: int, swapped_at: float):
        """Once the new source is seen nothing else is, and what was before it does not stay."""
        numbers = recipe.numbers if recipe else range(0)
        frames = self.page.frames(start)
        first = next((at for at, top, _, _ in frames if top in numbers), None)
        for at, top, _, _ in frames:
            if top is None or top in numbers:
                continue
            assert first is None or at < first, f"{top} after the newest source was there"
            assert at <= swapped_at + OLD_PICTURE_MS, f"{top} still {at - swapped_at:.0f} ms after the swap"


@pytest.fixture
def stage(playwright, folder, env, display, check_url):
    for recipe in RECIPES.values():
        media.file(recipe)
    with contextlib.ExitStack() as ends:
        crosspoint = Crosspoint(folder / "swaps", "auto", env)
        ends.callback(crosspoint.end)
        origin = Origin()
        ends.callback(origin.end)
        context = chromium.launch(playwright, crosspoint, folder / "swaps", env, display.name)
        ends.callback(context.close)
        yield Stage(crosspoint, chromium.CameraPage(context.new_page(), check_url), origin)


def settled(stage) -> Usage:
    """What the server has when nothing is configured and what was has ended."""
    stage.swap("stop")
    pid, seen = stage.crosspoint.process.pid, []

    def same_again():
        seen.append(Usage.of(pid))
        return len(seen) > 25 and len({(usage.descriptors, usage.threads) for usage in seen[-25:]}) == 1

    wait.until(same_again, "threads and descriptors to settle")
    return seen[-1]


def test_hundred_random_swaps_leave_tracks_live_and_the_server_as_it_was(stage, request):
    request.node.log = (stage.crosspoint.process, 0)
    chance = random.Random(7)
    stage.page.page.evaluate(WATCH_TRACKS)
    camera = stage.crosspoint.camera_file.stat()
    names = [*RECIPES, *CONTROLS]
    # Every source once before the figures are taken, then as chance has it.
    order = chance.sample(names, len(names)) + [chance.choice(names) for _ in range(SWAPS - len(names))]
    warm = None
    for index, name in enumerate(order):
        if index == WARM_UP:
            warm = settled(stage)
        stage.swap(name)
        assert stage.page.page.evaluate("window.trackEvents") == [], f"after swap {index} to {name}"
        assert stage.crosspoint.status()["last_error"] is None, f"after swap {index} to {name}"
    end = settled(stage)
    assert stage.page.check("error") is None
    assert (camera.st_ino, camera.st_size) == (stage.crosspoint.camera_file.stat().st_ino, stage.crosspoint.camera_file.stat().st_size)
    assert warm
    assert end.descriptors <= warm.descriptors, f"{end}, was {warm}"
    assert end.threads <= warm.threads, f"{end}, was {warm}"
    assert end.resident_bytes - warm.resident_bytes < GROWTH_BYTES, f"{end}, was {warm}"
