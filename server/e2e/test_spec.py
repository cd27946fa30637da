"""The snippets of the API's specification, run as they are written there: curl, jq and Node against a server that listens on port 444.

The literal blocks below are those of "Virtual Inputs"; each names its section. Only where a block expects a file or a person (a recording to
send, Ctrl-C) does the test stand in.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import media
import namespace
import pytest
import wait
from crosspoint import REPOSITORY, Crosspoint
from ear import Ear
from eye import Eye
from media import Recipe
from process import Process

SAMPLES = REPOSITORY / "samples/virtual-inputs"

# What stands in for the user's recordings: pictures with numbers and a tone.
INPUT = Recipe("mp4", "h264", size=(1280, 720), seconds=6)
SOUND = Recipe("mp3", audio="mp3", seconds=6, hertz=700)
# The tone that `make_media.sh` makes.
SAMPLE_HERTZ = 440
# How long a feed is captured until it is worth looking into.
CAPTURED_BYTES = 100_000

# Video: WebRTC Feed / Configure
CONFIGURE_WEBRTC = """
curl -s http://localhost:444/input/devices/virtual/configure \\
  -H "Content-Type: application/json" \\
  -d '{"video":{"type":"webrtc"},"audio":{"type":"webrtc"}}' | jq
"""
WEBRTC_RESPONSE = """
{
  "state": "running",
  "mode": "virtual-file",
  "video_device": "/dev/video0",
  "audio_sink": "audio_input",
  "microphone_source": "audio_input.monitor",
  "ingest": {
    "video": {
      "protocol": "webrtc",
      "format": "ivf",
      "url": "http://localhost:10001/input/devices/virtual/webrtc/offer"
    },
    "audio": {
      "protocol": "webrtc",
      "format": "opus",
      "destination": "microphone",
      "url": "http://localhost:10001/input/devices/virtual/webrtc/offer"
    }
  }
}
"""

# Video: WebRTC Feed / Stream with Python (aiortc)
RUN_WEBRTC = """
cd samples/virtual-inputs
sh run_webrtc.sh
"""

# Or inline
PUBLISH_WEBRTC = """
import asyncio, aiohttp
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer

async def main():
    pc = RTCPeerConnection()
    player = MediaPlayer("media/sample_video.mp4")
    if player.video:
        pc.addTrack(player.video)
    if player.audio:
        pc.addTrack(player.audio)
    offer = await pc.createOffer()
    await pc.setLocalDescription(offer)

    async with aiohttp.ClientSession() as session:
        resp = await session.post(
            "http://localhost:444/input/devices/virtual/webrtc/offer",
            json={"sdp": pc.localDescription.sdp},
        )
        answer = await resp.json()

    await pc.setRemoteDescription(
        RTCSessionDescription(sdp=answer["sdp"], type="answer")
    )
    print("Streaming... Ctrl+C to stop")
    await asyncio.Future()

asyncio.run(main())
"""

# Video: WebSocket Feed / Configure
CONFIGURE_SOCKETS = """
curl -s http://localhost:444/input/devices/virtual/configure \\
  -H "Content-Type: application/json" \\
  -d '{
    "video": {"type": "socket", "format": "mpegts", "width": 1280, "height": 720, "frame_rate": 30},
    "audio": {"type": "socket", "format": "mp3"}
  }' | jq
"""
SOCKETS_RESPONSE = """
{
  "state": "running",
  "mode": "virtual-file",
  "ingest": {
    "video": {
      "protocol": "socket",
      "format": "mpegts",
      "url": "ws://localhost:10001/input/devices/virtual/socket/video"
    },
    "audio": {
      "protocol": "socket",
      "format": "mp3",
      "destination": "microphone",
      "url": "ws://localhost:10001/input/devices/virtual/socket/audio"
    }
  }
}
"""

# Video: WebSocket Feed / Stream with Node.js
INSTALL_WS = """
npm install ws
"""
CHUNK_INGEST = """
node samples/virtual-inputs/ws_chunk_ingest.js
"""
SEND_VIDEO = """
import { createReadStream } from 'node:fs';
import WebSocket from 'ws';

const ws = new WebSocket('ws://localhost:444/input/devices/virtual/socket/video');
ws.on('open', async () => {
  for await (const chunk of createReadStream('sample_video_mpeg1.ts', { highWaterMark: 65536 })) {
    ws.send(chunk);
    await new Promise(r => setTimeout(r, 35)); // ~real-time pacing
  }
});
"""

# Video: WebSocket Feed / MPEG-1 encoding requirement
ENCODE_MPEG1 = """
ffmpeg -i input.mp4 -c:v mpeg1video -b:v 1500k -f mpegts output.ts
"""

# Audio: WebRTC Feed / Configure (to virtual mic), (to speaker output)
CONFIGURE_WEBRTC_AUDIO = {
    "microphone": """
curl -s http://localhost:444/input/devices/virtual/configure \\
  -H "Content-Type: application/json" \\
  -d '{"audio":{"type":"webrtc"}}' | jq
""",
    "speaker": """
curl -s http://localhost:444/input/devices/virtual/configure \\
  -H "Content-Type: application/json" \\
  -d '{"audio":{"type":"webrtc","destination":"speaker"}}' | jq
""",
}

# Audio: WebSocket Feed / Configure (to virtual mic), (to speaker)
CONFIGURE_SOCKET_AUDIO = {
    "microphone": """
curl -s http://localhost:444/input/devices/virtual/configure \\
  -H "Content-Type: application/json" \\
  -d '{"audio":{"type":"socket","format":"mp3"}}' | jq
""",
    "speaker": """
curl -s http://localhost:444/input/devices/virtual/configure \\
  -H "Content-Type: application/json" \\
  -d '{"audio":{"type":"socket","format":"mp3","destination":"speaker"}}' | jq
""",
}

# Audio: WebSocket Feed / Stream MP3 chunks
SEND_AUDIO = """
import { createReadStream } from 'node:fs';
import WebSocket from 'ws';

const ws = new WebSocket('ws://localhost:444/input/devices/virtual/socket/audio');
ws.on('open', async () => {
  for await (const chunk of createReadStream('sample_audio.mp3', { highWaterMark: 65536 })) {
    ws.send(chunk);
    await new Promise(r => setTimeout(r, 35));
  }
});
"""

# Feed Page / Discover WebSocket feed info
FEED_INFO = """
curl -s http://localhost:444/input/devices/virtual/feed/socket/info | jq
"""
FEED_INFO_RESPONSE = """
{
  "url": "ws://localhost:10001/input/devices/virtual/feed/socket",
  "format": "mpegts"
}
"""

# Feed Page / Capture feed to file
CAPTURE_FEED = """
node samples/virtual-inputs/feed_capture.js
# Output: feed_capture.mpegts (or .ivf for WebRTC)
"""

# Control Endpoints
PAUSE = """
curl -X POST http://localhost:444/input/devices/virtual/pause
"""
RESUME = """
curl -X POST http://localhost:444/input/devices/virtual/resume
"""
STOP = """
curl -X POST http://localhost:444/input/devices/virtual/stop
"""
STATUS = """
curl -s http://localhost:444/input/devices/virtual/status | jq
"""


class House:
    """A namespace with a server on its port 444, and a folder to run snippets in that looks like the repository."""

    def __init__(self, folder: pathlib.Path, env: dict[str, str], ends: contextlib.ExitStack):
        self.folder, self._env = folder, env
        self.namespace = namespace.Namespace(folder)
        ends.callback(self.namespace.end)
        self.crosspoint = Crosspoint(folder / "server", "auto", env, listen=":444", prefix=self.namespace.prefix)
        ends.callback(self.crosspoint.end)
        (folder / "samples").symlink_to(REPOSITORY / "samples")
        (folder / "node_modules").symlink_to(REPOSITORY / "samples/node_modules")
        shutil.copy(media.file(INPUT), folder / "input.mp4")
        shutil.copy(media.file(SOUND), folder / "sample_audio.mp3")

    def _words(self, script: str) -> list[str]:
        return [*self.namespace.prefix, "bash", "-euo", "pipefail", "-c", script]

    def run(self, script: str) -> str:
        """What a block of shell says."""
        env = {**os.environ, **self._env}
        options = {"cwd": self.folder, "env": env, "capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL}
        done = subprocess.run(self._words(script), **options)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def answer(self, script: str) -> dict:
        """The JSON that a block of shell says; skips where the server says that this part is not there yet."""
        answer = json.loads(self.run(script))
        if "is not there yet" in answer.get("message", ""):
            pytest.skip(answer["message"])
        assert "message" not in answer, answer["message"]
        return answer

    @contextlib.contextmanager
    def running(self, script: str, name: str):
        """A block of shell that runs until the body ends, which a person would end by Ctrl-C."""
        process = Process(["env", "-C", str(self.folder), *self._words(f"exec {script.strip()}")], self.folder / f"{name}.log", env=self._env)
        try:
            yield process
        finally:
            process.end()

    def node(self, module: str, name: str):
        """A block of JavaScript that runs until the body ends."""
        (self.folder / f"{name}.mjs").write_text(module)
        return self.running(f"node {name}.mjs", name)


@pytest.fixture(scope="module")
def house(folder, env):
    if refusal := namespace.refusal():
        pytest.skip(f"no network namespace here: {refusal}")
    home = folder / "spec"
    home.mkdir()
    with contextlib.ExitStack() as ends:
        yield House(home, env, ends)


@pytest.fixture(autouse=True)
def stopped(house):
    """Nothing is configured before and after."""
    house.run(STOP)
    yield
    assert house.crosspoint.process.alive
    house.run(STOP)


@pytest.fixture(scope="module")
def eye(house):
    with contextlib.closing(Eye(house.crosspoint.camera_file)) as eye:
        yield eye


@pytest.fixture(scope="module")
def ear(house, sound):
    with contextlib.closing(Ear(sound)) as ear:
        yield ear


@pytest.fixture(scope="module")
def sample_media():
    subprocess.run(["sh", str(SAMPLES / "make_media.sh")], check=True)


def assert_shows(answer, wanted):
    """Every field of the specification's example is in the answer, with its value; our caller reached us at port 444."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            assert name in answer, f"{name} is missing in {answer}"
            assert_shows(answer[name], value)
    elif isinstance(wanted, str) and "localhost:10001" in wanted:
        assert answer == wanted.replace("localhost:10001", "localhost:444")
    else:
        assert answer == wanted


def until_picture(eye, start: int):
    """Waits until two pictures have been seen that are not black and not the same."""
    lumas = lambda: {frame[3] for frame in eye.frames(start) if frame[3] > 20}
    wait.until(lambda: len(lumas()) > 1, "a picture that moves")


def test_sockets_are_configured(house):
    assert_shows(house.answer(CONFIGURE_SOCKETS), json.loads(SOCKETS_RESPONSE))


def test_ws_is_installed(house, tmp_path):
    done = subprocess.run(INSTALL_WS, shell=True, cwd=tmp_path, capture_output=True, text=True)
    if done.returncode != 0 and any(word in done.stderr for word in ("ENOTFOUND", "ETIMEDOUT", "ECONNREFUSED", "EAI_AGAIN", "ECONNRESET")):
        pytest.skip("no package registry is reached from here")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "node_modules/ws/package.json").exists()


def test_chunks_of_the_sample_media_are_seen_and_heard(house, eye, ear, sample_media):
    house.answer(CONFIGURE_SOCKETS)
    start, heard = eye.mark(), ear.mark()
    with house.running(CHUNK_INGEST, "chunk_ingest") as sender:
        sender.until(lambda: any(frame[3] > 20 for frame in eye.frames(start)), "a picture in the camera")
        until_picture(eye, start)
        ear.until_heard(SAMPLE_HERTZ, heard)


def test_video_that_was_encoded_as_told_is_sent_inline_and_seen(house, eye):
    for made in ("output.ts", "sample_video_mpeg1.ts"):
        (house.folder / made).unlink(missing_ok=True)
    house.run(ENCODE_MPEG1)
    (house.folder / "output.ts").rename(house.folder / "sample_video_mpeg1.ts")
    house.answer(CONFIGURE_SOCKETS)
    start = eye.mark()
    with house.node(SEND_VIDEO, "send_video"):
        eye.until_seen(INPUT.numbers[-30:], start)
    numbers = [top for _, top, bottom, _ in eye.frames(start) if top is not None and top == bottom]
    assert numbers == sorted(numbers)
    assert len(set(numbers) & set(INPUT.numbers)) > 0.8 * len(INPUT.numbers)


@pytest.mark.parametrize("destination", CONFIGURE_SOCKET_AUDIO)
def test_mp3_is_sent_inline_and_heard(house, sound, destination):
    answer = house.answer(CONFIGURE_SOCKET_AUDIO[destination])
    assert answer["ingest"]["audio"]["destination"] == destination
    sink = {"microphone": "audio_input", "speaker": "audio_output"}
    with contextlib.closing(Ear(sound, f"{sink[destination]}.monitor")) as ear:
        heard = ear.mark()
        with house.node(SEND_AUDIO, "send_audio"):
            ear.until_heard(SOUND.tone, heard)


def test_feed_is_told_of(house):
    house.answer(CONFIGURE_SOCKETS)
    assert_shows(house.answer(FEED_INFO), json.loads(FEED_INFO_RESPONSE))


def test_feed_is_captured_to_a_file(house, eye, sample_media):
    if not (SAMPLES / "feed_capture.js").exists():
        pytest.skip("samples/virtual-inputs/feed_capture.js is not there yet")
    captured = house.folder / "feed_capture.mpegts"
    house.answer(CONFIGURE_SOCKETS)
    with house.running(CHUNK_INGEST, "fed"), house.running(CAPTURE_FEED.splitlines()[1], "capture") as capture:
        capture.until(lambda: captured.exists() and captured.stat().st_size > CAPTURED_BYTES, "a captured feed")
        os.killpg(capture.pid, signal.SIGINT)
        wait.until(lambda: not capture.alive, "the capture to end on Ctrl-C")
    words = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", str(captured)]
    assert "mpeg1video" in subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def test_controls_pause_resume_and_stop(house, eye, sample_media):
    house.answer(CONFIGURE_SOCKETS)
    with house.running(CHUNK_INGEST, "controlled"):
        until_picture(eye, eye.mark())
        assert house.answer(PAUSE)["state"] == "paused"
        eye.until_black()
        assert house.answer(STATUS)["state"] == "paused"
        start = eye.mark()
        assert house.answer(RESUME)["state"] == "running"
        until_picture(eye, start)
        assert house.answer(STATUS)["last_error"] is None
        assert house.answer(STOP)["state"] == "idle"
        eye.until_black()


def test_webrtc_is_configured(house):
    assert_shows(house.answer(CONFIGURE_WEBRTC), json.loads(WEBRTC_RESPONSE))


@pytest.mark.parametrize("destination", CONFIGURE_WEBRTC_AUDIO)
def test_webrtc_sound_is_configured(house, destination):
    answer = house.answer(CONFIGURE_WEBRTC_AUDIO[destination])
    assert answer["ingest"]["audio"]["destination"] == destination


def test_webrtc_sample_is_seen_and_heard(house, eye, ear, sample_media):
    house.answer(CONFIGURE_WEBRTC)
    start, heard = eye.mark(), ear.mark()
    # `exec` takes one command: the block's two lines become one.
    with house.running(f"bash -c '{RUN_WEBRTC.strip()}'", "run_webrtc"):
        until_picture(eye, start)
        ear.until_heard(SAMPLE_HERTZ, heard)


def test_webrtc_is_sent_inline_and_seen_and_heard(house, eye, ear, sample_media):
    (house.folder / "stream.py").write_text(PUBLISH_WEBRTC)
    with contextlib.suppress(FileExistsError):
        (house.folder / "media").symlink_to(SAMPLES / "media")
    house.answer(CONFIGURE_WEBRTC)
    start, heard = eye.mark(), ear.mark()
    with house.running(f"{sys.executable} stream.py", "stream"):
        until_picture(eye, start)
        ear.until_heard(SAMPLE_HERTZ, heard)
