"""WebRTC peers that are no browser: aiortc, driven from a thread of its own."""

import asyncio
import json
import threading
import urllib.request

import clip
import numpy as np
import wait
from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.codecs.opus import OpusEncoder
from aiortc.contrib.media import MediaPlayer
from aiortc.rtp import RtpPacket, is_rtcp

# Samples kept, at 48 kHz.
KEPT = 96_000


class Loop:
    """An event loop in a thread, for as long as the tests of a module."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine):
        """The coroutine's result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(wait.DEADLINE_S)

    def end(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Peer:
    """One peer connection; what it receives is counted."""

    def __init__(self, loop: Loop):
        self._loop = loop
        self._tasks = []
        self.pictures: list[np.ndarray] = []
        self.samples = np.zeros(0)
        self.streams: dict[str, str] = {}
        self.location = None
        # How often it was asked for a key frame.
        self.keys_asked = 0
        # Whether it offers to say what it can take.
        self.estimates = True
        self.pc = loop.run(self._make())

    async def _make(self):
        pc = RTCPeerConnection()
        pc.on("track", self._receive)
        return pc

    def _receive(self, track):
        async def run():
            while True:
                frame = await track.recv()
                if track.kind == "video":
                    self.pictures.append(frame.to_ndarray(format="rgb24"))
                    del self.pictures[:-3]
                else:
                    # Interleaved stereo: one channel of the last seconds is enough to tell a pitch by.
                    self.samples = np.concatenate((self.samples, frame.to_ndarray()[0, ::2] / 32768))[-KEPT:]

        self._tasks.append(asyncio.ensure_future(run()))

    @property
    def state(self) -> str:
        return self.pc.connectionState

    def publish(self, path, codec: str | None = None):
        """Adds a file's tracks."""

        async def add():
            player = MediaPlayer(str(path), loop=True)
            for track in filter(None, (player.video, player.audio)):
                sender = self.pc.addTrack(track)
                if track.kind == "video":
                    self._count_keys(sender)
                if codec and track.kind == "video":
                    transceiver = next(one for one in self.pc.getTransceivers() if one.sender is sender)
                    capabilities = [one for one in sender.getCapabilities("video").codecs if one.mimeType in (f"video/{codec}", "video/rtx")]
                    transceiver.setCodecPreferences(capabilities)
            self._player = player

        self._loop.run(add())

    def speak(self, path, lost_every: int):
        """Adds a file's sound as packets that repeat what was in the one before (in-band forward error correction); some are lost."""

        async def add():
            self._player = MediaPlayer(str(path), loop=True)
            sender = self.pc.addTrack(self._player.audio)
            encoder = OpusEncoder()
            encoder.codec.bit_rate = 48_000
            encoder.codec.options = {"application": "voip", "fec": "1", "packet_loss": "20"}
            sender._RTCRtpSender__encoder = encoder
            send = sender.transport._send_rtp

            async def send_some(data):
                if is_rtcp(data) or RtpPacket.parse(data).sequence_number % lost_every:
                    await send(data)

            sender.transport._send_rtp = send_some

        self._loop.run(add())

    def _count_keys(self, sender):
        ask = sender._send_keyframe

        def asked():
            self.keys_asked += 1
            ask()

        sender._send_keyframe = asked

    def receive(self, *kinds: str, codec: str | None = None):
        async def add():
            for kind in kinds:
                transceiver = self.pc.addTransceiver(kind, "recvonly")
                if codec and kind == "video":
                    taken = (f"video/{codec}", "video/rtx")
                    transceiver.setCodecPreferences([one for one in RTCRtpReceiver.getCapabilities(kind).codecs if one.mimeType in taken])

        self._loop.run(add())

    def offer(self) -> str:
        async def make():
            await self.pc.setLocalDescription(await self.pc.createOffer())
            lines = self.pc.localDescription.sdp.splitlines(keepends=True)
            return "".join(line for line in lines if self.estimates or "abs-send-time" not in line)

        return self._loop.run(make())

    def take(self, sdp: str):
        self._loop.run(self.pc.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer")))

    def connect(self, crosspoint, path: str, **more):
        """Offers by JSON."""
        answer = crosspoint.call("POST", path, {"sdp": self.offer(), **more})
        self.take(answer["sdp"])

    def connect_bare(self, crosspoint, path: str):
        """Offers as WHIP and WHEP do."""
        headers = {"Content-Type": "application/sdp"}
        request = urllib.request.Request(f"http://{crosspoint.listen}{path}", self.offer().encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=wait.DEADLINE_S) as answer:
            assert answer.status == 201
            self.location, self.etag = answer.headers["Location"], answer.headers["ETag"]
            self.links = answer.headers.get_all("Link", [])
            self.take(answer.read().decode())

    def until_connected(self):
        wait.until(lambda: self.state == "connected", lambda: f"a connected peer ({self.state})")

    def until_over(self):
        wait.until(lambda: self.state in ("closed", "failed"), lambda: f"the peer to be told of the end ({self.state})")

    def close(self):
        async def end():
            for task in self._tasks:
                task.cancel()
            await self.pc.close()

        self._loop.run(end())


def status_of(crosspoint, method: str, path: str, body: bytes | dict | None = None, **headers: str) -> int:
    """The status of a call, whatever it is."""
    if isinstance(body, dict):
        body, headers = json.dumps(body).encode(), {"Content_Type": "application/json", **headers}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://{crosspoint.listen}{path}", body, names, method=method)
    try:
        with urllib.request.urlopen(request, timeout=wait.DEADLINE_S) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code


def number_of(picture: np.ndarray) -> int | None:
    """The clip's number in a picture."""
    luma = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return clip.read_codes(luma)[0]
