"""Every source with every container and codec through a running server: the camera's picture codes are read, the microphone's tone measured."""

import contextlib

import catalogue
import chromium
import hls
import media
import pytest
import senders
import wait
from crosspoint import AUDIO, VIDEO, Crosspoint, send_ahead
from ear import Ear
from eye import Eye
from media import Recipe
from origin import Origin
from sight import Sight, assert_whole

CAMERA_RATE = 30
# The part of the numbers that a 30 Hz reader can see that it must have seen.
SHARE = 0.9
# A still is looked at longer than the second after which a gap turns black.
STILL_FRAMES = 45
# What is not seen or heard after this long will not be; a shorter wait than usual, for a table with many rows.
DEADLINE_S = 10
# The last picture of a socket's clip may be whole only when another follows, with B-frames the last three.
TAIL = 4

LONG = {"seconds": 6.0, "gop": 30}


@pytest.fixture(scope="module")
def table(folder, env):
    """One server for the whole table; which runtime it has is nothing that a codec could tell."""
    crosspoint = Crosspoint(folder / "matrix", "auto", env)
    yield crosspoint
    crosspoint.end()


@pytest.fixture(scope="module")
def eye(table):
    with contextlib.closing(Eye(table.camera_file)) as eye:
        yield eye


@pytest.fixture(scope="module")
def ear(table, sound):
    wait.until(lambda: "audio_input" in sound.names("sinks"), "the sink")
    with contextlib.closing(Ear(sound)) as ear:
        yield ear


@pytest.fixture(scope="module")
def origin():
    origin = Origin()
    yield origin
    origin.end()


@pytest.fixture
def crosspoint(table, request):
    """The table's server with nothing configured, before and after."""
    request.node.log = (table.process, table.process.log.stat().st_size)
    table.reset()
    yield table
    assert table.process.alive, f"crosspoint ended with code {table.process.code}"
    table.reset()


def pull(crosspoint, recipe: Recipe, kind: str, url: str):
    """Configures a `file` or `stream` for whatever tracks the recipe has."""
    track = {"type": kind, "url": url}
    return crosspoint.configure(track if recipe.video else None, track if recipe.audio else None)


@contextlib.contextmanager
def from_file(crosspoint, recipe):
    yield pull(crosspoint, recipe, "file", str(media.file(recipe)))


@contextlib.contextmanager
def from_socket(crosspoint, recipe):
    """Sends as the API's example script does: pictures, and the sound in the same transport stream; or sound alone."""
    path = VIDEO if recipe.video else AUDIO
    sound = {"type": "socket", "format": "mpegts" if recipe.video else "mp3"}
    crosspoint.configure({"type": "socket", "format": "mpegts"} if recipe.video else None, sound if recipe.audio else None)
    with crosspoint.publisher(path) as socket:
        send_ahead(socket, media.file(recipe).read_bytes())
        yield


def from_http(origin, way: str):
    @contextlib.contextmanager
    def play(crosspoint, recipe):
        yield pull(crosspoint, recipe, "stream", origin.put(media.file(recipe), way))

    return play


def from_sender(folder, send):
    @contextlib.contextmanager
    def play(crosspoint, recipe):
        sender = send(folder, media.file(recipe), lambda url: pull(crosspoint, recipe, "stream", url))
        try:
            yield
        finally:
            sender.end()

    return play


def check(crosspoint, eye, ear, recipe: Recipe, play, tail=1):
    """Plays a recipe until one of its last `tail` pictures is there, and judges picture and tone."""

    # Of pictures that come faster than the camera is read, the very last may fall between two reads.
    last = max(tail, round(1 / seen_part(recipe))) if recipe.video else 1

    def look() -> Sight:
        ear.until_silent()
        # What was stopped before is gone within a frame, not at once.
        eye.until_black()
        start, heard = eye.mark(), ear.mark()
        with play(crosspoint, recipe):
            if recipe.video:
                eye.until_seen(recipe.numbers[-last:], start, DEADLINE_S)
            if recipe.audio:
                ear.until_heard(recipe.tone, heard, DEADLINE_S)
            if recipe.is_still:
                eye.until_looked(STILL_FRAMES)
                newest = eye.frames()[-STILL_FRAMES:]
                assert {(top, bottom) for _, top, bottom, _ in newest} == {(recipe.first, recipe.first)}, "a still is no gap"
                assert crosspoint.status()["state"] == "running"
            assert crosspoint.status()["last_error"] is None
        frames = eye.frames(start)
        crosspoint.input("stop")
        # Those before the last were waited for.
        return Sight.of(frames, recipe.numbers[: len(recipe.numbers) + 1 - last])

    eye.aspect = recipe.size[0] / recipe.size[1]
    if recipe.video:
        assert_whole(look, SHARE * seen_part(recipe))
    else:
        look()


def seen_part(recipe: Recipe) -> float:
    """The part of the pictures that a reader at the camera's rate can see."""
    return min(CAMERA_RATE * recipe.seconds / recipe.pictures, 1)


def check_live(crosspoint, eye, ear, recipe: Recipe, play):
    """Plays a live source, which starts where it is, and judges a second and a half of it and the tone."""
    count = 45

    def look() -> Sight:
        eye.until_black()
        start, heard = eye.mark(), ear.mark()
        with play(crosspoint, recipe):
            eye.until_seen(recipe.numbers[:-count], start)
            first = next(top for _, top, _, _ in eye.frames(start) if top in recipe.numbers)
            eye.until_seen(range(first + count, recipe.numbers.stop), start)
            if recipe.audio:
                ear.until_heard(recipe.tone, heard, DEADLINE_S)
            assert crosspoint.status()["last_error"] is None
        frames = eye.frames(start)
        crosspoint.input("stop")
        return Sight.of(frames, range(first, first + count))

    eye.aspect = recipe.size[0] / recipe.size[1]
    assert_whole(look, SHARE)


@pytest.mark.parametrize("name", catalogue.FILES)
def test_file_of_every_kind_is_seen_and_heard(crosspoint, eye, ear, name):
    check(crosspoint, eye, ear, catalogue.FILES[name], from_file)


@pytest.mark.parametrize("name", catalogue.SOCKET_VIDEO)
def test_transport_stream_of_a_publisher_is_seen_and_heard(crosspoint, eye, ear, name):
    check(crosspoint, eye, ear, catalogue.SOCKET_VIDEO[name], from_socket, TAIL)


@pytest.mark.parametrize("name", catalogue.SOCKET_AUDIO)
def test_sound_of_a_publisher_is_known_by_its_bytes_and_heard(crosspoint, eye, ear, name):
    check(crosspoint, eye, ear, catalogue.SOCKET_AUDIO[name], from_socket)


@pytest.mark.parametrize("name", catalogue.STREAMS)
def test_http_of_every_container_is_seen_and_heard(crosspoint, eye, ear, origin, name):
    check(crosspoint, eye, ear, catalogue.STREAMS[name], from_http(origin, "file"))


@pytest.mark.parametrize("name", ["mp4-h264-b-frames-aac", "webm-vp9-opus", "ts-hevc-ac3", "flv-h264-aac", "mp3"])
def test_http_without_length_or_ranges_is_seen_and_heard(crosspoint, eye, ear, origin, name):
    check(crosspoint, eye, ear, catalogue.STREAMS[name], from_http(origin, "unsized"))


# What each HLS cell plays: its cuts, and how they are segmented.
HLS = {
    "ts-h264-aac": (Recipe("ts", "h264", "aac", seconds=3, gop=30), "mpegts"),
    "ts-mpeg2-mp2": (Recipe("ts", "mpeg2", "mp2", seconds=3, gop=30), "mpegts"),
    "fmp4-h264-aac": (Recipe("mp4", "h264", "aac", seconds=3, gop=30), "fmp4"),
    "fmp4-hevc-aac": (Recipe("mp4", "hevc", "aac", seconds=3, gop=30, extra=("-tag:v", "hvc1")), "fmp4"),
    "fmp4-av1-opus": (Recipe("mp4", "av1", "opus", seconds=3, gop=30), "fmp4"),
}


@pytest.mark.parametrize("name", HLS)
def test_hls_on_demand_is_seen_and_heard(crosspoint, eye, ear, origin, name):
    recipe, kind = HLS[name]
    url = origin.put_playlist(name, hls.Presentation({"only": hls.cut(recipe, kind)}))
    check(crosspoint, eye, ear, recipe, lambda crosspoint, recipe: contextlib.nullcontext(pull(crosspoint, recipe, "stream", url)))


def test_hls_with_renditions_is_seen_and_heard(crosspoint, eye, ear, origin):
    high = Recipe("ts", "h264", "aac", size=(640, 360), seconds=3, gop=30)
    low = Recipe("ts", "h264", "aac", start=high.first, hertz=high.tone, seconds=3, gop=30)
    url = origin.put_playlist("renditions", hls.Presentation({"low": hls.cut(low), "high": hls.cut(high)}))
    check(crosspoint, eye, ear, high, lambda crosspoint, recipe: contextlib.nullcontext(pull(crosspoint, recipe, "stream", url)))


# What follows what in a presentation with discontinuities: codecs and a size each, the PID that its tracks start at.
DISCONTINUITIES = {
    "size": [("h264", "aac", (320, 180), 0x100), ("h264", "aac", (640, 360), 0x100), ("h264", "aac", (480, 270), 0x100)],
    "codec": [("h264", "aac", (320, 180), 0x100), ("mpeg2", "mp2", (320, 180), 0x200), ("hevc", "ac3", (320, 180), 0x300)],
}


@pytest.mark.parametrize("name", DISCONTINUITIES)
def test_hls_with_discontinuities_is_seen_and_heard(crosspoint, eye, ear, origin, name):
    parts = DISCONTINUITIES[name]
    whole = Recipe("ts", parts[0][0], parts[0][1], seconds=2 * len(parts), gop=30)
    cuts = []
    for index, (video, audio, size, pid) in enumerate(parts):
        # Each part's times are elsewhere, the third's before the first's.
        offset_s = (500, 0, 90)[index]
        part = Recipe("ts", video, audio, size, start=whole.first + 60 * index, hertz=whole.tone, seconds=2, gop=30, offset_s=offset_s)
        cuts.append(hls.cut(part, pid=pid))
    url = origin.put_playlist(name, hls.Presentation({"only": hls.in_turn(*cuts)}))
    check(crosspoint, eye, ear, whole, lambda crosspoint, recipe: contextlib.nullcontext(pull(crosspoint, recipe, "stream", url)))


@pytest.mark.parametrize("kind", ["mpegts", "fmp4"])
def test_hls_that_is_live_is_seen_and_heard(crosspoint, eye, ear, origin, kind):
    recipe = Recipe("ts" if kind == "mpegts" else "mp4", "h264", "aac", seconds=15, gop=30)
    segments = hls.cut(recipe, kind)

    def play(crosspoint, recipe):
        url = origin.put_playlist(f"live-{kind}", hls.Presentation({"only": segments}, live=True))
        return contextlib.nullcontext(pull(crosspoint, recipe, "stream", url))

    check_live(crosspoint, eye, ear, recipe, play)


# What each sender sends: long enough for whoever probes.
SENDERS = {
    "udp-ts-h264-aac": (senders.udp, Recipe("ts", "h264", "aac", **LONG)),
    "udp-ts-mpeg2-mp2": (senders.udp, Recipe("ts", "mpeg2", "mp2", **LONG)),
    "srt-ts-h264-aac": (senders.srt, Recipe("ts", "h264", "aac", **LONG)),
    "srt-ts-hevc-ac3": (senders.srt, Recipe("ts", "hevc", "ac3", **LONG)),
    "rtmp-flv-h264-aac": (senders.rtmp, Recipe("flv", "h264", "aac", **LONG)),
    "rtsp-h264-aac": (senders.rtsp, Recipe("ts", "h264", "aac", **LONG)),
    "http-flv-h264-aac": (senders.http_live, Recipe("flv", "h264", "aac", **LONG)),
}


@pytest.mark.parametrize("name", SENDERS)
def test_sender_in_real_time_is_seen_and_heard(crosspoint, eye, ear, tmp_path, name):
    send, recipe = SENDERS[name]
    check_live(crosspoint, eye, ear, recipe, from_sender(tmp_path, send))


# A picture and a sound of different sources, and which of them publish over a socket.
MIXES = {
    "file-and-file": (catalogue.FILES["pixels-444"], catalogue.FILES["ogg-vorbis"], {}),
    "file-and-socket": (catalogue.FILES["rate-10"], catalogue.SOCKET_AUDIO["mp3"], {AUDIO}),
    "socket-and-file": (catalogue.SOCKET_VIDEO["ts-mpeg1-853x480"], catalogue.FILES["flac"], {VIDEO}),
}


@pytest.mark.parametrize("name", MIXES)
def test_picture_and_sound_of_different_sources_are_seen_and_heard(crosspoint, eye, ear, name):
    picture, sound, sockets = MIXES[name]
    tracks = {VIDEO: picture, AUDIO: sound}
    eye.aspect = picture.size[0] / picture.size[1]
    start, heard = eye.mark(), ear.mark()
    with contextlib.ExitStack() as publishers:
        crosspoint.configure(
            *({"type": "socket"} if path in sockets else {"type": "file", "url": str(media.file(recipe))} for path, recipe in tracks.items())
        )
        for path in sockets:
            send_ahead(publishers.enter_context(crosspoint.publisher(path)), media.file(tracks[path]).read_bytes())
        eye.until_seen(picture.numbers[-TAIL:], start, DEADLINE_S)
        ear.until_heard(sound.tone, heard, DEADLINE_S)
    assert crosspoint.status()["last_error"] is None


@pytest.fixture(scope="module")
def page(table, playwright, folder, env, display, check_url):
    """The camera page of a Chromium that has the table's camera."""
    home = folder / "matrix"
    context = chromium.launch(playwright, table, home, env, display.name)
    page = chromium.CameraPage(context.new_page(), check_url)
    yield page
    page.close()
    context.close()


# What stands for the rest in a browser: a container, a codec and a shape each.
IN_CHROMIUM = ["mp4-h264-aac", "webm-vp9-opus", "mkv-hevc-b-frames-flac", "ts-mpeg1-mp2", "rate-23.976", "rate-60", "pixels-422-10", "time-wraps"]


@pytest.mark.parametrize("name", IN_CHROMIUM)
def test_file_is_seen_and_heard_in_chromium(crosspoint, page, name):
    recipe = catalogue.FILES[name]
    loop = {"type": "file", "url": str(media.file(recipe)), "loop": True}

    def look() -> Sight:
        start = page.mark()
        crosspoint.configure(loop, loop if recipe.audio else None)
        page.until_seen(recipe.numbers[-TAIL], start)
        if recipe.audio:
            page.until_pitch(recipe.tone, within=0.01 * recipe.tone)
        frames = [frame for frame in page.frames(start) if frame[1] is not None]
        laps = [at for at in range(1, len(frames)) if frames[at][1] < frames[at - 1][1]]
        crosspoint.input("stop")
        page.until_black()
        # The last ones were not waited for.
        return Sight.of(frames[: laps[0]] if laps else frames, recipe.numbers[: 1 - TAIL])

    assert_whole(look, SHARE * seen_part(recipe))
    assert page.check("error") is None
