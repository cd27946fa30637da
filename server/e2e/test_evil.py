"""Sources that die, hang, lie or name what they must not: a clear `last_error` or refusal, and nothing else happens.

Meanwhile a microphone's publisher and a stream's viewer go on, and after each case the server has no more than before.
"""

import contextlib
import os
import re
import socket as sockets
import struct
import threading
import zlib

import hls
import media
import pytest
import usage
import wait
from crosspoint import AUDIO, Crosspoint, Refused, send_ahead
from ear import Ear
from eye import Eye
from media import Recipe
from origin import EVIL, Mute, Origin
from senders import free_port
from sight import Sight
from test_stream import Viewer
from usage import Usage
from websockets.exceptions import ConnectionClosed

BAIT = Recipe("ts", "h264", "aac")
TONE = Recipe("mp3", audio="mp3", seconds=20, hertz=500)
# Every time limit on a source is shorter.
PATIENCE_S = 45
# Beyond what was resident before. A frame of the largest picture that is taken, twice, and what FFmpeg keeps beside it.
PEAK_BYTES = 256 * usage.MIB
# A message that a person reads.
MESSAGE_CHARACTERS = 400

# What `last_error` must speak of, by what the origin does.
SAID = {
    "empty": "empty|end|invalid|no (picture|media|data)",
    "not-media": "invalid|no (picture|media)|not media|format|unknown",
    "forbidden": "403|forbidden|refused|denied",
    "server-error": "500|server error|5xx",
    "hang": "time|seconds|answer",
    "hang-in-body": "time|seconds|stopped|end",
    "redirect": "redirects too often",
    "redirect-to-file": "file|protocol|redirect|allowed",
    "endless-header": "header|large|long|limit|time",
    "endless-line": "header|large|long|limit|time",
    "endless-playlist": "playlist|large|long|limit|time|invalid",
    "endless-garbage": "invalid|no (picture|media)|not media|format|unknown|large|limit",
    "master-of-itself": "playlist|invalid|nest|deep|redirect|limit|time",
    "key-in-file": "file|protocol|key|allowed|invalid|open",
    "playlist-naming-file": "file|protocol|allowed",
    "playlist-naming-path": "not media|404",
    "playlist-naming-data": "data|protocol|allowed|invalid|picture",
    "playlist-naming-concat": "concat|protocol|allowed|invalid|picture|404",
    "playlist-naming-subfile": "subfile|protocol|allowed|invalid|picture|404",
}


def test_every_evil_has_its_words():
    assert set(SAID) == set(EVIL)


class Bystanders:
    """A publisher into the microphone and a viewer of a stream, who must not notice anything."""

    def __init__(self, crosspoint, ear, ends: contextlib.ExitStack):
        self.crosspoint, self._ear = crosspoint, ear
        crosspoint.configure(audio={"type": "socket"})
        ended = threading.Event()
        socket = ends.enter_context(crosspoint.publisher(AUDIO))
        # A write may wait until a minute of sound has been played: cut it short.
        ends.callback(socket.socket.shutdown, sockets.SHUT_RDWR)
        tone = media.file(TONE).read_bytes()

        def publish():
            with contextlib.suppress(ConnectionClosed):
                while not ended.is_set():
                    send_ahead(socket, tone, stop=ended.is_set)

        publisher = threading.Thread(target=publish, daemon=True)
        publisher.start()
        ends.callback(ended.set)
        crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "bystander", "video": False})
        self._viewer = ends.enter_context(contextlib.closing(Viewer(crosspoint, "bystander")))

    def assert_well(self):
        heard, received = self._ear.mark(), len(self._viewer.received())
        self._ear.until_heard(TONE.tone, heard)
        wait.until(lambda: len(self._viewer.received()) > received, "the stream to go on")
        stats = self.crosspoint.stats()
        assert stats["audio_publishers"] == 1


@pytest.fixture(scope="module")
def origin():
    origin = Origin()
    origin.bait = media.file(BAIT)
    # What the origin sends in part and stops; it may be shown, as the bait may not.
    origin.put(media.file(Recipe("ts", "mpeg2", "mp2")))
    origin.put(media.file(BAIT))
    yield origin
    origin.end()


@pytest.fixture(scope="module")
def house(folder, env, sound):
    with contextlib.ExitStack() as ends:
        crosspoint = Crosspoint(folder / "evil", "auto", env)
        ends.callback(crosspoint.end)
        wait.until(lambda: "audio_input" in sound.names("sinks"), "the sink")
        ear = ends.enter_context(contextlib.closing(Ear(sound)))
        eye = ends.enter_context(contextlib.closing(Eye(crosspoint.camera_file)))
        yield crosspoint, eye, Bystanders(crosspoint, ear, ends)


@pytest.fixture
def victim(house, request):
    """The server, watched: a case must leave no descriptor, no thread, little memory and untroubled bystanders."""
    crosspoint, eye, bystanders = house
    pid = crosspoint.process.pid
    request.node.log = (crosspoint.process, crosspoint.process.log.stat().st_size)
    crosspoint.configure(audio={"type": "socket"})
    before, start = Usage.of(pid), eye.mark()
    usage.forget_peak(pid)
    yield crosspoint
    assert crosspoint.process.alive, f"crosspoint ended with code {crosspoint.process.code}"
    bystanders.assert_well()
    assert not [frame for frame in eye.frames(start) if frame[1] in BAIT.numbers], "the bait was never shown"
    crosspoint.configure(audio={"type": "socket"})
    assert crosspoint.status()["last_error"] is None, "a configure begins anew"

    def left() -> str | None:
        now = Usage.of(pid)
        return None if now.descriptors <= before.descriptors and now.threads <= before.threads else f"{now}, was {before}"

    wait.until(lambda: not left(), lambda: f"descriptors and threads to be given back: {left()}", PATIENCE_S)
    assert usage.peak_bytes(pid) - before.resident_bytes < PEAK_BYTES


def until_told(crosspoint, words: str):
    """Waits until `last_error` says what is wrong, and judges how."""
    told = wait.until(lambda: crosspoint.status()["last_error"], "last_error", PATIENCE_S)
    assert re.search(words, told, re.IGNORECASE), f"not about {words}: {told}"
    assert len(told) <= MESSAGE_CHARACTERS and "root:" not in told


def pull(crosspoint, url: str, kind="stream"):
    crosspoint.configure({"type": kind, "url": url}, {"type": "socket"})


@pytest.mark.parametrize("name", EVIL)
def test_evil_origin_is_told_of(victim, origin, name):
    pull(victim, origin.evil(name))
    until_told(victim, SAID[name])


def test_missing_file_at_an_origin_is_told_of(victim, origin):
    pull(victim, origin.url("/file/nothing.mp4"))
    until_told(victim, "404|not found")


def test_origin_that_refuses_is_told_of(victim):
    pull(victim, f"http://127.0.0.1:{free_port(sockets.SOCK_STREAM)}/video.mp4")
    until_told(victim, "refused")


@pytest.mark.parametrize("scheme", ["http", "https", "rtmp", "rtsp"])
def test_port_that_never_answers_is_told_of(victim, scheme):
    mute = Mute()
    try:
        pull(victim, f"{scheme}://127.0.0.1:{mute.port}/video")
        until_told(victim, "time|seconds|answer")
    finally:
        mute.end()


def test_host_that_does_not_exist_is_told_of(victim):
    pull(victim, "http://nowhere.invalid/video.mp4")
    until_told(victim, "resolve|host|name|address|input/output")


def test_secrets_of_a_url_are_told_to_nobody(victim):
    port = free_port(sockets.SOCK_STREAM)
    pull(victim, f"http://user:hunter2@127.0.0.1:{port}/video.mp4?token=hunter3")
    until_told(victim, "refused")
    status = str(victim.status())
    assert "hunter" not in status
    assert "hunter" not in victim.process.output()


def test_trickle_can_be_left_at_once(victim, origin):
    pull(victim, origin.put(media.file(BAIT), "trickle"))
    wait.until(lambda: any(path.startswith("/trickle/") for path in origin.asked), "the server to ask")
    victim.configure(audio={"type": "socket"})


def test_live_playlist_that_stops_growing_is_told_of(victim, origin):
    recipe = Recipe("ts", "h264", seconds=3, gop=30)
    pull(victim, origin.put_playlist("stuck", hls.Presentation({"only": hls.cut(recipe)}, live=True, ends=False)))
    until_told(victim, "playlist|grow|time|seconds|end|segment")


# What `stream` does not fetch, whoever asks.
FORBIDDEN = [
    "file:///etc/passwd",
    "/etc/passwd",
    "data:video/mp4;base64,AAAA",
    "concat:http://a/|http://b/",
    "ftp://127.0.0.1/x",
    "pipe:0",
    "http+unix://x",
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_protocol_that_a_stream_has_not_is_refused(victim, url):
    with pytest.raises(Refused) as refused:
        pull(victim, url)
    assert refused.value.status == 400
    assert "http" in refused.value.message


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size; its data are zeros, as many as compress into a few kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1 << 22))) + chunk(b"IEND", b"")


# Files that open(2) takes and that are no media, and what `last_error` must speak of.
BAD_FILES = {
    "huge.png": (png(100_000, 100_000), "large|big|size|picture|invalid"),
    "wide.png": (png(1_000_000, 16), "large|big|size|picture|invalid"),
    "empty.mp4": (b"", "empty|invalid|end|no (picture|media)"),
    "text.mp4": (b"hello " * 1000, "invalid|no (picture|media)|not media|format|unknown"),
    "list.ffconcat": (b"ffconcat version 1.0\nfile BAIT\n", "protocol|allowed|nested|format|invalid|open|permitted"),
    "list.m3u8": (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nBAIT\n#EXT-X-ENDLIST\n",
        "protocol|allowed|nested|playlist|invalid|open|permitted",
    ),
    "list.sdp": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n", ""),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_file_that_is_no_media_is_told_of(victim, tmp_path, name):
    body, words = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(body.replace(b"BAIT", str(media.file(BAIT)).encode()))
    pull(victim, str(path), "file")
    until_told(victim, words)


@pytest.mark.parametrize("kind", ["truncated", "flipped"])
def test_file_that_is_damaged_ends_without_harm(victim, tmp_path, kind):
    body = bytearray(media.file(Recipe("mkv", "h264", "vorbis")).read_bytes())
    if kind == "truncated":
        del body[len(body) // 2 :]
    for at in range(3000, len(body), 997) if kind == "flipped" else ():
        body[at] ^= 0x10
    path = tmp_path / "damaged.mkv"
    path.write_bytes(body)
    pull(victim, str(path), "file")
    wait.until(lambda: victim.status()["stats"]["frames_in"] > 0 or victim.status()["last_error"], "the file to be tried")


def missing(path):
    """Nothing is there."""


def directory(path):
    path.mkdir()


def dangling(path):
    path.symlink_to(path.with_name("nothing"))


# What cannot be opened as a file, and what the refusal must speak of.
UNOPENABLE = {
    "missing": (missing, "no such|not found|exist"),
    "directory": (directory, "directory|regular"),
    "fifo": (os.mkfifo, "fifo|pipe|regular"),
    "dangling": (dangling, "no such|not found|exist"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "device|regular"),
    "socket": (lambda path: sockets.socket(sockets.AF_UNIX).bind(str(path)), "socket|regular|no such device|open"),
}


@pytest.mark.parametrize("kind", UNOPENABLE)
def test_what_is_no_regular_file_is_refused_at_once(victim, folder, kind):
    make, words = UNOPENABLE[kind]
    path = folder / f"evil-{kind}"
    make(path)
    before = victim.status()
    with pytest.raises(Refused) as refused:
        pull(victim, str(path), "file")
    assert refused.value.status == 400
    assert re.search(words, refused.value.message, re.IGNORECASE), refused.value.message
    after = victim.status()
    assert (after["state"], after.get("audio"), after["last_error"]) == (before["state"], before.get("audio"), None), "the old session goes on"


def test_server_serves_on_after_all_that(house):
    crosspoint, eye, bystanders = house
    start = eye.mark()
    eye.aspect = BAIT.size[0] / BAIT.size[1]
    pull(crosspoint, str(media.file(BAIT)), "file")
    eye.until_seen(BAIT.numbers[-4:], start)
    assert Sight.of(eye.frames(start), BAIT.numbers).share > 0.8
    bystanders.assert_well()
