"""What a display shows while its streaming is measured, painted by a process of its own."""

import multiprocessing
import threading
import time

import numpy as np
import wait
from Xlib import X
from Xlib.display import Display

FPS = 30
# Rows that a page scrolls at once.
STEP = 6
BLACK, GREY = 0x101010, 0xE0E0E0


class Scene:
    """A screen that stands still, a caret that blinks at 2 Hz, a page that scrolls or full motion at 30 Hz, until it is closed."""

    def __init__(self, name: str, size: tuple[int, int], what: str):
        # Spawned: a fork would take over the threads' locks, and Python's own lock would make a painter late that is a thread.
        context = multiprocessing.get_context("spawn")
        self._painted = context.Event()
        self._painter = context.Process(target=_paint, args=(name, size, what, self._painted), daemon=True)
        self._painter.start()
        assert self._painted.wait(wait.DEADLINE_S), f"{what} was not painted"

    def close(self):
        self._painter.terminate()
        self._painter.join()


class Painter:
    def __init__(self, name: str, size: tuple[int, int], what: str):
        self._display = Display(name)
        self._root = self._display.screen().root
        self._gc = self._root.create_gc()
        self._size = size
        self._page = self._noise() if what == "motion" else self._pixmap(text(size))
        self._root.copy_area(self._gc, self._page, 0, 0, *size, 0, 0)
        self._display.sync()
        self._paint, self._rate = {
            "still": (None, 0),
            "caret": (self._blink, 2),
            "scrolling": (lambda number: self._scroll(number * STEP), FPS),
            "motion": (lambda number: self._scroll(number * 37), FPS),
        }[what]

    def run(self):
        start, number = time.monotonic(), 0
        while self._paint:
            wait.until_moment(start + number / self._rate)
            self._paint(number)
            self._display.sync()
            number += 1
        # What it shows goes with its connection.
        threading.Event().wait()

    def _blink(self, number):
        self._gc.change(foreground=GREY if number % 2 else BLACK)
        self._root.fill_rectangle(self._gc, 200, 200, 2, 18)

    def _scroll(self, rows):
        width, height = self._size
        self._root.copy_area(self._gc, self._page, 0, rows % height, width, height, 0, 0)

    def _noise(self):
        """Something like a film: soft shapes of every brightness with some grain."""
        width, height = self._size
        random = np.random.default_rng(1)
        coarse = random.integers(0, 256, (height // 40 + 1, width // 40 + 1)).repeat(40, 0).repeat(40, 1)[:height, :width]
        return self._pixmap(np.clip(coarse + random.integers(-6, 7, (height, width)), 0, 255))

    def _pixmap(self, grey: np.ndarray):
        width, height = self._size
        pixels = (grey.astype("<u4") * 0x010101).astype("<u4")
        pixmap = self._root.create_pixmap(width, 2 * height, self._display.screen().root_depth)
        # A request holds 256 KiB at most.
        rows = 200_000 // (width * 4)
        for top in range(0, height, rows):
            band = pixels[top : top + rows]
            for copy in (0, height):
                pixmap.put_image(self._gc, 0, top + copy, width, len(band), X.ZPixmap, self._display.screen().root_depth, 0, band.tobytes())
        return pixmap


def text(size: tuple[int, int]) -> np.ndarray:
    """The greys of something like lines of text, one screen of it."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    ink = (y % 18 < 11) & ((x * 7 + y // 18 * 131) % 23 < 9) & ((x // 3 + y // 2) % 3 == 0)
    return np.where(ink, 0x28, 0xE6)


def _paint(name: str, size: tuple[int, int], what: str, painted):
    painter = Painter(name, size, what)
    painted.set()
    painter.run()
