"""WebRTC both ways, with peers that are not ours: Chromium and aiortc."""

import base64
import contextlib
import hmac
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import time

import chromium
import media
import namespace
import notes
import pattern
import pytest
import rtc_peer
import wait
from crosspoint import Crosspoint, Refused
from ear import WINDOW, Ear, level, pitch
from eye import Eye
from forwarder import Forwarder
from media import Recipe
from namespace import Namespace, Wire
from process import Process
from rtc_page import SEEN, draw_until, open_page, view
from rtc_peer import Peer, status_of
from runtime import any_runtime

OFFER = "/input/devices/virtual/webrtc/offer"
WEBRTC = {"type": "webrtc"}
CLIP = Recipe("mp4", "h264", "aac", size=(640, 360), seconds=6, start=20_000, hertz=900)

GST_PEER = pathlib.Path(__file__).with_name("gst_peer.py")

# The tone that is played into the speaker, in hertz.
TONE = 880
# What picture and sound of one moment may be apart in a viewer.
SKEW_MS = 40

# Said before an offer, that has no H.264 then.
WITHOUT_H264 = """
const { codecs } = RTCRtpReceiver.getCapabilities('video');
pc.addTransceiver('video', { direction: 'recvonly' }).setCodecPreferences(codecs.filter(({ mimeType }) => mimeType !== 'video/H264'));
"""

# A picture of changing grey, and a tone on the left.
DRAWN = """
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const paint = canvas.getContext('2d');
  let frame = 0;
  setInterval(() => {
    frame += 1;
    paint.fillStyle = `rgb(${[0, 1, 2].map(() => 80 + (frame * 4) % 140).join(',')})`;
    paint.fillRect(0, 0, 640, 360);
  }, 33);
  const sound = new AudioContext();
  const tone = sound.createOscillator();
  tone.frequency.value = 660;
  const out = sound.createMediaStreamDestination();
  tone.connect(new StereoPannerNode(sound, { pan: -1 })).connect(out);
  tone.start();
  const tracks = [canvas.captureStream(30).getVideoTracks()[0], out.stream.getAudioTracks()[0]];
"""

# The browser's camera and microphone.
DEVICES = """
  const devices = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 360 }, audio: true });
  const tracks = [...devices.getVideoTracks(), ...devices.getAudioTracks()];
"""

# Publishes the tracks, the picture in the codec it is told.
SEND = """
  const pc = window.pc = new RTCPeerConnection();
  for (const track of tracks) pc.addTrack(track);
  const { codecs } = RTCRtpSender.getCapabilities('video');
  const wanted = codecs.filter(({ mimeType }) => mimeType === `video/${codec}`);
  if (!wanted.length) return 'no such codec';
  pc.getTransceivers()[0].setCodecPreferences(wanted);
  await pc.setLocalDescription();
  await new Promise(done => {
    if (pc.iceGatheringState === 'complete') done();
    pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
  });
  const { sdp } = pc.localDescription;
  const json = { 'Content-Type': 'application/json' };
  const answer = whip
    ? await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: sdp })
    : await fetch(path, { method: 'POST', headers: json, body: JSON.stringify({ sdp }) });
  if (!answer.ok) return `refused with ${answer.status}`;
  await pc.setRemoteDescription({ type: 'answer', sdp: whip ? await answer.text() : (await answer.json()).sdp });
  return null;
"""


def publish(page, tracks: str, path: str, codec: str, *, whip=False) -> str | None:
    """Has a page publish tracks; says why it does not."""
    return page.evaluate(f"async ([path, codec, whip]) => {{ {tracks} {SEND} }}", [path, codec, whip])


@pytest.fixture(scope="module")
def loop():
    loop = rtc_peer.Loop()
    yield loop
    loop.end()


@pytest.fixture
def peers(loop):
    """Makes aiortc peers."""
    made = []

    def make() -> Peer:
        made.append(Peer(loop))
        return made[-1]

    yield make
    for peer in made:
        peer.close()


@pytest.fixture
def eye(crosspoint):
    with contextlib.closing(Eye(crosspoint.camera_file)) as eye:
        yield eye


@pytest.fixture
def ear(sound, crosspoint):
    with contextlib.closing(Ear(sound)) as ear:
        yield ear


@pytest.fixture
def page(browser, crosspoint):
    """A page of the server's own origin with one video element."""
    with contextlib.closing(open_page(browser, crosspoint)) as page:
        yield page


@pytest.fixture
def screen(display):
    screen = pattern.Screen(display.name)
    yield screen
    screen.close()


def until_moving(eye, start: int):
    lumas = lambda: {round(frame[3]) for frame in eye.frames(start) if frame[3] > 40}
    wait.until(lambda: len(lumas()) > 5, lambda: f"a picture that moves (lumas {lumas()})")


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_aiortc_is_seen_and_heard(crosspoint, eye, ear, peers, codec):
    status = crosspoint.configure(WEBRTC, WEBRTC)
    assert status["ingest"]["video"]["url"].endswith(OFFER)
    eye.aspect, start, heard = 640 / 360, eye.mark(), ear.mark()
    peer = peers()
    peer.publish(media.file(CLIP), codec)
    peer.connect(crosspoint, OFFER)
    eye.until_seen(CLIP.numbers, start)
    ear.until_heard(CLIP.tone, heard)
    stats = crosspoint.stats()
    assert (stats["video_publishers"], stats["audio_publishers"]) == (1, 1)
    told = crosspoint.metrics()
    assert told['crosspoint_publishers{track="video",transport="webrtc"}'] == 1
    assert told['crosspoint_webrtc_peers{role="publisher",state="connected"}'] == 1
    measured = ('packets_total{role="publisher"}', 'round_trip_seconds_count{role="publisher"}')
    wait.until(lambda: (now := crosspoint.metrics()) and all(now[f"crosspoint_webrtc_{name}"] for name in measured), "its way to be measured")
    peer.close()
    eye.until_black()
    wait.until(lambda: crosspoint.stats()["video_publishers"] == 0, "the publisher to be gone")


def test_lost_sound_is_heard_that_the_next_packet_repeats(crosspoint, ear, peers, folder):
    crosspoint.configure(None, WEBRTC)
    notes.write(tune := folder / "tune.wav")
    peer = peers()
    peer.speak(tune, lost_every=5)
    peer.connect(crosspoint, OFFER)
    # Without what is repeated it would be 4 of 5, and what is guessed right.
    heard = lambda: notes.heard(ear.last(3 * notes.RATE))
    wait.until(lambda: heard() > 0.95, lambda: f"a tune without gaps ({heard():.0%} of it)")


@any_runtime
@pytest.mark.parametrize("codec", ["VP8", "VP9", "H264", "AV1"])
def test_chromium_publishes_in_every_codec(crosspoint, eye, sound, page, codec):
    with contextlib.closing(Ear(sound, channel="front-left")) as left, contextlib.closing(Ear(sound, channel="front-right")) as right:
        crosspoint.configure(WEBRTC, WEBRTC)
        start, heard = eye.mark(), left.mark()
        told = publish(page, DRAWN, OFFER, codec)
        if told == "no such codec":
            pytest.skip(f"this Chromium sends no {codec}")
        assert told is None
        until_moving(eye, start)
        left.until_heard(660, heard)
        assert level(right.last(WINDOW)) < 0.05 * level(left.last(WINDOW)), "the right one is silent"


@any_runtime
def test_fake_device_of_one_chromium_is_the_camera_of_another(playwright, crosspoint, camera, ear):
    heard = ear.mark()
    with contextlib.closing(chromium.launch_faking(playwright)) as other, contextlib.closing(open_page(other, crosspoint)) as page:
        start = camera.mark()
        assert publish(page, DEVICES, "/whip/camera", "VP8", whip=True) is None
        # Green, in which something turns.
        lumas = lambda: {round(frame[3], 1) for frame in camera.frames(start) if frame[3] > chromium.BLACK + 20}
        wait.until(lambda: len(lumas()) > 5, lambda: f"the fake device's picture (lumas {lumas()})")
        wait.until(lambda: level(ear.since(heard)) > 0.01, lambda: f"its beeps ({level(ear.since(heard))})")
    camera.until_black()


def test_late_feed_viewer_gets_ivf_from_a_key_frame(crosspoint, peers, eye):
    crosspoint.configure(WEBRTC)
    start = eye.mark()
    peer = peers()
    peer.publish(media.file(CLIP), "VP8")
    peer.connect(crosspoint, OFFER)
    eye.until_seen(CLIP.numbers, start)
    assert crosspoint.call("GET", "/input/devices/virtual/feed/socket/info")["format"] == "ivf"
    with crosspoint.socket("/input/devices/virtual/feed/socket") as socket:
        assert socket.recv(timeout=wait.DEADLINE_S) == "ivf"
        assert socket.recv(timeout=wait.DEADLINE_S)[:12] == b"DKIF\0\0\x20\0VP80"


@any_runtime
@pytest.mark.parametrize("opens", ["camera", "feed"])
def test_who_opens_the_camera_or_the_feed_has_a_key_frame_asked_for(crosspoint, peers, opens):
    crosspoint.configure(WEBRTC)
    peer = peers()
    peer.publish(media.file(CLIP), "VP8")
    peer.connect(crosspoint, OFFER)
    wait.until(lambda: peer.keys_asked > 0, "a key frame to be asked for at once")
    # What is on its way already is for whoever comes meanwhile, too.
    before = crosspoint.stats()["frames_in"]
    wait.until(lambda: crosspoint.stats()["frames_in"] > before + 10, "it to come")
    asked = peer.keys_asked
    opened = contextlib.closing(Eye(crosspoint.camera_file)) if opens == "camera" else crosspoint.socket("/input/devices/virtual/feed/socket")
    with opened:
        wait.until(lambda: peer.keys_asked > asked, "another to be asked for")


def test_second_publisher_takes_over_the_tracks_it_carries(crosspoint, eye, ear, peers):
    crosspoint.configure(WEBRTC, WEBRTC)
    first, second = peers(), peers()
    first.publish(media.file(CLIP))
    first.connect(crosspoint, OFFER)
    start = eye.mark()
    eye.until_seen(CLIP.numbers, start)
    other = Recipe("mp4", "h264", size=(640, 360), seconds=6, start=40_000)
    second.publish(media.file(other))
    start, heard = eye.mark(), ear.mark()
    second.connect(crosspoint, OFFER)
    eye.until_seen(other.numbers, start)
    ear.until_heard(CLIP.tone, heard)
    assert first.state == "connected", "its sound goes on"
    assert all(frame[3] > chromium.BLACK for frame in eye.frames(start)), "the camera never went black"


def test_offers_for_what_is_not_configured_are_refused(crosspoint, peers):
    peer = peers()
    peer.publish(media.file(CLIP))
    sdp = peer.offer()
    cases = [(None, None), ({"type": "socket"}, None), (None, {"type": "socket"})]
    for video, audio in cases:
        crosspoint.input("stop")
        if video or audio:
            crosspoint.configure(video, audio)
        assert status_of(crosspoint, "POST", OFFER, {"sdp": sdp}) == 409


def test_broken_offers_are_refused(crosspoint, peers):
    crosspoint.configure(WEBRTC, WEBRTC)
    crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "screen"})
    peer = peers()
    peer.receive("video")
    good = peer.offer()
    broken = ["", "v=0", "rubbish", good[: len(good) // 2], good.replace("a=fingerprint", "a=x"), good + "a=x\r\n" * 10_000]
    broken += [good + good[good.index("m=video") :] * 500, {"type": "offer"}, 7, None]
    for sdp in broken:
        for path, more in ((OFFER, {}), ("/stream/webrtc/offer", {"id": "screen"})):
            # What is left of a half may be an offer, of nothing that is taken here.
            refusals = (400, 409) if path == OFFER else (400,)
            assert status_of(crosspoint, "POST", path, {"sdp": sdp, **more}) in refusals, f"{path} {str(sdp)[:40]}"
    assert status_of(crosspoint, "POST", OFFER, {"sdp": good}) in (400, 409), "it sends nothing"
    assert status_of(crosspoint, "POST", "/stream/webrtc/offer", {"sdp": good, "id": "none"}) == 404
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "socket"})
    assert status_of(crosspoint, "POST", "/stream/webrtc/offer", {"sdp": good, "id": "socket"}) == 409


class Player:
    """Plays a tone into the speaker, until it is closed."""

    def __init__(self, sound):
        words = ["paplay", "--device=audio_output", str(media.file(Recipe("wav", audio="pcm", seconds=30, hertz=TONE)))]
        self._child = subprocess.Popen(words, env={**os.environ, **sound.env})

    def close(self):
        self._child.terminate()
        self._child.wait()


def until_in_sync(page, screen):
    """Waits until there is sound, and by the clocks that the sender reports give picture and sound of one moment are together for a while."""
    skews = []

    def check():
        seen = page.evaluate(SEEN)
        picture, sound = seen.get("video", {}), seen.get("audio", {})
        if abs(seen["pitch"] - TONE) > 0.02 * TONE or not sound.get("played") or not picture.get("played"):
            return False
        skews.append(picture["played"] - sound["played"])
        return len(skews) >= 20 and abs(statistics.median(skews[-20:])) < SKEW_MS

    draw_until(screen, check, lambda: f"picture and sound in sync (the picture is ahead by {skews[-20:]} ms)")


def test_chromium_views_the_screen_as_the_specification_says(crosspoint, page, screen, sound):
    info = crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "live-webrtc"})
    assert (info["ingest_url"], info["webrtc_offer_url"], info["is_streaming"]) == ("", "/stream/webrtc/offer", True)
    view(page, crosspoint, "live-webrtc")
    seen = draw_until(screen, lambda: (now := page.evaluate(SEEN)).get("video", {}).get("frames", 0) > 10 and now, "ten pictures")
    assert seen["tracks"] == ["audio", "video"] and seen["width"] == 1280
    assert seen["protocol"] == "udp"
    with contextlib.closing(Player(sound)):
        until_in_sync(page, screen)
    assert crosspoint.streams()["live-webrtc"]["viewers"] == 1
    crosspoint.call("POST", "/stream/stop", {"id": "live-webrtc"})
    over = "['closed', 'failed', 'disconnected'].includes(window.pc.connectionState)"
    wait.until(lambda: page.evaluate(over), "the viewer to be told")


@any_runtime
def test_watch_page_plays_a_webrtc_stream(crosspoint, browser, screen):
    crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "live"})
    with contextlib.closing(browser.new_page()) as page:
        page.goto(f"http://{crosspoint.listen}/watch/live")
        draw_until(screen, lambda: page.evaluate("document.body.dataset.state") == "live", "the page to be live")
        assert crosspoint.streams()["live"]["viewers"] == 1
        crosspoint.call("POST", "/stream/stop", {"id": "live"})
        wait.until(lambda: page.evaluate("document.body.dataset.state") == "ended", "the page to tell the end")


def test_chromium_views_over_the_one_tcp_port(playwright, folder, env, display, screen):
    crosspoint = Crosspoint(folder / "tcp", "auto", env, flags=["--no-udp"])
    with contextlib.ExitStack() as ends:
        ends.callback(crosspoint.end)
        browser = chromium.launch(playwright, crosspoint, folder / "tcp", env, display.name)
        ends.callback(browser.close)
        page = open_page(browser, crosspoint)
        crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "live-webrtc"})
        view(page, crosspoint, "live-webrtc")
        seen = draw_until(screen, lambda: (now := page.evaluate(SEEN)).get("video", {}).get("frames", 0) > 10 and now, "ten pictures")
        assert seen["protocol"] == "tcp"


@contextlib.contextmanager
def behind(folder, env, name: str, *, udp: bool, advertises=False):
    """A server in a namespace, whose port is out of reach, and another here that leads to it, of UDP, too, or not."""
    with contextlib.ExitStack() as ends:
        inside = Namespace(folder)
        ends.callback(inside.end)
        mapped, advertised = Forwarder(inside, folder, udp=udp), Forwarder(inside, folder, udp=True)
        for forwarder in (mapped, advertised):
            ends.callback(forwarder.end)
        flags = ["--advertise", f"127.0.0.1:{advertised.port}"] if advertises else []
        crosspoint = Crosspoint(folder / name, "auto", env, prefix=inside.prefix, flags=flags)
        ends.callback(crosspoint.end)
        for forwarder in (mapped, advertised):
            forwarder.lead_to(crosspoint.port)
        crosspoint.listen = f"127.0.0.1:{mapped.port}"
        yield crosspoint


@contextlib.contextmanager
def wired(folder, env, name: str):
    """A server in a namespace at the other end of a wire."""
    with contextlib.ExitStack() as ends:
        inside = Namespace(folder)
        ends.callback(inside.end)
        wire = Wire(inside)
        ends.callback(wire.end)
        crosspoint = Crosspoint(folder / f"{name}{inside.pid}", "auto", env, listen="0.0.0.0:0", prefix=inside.prefix)
        ends.callback(crosspoint.end)
        crosspoint.listen = f"{wire.THERE}:{crosspoint.port}"
        yield crosspoint, wire


over_a_wire = pytest.mark.skipif(os.getuid() != 0 or namespace.refusal() is not None, reason="lays a wire to a network namespace, as root")
in_a_namespace = pytest.mark.skipif(namespace.refusal() is not None, reason="this kernel lets nobody make network namespaces")


@any_runtime
@in_a_namespace
@pytest.mark.parametrize("way", ["udp", "tcp", "advertised"])
def test_browser_behind_a_port_mapping_views(browser, folder, env, screen, way):
    """What the page came by is where the media come by, in UDP or, where that is not mapped, in TCP; unless a flag names a port that maps it."""
    with behind(folder, env, f"mapped-{way}", udp=way == "udp", advertises=way == "advertised") as crosspoint:
        with contextlib.closing(open_page(browser, crosspoint)) as page:
            crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "live-webrtc"})
            view(page, crosspoint, "live-webrtc")
            seen = draw_until(screen, lambda: (now := page.evaluate(SEEN)).get("video", {}).get("frames", 0) > 10 and now, "ten pictures")
            assert seen["protocol"] == ("tcp" if way == "tcp" else "udp")


@any_runtime
@over_a_wire
@pytest.mark.skipif(shutil.which("nft") is None, reason="maps ports with nft")
def test_browser_behind_a_kernels_port_mapping_views(browser, folder, env, screen):
    """A container's runtime maps 444 and the port itself, which browsers need beside one below 1024: of TCP, and then of UDP, too."""
    with contextlib.ExitStack() as ends:
        inside = Namespace(folder)
        ends.callback(inside.end)
        wire = Wire(inside)
        ends.callback(wire.end)
        crosspoint = Crosspoint(folder / f"mapped{inside.pid}", "auto", env, listen=f"{namespace.INSIDE}:0", prefix=inside.prefix)
        ends.callback(crosspoint.end)
        crosspoint.listen = f"{wire.THERE}:444"
        for protocol in ("tcp", "udp"):
            inside.map(protocol, (444, crosspoint.port), crosspoint.port)
            with contextlib.closing(open_page(browser, crosspoint)) as page:
                if protocol == "tcp":
                    crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "live-webrtc"})
                view(page, crosspoint, "live-webrtc")
                seen = draw_until(screen, lambda: (now := page.evaluate(SEEN)).get("video", {}).get("frames", 0) > 10 and now, "ten pictures")
                assert seen["protocol"] == protocol


@over_a_wire
def test_gstreamer_publishes_by_whip_and_views_by_whep(folder, env, sound, screen):
    """Its ICE leaves out every interface that is a loopback."""
    with wired(folder, env, "gstreamer") as (crosspoint, _):

        def peer(way: str, path: str) -> contextlib.closing[Process]:
            # GStreamer's bindings are the system's Python's.
            words = ["/usr/bin/python3", str(GST_PEER), way, f"http://{crosspoint.listen}{path}"]
            return contextlib.closing(Process(words, folder / f"gstreamer-{way}.log"))

        crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "screen"})
        with peer("view", "/whep/screen") as viewer:
            draw_until(screen, lambda: "picture 1280" in viewer.output(), lambda: f"ten pictures ({viewer.output()})")
        with contextlib.closing(Eye(crosspoint.camera_file)) as eye, contextlib.closing(Ear(sound)) as ear:
            start, heard = eye.mark(), ear.mark()
            with peer("publish", "/whip/camera") as publisher:
                publisher.until(lambda: any(frame[3] > 200 for frame in eye.frames(start)), "a white picture in the camera")
                ear.until_heard(660, heard)


def test_udp_has_another_port_and_clients_are_told_of_ice_servers(peers, folder, env, screen):
    servers = ["stun:stun.example:3478", "turn:turn.example me secret", "turns:turn.example"]
    flags = ["--webrtc-udp-port", "0", "--turn-secret", "north", *(word for server in servers for word in ("--ice-server", server))]
    crosspoint = Crosspoint(folder / "port", "auto", env, flags=flags)
    with contextlib.ExitStack() as ends:
        ends.callback(crosspoint.end)
        crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "screen"})
        peer = peers()
        peer.receive("video")
        peer.connect_bare(crosspoint, "/whep/screen")
        user = '; username="me"; credential="secret"; credential-type="password"'
        *fixed, made = peer.links
        assert fixed == ['<stun:stun.example:3478>; rel="ice-server"', f'<turn:turn.example>; rel="ice-server"{user}']
        name, password = re.fullmatch(r'<turns:turn.example>; rel="ice-server"; username="(.*?)"; credential="(.*?)"; .*', made).groups()
        assert 86_000 < int(name.removesuffix(":crosspoint")) - time.time() < 86_401
        assert base64.b64decode(password) == hmac.digest(b"north", name.encode(), "sha1")
        draw_until(screen, lambda: len(peer.pictures) > 2, "pictures")
        offered = [line.split() for line in peer.pc.remoteDescription.sdp.splitlines() if line.startswith("a=candidate:")]
        ports = {int(port) for _, _, protocol, _, _, port, *_ in offered if protocol.lower() == "udp"}
        assert crosspoint.udp_port in ports and crosspoint.udp_port != crosspoint.port


@over_a_wire
@any_runtime
def test_viewer_behind_a_narrow_way_gets_a_smaller_picture_and_the_whole_one_again(browser, folder, env, screen):
    with wired(folder, env, "narrow") as (crosspoint, wire), contextlib.closing(open_page(browser, crosspoint)) as page:
        crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "live-webrtc"})
        view(page, crosspoint, "live-webrtc")
        width = lambda: page.evaluate("document.getElementById('video').videoWidth")
        draw_until(screen, lambda: width() == 1280, "the whole picture")
        wire.narrow("250kbit")
        draw_until(screen, lambda: width() == 640, "the smaller picture", 60)
        wire.widen()
        draw_until(screen, lambda: width() == 1280, "the whole picture again", 60)


def test_aiortc_views_the_screen(crosspoint, peers, screen, sound):
    crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "screen"})
    peer = peers()
    peer.receive("video", "audio")
    # The only stream of the mode needs no naming.
    peer.connect(crosspoint, "/stream/webrtc/offer")
    peer.until_connected()
    draw_until(screen, lambda: len(peer.pictures) > 2, "pictures")
    # aiortc gives a picture out when the next one begins, and a display that stands still has no next one: it is drawn again and again.
    wait.until(lambda: pattern.shows(peer.pictures[-1], screen.draw(4711)), "the picture on the screen")
    with contextlib.closing(Player(sound)):
        heard = lambda: pitch(peer.samples[-WINDOW:])
        wait.until(lambda: abs(heard() - TONE) <= 0.01 * TONE, lambda: f"{TONE} Hz from the speaker ({heard():.0f} Hz)")
    told = crosspoint.metrics()
    assert told['crosspoint_stream_viewers{transport="webrtc"}'] == told['crosspoint_webrtc_peers{role="viewer",state="connected"}'] == 1
    measured = ('packets_total{role="viewer"}', 'round_trip_seconds_count{role="viewer"}')
    wait.until(lambda: (now := crosspoint.metrics()) and all(now[f"crosspoint_webrtc_{name}"] for name in measured), "its way to be measured")
    assert all(told[f'crosspoint_screen_latency_seconds_count{{stage="{stage}"}}'] > 0 for stage in ("encoded", "sent"))


def test_viewers_without_h264_get_vp8(crosspoint, peers, page, screen):
    crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "live-webrtc"})
    before = crosspoint.metrics()
    grown = lambda name: (now := crosspoint.metrics()) and now[f"crosspoint_{name}"] - before[f"crosspoint_{name}"]
    peer = peers()
    peer.receive("video", codec="VP8")
    peer.connect(crosspoint, "/stream/webrtc/offer")
    draw_until(screen, lambda: len(peer.pictures) > 2, "pictures in VP8")
    wait.until(lambda: pattern.shows(peer.pictures[-1], screen.draw(4711)), "the picture on the screen")
    view(page, crosspoint, "live-webrtc", WITHOUT_H264)
    seen = draw_until(screen, lambda: (now := page.evaluate(SEEN)).get("video", {}).get("frames", 0) > 10 and now, "ten pictures")
    assert (seen["video"]["codec"], seen["width"]) == ("video/VP8", 1280)
    # Both in one encoding; its encoder may have been opened again for another bitrate.
    assert 10 < grown('screen_pictures_total{codec="vp8"}') <= 1.5 * grown("screen_captures_total") + 10


def test_whep_shows_any_stream_until_it_is_deleted(crosspoint, peers, screen):
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "screen"})
    peer = peers()
    peer.receive("video", "audio")
    sdp = peer.offer()
    assert status_of(crosspoint, "POST", "/whep/none", sdp.encode(), Content_Type="application/sdp") == 404
    assert status_of(crosspoint, "POST", "/whep/screen", sdp.encode(), Content_Type="text/plain") == 415
    assert status_of(crosspoint, "POST", "/whep/screen", sdp.encode(), Content_Type="application/sdp", Accept="text/html") == 406
    assert status_of(crosspoint, "GET", "/whep/screen") == 405
    peer.connect_bare(crosspoint, "/whep/screen")
    draw_until(screen, lambda: len(peer.pictures) > 2, "pictures")
    trickle = {"Content_Type": "application/trickle-ice-sdpfrag"}
    assert status_of(crosspoint, "PATCH", peer.location, b"a=end-of-candidates\r\n", If_Match=peer.etag, **trickle) == 204
    assert status_of(crosspoint, "PATCH", peer.location, b"a=end-of-candidates\r\n", If_Match='"x"', **trickle) == 412
    assert status_of(crosspoint, "DELETE", peer.location) == 200
    wait.until(lambda: status_of(crosspoint, "DELETE", peer.location) == 404, "the session to be over")
    peer.until_over()
    wait.until(lambda: crosspoint.streams()["screen"]["viewers"] == 0, "no viewers")


def test_whip_configures_the_camera_for_its_session(crosspoint, eye, ear, peers):
    start, heard = eye.mark(), ear.mark()
    peer = peers()
    peer.publish(media.file(CLIP))
    peer.connect_bare(crosspoint, "/whip/camera")
    eye.until_seen(CLIP.numbers, start)
    ear.until_heard(CLIP.tone, heard)
    status = crosspoint.status()
    assert (status["state"], status["video"]["type"], status["audio"]["type"]) == ("running", "webrtc", "webrtc")
    assert status_of(crosspoint, "DELETE", peer.location) == 200
    eye.until_black()
    wait.until(lambda: crosspoint.status()["state"] == "idle", "what it configured to be taken back")


def test_sessions_that_never_connect_are_bounded(crosspoint, peers):
    crosspoint.call("POST", "/stream/start", {"mode": "webrtc", "id": "screen"})
    peer = peers()
    peer.receive("video")
    sdp = "\r\n".join(line for line in peer.offer().splitlines() if not line.startswith("a=candidate"))
    answers = [status_of(crosspoint, "POST", "/stream/webrtc/offer", {"sdp": sdp + "\r\n"}) for _ in range(80)]
    assert set(answers) == {200, 503} and answers[-1] == 503
    with pytest.raises(Refused):
        crosspoint.call("POST", "/stream/webrtc/offer", {"sdp": sdp})
