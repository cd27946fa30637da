"""Displays of every kind, and what happens to them, as viewers see it."""

import contextlib
import json
import subprocess

import numpy as np
import pytest
import sandbox
import seccomp
import wait
from crosspoint import Crosspoint
from viewer import Viewer
from Xlib import X, protocol
from Xlib.display import Display
from Xlib.ext import randr

RED, GREEN, BLUE, WHITE = (224, 32, 32), (32, 224, 32), (32, 32, 224), (224, 224, 224)
# Levels a colour's mean may be off: 5 bits a colour, quantisation, the roundings of limited range.
TOLERANCE = 14


class Paint:
    """Paints on the root window of a display."""

    def __init__(self, name: str):
        # python-xlib keeps the event numbers of all servers it saw in one table, and stumbles where two servers' differ.
        protocol.display.Display.event_classes = protocol.event.event_class.copy()
        self._display = Display(name)
        self._root = self._display.screen().root
        self._colours = self._display.screen().default_colormap
        self._gc = self._root.create_gc(subwindow_mode=X.IncludeInferiors)
        # The server's own cursor is in the middle from the start.
        empty = self._root.create_pixmap(1, 1, 1)
        empty.fill_rectangle(empty.create_gc(foreground=0), 0, 0, 1, 1)
        self._root.change_attributes(cursor=empty.create_cursor(empty, (0, 0, 0), (0, 0, 0), 0, 0))
        self._display.sync()

    @property
    def size(self) -> tuple[int, int]:
        geometry = self._root.get_geometry()
        return geometry.width, geometry.height

    def quarters(self, *colours):
        """Paints the quarters of the screen: upper left and right, lower left and right."""
        (width, height), halves = self.size, (0, 1)
        for colour, (row, column) in zip(colours, [(row, column) for row in halves for column in halves], strict=True):
            pixel = self._colours.alloc_color(*(level * 257 for level in colour)).pixel
            self._gc.change(foreground=pixel)
            self._root.fill_rectangle(self._gc, column * (width // 2), row * (height // 2), width, height)
        self._display.sync()

    def spot(self, colour, x: int, y: int):
        """Paints something of the size of a letter."""
        self._gc.change(foreground=self._colours.alloc_color(*(level * 257 for level in colour)).pixel)
        self._root.fill_rectangle(self._gc, x, y, 9, 15)
        self._display.sync()

    def resize(self, width: int, height: int):
        """Gives the screen another size, as RandR does it."""
        resources = randr.get_screen_resources(self._root)
        for crtc in resources.crtcs:
            # One that is on keeps the screen at least as large as itself.
            self._display.xrandr_set_crtc_config(crtc, resources.config_timestamp, 0, 0, 0, randr.Rotate_0, [])
        self._root.xrandr_set_screen_size(width, height, width // 4, height // 4)
        self._display.sync()

    def close(self):
        with contextlib.suppress(Exception):
            self._display.close()


@pytest.fixture
def stage(tmp_path):
    """Makes a display of a kind, a server that streams it, a viewer and a painter."""
    with contextlib.ExitStack() as ends:

        def make(geometry="640x480x24", flags=()):
            display = sandbox.Display(tmp_path, geometry=geometry, flags=flags)
            ends.callback(display.end)
            io = "epoll" if seccomp.io_uring_refusal() else "uring"
            crosspoint = Crosspoint(tmp_path / "crosspoint", io, {"DISPLAY": display.name}, flags=["--microphone", "off"])
            ends.callback(crosspoint.end)
            crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "screen"})
            viewer = ends.enter_context(contextlib.closing(Viewer(crosspoint, "screen")))
            return crosspoint, display, viewer, ends.enter_context(contextlib.closing(Paint(display.name)))

        yield make


def frames(media: bytes) -> list[tuple[int, int, bool]]:
    """Width, height and whether it is a key frame, of every picture."""
    words = ["ffprobe", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-select_streams", "v", "-show_frames"]
    words += ["-show_entries", "frame=key_frame,width,height", "-of", "json"]
    told = json.loads(subprocess.run(words, input=media, capture_output=True).stdout)["frames"]
    return [(frame["width"], frame["height"], frame["key_frame"] == 1) for frame in told]


def newest(media: bytes) -> np.ndarray:
    """The last picture, at a size of its own."""
    words = ["ffmpeg", "-nostdin", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-map", "0:v", "-fps_mode", "passthrough"]
    words += ["-vf", "scale=320:240:flags=neighbor", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    raw = subprocess.run(words, input=media, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, 240, 320, 3)[-1]


def shows(media: bytes, *colours) -> bool:
    """Whether the last picture's quarters have these colours."""
    picture = newest(media)
    quarters = [picture[row + 20 : row + 100, column + 20 : column + 140] for row in (0, 120) for column in (0, 160)]
    return all(np.abs(quarter.mean((0, 1)) - colour).max() <= TOLERANCE for quarter, colour in zip(quarters, colours, strict=True))


def until_shown(viewer: Viewer, *colours):
    viewer.until_pictures(1)
    wait.until(lambda: shows(viewer.media(), *colours), "the stream to show what is painted")


@pytest.mark.parametrize("geometry", ["641x479x24", "640x480x16", "854x481x30", "17x19x24"])
def test_display_of_any_size_and_depth_is_streamed(stage, geometry):
    _, _, viewer, paint = stage(geometry)
    for colours in ((RED, GREEN, BLUE, WHITE), (WHITE, BLUE, GREEN, RED)):
        paint.quarters(*colours)
        until_shown(viewer, *colours)
    width, height = paint.size
    assert set(frames(viewer.media())) <= {(width & ~1, height & ~1, key) for key in (True, False)}


@pytest.mark.parametrize("missing", ["DAMAGE", "MIT-SHM", "XFIXES"])
def test_server_without_an_extension_is_streamed_and_said_to_be_slow(stage, missing):
    crosspoint, _, viewer, paint = stage(flags=["-extension", missing])
    for colours in ((RED, GREEN, BLUE, WHITE), (WHITE, BLUE, GREEN, RED)):
        paint.quarters(*colours)
        until_shown(viewer, *colours)
    assert "slow capture" in crosspoint.process.output()
    assert crosspoint.streams()["screen"]["last_error"] is None


def test_screen_that_stands_still_is_not_encoded_where_only_looking_tells(stage):
    _, _, viewer, paint = stage(flags=["-extension", "DAMAGE"])
    paint.quarters(RED, GREEN, BLUE, WHITE)
    until_shown(viewer, RED, GREEN, BLUE, WHITE)
    stood = len(times(viewer.media()))
    shown = times(viewer.until_pictures(stood + 3))
    assert shown[-1] - shown[-2] > 0.8, "one refresh a second"


PATCHES, ENCODED = "crosspoint_screen_patches_total", 'crosspoint_screen_pictures_total{codec="h264"}'


def test_little_that_changes_is_shown_exactly_and_without_the_encoder_to_every_decoder(stage):
    crosspoint, _, viewer, paint = stage()
    paint.quarters(RED, GREEN, BLUE, WHITE)
    until_shown(viewer, RED, GREEN, BLUE, WHITE)
    spots = [(n * 61 % 620, n * 47 % 460) for n in range(20)]
    for n, (x, y) in enumerate(spots):
        before = crosspoint.metrics()
        # The encoder may still have to make the picture before finer.
        wait.until(lambda: is_patched(crosspoint, paint, before, WHITE if n % 2 else RED, x, y), "a patch")  # noqa: B023
    inside = np.s_[-1, y + 2 : y + 12, x + 2 : x + 7]
    wait.until(lambda: np.ptp(spot := decoded_by_ffmpeg(viewer.media())[inside]) == 0 and spot[0, 0] > 200, "the last spot, exact and white")
    with contextlib.closing(Viewer(crosspoint, "screen")) as late:
        late.until_pictures(2)
        wait.until(lambda: np.array_equal(*(decoded_by_ffmpeg(one.media())[-1] for one in (late, viewer))), "who comes late to see the same")
    paint.quarters(WHITE, BLUE, GREEN, RED)
    until_shown(viewer, WHITE, BLUE, GREEN, RED)
    media = viewer.media()
    pictures = decoded_by_ffmpeg(media)
    assert len(pictures) > len(spots) and np.array_equal(pictures, decoded_by_openh264(media)[: len(pictures)])


def is_patched(crosspoint: Crosspoint, paint: Paint, before: dict, colour, x: int, y: int) -> bool:
    """Paints a spot, off and on again, and says whether it was seen without the encoder."""
    encoded = crosspoint.metrics()[ENCODED]
    paint.spot(BLUE, x, y)
    paint.spot(colour, x, y)
    return crosspoint.metrics()[PATCHES] > before[PATCHES] and crosspoint.metrics()[ENCODED] == encoded


def decoded_by_ffmpeg(media: bytes) -> np.ndarray:
    """The luma of every picture."""
    words = ["ffmpeg", "-nostdin", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-map", "0:v", "-fps_mode", "passthrough"]
    raw = subprocess.run([*words, "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1"], input=media, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, 720, 640)[:, :480]


def decoded_by_openh264(media: bytes) -> np.ndarray:
    words = "gst-launch-1.0 -q fdsrc ! tsdemux ! h264parse ! openh264dec ! fdsink"
    raw = subprocess.run(words.split(), input=media, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, 720, 640)[:, :480]


def times(media: bytes) -> list[float]:
    """When each picture is to be shown."""
    words = ["ffprobe", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "json"]
    told = json.loads(subprocess.run(words, input=media, capture_output=True).stdout)["packets"]
    return [float(packet["pts_time"]) for packet in told]


def test_display_that_is_resized_is_streamed_on_at_its_new_size(stage):
    crosspoint, _, viewer, paint = stage("1280x1024x24")
    paint.quarters(RED, GREEN, BLUE, WHITE)
    until_shown(viewer, RED, GREEN, BLUE, WHITE)
    for size, colours in (((800, 602), (WHITE, BLUE, GREEN, RED)), ((602, 800), (GREEN, RED, WHITE, BLUE))):
        paint.resize(*size)
        paint.quarters(*colours)
        wait.until(lambda: frames(viewer.media())[-1][:2] == size, f"pictures of {size}")  # noqa: B023
        until_shown(viewer, *colours)
        first = next(frame for frame in frames(viewer.media()) if frame[:2] == size)
        assert first[2], "the first picture of the new size is a key frame"
    assert crosspoint.streams()["screen"]["last_error"] is None and viewer.attached


def test_display_that_dies_is_black_until_it_is_back(stage, tmp_path):
    crosspoint, display, viewer, paint = stage()
    paint.quarters(WHITE, WHITE, WHITE, WHITE)
    until_shown(viewer, WHITE, WHITE, WHITE, WHITE)
    display.end()
    black = (0, 0, 0)
    until_shown(viewer, black, black, black, black)
    wait.until(lambda: crosspoint.streams()["screen"]["last_error"], "the stream to say what is wrong")
    with contextlib.closing(Viewer(crosspoint, "screen")) as late:
        until_shown(late, black, black, black, black)
    # Another size, even.
    again = sandbox.Display(tmp_path, display.name, geometry="800x600x24")
    try:
        with contextlib.closing(Paint(again.name)) as paint:
            paint.quarters(RED, GREEN, BLUE, WHITE)
            until_shown(viewer, RED, GREEN, BLUE, WHITE)
        assert frames(viewer.media())[-1][:2] == (800, 600)
        assert crosspoint.streams()["screen"]["last_error"] is None and viewer.attached
    finally:
        again.end()


def test_streams_of_two_rates_share_one_capture(stage):
    crosspoint, _, viewer, paint = stage()
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "slow", "framerate": 5})
    with contextlib.closing(Viewer(crosspoint, "slow")) as slow:
        for colours in ((RED, GREEN, BLUE, WHITE), (WHITE, BLUE, GREEN, RED)):
            paint.quarters(*colours)
            until_shown(slow, *colours)
            until_shown(viewer, *colours)
        log = crosspoint.process.output()
        assert (log.count("display opened"), log.count("encoder opened")) == (1, 2)
        viewer.close()
        paint.quarters(BLUE, BLUE, BLUE, BLUE)
        until_shown(slow, BLUE, BLUE, BLUE, BLUE)
    wait.until(lambda: "screen" not in crosspoint.threads().values(), "the capture to end with the last viewer")


def test_mpeg1_is_encoded_beside_h264_where_it_is_asked_for(stage):
    crosspoint, _, viewer, paint = stage()
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "old", "codec": "mpeg1"})
    with contextlib.closing(Viewer(crosspoint, "old")) as old:
        for colours in ((RED, GREEN, BLUE, WHITE), (WHITE, BLUE, GREEN, RED)):
            paint.quarters(*colours)
            until_shown(old, *colours)
            until_shown(viewer, *colours)
        assert [codec(stream.media()) for stream in (viewer, old)] == ["h264", "mpeg1video"]
        assert crosspoint.process.output().count("display opened") == 1


def codec(media: bytes) -> str:
    words = ["ffprobe", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-select_streams", "v", "-show_entries", "stream=codec_name", "-of", "json"]
    return json.loads(subprocess.run(words, input=media, capture_output=True).stdout)["streams"][0]["codec_name"]
