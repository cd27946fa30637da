"""What Crosspoint makes of the machine that it finds: devices, runtimes, a second copy of itself."""

import numpy as np
import pytest
import seccomp
import wait
from crosspoint import AUDIO, BINARY, SOCKET_AUDIO, SOCKET_VIDEO, VIDEO, Crosspoint, send_ahead
from process import Process


def test_missing_sinks_are_made_and_defaults_are_right(crosspoint, sound):
    assert {"audio_input", "audio_output"} <= sound.names("sinks")
    assert "microphone" in sound.names("sources")
    assert sound.default("sink") == "audio_output", "else participants hear themselves"
    assert sound.default("source") == "microphone"


def test_speaker_destination_plays_into_the_speaker_only(crosspoint, sound, clips):
    crosspoint.configure(audio={**SOCKET_AUDIO, "destination": "speaker"})
    with crosspoint.publisher(AUDIO) as socket:
        send_ahead(socket, clips.tone(hertz=600.0, seconds=8))

        def heard():
            samples = np.frombuffer(sound.record("audio_output.monitor", 0.5), np.float32)
            spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
            return np.abs(samples).max() > 0.05 and abs(spectrum.argmax() * 2 - 600) <= 4

        wait.until(heard, "600 Hz in the speaker")
        microphone = np.frombuffer(sound.record("audio_input.monitor", 0.2), np.float32)
        assert np.abs(microphone).max() < 0.001


def test_camera_file_is_black_from_the_start_and_keeps_its_inode(crosspoint, clips):
    before = crosspoint.camera_file.stat()
    header, _, frame = crosspoint.camera_file.read_bytes().partition(b"\nFRAME\n")
    assert header.startswith(b"YUV4MPEG2 W1280 H720 F30:1") and len(header) < 200
    assert len(frame) == 1280 * 720 * 3 // 2
    assert set(frame[: 1280 * 720]) == {16}
    crosspoint.configure(SOCKET_VIDEO)
    with crosspoint.publisher(VIDEO) as socket:
        send_ahead(socket, clips.video(seconds=2))
    after = crosspoint.camera_file.stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)


def test_second_copy_says_that_the_camera_is_taken(crosspoint, env, tmp_path):
    words = [str(BINARY), "--listen", "127.0.0.1:0", "--camera", crosspoint.camera]
    second = Process(words, tmp_path / "second.log", env=env)
    try:
        wait.until(lambda: not second.alive, "the second copy to exit")
        assert second.code != 0
        assert "camera" in second.output().lower() and crosspoint.camera_file.name in second.output()
    finally:
        second.end()


def test_refused_ring_leaves_epoll_to_serve(folder, env, clips, tmp_path):
    crosspoint = Crosspoint(tmp_path / "refused", "auto", env, preexec_fn=seccomp.refuse_io_uring)
    try:
        assert "epoll" in crosspoint.process.output()
        crosspoint.configure(SOCKET_VIDEO)
        with crosspoint.publisher(VIDEO) as socket, open(crosspoint.camera_file, "rb", buffering=0) as reader:
            send_ahead(socket, clips.video(seconds=2))
            # The bars' white cell at the top left: someone reads the camera, so it is decoded.
            wait.until(lambda: (reader.seek(0), reader.read(200))[1].partition(b"FRAME\n")[2][:1] > b"\x80", "the clip in the camera")
        crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "refused"})
        with crosspoint.socket("/stream/socket/refused") as viewer:
            assert viewer.recv(timeout=wait.DEADLINE_S)[:1] == b"\x47"
    finally:
        crosspoint.end()


def test_forced_ring_that_is_refused_is_an_error(env, tmp_path):
    words = [str(BINARY), "--listen", "127.0.0.1:0", "--camera", "off", "--io", "uring"]
    process = Process(words, tmp_path / "forced.log", env=env, preexec_fn=seccomp.refuse_io_uring)
    try:
        wait.until(lambda: not process.alive, "crosspoint to exit")
        assert process.code != 0
        assert "io_uring" in process.output()
        assert "panicked" not in process.output()
    finally:
        process.end()


@pytest.mark.parametrize("signal", ["TERM", "INT"])
def test_ends_in_order_on_a_signal_and_leaves_black(env, clips, tmp_path, signal):
    import os
    import signal as signals

    crosspoint = Crosspoint(tmp_path / "ending", "auto", env)
    try:
        crosspoint.configure(SOCKET_VIDEO)
        with crosspoint.publisher(VIDEO) as socket:
            send_ahead(socket, clips.video(seconds=2))
            os.kill(crosspoint.process.pid, signals.Signals[f"SIG{signal}"])
            wait.until(lambda: not crosspoint.process.alive, "crosspoint to end")
        assert crosspoint.process.code == 0, crosspoint.process.output()
        frame = crosspoint.camera_file.read_bytes().partition(b"FRAME\n")[2]
        assert set(frame[: 1280 * 720]) == {16}
    finally:
        crosspoint.end()
