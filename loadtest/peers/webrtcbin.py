"""What GStreamer's webrtcbin needs to meet browsers' ends of today."""

import hashlib
import re
import ssl
import subprocess
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GObject, Gst, GstSdp, GstWebRTC  # noqa: E402

Gst.init(None)
PATIENCE_S = 10


class Peer:
    """An element that is one connection, with candidates of its own."""

    def __init__(self, pipeline):
        self.element = Gst.ElementFactory.make("webrtcbin")
        self.element.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.element.connect("deep-element-added", lambda _peer, _bin, element: certify(element))
        self.element.connect("notify::ice-gathering-state", self._look)
        self._is_gathered = threading.Event()
        pipeline.add(self.element)

    def offer(self) -> str:
        return self._describe("offer")

    def answer(self, offer: str) -> str:
        self._take("offer", offer)
        return self._describe("answer")

    def take_answer(self, answer: str):
        self._take("answer", answer)

    def _describe(self, kind: str) -> str:
        reply = self._ask(f"create-{kind}", None)
        self._ask("set-local-description", reply.get_value(kind))
        self._look()
        if not self._is_gathered.wait(PATIENCE_S):
            raise TimeoutError("candidates are not there")
        sdp = self.element.get_property("local-description").sdp.as_text()
        # It goes on telling the fingerprint of the certificate which it made itself.
        sdp = re.sub("(?<=a=fingerprint:sha-256 ).*(?=\r)", FINGERPRINT, sdp)
        # All candidates are here, of which nobody takes those of TCP.
        return re.sub("a=candidate:\\d+ \\d+ TCP .*\r\n", "", sdp)

    def _take(self, kind: str, sdp: str):
        _, message = GstSdp.SDPMessage.new_from_text(sdp)
        kind = GstWebRTC.WebRTCSDPType.OFFER if kind == "offer" else GstWebRTC.WebRTCSDPType.ANSWER
        self._ask("set-remote-description", GstWebRTC.WebRTCSessionDescription.new(kind, message))

    def _ask(self, what: str, about):
        promise = Gst.Promise.new()
        self.element.emit(what, about, promise)
        promise.wait()
        reply = promise.get_reply()
        if reply and reply.has_field("error"):
            raise RuntimeError(f"{what}: {reply.get_value('error')}")
        # What it replied lives as long as the reply is held.
        self._reply = reply
        return reply

    def _look(self, *_):
        if self.element.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            self._is_gathered.set()


def certificate() -> tuple[str, str]:
    """A key on a curve and its certificate: GStreamer's own are of RSA, which not every end takes, nor do browsers make them. And its fingerprint."""
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=peer -days 2 -keyout - -out -"
    pem = subprocess.run(words.split(), check=True, capture_output=True, text=True).stdout
    return pem, hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :])).digest().hex(":").upper()


PEM, FINGERPRINT = certificate()


def certify(element):
    if GObject.type_name(element.__gtype__) == "GstDtlsSrtpDec":
        element.set_property("pem", PEM)


def fail(_bus, message):
    """What breaks the pipeline ends the program."""
    if message.type == Gst.MessageType.ERROR:
        error, _ = message.parse_error()
        print(error.message, file=sys.stderr, flush=True)
    return Gst.BusSyncReply.PASS
