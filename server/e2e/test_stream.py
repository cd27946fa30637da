"""The screen as viewers of the socket stream get it."""

import subprocess

import numpy as np
import pattern
import pytest
import wait
from crosspoint import AUDIO, SOCKET_AUDIO, Refused, send_ahead
from runtime import any_runtime
from viewer import Viewer, picture_starts, pid


@pytest.fixture
def screen(display):
    screen = pattern.Screen(display.name)
    yield screen
    screen.close()


@pytest.fixture
def stream(crosspoint):
    """A running socket stream's id."""
    info = crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "screen"})
    assert info["websocket_url"] == "/stream/socket/screen"
    return "screen"


@pytest.fixture
def watch(crosspoint, stream):
    """Attaches viewers."""
    viewers = []

    def attach() -> Viewer:
        viewers.append(Viewer(crosspoint, stream))
        return viewers[-1]

    yield attach
    for viewer in viewers:
        viewer.close()


def draw_until(screen, viewer, pictures: int) -> np.ndarray:
    """Draws one pattern after another until the viewer has so many more pictures; returns the last one drawn."""
    wanted = len(picture_starts(viewer.media())) + pictures
    seed = 0

    def drawn():
        nonlocal seed
        seed += 1
        blocks = screen.draw(seed)
        return len(picture_starts(viewer.media())) >= wanted and [blocks]

    return wait.until(drawn, f"{pictures} pictures of a display that changes", 30)[0]


def picture_of(viewer, blocks: np.ndarray) -> np.ndarray:
    """Waits for a picture that shows the pattern and returns it."""
    found = []

    def decoded():
        media = viewer.media()
        if not picture_starts(media):
            return False
        found[:] = [picture for picture in pattern.decode(media)[-3:] if pattern.shows(picture, blocks)]
        return found

    return wait.until(decoded, "the stream to show the display", 30)[-1]


def complaints(media: bytes, tmp_path) -> str:
    """What ffprobe and ffmpeg have to say about a stream, warnings included."""
    path = tmp_path / "stream.ts"
    path.write_bytes(media)
    said = ""
    for words in (
        ["ffprobe", "-v", "warning", "-f", "mpegts", "-show_streams", "-of", "compact", str(path)],
        ["ffmpeg", "-nostdin", "-v", "warning", "-f", "mpegts", "-i", str(path), "-f", "null", "-"],
    ):
        run = subprocess.run(words, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        said += run.stderr
    return said


def test_ffmpeg_decodes_from_the_first_byte_without_a_complaint(watch, screen, tmp_path):
    viewer = watch()
    draw_until(screen, viewer, 90)
    media = viewer.media()
    assert pid(media, 0) == 0, "the tables come first"
    assert complaints(media, tmp_path) == ""
    words = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0", str(tmp_path / "stream.ts")]
    codecs = set(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
    assert {line.rstrip(",") for line in codecs} == {"h264,1280,720", "aac"}


@any_runtime
def test_picture_is_the_display_pixel_by_pixel(watch, screen):
    viewer = watch()
    for seed in (1001, 1002):
        blocks = screen.draw(seed)
        picture = picture_of(viewer, blocks)
        pattern.assert_pixels(picture, blocks)


@any_runtime
def test_cursor_is_drawn_in(watch, screen):
    viewer = watch()
    blocks = screen.draw(7)
    screen.point(40, 40)
    picture_of(viewer, blocks)
    screen.set_cursor(True)
    # Only the block under the pointer may change.
    under = (slice(0, pattern.BLOCK), slice(0, pattern.BLOCK))

    def pointed():
        picture = pattern.decode(viewer.media())[-1]
        off = np.abs(pattern.luma(picture) - pattern.luma(blocks.repeat(pattern.BLOCK, 0).repeat(pattern.BLOCK, 1)))
        away = off[pattern.BLOCK + pattern.RIM :, pattern.BLOCK + pattern.RIM :]
        return (off[under] > 60).sum() >= 20 and np.median(away) < 10

    wait.until(pointed, "the cursor in the picture", 30)


def test_viewers_that_join_late_get_a_stream_of_their_own(crosspoint, watch, screen, tmp_path):
    viewers = []
    for count in (1, 2, 3):
        viewers.append(watch())
        wait.until(lambda: crosspoint.streams()["screen"]["viewers"] == count, f"{count} viewers")
        draw_until(screen, viewers[-1], 10)
    blocks = draw_until(screen, viewers[0], 30)
    for viewer in viewers:
        picture_of(viewer, blocks)
        media = viewer.media()
        assert pid(media, 0) == 0, "the tables come first"
        assert complaints(media, tmp_path) == ""
    viewers[1].close()
    wait.until(lambda: crosspoint.streams()["screen"]["viewers"] == 2, "the viewer that left not to be counted")


@any_runtime
def test_nothing_is_captured_without_a_viewer(crosspoint, watch, screen):
    def media_threads():
        return {thread for thread, name in crosspoint.threads().items() if name.startswith("screen")}

    viewer = watch()
    draw_until(screen, viewer, 5)
    busy = {thread: crosspoint.switches(thread) for thread in media_threads()}
    assert busy, "the thread that captures is named screen"
    draw_until(screen, viewer, 20)
    assert any(crosspoint.switches(thread) > before for thread, before in busy.items()), "a watched display is captured"
    viewer.close()
    wait.until(lambda: crosspoint.streams()["screen"]["viewers"] == 0, "the viewer to be gone")

    def settled():
        before = {thread: crosspoint.switches(thread) for thread in media_threads()}
        for seed in range(50):
            screen.draw(seed)
        return {thread: crosspoint.switches(thread) for thread in media_threads()} == before

    wait.until(settled, "the capturing threads to sleep through fifty changes of the display")


@any_runtime
def test_sound_of_the_speaker_is_in_the_stream(crosspoint, watch, screen, clips):
    crosspoint.configure(audio={**SOCKET_AUDIO, "destination": "speaker"})
    viewer = watch()
    with crosspoint.publisher(AUDIO) as socket:
        send_ahead(socket, clips.tone(hertz=700.0, seconds=8))

        def heard():
            screen.draw(1)
            words = ["ffmpeg", "-nostdin", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-map", "0:a", "-ac", "1", "-ar", "48000"]
            words += ["-f", "f32le", "pipe:1"]
            raw = subprocess.run(words, input=viewer.media(), capture_output=True).stdout
            samples = np.frombuffer(raw, np.float32)[-24000:]
            if len(samples) < 24000 or np.abs(samples).max() < 0.05:
                return False
            spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
            return abs(spectrum.argmax() * 2 - 700) <= 4

        wait.until(heard, "700 Hz in the stream")


def test_stream_that_is_stopped_closes_its_viewers(crosspoint, watch, screen):
    viewer = watch()
    draw_until(screen, viewer, 2)
    assert crosspoint.call("POST", "/stream/stop", {"id": "screen"}) == {}
    wait.until(lambda: not viewer.attached, "the viewer's socket to be closed")
    assert crosspoint.streams() == {}
    with pytest.raises(Refused) as refused:
        crosspoint.call("POST", "/stream/stop", {"id": "screen"})
    assert refused.value.status == 404


@any_runtime
def test_watch_page_plays_the_display(crosspoint, browser, stream, screen):
    page = browser.new_page()
    try:
        page.goto(f"http://{crosspoint.listen}/watch/{stream}")
        view = page.locator("video, canvas").first
        view.wait_for()
        seed = 0

        def shown():
            nonlocal seed
            # A page that plays with a delay must be given time: every pattern stands until it is seen or five seconds are over.
            seed += 1
            blocks = screen.draw(seed)

            def seen():
                png = view.screenshot()
                return pattern.shows(without_bars(decode_png(png)), blocks)

            try:
                return wait.until(seen, "the pattern", 5)
            except AssertionError:
                return False

        for _ in range(2):
            wait.until(shown, "the watch page to show the display", 40)
    finally:
        page.close()


def without_bars(picture: np.ndarray) -> np.ndarray:
    """The middle of a picture, in the shape of the display: what the page leaves black around a video goes."""
    height, width, _ = picture.shape
    wide, tall = pattern.DISPLAY_SIZE
    inner_width, inner_height = min(width, round(height * wide / tall)), min(height, round(width * tall / wide))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    return picture[top : top + inner_height, left : left + inner_width]


def decode_png(png: bytes) -> np.ndarray:
    words = ["ffmpeg", "-nostdin", "-v", "error", "-f", "png_pipe", "-i", "pipe:0", "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "pipe:1"]
    ppm = subprocess.run(words, input=png, capture_output=True, check=True).stdout
    magic, size, depth, pixels = ppm.split(b"\n", 3)
    width, height = map(int, size.split())
    return np.frombuffer(pixels, np.uint8)[: width * height * 3].reshape(height, width, 3)
