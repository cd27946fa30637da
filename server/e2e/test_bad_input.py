"""Input that no publisher should send: a connection or a packet is lost, nothing else."""

import random
import socket as sockets
import struct

import clip
import pytest
import wait
from crosspoint import AUDIO, SOCKET_AUDIO, SOCKET_VIDEO, VIDEO, send_ahead
from runtime import any_runtime
from websockets.exceptions import ConnectionClosed


def flip_bits(media: bytes, every_bytes: int) -> bytes:
    """The media with one bit flipped in about every so many bytes."""
    chance = random.Random(5)
    flipped = bytearray(media)
    for _ in range(len(media) // every_bytes):
        flipped[chance.randrange(len(media))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def shorten_packets(media: bytes) -> bytes:
    """The media with a part of every seventh packet missing."""
    packets = [media[at : at + clip.TS_PACKET] for at in range(0, len(media), clip.TS_PACKET)]
    return b"".join(packet[:100] if index % 7 == 6 else packet for index, packet in enumerate(packets))


GARBAGE = random.Random(6).randbytes(200_000)

# What is sent instead of media, as messages: bytes are binary frames, str are text frames.
BAD_VIDEO = {
    "text": lambda media: ["hello", "{}", "mpegts"],
    "garbage": lambda media: [GARBAGE],
    "garbage_in_sync": lambda media: [b"".join(b"\x47" + GARBAGE[at : at + 187] for at in range(0, 100_000, 187))],
    "bit_flips": lambda media: [flip_bits(media, 500)],
    "shortened_packets": lambda media: [shorten_packets(media)],
    "half_a_file": lambda media: [media[: len(media) // 2 + 50]],
    "an_mp3": lambda media: [b"ID3\x04" + GARBAGE[:5000]],
}
BAD_AUDIO = {
    "text": lambda media: ["hello"],
    "garbage": lambda media: [GARBAGE],
    "garbage_in_sync": lambda media: [b"".join(b"\xff\xfb\x90\x00" + GARBAGE[at : at + 413] for at in range(0, 100_000, 413))],
    "bit_flips": lambda media: [flip_bits(media, 40)],
    "half_a_file": lambda media: [media[: len(media) // 2 + 50]],
}
# What can be sent without anything being wrong with it.
HARMLESS = {"half_a_file"}


def send_bad(crosspoint, path: str, messages) -> bool:
    """Sends messages as fast as they are taken; whether the server closed the connection over them."""
    with crosspoint.publisher(path) as socket:
        try:
            for message in messages:
                socket.send(message)
            # A ping's answer comes after all that was sent before it was read.
            return not socket.ping().wait(wait.DEADLINE_S)
        except ConnectionClosed:
            return True


def vanish(crosspoint, path: str, media: bytes):
    """Leaves with a reset in the middle of a message, as a publisher does whose machine dies."""
    with crosspoint.socket(path) as socket:
        socket.recv(timeout=wait.DEADLINE_S)
        socket.send(media[:50_000])
        # A masked binary frame that promises more than will come.
        socket.socket.sendall(b"\x82\xff" + struct.pack("!Q", 100_000) + b"mask" + media[:30_000])
        socket.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.close()


def assert_camera_goes_on(crosspoint, camera, media: bytes, last: int):
    """The page's camera never stopped, and shows the next publisher's clip."""
    assert crosspoint.process.alive
    assert camera.check("error") is None
    start = camera.mark()
    with crosspoint.publisher(VIDEO) as socket:
        send_ahead(socket, media)
        camera.until_seen(last, start)
    camera.until_black()


@any_runtime
@pytest.mark.parametrize("kind", BAD_VIDEO)
def test_bad_video_costs_its_connection_or_packets(crosspoint, camera, clips, kind):
    media = clips.video(seconds=2, first=500)
    crosspoint.configure(SOCKET_VIDEO)
    before = crosspoint.stats()["bad_units"]
    closed = send_bad(crosspoint, VIDEO, BAD_VIDEO[kind](clips.video(seconds=2)))
    if kind not in HARMLESS:
        said = lambda: closed or crosspoint.stats()["bad_units"] > before or crosspoint.status()["last_error"]
        wait.until(said, "the server to say that something was wrong")
        status = crosspoint.status()
        assert status["last_error"] or status["stats"]["bad_units"] > before, "status tells, not only the closed connection"
    assert_camera_goes_on(crosspoint, camera, media, 555)


@any_runtime
@pytest.mark.parametrize("kind", BAD_AUDIO)
def test_bad_sound_costs_its_connection_or_packets(crosspoint, camera, clips, kind):
    crosspoint.configure(SOCKET_VIDEO, SOCKET_AUDIO)
    before = crosspoint.stats()["bad_units"]
    closed = send_bad(crosspoint, AUDIO, BAD_AUDIO[kind](clips.tone(seconds=2)))
    if kind not in HARMLESS:
        said = lambda: closed or crosspoint.stats()["bad_units"] > before or crosspoint.status()["last_error"]
        wait.until(said, "the server to say that something was wrong")
        status = crosspoint.status()
        assert status["last_error"] or status["stats"]["bad_units"] > before, "status tells, not only the closed connection"
    with crosspoint.publisher(AUDIO) as socket:
        send_ahead(socket, clips.tone(hertz=880.0, seconds=6))
        camera.until_pitch(880.0)
    assert_camera_goes_on(crosspoint, camera, clips.video(seconds=2, first=500), 555)


def test_empty_messages_are_nothing(crosspoint, camera, clips):
    crosspoint.configure(SOCKET_VIDEO, SOCKET_AUDIO)
    with crosspoint.publisher(VIDEO) as video, crosspoint.publisher(AUDIO) as audio:
        for _ in range(100):
            video.send(b"")
            audio.send(b"")
        send_ahead(audio, clips.tone(hertz=440.0, seconds=6))
        send_ahead(video, clips.video(seconds=2))
        camera.until_seen(55)
        camera.until_pitch(440.0)


@pytest.mark.parametrize("path", [VIDEO, AUDIO], ids=["video", "audio"])
def test_publisher_that_vanishes_inside_a_message_leaves_black_and_silence(crosspoint, camera, clips, path):
    crosspoint.configure(SOCKET_VIDEO, SOCKET_AUDIO)
    count = "video_publishers" if path == VIDEO else "audio_publishers"
    vanish(crosspoint, path, clips.video(seconds=2) if path == VIDEO else clips.tone(seconds=10))
    wait.until(lambda: crosspoint.stats()[count] == 0, "the publisher to be missed")
    camera.until_black()
    camera.until_silent()
    assert_camera_goes_on(crosspoint, camera, clips.video(seconds=2, first=500), 555)


def test_message_over_the_limit_costs_its_connection(crosspoint, camera, clips):
    crosspoint.configure(SOCKET_VIDEO)
    with crosspoint.publisher(VIDEO) as socket, pytest.raises((ConnectionClosed, OSError)):
        socket.send(bytes(17 << 20))
        socket.recv(timeout=wait.DEADLINE_S)
    assert_camera_goes_on(crosspoint, camera, clips.video(seconds=2, first=500), 555)
