"""The camera and the microphone as Chromium's getUserMedia has them."""

import contextlib
import random
import threading

import clip
import pytest
import wait
from chromium import BLACK, CameraPage
from crosspoint import AUDIO, CAMERA_NAME, SOCKET_AUDIO, SOCKET_VIDEO, VIDEO, send_ahead, send_pictures
from runtime import any_runtime
from sight import Sight, assert_whole
from websockets.exceptions import ConnectionClosed


@contextlib.contextmanager
def meanwhile(send, socket, media: bytes, **options):
    """Sends media from a thread, as long as the body runs."""
    ended = threading.Event()

    def run():
        with contextlib.suppress(ConnectionClosed):
            send(socket, media, stop=ended.is_set, **options)

    sender = threading.Thread(target=run)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()


def live_clip(socket, media: bytes):
    """Sends a clip in real time, as long as the body runs."""
    return meanwhile(send_pictures, socket, media, fps=30)


# The last picture of a clip may fill its transport packets to the last byte. Nothing then says that it is whole but what follows.
UNTOLD = 1


def look_at(crosspoint, camera, media: bytes, count: int, send=send_ahead, untold=UNTOLD, **options):
    """Sends a clip of `count` pictures and says what the page saw of it."""
    camera.until_black()
    start = camera.mark()
    with crosspoint.publisher(VIDEO) as socket:
        assert socket.greeting == "mpegts"
        send(socket, media, **options)
        camera.until_seen(count - 1 - untold, start, deadline=40)
    return camera.frames(start)


@any_runtime
def test_page_sees_every_frame_of_a_sender_ahead_of_real_time(crosspoint, camera, clips):
    media = clips.video(seconds=20)
    crosspoint.configure(SOCKET_VIDEO)
    assert_whole(lambda: Sight.of(look_at(crosspoint, camera, media, 600), range(600)), 0.98)
    assert camera.check("size") == {"width": 1280, "height": 720}


@any_runtime
def test_page_sees_live_frames_that_arrive_with_jitter(crosspoint, camera, clips):
    media = clips.video(seconds=20)
    jitter = random.Random(2)
    crosspoint.configure(SOCKET_VIDEO)

    def look():
        frames = look_at(crosspoint, camera, media, 600, send_pictures, fps=30, jitter=lambda: jitter.uniform(-0.004, 0.004))
        return Sight.of(frames, range(600))

    assert_whole(look, 0.95)


def test_clip_sent_ten_times_too_fast_plays_in_its_own_time(crosspoint, camera, clips):
    media = clips.video(seconds=6)
    crosspoint.configure(SOCKET_VIDEO)

    def look():
        frames = look_at(crosspoint, camera, media, 180, send_pictures, fps=300)
        shown = [(at, top) for at, top, bottom, _ in frames if top is not None and top == bottom]
        (first_at, first), (last_at, last) = shown[0], shown[-1]
        assert (last_at - first_at) / 1000 == pytest.approx((last - first) / 30, abs=0.25)
        return Sight.of(frames, range(180))

    assert_whole(look, 0.98)


@pytest.mark.parametrize(
    ("codec", "b_frames"),
    [("mpeg1", False), ("mpeg1", True), ("mpeg2", False), ("h264", False), ("h264", True), ("hevc", False), ("hevc", True)],
)
@any_runtime
def test_page_sees_every_codec_in_display_order(crosspoint, camera, clips, codec, b_frames):
    media = clips.video(codec=codec, b_frames=b_frames, seconds=3)
    crosspoint.configure(SOCKET_VIDEO)
    # The last pictures of a clip with B-frames may still wait for one that never comes.
    assert_whole(lambda: Sight.of(look_at(crosspoint, camera, media, 90, untold=4), range(86)), 0.95)


@any_runtime
@pytest.mark.parametrize("codec", ["mpeg1", "h264"])
def test_size_that_switches_in_mid_stream_is_letterboxed(crosspoint, camera, clips, codec):
    # 4:3 comes last: the page finds its codes only where a pillarboxed picture has them.
    media = clips.switching(sizes=((1280, 720), (640, 360), (640, 480)), codec=codec, seconds=2)
    crosspoint.configure(SOCKET_VIDEO)
    assert_whole(lambda: Sight.of(look_at(crosspoint, camera, media, 180), range(180)), 0.95)
    assert camera.check("size") == {"width": 1280, "height": 720}


def test_clip_sent_again_and_again_goes_on(crosspoint, camera, clips):
    media = clips.video(seconds=2)
    crosspoint.configure(SOCKET_VIDEO)
    with crosspoint.publisher(VIDEO) as socket:
        for _ in range(3):
            start = camera.mark()
            send_ahead(socket, media)
            camera.until_seen(59 - UNTOLD, start)


def test_chunks_of_any_size_and_alignment_are_understood(crosspoint, camera, clips):
    media = clips.video(seconds=3)
    sizes = random.Random(3)
    crosspoint.configure(SOCKET_VIDEO)

    def send(socket, media):
        at = 0
        while at < len(media):
            # Single bytes through the tables and the first picture's start, then anything up to 1 MiB.
            size = 1 if at < 3000 else sizes.choice((7, 187, 189, 4096, 1 << 20))
            socket.send(media[at : at + size])
            at += size

    assert_whole(lambda: Sight.of(look_at(crosspoint, camera, media, 90, send), range(90)), 0.95)


@any_runtime
def test_publisher_that_joins_mid_stream_shows_from_the_next_key_frame(crosspoint, camera, clips):
    media = clips.video(seconds=4, gop=15)
    crosspoint.configure(SOCKET_VIDEO)
    units = clip.access_units(media)
    # Inside packet and picture 20: the key frame of 30 is the first that can be shown.
    rest = media[sum(map(len, units[:20])) + 500 :]
    assert_whole(lambda: Sight.of(look_at(crosspoint, camera, rest, 120), range(30, 120)), 0.95)


@any_runtime
def test_sync_that_is_lost_is_found_again(crosspoint, camera, clips):
    media = clips.video(seconds=4)
    crosspoint.configure(SOCKET_VIDEO)
    with crosspoint.publisher(VIDEO) as socket:
        middle = len(media) // 2 + 77
        send_ahead(socket, media[:middle] + random.Random(4).randbytes(1001) + media[middle:])
        camera.until_seen(119 - UNTOLD)
    # A damaged picture costs what depends on it: half a second of pictures to the next key frame at most.
    sight = Sight.of(camera.frames(), range(120))
    assert sight.share > 0.8
    assert not sight.steps_back


@any_runtime
def test_lost_packet_hides_what_depends_on_it_until_the_next_key_frame(crosspoint, camera, clips):
    units = clip.access_units(clips.video(seconds=4, gop=15))
    # One transport packet of picture 50 is missing; 60 is the next key frame.
    units[50] = units[50][:188] + units[50][2 * 188 :]
    crosspoint.configure(SOCKET_VIDEO)
    before = crosspoint.stats()["frames_dropped"]
    frames = look_at(crosspoint, camera, b"".join(units), 120)
    numbers = set(Sight.of(frames, range(120)).numbers)
    assert not numbers & set(range(50, 60)), "nothing that was decoded from a damaged picture is shown"
    assert {number for number in numbers if number >= 60}
    assert crosspoint.stats()["frames_dropped"] >= before + 9


@any_runtime
def test_labels_are_those_of_real_devices(camera):
    assert camera.check("camera") == CAMERA_NAME
    wait.until(lambda: camera.check("microphones"), "the page to list microphones")
    assert any("microphone" in label.lower() for label in camera.check("microphones")), camera.check("microphones")


def test_microphone_hears_the_tone_at_its_pitch(crosspoint, camera, clips):
    crosspoint.configure(audio=SOCKET_AUDIO)
    with crosspoint.publisher(AUDIO) as socket:
        assert socket.greeting == "mp3"
        send_ahead(socket, clips.tone(hertz=440.0, seconds=6))
        camera.until_pitch(440.0)
    camera.until_silent()


@any_runtime
def test_microphone_hears_another_sample_rate_at_its_pitch(crosspoint, camera, clips):
    crosspoint.configure(audio=SOCKET_AUDIO)
    with crosspoint.publisher(AUDIO) as socket:
        send_ahead(socket, clips.tone(hertz=1000.0, seconds=6, sample_rate=44100))
        camera.until_pitch(1000.0)


def test_pause_is_black_and_silent_and_resume_is_live(crosspoint, camera, clips):
    crosspoint.configure(SOCKET_VIDEO, SOCKET_AUDIO)
    picture, tone = clips.video(seconds=30), clips.tone(seconds=30)
    with crosspoint.publisher(VIDEO) as video, crosspoint.publisher(AUDIO) as audio:
        with live_clip(video, picture), meanwhile(send_ahead, audio, tone):
            camera.until_seen(30)
            camera.until_pitch(440.0)
            assert crosspoint.input("pause")["state"] == "paused"
            camera.until_black()
            camera.until_silent()
            paused_at = max(frame[1] for frame in camera.frames() if frame[1] is not None)
            start = camera.mark()
            wait.until(lambda: camera.mark() >= start + 30, "a second of black")
            assert all(frame[3] <= BLACK for frame in camera.frames(start)), "black as long as it is paused"
            start = camera.mark()
            assert crosspoint.input("resume")["state"] == "running"
            camera.until_moving(start)
            resumed_at = next(frame[1] for frame in camera.frames(start) if frame[1] is not None)
            assert resumed_at >= paused_at + 30, "the source was read on and dropped: live at once, not where it was paused"
            camera.until_pitch(440.0)
            assert crosspoint.input("stop")["state"] == "idle"
            camera.until_black()
            camera.until_silent()


def test_publisher_that_leaves_leaves_black(crosspoint, camera, clips):
    crosspoint.configure(SOCKET_VIDEO)
    with crosspoint.publisher(VIDEO) as socket, live_clip(socket, clips.video(seconds=20)):
        camera.until_seen(10)
        assert crosspoint.stats()["camera_in_use"] in (True, None)
    camera.until_black()
    assert crosspoint.status()["state"] == "running", "the input waits for its next publisher"


def test_second_publisher_takes_over(crosspoint, camera, clips):
    crosspoint.configure(SOCKET_VIDEO)
    with crosspoint.publisher(VIDEO) as first, live_clip(first, clips.video(seconds=20)):
        camera.until_seen(10)
        with crosspoint.publisher(VIDEO) as second:
            with pytest.raises(ConnectionClosed) as closed:
                first.recv(timeout=wait.DEADLINE_S)
            assert closed.value.rcvd.code == 4409
            with live_clip(second, clips.video(seconds=5, first=40000)):
                camera.until_seen(40010)


def test_configure_leaves_the_camera_open(crosspoint, camera, clips):
    for turn in range(3):
        crosspoint.configure(SOCKET_VIDEO)
        with crosspoint.publisher(VIDEO) as socket, live_clip(socket, clips.video(seconds=5, first=1000 * turn + 1000)):
            camera.until_seen(1000 * turn + 1005)
        crosspoint.input("stop")
        camera.until_black()
    assert camera.check("error") is None
    assert camera.check("size") == {"width": 1280, "height": 720}


@any_runtime
def test_other_canvas_is_for_pages_that_open_the_camera_anew(crosspoint, browser, check_url, clips):
    crosspoint.configure(SOCKET_VIDEO)
    small = {**SOCKET_VIDEO, "width": 640, "height": 360}
    try:
        with crosspoint.publisher(VIDEO) as socket, live_clip(socket, clips.video(seconds=20)):
            old = CameraPage(browser.new_page(), check_url)
            try:
                old.until_moving(0)
                crosspoint.configure(small)
                old.until_moving(old.mark())
                assert old.check("size") == {"width": 1280, "height": 720}
                assert old.check("error") is None
            finally:
                old.page.close()
            new = CameraPage(browser.new_page(), check_url)
            try:
                new.until_moving(0)
                assert new.check("size") == {"width": 640, "height": 360}
            finally:
                new.page.close()
    finally:
        crosspoint.configure(SOCKET_VIDEO)
