"""Inputs of the types `file` and `stream`: what we fetch ourselves."""

import contextlib
import functools
import http.server
import itertools
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading

import clip
import pytest
import wait
from crosspoint import AUDIO, SOCKET_AUDIO, SOCKET_VIDEO, VIDEO, Crosspoint, Refused, send_ahead
from runtime import any_runtime
from timing import Ear, Eye

# What a picture and its sound may be apart.
SKEW_S = 0.040
# What the scheduling of a loaded machine and the recorder's blocks add to a measurement.
MEASURE_S = 0.015


@pytest.fixture(scope="module")
def media():
    """Clips whose pictures carry numbers, 30 a second, and whose sound beeps whenever a second begins."""
    with tempfile.TemporaryDirectory(prefix="crosspoint-e2e-") as folder:
        folder = pathlib.Path(folder)
        yield Media(folder)


class Media:
    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.clip = functools.cache(self._clip)

    def _clip(self, name: str, seconds: float, *options: str) -> pathlib.Path:
        picture = self.folder / f"picture-{seconds}.ts"
        if not picture.exists():
            clip.video(picture, codec="h264", width=640, height=360, seconds=seconds, gop=30)
        path = self.folder / name
        beeps = f"aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.1)*gte(t,0.5)':s=48000:d={seconds}"
        words = [*clip.FFMPEG, "-i", str(picture), "-f", "lavfi", "-i", beeps, "-c:v", "copy", "-c:a", "aac", *options, str(path)]
        subprocess.run(words, check=True)
        return path

    def still(self, level: int) -> pathlib.Path:
        path = self.folder / f"still-{level}.png"
        colour = f"color=c=0x{level:02x}{level:02x}{level:02x}:s=320x180"
        subprocess.run([*clip.FFMPEG, "-f", "lavfi", "-i", colour, "-frames:v", "1", str(path)], check=True)
        return path


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(folder: pathlib.Path, port=0):
    """Serves a folder over HTTP; gives the URL of it."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def hanging():
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/never.mp4"


@pytest.fixture
def eye(crosspoint):
    # The tests before may have left another canvas.
    crosspoint.configure({**SOCKET_VIDEO})
    eye = Eye(crosspoint.camera_file)
    yield eye
    eye.close()


@pytest.fixture
def ear(crosspoint, sound):
    ear = Ear(sound.env)
    yield ear
    ear.close()


def file(path, **more) -> dict:
    return {"type": "file", "url": str(path), **more}


def stream(url: str, **more) -> dict:
    return {"type": "stream", "url": url, **more}


def assert_in_sync(eye: Eye, ear: Ear, seconds: range, fps=30):
    """Each beep is heard when the picture that begins its second is seen."""
    eye.until_seen(seconds[-1] * fps + 6)
    seen = {}
    for at, number, _ in eye.log:
        if number is not None:
            seen.setdefault(number, at)
    onsets = ear.onsets()
    skews = []
    for second in seconds:
        shown = seen.get(second * fps)
        if shown is not None:
            skews.append(min((onset - shown for onset in onsets), key=abs, default=9.9))
    assert len(skews) >= len(seconds) - 1, f"pictures missing: {sorted(seen)[-5:]}"
    median = sorted(skews)[len(skews) // 2]
    print(f"sound behind picture by {[round(skew * 1000) for skew in skews]} ms")
    assert abs(median) < SKEW_S, f"sound is {median * 1000:.0f} ms behind its picture ({skews})"
    # One in four may be measured on a machine that is busy with something else.
    usual = sorted(map(abs, skews))[: -(-len(skews) * 3 // 4)]
    assert usual[-1] < SKEW_S + MEASURE_S, f"{skews}"


def until_idle(crosspoint):
    wait.until(lambda: crosspoint.status()["state"] == "idle", lambda: f"idle ({crosspoint.status()})")


@any_runtime
def test_file_plays_in_sync_and_ends_idle_and_black(crosspoint, media, eye, ear):
    path = media.clip("film.mp4", 8.0)
    status = crosspoint.configure(file(path), file(path))
    assert status["video"] == {"type": "file", "width": 1280, "height": 720, "frame_rate": 30}
    assert status["ingest"]["video"] == {"protocol": "file", "url": str(path)}
    assert_in_sync(eye, ear, range(2, 8))
    until_idle(crosspoint)
    eye.until_black()
    seen = set(eye.numbers())
    assert len(seen & set(range(240))) >= 235, f"missing: {sorted(set(range(240)) - seen)}"
    status = crosspoint.status()
    assert (status["last_error"], status["video"]["type"]) == (None, "file")
    # It plays again when it is configured again.
    start = eye.mark()
    assert crosspoint.configure(file(path), file(path))["state"] == "running"
    eye.until_seen(5, start)


@any_runtime
def test_loop_goes_on_without_a_gap(crosspoint, media, eye):
    path = media.clip("short.mp4", 2.0)
    crosspoint.configure(file(path, loop=True))
    wait.until(lambda: sum(later < earlier for earlier, later in itertools.pairwise(eye.numbers())) >= 2, "the third round")
    seen = [(at, number) for at, number, _ in eye.log if number is not None]
    seams = [later - earlier for (earlier, a), (later, b) in itertools.pairwise(seen) if b < a]
    assert max(seams) < 0.1, f"{seams} s between the end and the beginning"
    assert crosspoint.status()["state"] == "running"


@any_runtime
def test_paused_file_stands_still(crosspoint, media, eye, ear):
    path = media.clip("film.mp4", 8.0)
    crosspoint.configure(file(path), file(path), start_paused=True)
    wait.until(lambda: crosspoint.status()["state"] == "paused", "paused")
    start = eye.mark()
    crosspoint.input("resume")
    eye.until_seen(40, start)
    assert eye.numbers(start)[0] <= 1, "it began at its beginning"
    crosspoint.input("pause")
    eye.until_black()
    last, start = max(eye.numbers()), eye.mark()
    wait.until(lambda: ear.level < 0.01, "silence")
    # A second and a half in which a source that goes on would be 45 pictures further.
    quiet = len(ear.log) + 300
    wait.until(lambda: len(ear.log) > quiet, "time to pass")
    assert not eye.numbers(start)
    crosspoint.input("resume")
    eye.until_seen(last + 1, start)
    assert last <= eye.numbers(start)[0] <= last + 3
    eye.until_seen(last + 30, start)


@any_runtime
def test_still_stands_until_it_is_replaced(crosspoint, media, eye):
    bright, dim = media.still(200), media.still(90)
    shows = lambda level: lambda: abs(eye.log[-1][2] - (16 + level * 219 / 255)) < 6
    crosspoint.configure({**file(bright), "width": 1280, "height": 720, "frame_rate": 30})
    wait.until(shows(200), lambda: f"the still ({eye.log[-1]}, {crosspoint.status()})")
    crosspoint.input("pause")
    eye.until_black()
    crosspoint.input("resume")
    wait.until(shows(200), lambda: f"the still again ({eye.log[-1]})")
    start = eye.mark()
    crosspoint.configure(file(dim))
    wait.until(shows(90), lambda: f"the other still ({eye.log[-1]})")
    assert all(mean > 60 for _, _, mean in eye.log[start:]), f"no black between them: {eye.log[start:]}"
    assert crosspoint.status()["state"] == "running"


@any_runtime
def test_http_files_play_in_sync(crosspoint, media, eye, ear):
    media.clip("web.mp4", 8.0, "-movflags", "+faststart")
    with serving(media.folder) as url:
        crosspoint.configure(stream(f"{url}/web.mp4"), stream(f"{url}/web.mp4"))
        assert_in_sync(eye, ear, range(2, 6))
        crosspoint.input("stop")
        eye.until_black()


@any_runtime
def test_hls_recording_plays_in_sync_and_ends(crosspoint, media, eye, ear):
    folder = media.folder / "vod"
    folder.mkdir(exist_ok=True)
    media.clip("vod/film.m3u8", 8.0, "-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod")
    with serving(media.folder) as url:
        crosspoint.configure(stream(f"{url}/vod/film.m3u8"), stream(f"{url}/vod/film.m3u8"))
        assert_in_sync(eye, ear, range(2, 8))
        until_idle(crosspoint)
        eye.until_black()


@any_runtime
def test_live_hls_goes_on_and_is_connected_to_again(crosspoint, media, eye, ear):
    source, folder = media.clip("long.ts", 30.0, "-f", "mpegts"), media.folder / "live"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    playlist = ["-f", "hls", "-hls_time", "1", "-hls_list_size", "5", "-hls_flags", "delete_segments", str(folder / "live.m3u8")]
    sender = subprocess.Popen([*clip.FFMPEG, "-re", "-i", str(source), "-c", "copy", *playlist], stdin=subprocess.DEVNULL)
    try:
        wait.until(lambda: len(list(folder.glob("*.ts"))) > 3, "segments")
        with serving(folder) as url:
            crosspoint.configure(stream(f"{url}/live.m3u8"), stream(f"{url}/live.m3u8"))
            wait.until(lambda: eye.now is not None, lambda: f"a picture ({crosspoint.status()})")
            first = eye.now // 30 + 2
            assert_in_sync(eye, ear, range(first, first + 4))
    finally:
        sender.terminate()
        sender.wait()
    # Its server is gone: black, and the reason is told.
    eye.until_black()
    wait.until(lambda: crosspoint.status()["last_error"], "the reason")
    assert crosspoint.status()["state"] == "running"


def test_picture_of_a_socket_brings_its_sound(crosspoint, media, eye, ear):
    path = media.clip("socket.ts", 8.0, "-f", "mpegts")
    status = crosspoint.configure(SOCKET_VIDEO, {"type": "socket", "format": "mpegts"})
    assert status["audio"]["format"] == "mpegts"
    with pytest.raises(Exception, match="409"), crosspoint.publisher(AUDIO):
        pass
    with crosspoint.publisher(VIDEO) as publisher:
        send_ahead(publisher, path.read_bytes())
        assert_in_sync(eye, ear, range(2, 7))


def test_sources_mix_and_each_goes_on_when_the_other_changes(crosspoint, media, clips, eye, ear):
    path, other = media.clip("film.mp4", 8.0), media.clip("short.mp4", 2.0)
    crosspoint.configure(file(path), SOCKET_AUDIO)
    with crosspoint.publisher(AUDIO) as publisher:
        sending = threading.Thread(target=send_ahead, args=(publisher, clips.tone(seconds=10)))
        sending.start()
        wait.until(lambda: ear.level > 0.05, "the tone")
        eye.until_seen(30)
        crosspoint.configure(file(other), SOCKET_AUDIO)
        assert ear.level > 0.05
        crosspoint.configure(None, SOCKET_AUDIO)
        eye.until_black()
        assert ear.level > 0.05
        crosspoint.configure(None, file(path))
        sending.join()
    wait.until(lambda: len(ear.onsets()) > 1, "the beeps of the file")


def test_what_is_wrong_with_a_source_is_told_and_bothers_nobody_else(crosspoint, media, clips, eye, ear):
    path = media.clip("film.mp4", 8.0)
    rubbish = media.folder / "rubbish.mp4"
    rubbish.write_bytes(b"no media at all\n" * 1000)
    with serving(media.folder) as url, hanging() as never:
        closed = socket.create_server(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{closed.getsockname()[1]}/a.mp4"
        closed.close()
        for video, word in [
            (stream(f"{url}/missing.mp4?token=secret"), "404"),
            (stream(refused), "refused"),
            (file(rubbish), ""),
        ]:
            crosspoint.configure(video, file(path, loop=True))
            wait.until(lambda: crosspoint.status()["last_error"], f"what is wrong with {video['url']}")
            told = crosspoint.status()["last_error"]
            assert word in told.lower() and "secret" not in told, told
        heard = len(ear.onsets())
        crosspoint.configure(stream(never), file(path, loop=True))
        wait.until(lambda: len(ear.onsets()) > heard + 1, "the sound to go on")
        assert crosspoint.status()["state"] == "running"
        # A picture that comes is shown, whatever hung before.
        start = eye.mark()
        crosspoint.configure(file(path), file(path, loop=True))
        eye.until_seen(10, start)


@any_runtime
def test_stream_that_comes_up_later_is_shown_and_mends(crosspoint, media, eye):
    media.clip("web.mp4", 8.0, "-movflags", "+faststart")
    with serving(media.folder) as url:
        port = int(url.rsplit(":", 1)[1])
    crosspoint.configure(stream(f"{url}/web.mp4"))
    wait.until(lambda: crosspoint.status()["last_error"], "a refused connection")
    with serving(media.folder, port):
        eye.until_seen(10)


@any_runtime
def test_files_that_cannot_be_opened_are_refused_and_change_nothing(crosspoint, media, tmp_path, eye):
    path = media.clip("short.mp4", 2.0)
    fifo = tmp_path / "fifo.mp4"
    os.mkfifo(fifo)
    crosspoint.configure(file(path, loop=True))
    for bad in [tmp_path / "missing.mp4", tmp_path, fifo, pathlib.Path("/dev/zero")]:
        with pytest.raises(Refused) as refused:
            crosspoint.configure(file(bad))
        assert refused.value.status == 400
    start = eye.mark()
    eye.until_seen(20, start)


@any_runtime
def test_source_of_the_sound_becomes_that_of_the_picture(crosspoint, media, eye):
    path = media.clip("film.mp4", 8.0)
    for _ in range(10):
        crosspoint.configure(None, file(path))
        wait.until(lambda: crosspoint.stats()["microphone_depth_ms"], "the sound of the file")
        start = eye.mark()
        crosspoint.configure(file(path))
        eye.until_seen(3, start)


def test_many_swaps_leave_nothing_behind(crosspoint: Crosspoint, media, eye):
    path = media.clip("film.mp4", 8.0)
    threads = lambda: sorted(name for name in crosspoint.threads().values() if name == "pull")
    with serving(media.folder) as url, hanging() as never:
        media.clip("web.mp4", 8.0, "-movflags", "+faststart")
        for number in range(30):
            video = [file(path), stream(f"{url}/web.mp4"), stream(never), SOCKET_VIDEO, file(path, loop=True)][number % 5]
            crosspoint.configure(video, file(path) if number % 2 else None)
        start = eye.mark()
        crosspoint.configure(file(path))
        eye.until_seen(3, start)
    crosspoint.input("stop")
    wait.until(lambda: not threads(), lambda: f"no pull thread left ({threads()})")
