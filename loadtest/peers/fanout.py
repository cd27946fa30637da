"""Shows an RTP stream of H.264 to WebRTC viewers: what comes is neither decoded nor packetised again, and goes to a webrtcbin for each.

    fanout.py PAYLOAD_TYPE SSRC

Says two ports: where it takes the stream, and where viewers ask. `POST /` gives an offer and its id, `POST /ID` takes the answer. A program
of the system's Python, whose are GStreamer's bindings.
"""

import sys

from door import serve
from webrtcbin import Gst, Peer, fail

payload_type, ssrc = map(int, sys.argv[1:])
CAPS = (
    f"application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload={payload_type},ssrc=(uint){ssrc},"
    "packetization-mode=(string)1,profile-level-id=(string)42e01f,rtcp-fb-nack-pli=(boolean)true"
)
pipeline = Gst.parse_launch(f"udpsrc name=source address=127.0.0.1 port=0 caps={CAPS} ! tee name=tee allow-not-linked=true")
pipeline.get_bus().set_sync_handler(fail)
pipeline.set_state(Gst.State.PLAYING)
pipeline.get_state(Gst.CLOCK_TIME_NONE)
viewers: list[Peer] = []


def ask(path: str, body: str):
    if path == "/":
        return {"sdp": offer(), "id": len(viewers) - 1}
    viewers[int(path[1:])].take_answer(body)
    return {}


def offer() -> str:
    peer = Peer(pipeline)
    # What is not connected yet, or does not keep up, must not hold up the others.
    queue = Gst.ElementFactory.make("queue")
    queue.set_property("leaky", 2)
    pipeline.add(queue)
    queue.link(peer.element)
    queue.sync_state_with_parent()
    peer.element.sync_state_with_parent()
    pipeline.get_by_name("tee").link(queue)
    viewers.append(peer)
    return peer.offer()


serve(ask, pipeline.get_by_name("source").get_property("port"))
