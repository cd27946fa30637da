"""Takes H.264 and Opus from a WebRTC publisher with a webrtcbin, decodes all of it and throws it away.

    ingest_webrtcbin.py

Says a port: `POST /` gives an offer and its id, `POST /ID` takes the answer, `POST /counts` tells what was decoded. A program of the system's
Python, whose are GStreamer's bindings.
"""

from door import serve
from webrtcbin import Gst, GstWebRTC, Peer, fail

DECODERS = {
    "video": "rtph264depay ! h264parse ! avdec_h264 ! fakesink name=sink sync=false async=false",
    "audio": "rtpopusdepay ! opusdec ! fakesink name=sink sync=false async=false",
}
CAPS = {
    "video": "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=96,packetization-mode=(string)1,"
    "profile-level-id=(string)42e01f,rtcp-fb-nack-pli=(boolean)true",
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,encoding-params=(string)2,clock-rate=48000,payload=97",
}
pipeline = Gst.Pipeline()
pipeline.get_bus().set_sync_handler(fail)
pipeline.set_state(Gst.State.PLAYING)
sinks: dict[str, Gst.Element] = {}
peer = Peer(pipeline)


def decode(_peer, pad):
    media = pad.get_current_caps().get_structure(0).get_string("media")
    decoder = Gst.parse_bin_from_description(DECODERS[media], True)
    pipeline.add(decoder)
    decoder.sync_state_with_parent()
    pad.link(decoder.get_static_pad("sink"))
    sinks[media] = decoder.get_by_name("sink")


def ask(path: str, body: str):
    if path == "/":
        return {"sdp": peer.offer(), "id": 0}
    if path == "/counts":
        rendered = {media: sink.get_property("stats").get_value("rendered") for media, sink in sinks.items()}
        return {"pictures": rendered.get("video", 0), "sounds": rendered.get("audio", 0)}
    peer.take_answer(body)
    return {}


peer.element.connect("pad-added", decode)
for caps in CAPS.values():
    peer.element.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(caps))
peer.element.sync_state_with_parent()
serve(ask)
