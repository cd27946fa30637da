"""The screen as RTMP players get it, and as servers do that it is pushed to."""

import json
import subprocess
import threading

import numpy as np
import pattern
import pytest
import rtmp
import wait
from crosspoint import Crosspoint, Refused
from runtime import any_runtime

KEY = "live_s3cr3t-k3y"
QUERY = "auth=v3rysecret"
# FFmpeg guesses a rate from 40 pictures before it plays, and looks for tracks for seconds.
SOON = ("-fpsprobesize", "0", "-analyzeduration", "500000")


@pytest.fixture
def screen(display):
    screen = pattern.Screen(display.name)
    yield screen
    screen.close()


@pytest.fixture
def moving(display):
    """A screen that changes all the time."""
    screen, stop = pattern.Screen(display.name), threading.Event()

    def move():
        seed = 0
        while not stop.wait(0.03):
            seed += 1
            screen.draw(seed)

    mover = threading.Thread(target=move, daemon=True)
    mover.start()
    yield
    stop.set()
    mover.join()
    screen.close()


@pytest.fixture
def stream(crosspoint):
    """A running stream for players: how its start was answered."""
    info = crosspoint.call("POST", "/stream/start", {"mode": "internal", "id": "screen"})
    assert info["ingest_url"] == info["playback_url"] == f"rtmp://{crosspoint.rtmp}/live/screen"
    assert info["secure_playback_url"] == f"rtmps://{crosspoint.rtmps}/live/screen"
    return info


@pytest.fixture
def platform(tmp_path):
    platform = rtmp.Platform(tmp_path / "nginx")
    platform.start()
    yield platform
    platform.stop()


def run(*words: str):
    return subprocess.run(words, capture_output=True, timeout=2 * wait.DEADLINE_S)


def probe(url: str, packets: int, *options: str) -> dict:
    """What ffprobe says of a stream's tracks and first packets."""
    entries = "packet=codec_type,dts_time,pts_time,flags:stream=codec_name,width,height,sample_rate"
    words = ["ffprobe", "-v", "error", *options, "-show_entries", entries, "-read_intervals", f"%+#{packets}", "-of", "json", url]
    said = run(*words)
    assert said.returncode == 0, said.stderr.decode()
    assert said.stderr == b"", said.stderr.decode()
    return json.loads(said.stdout)


def assert_h264_and_aac(probed: dict):
    tracks = {track["codec_name"]: track for track in probed["streams"]}
    assert set(tracks) == {"h264", "aac"}
    assert (tracks["h264"]["width"], tracks["h264"]["height"]) == pattern.DISPLAY_SIZE


def first_picture(url: str, *options: str) -> np.ndarray:
    width, height = pattern.DISPLAY_SIZE
    words = ["ffmpeg", "-nostdin", "-v", "error", *SOON, *options, "-i", url, "-map", "0:v", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    said = run(*words)
    assert (said.returncode, said.stderr) == (0, b"")
    return np.frombuffer(said.stdout, np.uint8).reshape(height, width, 3)


def test_player_gets_picture_and_sound_on_a_clock_of_its_own(stream, moving):
    # The second one joins what runs already, and its clock starts anew.
    for _ in range(2):
        probed = probe(stream["playback_url"], 150)
        assert_h264_and_aac(probed)
        for kind in ("video", "audio"):
            packets = [packet for packet in probed["packets"] if packet["codec_type"] == kind]
            times = [float(packet["dts_time"]) for packet in packets]
            assert len(times) > 20 and times == sorted(times), f"{kind}: {times}"
            assert times[0] < 0.5, f"{kind} starts at {times[0]}"
            assert all(packet["dts_time"] == packet["pts_time"] for packet in packets)
        video = [packet for packet in probed["packets"] if packet["codec_type"] == "video"]
        assert float(video[0]["dts_time"]) == 0 and "K" in video[0]["flags"]


@pytest.mark.parametrize("way", ["rtmp", "rtmps", "main", "main-tls"])
def test_first_picture_is_the_display_however_the_player_comes_in(crosspoint, stream, screen, way):
    address = {"rtmp": crosspoint.rtmp, "rtmps": crosspoint.rtmps}.get(way, crosspoint.listen)
    secure = way in ("rtmps", "main-tls")
    blocks = screen.draw(sum(way.encode()))
    url = f"{'rtmps' if secure else 'rtmp'}://{address}/live/screen?access_token=none"
    options = ["-tls_verify", "0"] if secure else []
    # A player may begin with a key frame that is 300 ms old, and get what followed with it: such a one is from before the drawing. By the
    # second time it is older than that.
    if not pattern.shows(first_picture(url, *options), blocks):
        pattern.assert_pixels(first_picture(url, *options), blocks)


@any_runtime
def test_player_need_not_wait_for_a_screen_that_stands_still(stream, screen):
    screen.draw(5)
    # As ffplay does it, with all of its guessing.
    probed = probe(stream["playback_url"], 10)
    assert_h264_and_aac(probed)
    assert sum(packet["codec_type"] == "video" for packet in probed["packets"]) > 0


@any_runtime
def test_sound_alone_is_a_stream_without_picture(crosspoint):
    info = crosspoint.call("POST", "/stream/start", {"mode": "internal", "id": "heard", "video": False})
    probed = probe(info["playback_url"], 30, *SOON)
    assert [track["codec_name"] for track in probed["streams"]] == ["aac"]
    times = [float(packet["dts_time"]) for packet in probed["packets"]]
    assert times[0] == 0 and times == sorted(times)


@any_runtime
def test_gstreamer_plays(stream, moving, tmp_path):
    path = tmp_path / "played.h264"
    pipeline = f"rtmp2src location={stream['playback_url']} ! flvdemux name=demux demux.video ! queue ! h264parse config-interval=-1 !"
    pipeline += f" video/x-h264,stream-format=byte-stream ! identity eos-after=40 ! filesink location={path}"
    said = run("gst-launch-1.0", "-q", *pipeline.split())
    assert said.returncode == 0, said.stderr.decode()
    words = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames,width,height", "-of", "csv=p=0", str(path)]
    width, height, frames = map(int, run(*words).stdout.decode().strip().split(","))
    assert (width, height) == pattern.DISPLAY_SIZE and frames >= 30


def test_wrong_wishes_are_refused_in_words(crosspoint, stream):
    for path, words in (("live/gone", "no stream with the id gone runs"), ("vod/screen", "there is no application of this name")):
        said = run("ffprobe", "-v", "error", f"rtmp://{crosspoint.rtmp}/{path}")
        assert said.returncode != 0 and words in said.stderr.decode(), said.stderr.decode()
    words = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x64", "-t", "1", "-c:v", "libx264", "-f", "flv"]
    said = run(*words, stream["ingest_url"])
    assert said.returncode != 0 and "publishing is not served here" in said.stderr.decode(), said.stderr.decode()


def test_player_is_told_when_the_stream_is_stopped(crosspoint, stream, moving, tmp_path):
    path = tmp_path / "played.ts"
    words = ["ffmpeg", "-nostdin", "-v", "error", "-i", stream["playback_url"], "-c", "copy", "-f", "mpegts", str(path)]
    player = subprocess.Popen(words, stderr=subprocess.PIPE)
    wait.until(lambda: path.exists() and path.stat().st_size > 0, "the player to play")
    assert crosspoint.streams()["screen"]["viewers"] == 1
    crosspoint.call("POST", "/stream/stop", {"id": "screen"})
    assert (player.wait(wait.DEADLINE_S), player.stderr.read()) == (0, b"")


def test_slow_players_resume_at_a_key_frame_or_are_closed_and_cost_others_nothing(crosspoint, stream, moving):
    healthy, slow, stuck = (rtmp.Player(crosspoint.rtmp, "screen", size) for size in (1 << 20, 4096, 4096))
    times = []

    def read():
        while message := healthy.next_of(rtmp.VIDEO):
            times.append(message[1])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    wait.until(lambda: crosspoint.streams()["screen"]["viewers"] == 3, "three players")
    assert slow.next_of(rtmp.VIDEO)[1] == 0
    # Longer than what its socket and the hub keep; its stall limit is not reached.
    wait.until(lambda: times and times[-1] > 6500, "the healthy player to be far ahead")
    last, gap = 0, None
    while gap is None:
        kind, time_ms, body = slow.next()
        if kind == rtmp.VIDEO and body[1] == 1:
            gap = (time_ms - last, body[0]) if time_ms - last > 300 else None
            last = time_ms
    assert gap[1] == 0x17, f"after {gap[0]} ms without pictures comes a key frame"
    slow.close()
    # What was in the sockets, then ten seconds.
    wait.until(lambda: crosspoint.streams()["screen"]["viewers"] == 1, "the stuck player to be closed", 30)
    assert max(np.diff(times)) < 1000, "the healthy player never waited"
    healthy.close()
    reader.join()
    stuck.close()


def test_push_resumes_when_the_server_is_back(crosspoint, platform, moving):
    target = f"rtmp://127.0.0.1:{platform.port}/app/{KEY}?{QUERY}"
    info = crosspoint.call("POST", "/stream/start", {"mode": "remote", "id": "pushed", "target_url": target})
    assert info["ingest_url"] == target

    def pushed() -> dict:
        return crosspoint.streams()["pushed"]

    assert pushed()["ingest_url"] == f"rtmp://127.0.0.1:{platform.port}/app/…"
    watched = f"rtmp://127.0.0.1:{platform.port}/app/{KEY}"
    assert_h264_and_aac(probe(watched, 60))
    platform.stop()
    wait.until(lambda: pushed()["last_error"], "the loss to be told")
    assert not pushed()["is_streaming"] and KEY not in json.dumps(pushed())
    wait.until(lambda: pushed()["reconnects"] >= 1, "another attempt")
    platform.start()
    wait.until(lambda: pushed()["is_streaming"] and not pushed()["last_error"], "media to flow again")
    probed = probe(watched, 60)
    assert_h264_and_aac(probed)
    crosspoint.call("POST", "/stream/stop", {"id": "pushed"})


def test_push_by_tls_checks_the_certificate_and_keeps_the_key_secret(running, platform, moving, tmp_path, env):
    authority = rtmp.Authority(tmp_path / "authority")
    front = rtmp.Front(authority, platform.port)
    target = f"rtmps://127.0.0.1:{front.port}/app/{KEY}?{QUERY}"
    said = ""
    for name, more in (("stranger", {}), ("friend", {"SSL_CERT_FILE": str(authority.root)})):
        crosspoint = Crosspoint(tmp_path / name, running.io, env | more, flags=["--log", "trace", "--microphone", "off"])
        try:
            crosspoint.call("POST", "/stream/start", {"mode": "remote", "target_url": target})
            if name == "stranger":
                told = wait.until(lambda: crosspoint.streams()["default"]["last_error"], "the refusal")
                assert "certificate" in told and KEY not in told
            else:
                # nginx tells players of sound whether there is any or not, and they would look for it.
                watched = probe(f"rtmp://127.0.0.1:{platform.port}/app/{KEY}", 30, *SOON)
                assert {track["codec_name"] for track in watched["streams"] if track.get("codec_name")} == {"h264"}
                assert crosspoint.streams()["default"]["is_streaming"]
            said += json.dumps(crosspoint.streams()) + crosspoint.process.output()
        finally:
            crosspoint.end()
    front.close()
    assert f"127.0.0.1:{front.port}/app/" in said, "the target is told"
    assert KEY not in said and QUERY not in said


@any_runtime
def test_targets_that_cannot_be_pushed_to_are_refused(crosspoint):
    for target in (None, "http://host/app/key", "rtmp://host/key", "rtmp://user:word@host/app/key"):
        with pytest.raises(Refused) as refused:
            crosspoint.call("POST", "/stream/start", {"mode": "remote", "target_url": target})
        assert refused.value.status == 400 and "target_url" in refused.value.message
