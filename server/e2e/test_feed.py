"""The feed: its page in Chromium, its socket's viewers, the sample that captures it."""

import functools
import http.server
import os
import re
import signal
import subprocess
import threading
import time

import clip
import pytest
import wait
import websockets.sync.server
from crosspoint import AUDIO, REPOSITORY, SOCKET_AUDIO, SOCKET_VIDEO, VIDEO, Refused
from feed import INFO, LOADING, FeedPage, FeedViewer, Publisher, tables_first
from process import Process
from runtime import any_runtime

# How long the page may be silent before it says so, and how much later it may say it: its own tick, and a machine that is busy.
SILENCE_MS = 1_000
SLACK_MS = 600
# Pictures that the page may be behind what was sent: players' own buffers, and a browser without a graphics card.
BEHIND = 25


@pytest.fixture
def open_page(browser, crosspoint):
    """Opens feed pages."""
    pages = []

    def open_page(query: str = "", **options) -> FeedPage:
        pages.append(FeedPage(browser, crosspoint, query, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


@pytest.fixture
def view(crosspoint):
    """Attaches viewers to the feed's socket."""
    viewers = []

    def view() -> FeedViewer:
        viewers.append(FeedViewer(crosspoint))
        return viewers[-1]

    yield view
    for viewer in viewers:
        viewer.close()


def decoded(media: bytes, format: str = "mpegts") -> tuple[list[int | None], str]:
    """The numbers of the pictures as ffmpeg decodes them, and its complaints."""
    words = ["ffmpeg", "-nostdin", "-v", "warning", "-f", format, "-i", "pipe:0", "-map", "0:v", "-fps_mode", "passthrough"]
    run = subprocess.run([*words, "-s", "640x360", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"], input=media, capture_output=True, check=True)
    pictures = (run.stdout[at : at + 640 * 360] for at in range(0, len(run.stdout), 640 * 360))
    numbers = [clip.read_codes(clip.np.frombuffer(picture, clip.np.uint8).reshape(360, 640))[0] for picture in pictures]
    return numbers, run.stderr.decode()


def up_to_the_newest(media: bytes) -> bytes:
    """All but the packets of the newest picture, which may still be arriving."""
    return b"".join(clip.access_units(media)[:-1])


@any_runtime
def test_page_says_that_it_loads_while_nothing_is_configured(crosspoint, open_page):
    page = open_page()
    assert page.page.title() == "Virtual Input Feed"
    assert page.words == LOADING
    with pytest.raises(Refused, match="no video input") as refused:
        crosspoint.call("GET", INFO)
    assert refused.value.status == 409


def test_info_names_the_socket_and_its_format(crosspoint):
    crosspoint.configure(SOCKET_VIDEO)
    url = f"ws://{crosspoint.listen}/input/devices/virtual/feed/socket"
    assert crosspoint.call("GET", INFO) == {"url": url, "format": "mpegts"}
    crosspoint.configure(audio=SOCKET_AUDIO)
    with pytest.raises(Refused, match="no video input"):
        crosspoint.call("GET", INFO)


@pytest.mark.parametrize("codec", ["mpeg1", "h264", "hevc"])
def test_page_plays_what_is_published_and_comes_back_by_itself(crosspoint, open_page, clips, codec):
    media = clips.video(codec=codec, seconds=10, width=640, height=360, gop=30)
    page = open_page()
    crosspoint.configure(SOCKET_VIDEO)
    with Publisher(crosspoint, media):
        if codec == "hevc" and not page.page.evaluate("MediaSource.isTypeSupported('video/mp4; codecs=\"hvc1.1.6.L93.B0\"')"):
            page.until_words("This browser cannot play HEVC video.")
            return
        page.until_moving()
        page.until_words(None)
        # A refresh shows the present, not what was.
        page.page.reload()
        page.until_moving()
        viewers = crosspoint.stats()["feed_viewers"]
        assert viewers == 1, "the page's old connection is gone"
    policy = [complaint for complaint in page.complaints if "Content Security Policy" in complaint]
    assert not policy
    elsewhere = [url for url in page.requests if not re.match(rf"(http://{re.escape(crosspoint.listen)}/|data:|blob:)", url)]
    assert not elsewhere


def test_page_is_as_far_as_the_publisher(crosspoint, open_page, clips, view):
    media = clips.video(codec="h264", seconds=10, width=640, height=360, gop=60)
    page = open_page()
    crosspoint.configure(SOCKET_VIDEO)
    viewer = view()
    with Publisher(crosspoint, media):
        page.until_moving()

        def close():
            numbers = page.numbers()[-1:]
            sent, _ = decoded(up_to_the_newest(viewer.media)) if viewer.messages else ([], "")
            newest = next((number for number in reversed(sent) if number is not None), 0)
            return numbers and 0 <= newest - numbers[0] <= BEHIND

        wait.until(close, "the page to be close behind")


def test_overlay_comes_after_a_second_of_silence_and_goes_with_the_next_picture(crosspoint, open_page, clips):
    media = clips.video(seconds=10, width=640, height=360)
    page = open_page()
    crosspoint.configure(SOCKET_VIDEO)
    with Publisher(crosspoint, media) as publisher:
        page.until_moving()
        publisher.hold()
        start = page.mark()
        wait.until(lambda: page.newest[4] == LOADING, "the words")
        looks = page.looks()
        last_change = max(at for (at, top, *_), (_, before, *_) in zip(looks[1:], looks) if top is not None and top != before)
        first_words = next(at for at, *_, words in looks[start:] if words == LOADING)
        assert first_words - last_change > SILENCE_MS - SLACK_MS, "not before a second"
        assert first_words - last_change < SILENCE_MS + SLACK_MS, "and not much later"
        wait.until(lambda: page.newest[3] < 2, "black behind the words")
        publisher.go_on()
        mark = page.mark()
        page.until_words(None)
        page.until_moving(mark)


def test_pause_silences_the_socket_and_blackens_the_page(crosspoint, open_page, clips, view):
    media = clips.video(codec="h264", seconds=10, width=640, height=360)
    page = open_page()
    crosspoint.configure(SOCKET_VIDEO)
    viewer = view()
    with Publisher(crosspoint, media):
        page.until_moving()
        viewer.until_more(1)
        crosspoint.input("pause")
        wait.until(lambda: page.newest[3] < 2, "a black page")
        page.until_words(LOADING)
        # What was written before the pause is read by now.
        count = len(viewer.messages)
        # The page's second of silence is one of the socket's, too.
        mark = page.mark()
        wait.until(lambda: page.mark() > mark + 10, "looks at the page")
        assert len(viewer.messages) == count
        crosspoint.input("resume")
        page.until_words(None)
        page.until_moving(page.mark())
        viewer.until_more(10)
    numbers, complaints = decoded(up_to_the_newest(viewer.media))
    assert None not in numbers and complaints == "", "it resumes at a picture that can be decoded"


def test_viewer_begins_with_tables_and_a_whole_picture(crosspoint, clips, view):
    for codec in ["mpeg1", "mpeg2", "h264", "hevc"]:
        media = clips.video(codec=codec, seconds=10, width=640, height=360, gop=30, tone=None)
        crosspoint.configure(SOCKET_VIDEO)
        with Publisher(crosspoint, media):
            wait.until(lambda: crosspoint.stats()["video_publishers"] == 1, "a publisher")
            first = view()
            first.until_more(40)
            second = view()
            second.until_more(20)
            assert first.greeting == second.greeting == "mpegts"
            for viewer in (first, second):
                taken = up_to_the_newest(viewer.media)
                assert tables_first(taken), codec
                numbers, complaints = decoded(taken)
                assert None not in numbers and complaints == "", f"{codec}: {complaints}"
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), codec
        crosspoint.input("stop")


def test_joiner_gets_nothing_while_nothing_is_live_and_then_one_burst(crosspoint, clips, view):
    media = clips.video(codec="h264", seconds=10, width=640, height=360, gop=300)
    crosspoint.configure(SOCKET_VIDEO)
    with crosspoint.publisher(VIDEO) as socket:
        units = clip.access_units(media)
        for unit in units[:30]:
            socket.send(unit)
        wait.until(lambda: crosspoint.stats()["frames_in"] >= 28, "the pictures to be taken")
        viewer = view()
        assert viewer.greeting == "mpegts"
        wait.until(lambda: crosspoint.stats()["feed_viewers"] == 1, "the viewer to be counted")
        assert viewer.messages == []
        for unit in units[30:33]:
            socket.send(unit)
        viewer.until_more(30)
    numbers, _ = decoded(viewer.media)
    assert numbers[0] == 0, "from the key frame on"


def test_swap_of_the_same_codec_goes_on_in_the_same_socket(crosspoint, clips, view):
    media = clips.video(codec="h264", seconds=4, width=640, height=360)
    other = clips.video(codec="h264", seconds=4, width=640, height=360, first=1000, offset=3000.0)
    crosspoint.configure(SOCKET_VIDEO)
    viewer = view()
    for source in (media, other):
        with Publisher(crosspoint, source):
            viewer.until_more(45)
    assert viewer.close_code is None
    taken = up_to_the_newest(viewer.media)
    counters: dict[int, int] = {}
    for at in range(0, len(taken), clip.TS_PACKET):
        pid, control = (taken[at + 1] & 0x1F) << 8 | taken[at + 2], taken[at + 3]
        if control & 0x10:
            assert pid not in counters or counters[pid] == (control - 1) & 0x0F, "continuity"
            counters[pid] = control & 0x0F
    numbers, complaints = decoded(taken)
    assert complaints == "" and numbers[0] < 900 and numbers[-1] >= 1000
    times = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=dts", "-of", "csv=p=0", "-f", "mpegts", "-i", "pipe:0"],
        input=taken, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    rising = [int(line.strip(",")) for line in times.split()]
    assert all(0 < b - a < 90_000 * 5 for a, b in zip(rising, rising[1:])), "one timeline"


def test_swap_of_the_codec_makes_viewers_begin_anew_and_the_page_follows(crosspoint, open_page, clips, view):
    crosspoint.configure(SOCKET_VIDEO)
    page = open_page()
    viewer = view()
    with Publisher(crosspoint, clips.video(seconds=10, width=640, height=360)):
        page.until_moving()
        assert page.page.evaluate("document.querySelector('#stage > *').localName") == "canvas"
    with Publisher(crosspoint, clips.video(codec="h264", seconds=10, width=640, height=360)):
        wait.until(lambda: viewer.close_code == 4411, "the viewer to be told")
        wait.until(lambda: page.page.evaluate("document.querySelector('#stage > :not(.stale)')?.localName") == "video", "another player")
        page.until_moving(page.mark())
        wait.until(lambda: page.players == 1, "the old player to be gone")


def test_slow_viewer_bothers_nobody(crosspoint, clips, view):
    media = clips.video(codec="h264", seconds=10, width=1280, height=720, bitrate="12M")
    crosspoint.configure(SOCKET_VIDEO)
    with Publisher(crosspoint, media), crosspoint.socket("/input/devices/virtual/feed/socket", max_queue=1) as slow:
        assert slow.recv(timeout=wait.DEADLINE_S) == "mpegts"
        fast = view()
        fast.until_more(200)
        numbers, complaints = decoded(up_to_the_newest(fast.media))
        assert complaints == ""
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert crosspoint.stats()["feed_viewers"] == 2


@any_runtime
@pytest.mark.parametrize(("query", "expected"), [("", "cover"), ("?fit=contain", "contain"), ("?fit=fill", "fill"), ("?fit=none;x", "cover")])
def test_fit_is_the_pages(crosspoint, open_page, clips, query, expected):
    crosspoint.configure(SOCKET_VIDEO)
    page = open_page(query)
    with Publisher(crosspoint, clips.video(seconds=10, width=640, height=360)):
        page.until_moving()
        assert page.page.evaluate("getComputedStyle(document.querySelector('#stage > *')).objectFit") == expected
        box = page.page.evaluate("JSON.stringify(document.querySelector('#stage > *').getBoundingClientRect())")
        assert '"width":1280,"height":720' in box


class _Files(http.server.SimpleHTTPRequestHandler):
    def end_headers(self):
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def elsewhere(tmp_path, clips):
    """A web server of another origin with a file and an HLS stream."""
    source = tmp_path / "clip.ts"
    source.write_bytes(clips.video(codec="h264", seconds=8, width=640, height=360, gop=30))
    words = [*clip.FFMPEG, "-i", str(source), "-c", "copy"]
    subprocess.run([*words, str(tmp_path / "clip.mp4")], check=True)
    subprocess.run([*words, "-f", "hls", "-hls_time", "1", "-hls_list_size", "0", str(tmp_path / "clip.m3u8")], check=True)
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=tmp_path))
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()


@any_runtime
@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8"])
def test_source_of_another_origin_is_shown_in_place_of_the_feed(crosspoint, open_page, elsewhere, name):
    page = open_page(f"?source={elsewhere}/{name}", look=False)
    ask = "document.querySelector('video:not(.stale)')?.currentTime > 0.5"
    wait.until(lambda: page.page.evaluate(ask), lambda: f"a playing video ({page.complaints})")
    page.until_words(None)
    ours = f"http://{crosspoint.listen}/"
    assert all(url.startswith((ours, f"{elsewhere}/", "blob:", "data:")) for url in page.requests), page.requests
    assert not [complaint for complaint in page.complaints if "Content Security Policy" in complaint]


def test_socket_of_a_stream_is_a_source(crosspoint, open_page):
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "screen"})
    page = open_page(f"?source=ws://{crosspoint.listen}/stream/socket/screen", look=False)
    wait.until(lambda: page.page.evaluate("document.querySelector('video:not(.stale)')?.videoWidth > 0"), lambda: f"a picture ({page.complaints})")


IVF = {
    "vp8": ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-f", "ivf"],
    "vp9": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-f", "ivf"],
    "av1": ["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-f", "ivf"],
    # FFmpeg puts no H.264 into IVF: cut at its delimiters.
    "h264": ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-x264-params", "aud=1", "-f", "h264"],
}


def ivf_messages(encoded: bytes, codec: str) -> list[bytes]:
    """A file header, and then every picture behind its header."""
    if codec != "h264":
        messages, at = [encoded[:32]], 32
        while at < len(encoded):
            end = at + 12 + int.from_bytes(encoded[at : at + 4], "little")
            # Times of our own: ffmpeg's are in pictures.
            time = (len(messages) - 1) * 3_000
            messages.append(encoded[at : at + 4] + time.to_bytes(8, "little") + encoded[at + 12 : end])
            at = end
        return messages
    delimiter = b"\0\0\0\1\x09"
    units = [delimiter + unit for unit in encoded.split(delimiter)[1:]]
    header = b"DKIF\0\0\x20\0H264" + bytes(20)
    return [header, *(len(unit).to_bytes(4, "little") + (at * 3_000).to_bytes(8, "little") + unit for at, unit in enumerate(units))]


@any_runtime
@pytest.mark.parametrize("codec", IVF)
def test_page_plays_ivf_from_a_socket(crosspoint, open_page, clips, codec):
    source = clips.video(codec="mpeg2", seconds=10, width=640, height=360, bitrate="6M")
    words = [*clip.FFMPEG, "-f", "mpegts", "-i", "pipe:0", "-g", "30", "-b:v", "2M", *IVF[codec], "pipe:1"]
    encoded = subprocess.run(words, input=source, capture_output=True, check=True).stdout
    header, *pictures = ivf_messages(encoded, codec)
    ended = threading.Event()

    def publish(socket):
        socket.send("ivf")
        socket.send(header)
        start = time.monotonic()
        for at, picture in enumerate(pictures):
            wait.until_moment(start + at / 30)
            if ended.is_set():
                return
            socket.send(picture)

    with websockets.sync.server.serve(publish, "127.0.0.1", 0) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        page = open_page(f"?source=ws://127.0.0.1:{serving.socket.getsockname()[1]}/")
        page.until_moving()
        assert page.page.evaluate("document.querySelector('#stage > *').localName") == "canvas"
        ended.set()
        serving.shutdown()


@any_runtime
def test_source_that_is_no_address_is_refused_in_words(crosspoint, open_page):
    page = open_page("?source=javascript:alert(1)")
    page.until_words("The source of this page has to be an http, https, ws or wss URL.")


@any_runtime
def test_sample_captures_the_feed_until_it_is_interrupted(crosspoint, clips, tmp_path):
    crosspoint.configure(SOCKET_VIDEO, SOCKET_AUDIO)
    script = REPOSITORY / "samples/virtual-inputs/feed_capture.js"
    if not (REPOSITORY / "samples/node_modules/ws").exists():
        pytest.skip("samples/node_modules is not installed: deploy/setup")
    output = tmp_path / "feed_capture"
    with Publisher(crosspoint, clips.video(seconds=10, width=640, height=360)):
        words = ["node", str(script), "--host", f"ws://{crosspoint.listen}", "--output", str(output)]
        sample = Process(words, tmp_path / "log")
        file = output.with_suffix(".mpegts")
        sample.until(lambda: file.exists() and file.stat().st_size > 100_000, "a capture")
        os.kill(sample.pid, signal.SIGINT)
        wait.until(lambda: sample.code is not None, "the end")
        assert sample.code == 0, sample.output()
    numbers, complaints = decoded(up_to_the_newest(file.read_bytes()))
    assert len(numbers) > 10 and None not in numbers and complaints == ""


FILES = {
    "vp8": ("webm", "ivf", ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "30"]),
    "vp9": ("webm", "ivf", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "30"]),
    "av1": ("mkv", "ivf", ["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-g", "30"]),
    "mjpeg": ("mkv", "mpegts", ["-c:v", "mjpeg", "-q:v", "3"]),
}


@any_runtime
@pytest.mark.parametrize("codec", FILES)
def test_file_source_is_mirrored_in_the_form_that_its_codec_has(crosspoint, open_page, view, clips, tmp_path, codec):
    ending, format, encoder = FILES[codec]
    (source := tmp_path / "clip.ts").write_bytes(clips.video(codec="mpeg2", seconds=10, width=640, height=360, bitrate="6M"))
    path = tmp_path / f"clip.{ending}"
    subprocess.run([*clip.FFMPEG, "-i", str(source), *encoder, "-b:v", "2M", str(path)], check=True)
    try:
        crosspoint.configure({"type": "file", "url": str(path), "loop": True})
    except Refused as refused:
        pytest.skip(f"no file sources yet: {refused}")
    page = open_page()
    page.until_moving()
    assert crosspoint.call("GET", INFO)["format"] == format
    viewer = view()
    viewer.until_more(20)
    assert viewer.greeting == format
    numbers, _ = decoded(viewer.media, format)
    assert [number for number in numbers if number is not None]
    assert not [complaint for complaint in page.complaints if "Content Security Policy" in complaint]


@any_runtime
def test_still_picture_is_refreshed(crosspoint, open_page, tmp_path):
    path = tmp_path / "still.png"
    subprocess.run([*clip.FFMPEG, "-f", "lavfi", "-i", "color=red:s=640x360", "-frames:v", "1", str(path)], check=True)
    try:
        crosspoint.configure({"type": "file", "url": str(path)})
    except Refused as refused:
        pytest.skip(f"no file sources yet: {refused}")
    page = open_page()
    wait.until(lambda: page.newest[3] > 50, "a red page")
    mark = page.mark()
    wait.until(lambda: page.mark() > mark + 50, "two seconds")
    assert all(words is None and luma > 50 for *_, luma, words in page.looks(mark)), "no silence"


def test_sound_of_another_socket_is_not_in_the_feed(crosspoint, clips, view):
    crosspoint.configure(SOCKET_VIDEO, SOCKET_AUDIO)
    with crosspoint.publisher(AUDIO) as sound, Publisher(crosspoint, clips.video(codec="h264", seconds=10, width=640, height=360)):
        sound.send(clips.tone(seconds=2))
        viewer = view()
        viewer.until_more(30)
    streams = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", "-f", "mpegts", "-i", "pipe:0"],
        input=viewer.media, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    assert set(streams.split()) == {"video"}
