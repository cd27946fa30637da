"""A WebRTC peer on GStreamer's webrtcbin. A program of its own: GStreamer's bindings are the system's Python's.

gst_peer.py publish URL: sends a white picture and a tone by WHIP. gst_peer.py view URL: receives by WHEP, and says `picture WIDTH` when it
has decoded ten. Both run until they are ended.
"""

import hashlib
import re
import ssl
import subprocess
import sys
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, GObject, Gst, GstSdp, GstWebRTC  # noqa: E402

PUBLISH = """
webrtcbin name=peer bundle-policy=max-bundle
videotestsrc is-live=true pattern=white ! video/x-raw,width=640,height=360,framerate=30/1 ! vp8enc deadline=1 ! rtpvp8pay
  ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer.
audiotestsrc is-live=true freq=660 ! audioconvert ! audioresample ! opusenc ! rtpopuspay
  ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer.
"""
H264 = "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=96,packetization-mode=(string)1,profile-level-id=(string)42e01f,rtcp-fb-nack-pli=(boolean)true"
# Pictures that say enough.
ENOUGH = 10


def main(way: str, url: str):
    Gst.init(None)
    # A lone element would be no pipeline.
    pipeline = Gst.parse_launch(PUBLISH) if way == "publish" else Gst.Pipeline.new()
    if way == "view":
        pipeline.add(Gst.parse_launch("webrtcbin name=peer bundle-policy=max-bundle"))
    peer = pipeline.get_by_name("peer")
    pem, fingerprint = certificate()
    peer.connect("deep-element-added", lambda _peer, _bin, element: certify(element, pem))
    peer.connect("notify::ice-gathering-state", gathered, url, fingerprint)
    peer.connect("pad-added", received, pipeline)
    pipeline.set_state(Gst.State.READY)
    if way == "view":
        peer.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(H264))
        negotiate(peer)
    else:
        peer.connect("on-negotiation-needed", negotiate)
    pipeline.set_state(Gst.State.PLAYING)
    GLib.MainLoop().run()


def certificate() -> tuple[str, str]:
    """A key on a curve and its certificate: GStreamer's own are of RSA, which our end's DTLS does not take, nor do browsers make them. And its fingerprint."""
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=peer -days 2 -keyout - -out -"
    pem = subprocess.run(words.split(), check=True, capture_output=True, text=True).stdout
    return pem, hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :])).digest().hex(":").upper()


def certify(element, pem: str):
    if GObject.type_name(element.__gtype__) == "GstDtlsSrtpDec":
        element.set_property("pem", pem)


def negotiate(peer):
    peer.emit("create-offer", None, Gst.Promise.new_with_change_func(offered, peer))


def offered(promise, peer):
    # What it replied lives as long as the reply is held.
    reply = promise.get_reply()
    offer = reply.get_value("offer")
    peer.emit("set-local-description", offer, Gst.Promise.new())


def gathered(peer, _property, url, fingerprint):
    """All candidates are in the offer: there is nothing to trickle."""
    if peer.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
        return
    # It goes on telling that of the certificate which it made itself.
    offer = re.sub("(?<=a=fingerprint:sha-256 ).*", fingerprint, peer.get_property("local-description").sdp.as_text())
    with urllib.request.urlopen(urllib.request.Request(url, offer.encode(), {"Content-Type": "application/sdp"})) as answer:
        _, sdp = GstSdp.SDPMessage.new_from_text(answer.read().decode())
    description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
    peer.emit("set-remote-description", description, Gst.Promise.new())


def received(_peer, pad, pipeline):
    decoder = Gst.parse_bin_from_description("rtph264depay request-keyframe=true wait-for-keyframe=true ! h264parse ! openh264dec ! fakesink name=eye sync=false signal-handoffs=true", True)
    pictures = 0

    def handed(_sink, _buffer, seen_pad):
        nonlocal pictures
        pictures += 1
        if pictures == ENOUGH:
            width = seen_pad.get_current_caps().get_structure(0).get_value("width")
            print("picture", width, flush=True)

    decoder.get_by_name("eye").connect("handoff", handed)
    pipeline.add(decoder)
    decoder.sync_state_with_parent()
    pad.link(decoder.get_static_pad("sink"))


main(*sys.argv[1:])
