"""A picture drawn on the display, and the comparison of what a stream shows of it."""

import contextlib
import random
import subprocess

import numpy as np
from sandbox import DISPLAY_SIZE
from Xlib import X
from Xlib.display import Display

# Blocks of the pattern: large enough that a codec's ringing stays at their rims.
BLOCK = 80
# Pixels next to another block's, which 4:2:0 and the deblocking filter may mix.
RIM = 4
# X's cursor font: a fat plus.
CURSOR_GLYPH = 30
# Levels a block's mean may be off: quantisation, and the two roundings of RGB to limited range and back.
MEAN_TOLERANCE = 10
# Levels a single pixel may be off in luma, inside a block.
PIXEL_TOLERANCE = 24


class Screen:
    """A window over the whole display, on which blocks of colour are drawn."""

    def __init__(self, name: str):
        self._display = Display(name)
        screen = self._display.screen()
        width, height = DISPLAY_SIZE
        self._window = screen.root.create_window(
            0, 0, width, height, 0, screen.root_depth, override_redirect=True, background_pixel=0, event_mask=X.ExposureMask
        )
        self._window.map()
        self._gc = self._window.create_gc()
        self.set_cursor(False)
        self._display.sync()

    def set_cursor(self, shown: bool):
        """Shows a plus-shaped cursor, or one without a pixel."""
        if shown:
            font = self._display.open_font("cursor")
            cursor = font.create_glyph_cursor(font, CURSOR_GLYPH, CURSOR_GLYPH + 1, (65535, 65535, 65535), (0, 0, 0))
        else:
            empty = self._window.create_pixmap(1, 1, 1)
            gc = empty.create_gc(foreground=0)
            empty.fill_rectangle(gc, 0, 0, 1, 1)
            cursor = empty.create_cursor(empty, (0, 0, 0), (0, 0, 0), 0, 0)
        self._window.change_attributes(cursor=cursor)
        self._display.sync()

    def point(self, x: int, y: int):
        """Moves the pointer."""
        self._window.warp_pointer(x, y)
        self._display.sync()

    def fill(self, level: int):
        """Fills it with a grey."""
        width, height = DISPLAY_SIZE
        self._gc.change(foreground=level << 16 | level << 8 | level)
        self._window.fill_rectangle(self._gc, 0, 0, width, height)
        self._display.sync()

    def draw(self, seed: int) -> np.ndarray:
        """Draws another pattern and returns its block colours, rows by columns by RGB."""
        width, height = DISPLAY_SIZE
        colours = random.Random(seed)
        blocks = np.array(
            [[[colours.choice((32, 96, 160, 224)) for _ in "rgb"] for _ in range(width // BLOCK)] for _ in range(height // BLOCK)], np.uint8
        )
        for row, line in enumerate(blocks.tolist()):
            for column, (red, green, blue) in enumerate(line):
                self._gc.change(foreground=red << 16 | green << 8 | blue)
                self._window.fill_rectangle(self._gc, column * BLOCK, row * BLOCK, BLOCK, BLOCK)
        self._display.sync()
        return blocks

    def close(self):
        with contextlib.suppress(Exception):
            self._window.destroy()
            self._display.close()


def decode(media: bytes) -> np.ndarray:
    """The pictures of a transport stream as ffmpeg shows them, RGB."""
    width, height = DISPLAY_SIZE
    words = ["ffmpeg", "-nostdin", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-map", "0:v", "-fps_mode", "passthrough"]
    words += ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    raw = subprocess.run(words, input=media, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def block_means(picture: np.ndarray) -> np.ndarray:
    """The mean colour inside every block of a picture that shows the whole display at any scale."""
    height, width, _ = picture.shape
    rows, columns = DISPLAY_SIZE[1] // BLOCK, DISPLAY_SIZE[0] // BLOCK
    means = np.empty((rows, columns, 3))
    for row in range(rows):
        for column in range(columns):
            up, down = (round((row + part) * height / rows) for part in (0.2, 0.8))
            left, right = (round((column + part) * width / columns) for part in (0.2, 0.8))
            means[row, column] = picture[up:down, left:right].mean((0, 1))
    return means


def shows(picture: np.ndarray, blocks: np.ndarray) -> bool:
    """Whether a picture shows a pattern, block by block."""
    return bool(np.abs(block_means(picture) - blocks).max() <= MEAN_TOLERANCE)


def luma(picture: np.ndarray) -> np.ndarray:
    return picture @ np.array([0.299, 0.587, 0.114])


def assert_pixels(picture: np.ndarray, blocks: np.ndarray):
    """Every pixel but the blocks' rims is the pattern's within codec loss."""
    wanted = luma(blocks.repeat(BLOCK, 0).repeat(BLOCK, 1))
    inside = np.arange(BLOCK)
    inside = (inside >= RIM) & (inside < BLOCK - RIM)
    mask = np.tile(inside, blocks.shape[0])[:, None] & np.tile(inside, blocks.shape[1])[None, :]
    off = np.abs(luma(picture) - wanted)[mask]
    assert off.max() <= PIXEL_TOLERANCE, f"{(off > PIXEL_TOLERANCE).mean():.2%} of the pixels are off, the worst by {off.max():.0f}"
    assert off.mean() <= 4, f"pixels are off by {off.mean():.1f} on average"
