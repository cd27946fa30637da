"""Sends a media file's picture and sound over WebRTC, as the camera's picture and the microphone's sound, until Ctrl-C.

    sh samples/virtual-inputs/run_webrtc.sh [--host http://localhost:444] [--media FILE] [--loop] [--configure]

CROSSPOINT_URL says the same as --host. With --configure it configures both inputs as webrtc first.
"""

import argparse
import asyncio
import os
import pathlib

import aiohttp
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer

SAMPLE = pathlib.Path(__file__).with_name("media") / "sample_video.mp4"
INPUTS = "/input/devices/virtual"


async def post(session: aiohttp.ClientSession, path: str, body: dict) -> dict:
    """The JSON answer of a call; ends the program with the server's words when it refuses."""
    async with session.post(path, json=body) as answer:
        told = await answer.json()
        if answer.status != 200:
            raise SystemExit(f"{path}: {told['message']}")
        return told


async def main(host: str, media: str, loop: bool, configure: bool):
    peer = RTCPeerConnection()
    player = MediaPlayer(media, loop=loop)
    for track in (player.video, player.audio):
        if track:
            peer.addTrack(track)
    lost = asyncio.Event()

    @peer.on("connectionstatechange")
    def changed():
        print(f"{peer.connectionState}", flush=True)
        if peer.connectionState in ("failed", "closed"):
            lost.set()

    async with aiohttp.ClientSession(host) as session:
        if configure:
            tracks = {kind: {"type": "webrtc"} for kind in ("video", "audio") if getattr(player, kind)}
            await post(session, f"{INPUTS}/configure", tracks)
        await peer.setLocalDescription(await peer.createOffer())
        answer = await post(session, f"{INPUTS}/webrtc/offer", {"sdp": peer.localDescription.sdp})
    await peer.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type="answer"))
    print("streaming (Ctrl-C ends)", flush=True)
    try:
        await lost.wait()
    finally:
        await peer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default=os.environ.get("CROSSPOINT_URL", "http://localhost:444"))
    parser.add_argument("--media", default=str(SAMPLE))
    parser.add_argument("--loop", action="store_true", help="begin again when the file ends")
    parser.add_argument("--configure", action="store_true", help="configure both inputs as webrtc first")
    options = parser.parse_args()
    try:
        asyncio.run(main(options.host.rstrip("/"), options.media, options.loop, options.configure))
    except KeyboardInterrupt:
        pass
