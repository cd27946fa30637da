"""A configured camera that nobody reads: not decoded, but live for whoever opens it."""

import contextlib
import mmap
import threading
import time

import clip
import numpy as np
import wait
from chromium import BLACK, CameraPage
from crosspoint import SOCKET_VIDEO, VIDEO, send_pictures
from runtime import any_runtime
from websockets.exceptions import ConnectionClosed

WIDTH, HEIGHT = 1280, 720
# Decoded of every source, to learn what a picture costs.
PROBES = 10


class RawReader:
    """Opens the camera file and looks at it through a mapping: a reader without a clock."""

    def __init__(self, path):
        self._file = path.open("rb")
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._start = self._map.find(b"FRAME\n") + len(b"FRAME\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._map.close()
        self._file.close()

    def luma(self) -> np.ndarray:
        picture = self._map[self._start : self._start + WIDTH * HEIGHT]
        return np.frombuffer(picture, np.uint8).reshape(HEIGHT, WIDTH)

    def number(self) -> int | None:
        """The picture's number, if it is whole."""
        top, bottom = clip.read_codes(self.luma())
        return top if top == bottom else None

    @property
    def is_black(self) -> bool:
        return self.luma()[::8, ::8].max() <= BLACK


class Live:
    """A publisher that sends a clip in real time; `sent` counts its pictures."""

    def __init__(self, socket, media: bytes):
        self._socket, self._media = socket, media
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _run(self):
        # Asked once a picture.
        def stop():
            self.sent += 1
            return self._ended.is_set()

        with contextlib.suppress(ConnectionClosed):
            send_pictures(self._socket, self._media, fps=30, stop=stop)


@any_runtime
def test_unread_camera_is_not_decoded_and_live_for_who_opens_it(crosspoint, clips):
    crosspoint.configure(SOCKET_VIDEO)
    before = crosspoint.stats()
    # Small: a picture that takes a busy machine more than 5 ms is decoded ahead, so that no more than 250 ms of work waits for a reader.
    media = clips.video(codec="h264", seconds=30, gop=250, width=640, height=360)
    with crosspoint.publisher(VIDEO) as socket, Live(socket, media) as live:

        def arrived():
            return crosspoint.stats()["frames_in"] - before["frames_in"]

        wait.until(lambda: arrived() >= 45, "pictures to come")
        assert crosspoint.stats()["frames_decoded"] - before["frames_decoded"] <= PROBES
        opened = time.monotonic()
        with RawReader(crosspoint.camera_file) as reader:
            assert reader.is_black, "nothing old is there for who reads at once"
            first = wait.until(lambda: reader.number(), "a picture")
            took = time.monotonic() - opened
            newest = live.sent
            print(f"open to live picture: {took * 1e3:.0f} ms, picture {first} of {newest} sent")
            assert first >= 40, "of the burst only the newest is shown"
            wait.until(lambda: (reader.number() or 0) > first + 10, "the picture to go on")
        wait.until(lambda: crosspoint.stats()["camera_in_use"] is False, "the reader to be gone")

        def rests():
            stats = crosspoint.stats()
            wait.until(lambda: crosspoint.stats()["frames_in"] >= stats["frames_in"] + 10, "ten more pictures")
            return crosspoint.stats()["frames_decoded"] == stats["frames_decoded"]

        wait.until(rests, "decoding to stop")
    assert crosspoint.status()["last_error"] is None


def test_page_that_opens_late_sees_the_newest_picture_and_none_from_before(crosspoint, browser, check_url, clips):
    crosspoint.configure(SOCKET_VIDEO)
    media = clips.video(codec="h264", seconds=40, gop=60)
    with crosspoint.publisher(VIDEO) as socket, Live(socket, media) as live:
        for _ in range(2):
            page = CameraPage(browser.new_page(), check_url)
            try:
                page.until_moving(0)
            finally:
                page.page.close()
            wait.until(lambda: crosspoint.stats()["camera_in_use"] is False, "the page to be gone")
            left = live.sent
            # Longer than a reader that left still counts.
            wait.until(lambda: live.sent >= left + 120, "four seconds without a reader")
        asked = live.sent
        page = CameraPage(browser.new_page(), check_url)
        try:
            page.until_moving(0)
            seen = [top for _, top, bottom, _ in page.frames() if top is not None and top == bottom]
            assert min(seen) >= asked - 30, f"picture {min(seen)} is from before the page opened the camera at {asked}"
            assert seen == sorted(seen)
        finally:
            page.page.close()


@any_runtime
def test_other_source_takes_over_the_picture_or_leaves_black(crosspoint, clips):
    crosspoint.configure(SOCKET_VIDEO)
    media = clips.video(codec="h264", seconds=30, gop=250)
    with RawReader(crosspoint.camera_file) as reader, crosspoint.publisher(VIDEO) as first, Live(first, media):
        wait.until(lambda: (reader.number() or 0) > 10, "the first source")
        with crosspoint.publisher(VIDEO) as second:
            # It has sat down and sends nothing: the old picture stands, but for a moment only.
            wait.until(lambda: reader.is_black, "black when nothing came of the new source")
            with Live(second, clips.video(seconds=5, first=40000)):
                wait.until(lambda: (reader.number() or 0) >= 40000, "the second source")


@any_runtime
def test_swap_shows_no_black_between_sources_that_both_send(crosspoint, clips):
    crosspoint.configure(SOCKET_VIDEO)
    media, other = clips.video(codec="h264", seconds=30, gop=250), clips.video(seconds=5, first=40000)
    with RawReader(crosspoint.camera_file) as reader, crosspoint.publisher(VIDEO) as first, Live(first, media):
        wait.until(lambda: (reader.number() or 0) > 10, "the first source")
        seen_black = False

        def swapped():
            nonlocal seen_black
            seen_black |= bool(reader.is_black)
            return (reader.number() or 0) >= 40000

        with crosspoint.socket(VIDEO) as second, Live(second, other):
            wait.until(swapped, "the second source")
        assert not seen_black, "the old picture stood until the new one came"
