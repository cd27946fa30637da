"""JSMpeg as its users have it, in Chromium: the player of a page that is not ours."""

import base64
import contextlib

import numpy as np
import pattern
import pytest
import wait
from crosspoint import REPOSITORY
from runtime import any_runtime
from test_webrtc import TONE, Player, open_page

# The package's own build for a script element; the one that our feed page bundles, from the same lock file.
JSMPEG = REPOSITORY / "server/web/node_modules/@cycjimmy/jsmpeg-player/dist/jsmpeg-player.umd.min.js"
# What the canvas is scaled to before it is read: fine enough for the blocks.
SIZE = (320, 180)

PLAY = """
url => {
  const canvas = document.body.appendChild(document.createElement('canvas'));
  window.player = new JSMpeg.Player(url, { canvas, preserveDrawingBuffer: true });
  window.listener = Object.assign(player.audioOut.context.createAnalyser(), { fftSize: 8192 });
  player.audioOut.destination.connect(window.listener);
}
"""

SEEN = """
([width, height]) => {
  const copy = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d', { willReadFrequently: true });
  copy.drawImage(player.renderer.canvas, 0, 0, width, height);
  return btoa(copy.getImageData(0, 0, width, height).data.reduce((text, level) => text + String.fromCharCode(level), ''));
}
"""

HEARD = """
() => {
  const bins = new Float32Array(listener.frequencyBinCount);
  listener.getFloatFrequencyData(bins);
  const peak = bins.indexOf(Math.max(...bins));
  return bins[peak] > -60 ? peak * listener.context.sampleRate / listener.fftSize : 0;
}
"""


@pytest.fixture
def screen(display):
    screen = pattern.Screen(display.name)
    yield screen
    screen.close()


# How messages get to viewers is held on both runtimes elsewhere; here is what is in them.
@any_runtime
def test_jsmpeg_shows_the_display_as_it_changes_and_plays_its_sound(crosspoint, browser, screen, sound):
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "old", "codec": "mpeg1"})
    with contextlib.closing(open_page(browser, crosspoint)) as page:
        page.evaluate(JSMPEG.read_text())
        page.evaluate(PLAY, f"ws://{crosspoint.listen}/stream/socket/old")

        def shown() -> np.ndarray:
            return np.frombuffer(base64.b64decode(page.evaluate(SEEN, SIZE)), np.uint8).reshape(SIZE[1], SIZE[0], 4)[:, :, :3]

        # JSMpeg shows a picture when the next one begins: of a display that stands still, a second later.
        for seed in (11, 12, 13):
            blocks = screen.draw(seed)
            wait.until(lambda: pattern.shows(shown(), blocks), f"pattern {seed} in the canvas")  # noqa: B023
        assert page.evaluate("[player.renderer.width, player.renderer.height]") == list(pattern.DISPLAY_SIZE)
        with contextlib.closing(Player(sound)):
            wait.until(lambda: abs(page.evaluate(HEARD) - TONE) <= 0.02 * TONE, lambda: f"{TONE} Hz ({page.evaluate(HEARD):.0f} Hz)")
        before = page.evaluate("player.audio.currentTime")
        wait.until(lambda: page.evaluate("player.audio.currentTime") > before + 1, "the sound to go on")
        assert crosspoint.streams()["old"]["viewers"] == 1
        page.evaluate("player.destroy()")
        wait.until(lambda: crosspoint.streams()["old"]["viewers"] == 0, "the player to be gone")
