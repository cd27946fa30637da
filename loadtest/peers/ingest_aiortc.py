"""Takes H.264 and Opus from a WebRTC publisher with PyPI's aiortc, decodes all of it and throws it away.

    ingest_aiortc.py

Says a port: `POST /` gives an offer and its id, `POST /ID` takes the answer, `POST /counts` tells what was decoded.
"""

import asyncio
import threading

from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from door import serve

CODECS = {"video": "video/H264", "audio": "audio/opus"}
counts = {"pictures": 0, "sounds": 0}


async def offer() -> dict:
    for kind, wanted in CODECS.items():
        transceiver = peer.addTransceiver(kind, direction="recvonly")
        transceiver.setCodecPreferences([codec for codec in RTCRtpReceiver.getCapabilities(kind).codecs if codec.mimeType == wanted])
    await peer.setLocalDescription(await peer.createOffer())
    return {"sdp": peer.localDescription.sdp, "id": 0}


async def decode(track):
    part = "pictures" if track.kind == "video" else "sounds"
    try:
        while True:
            await track.recv()
            counts[part] += 1
    except MediaStreamError:
        pass


async def take_answer(sdp: str) -> dict:
    await peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
    return {}


def ask(path: str, body: str):
    if path == "/counts":
        return counts
    return asyncio.run_coroutine_threadsafe(offer() if path == "/" else take_answer(body), loop).result()


async def run():
    global loop, peer
    loop, peer = asyncio.get_running_loop(), RTCPeerConnection()
    # A track that nobody held would be collected.
    tasks = set()
    peer.on("track", lambda track: tasks.add(asyncio.ensure_future(decode(track))))
    threading.Thread(target=serve, args=[ask], daemon=True).start()
    await asyncio.Event().wait()


asyncio.run(run())
