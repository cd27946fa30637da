"""ffplay as a person runs it: a window with the picture."""

import contextlib
import os

import numpy as np
import pattern
import pytest
import sandbox
import wait
from process import Process
from runtime import any_runtime
from Xlib import X
from Xlib.display import Display


@pytest.fixture
def desk(tmp_path):
    """A display for the player; what is streamed is another."""
    desk = sandbox.Display(tmp_path)
    yield desk
    desk.end()


def photograph(display: Display) -> np.ndarray:
    width, height = sandbox.DISPLAY_SIZE
    image = display.screen().root.get_image(0, 0, width, height, X.ZPixmap, 0xFFFFFFFF)
    return np.frombuffer(image.data, np.uint8).reshape(height, width, 4)[:, :, 2::-1]


@any_runtime
@pytest.mark.parametrize("scheme", ["rtmp", "rtmps"])
def test_window_shows_the_display(crosspoint, display, desk, env, tmp_path, scheme):
    info = crosspoint.call("POST", "/stream/start", {"mode": "internal", "id": "screen"})
    url = info["playback_url" if scheme == "rtmp" else "secure_playback_url"]
    environment = {**os.environ, **env, "DISPLAY": desk.name, "SDL_VIDEODRIVER": "x11", "SDL_RENDER_DRIVER": "software"}
    words = ["ffplay", "-v", "error", "-fflags", "nobuffer", "-noborder", "-left", "0", "-top", "0", "-x", "1280", "-y", "720", "-i", url]
    with contextlib.ExitStack() as ends:
        screen = ends.enter_context(contextlib.closing(pattern.Screen(display.name)))
        blocks = screen.draw(21)
        player = Process(words, tmp_path / "ffplay.log", env=environment)
        ends.callback(player.end)
        looker = ends.enter_context(contextlib.closing(Display(desk.name)))
        for seed in (21, 22):
            blocks = screen.draw(seed)
            player.until(lambda: pattern.shows(photograph(looker), blocks), f"pattern {seed} in the window")  # noqa: B023
