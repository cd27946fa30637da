"""Checks crosspoint on v4l2loopback's own devices, as root of the machine that `run` boots: check.py [NAME...]"""

import collections
import contextlib
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

from clips import COLUMNS, numbers

BINARY = os.environ["CROSSPOINT_BIN"]
CLIPS = pathlib.Path(os.environ["CLIPS"])
WIDTH, HEIGHT, RATE = 384, 288, 10
FRAME_BYTES = WIDTH * HEIGHT * 3 // 2
# Everything here is emulated.
DEADLINE_S = 60
# Time is counted in instructions, so one round tells as much as ten.
BENCH_ROUNDS = 1


def until(condition, what: str, limit_s: float = DEADLINE_S):
    end = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {limit_s} s: {what}"
        time.sleep(0.05)
    return value


class Crosspoint:
    """A running server that writes one device."""

    def __init__(self, device: str, canvas=f"{WIDTH}x{HEIGHT}@{RATE}"):
        ready = pathlib.Path(f"/tmp/ready-{time.monotonic_ns()}.json")
        words = [BINARY, "--listen", "127.0.0.1:0", "--no-udp", "--rtmp-listen", "off", "--rtmps-listen", "off", "--microphone", "off"]
        words += ["--camera", device, "--canvas", canvas, "--ready-file", str(ready)]
        self.log = ready.with_suffix(".log")
        self.process = subprocess.Popen(words, stdout=self.log.open("w"), stderr=subprocess.STDOUT, env=os.environ | {"NO_COLOR": "1"})
        told = until(lambda: self.process.poll() is not None or ready.exists() and ready.read_text(), "crosspoint is ready")
        assert isinstance(told, str), self.log.read_text()
        self._origin = "http://" + json.loads(told)["listen"]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            print(self.log.read_text(), json.dumps(self.status(), indent=1), flush=True)
        self.end()

    def end(self):
        self.process.terminate()
        assert self.process.wait(DEADLINE_S) == 0

    def get(self, path: str) -> str:
        return urllib.request.urlopen(self._origin + path, timeout=DEADLINE_S).read().decode()

    def post(self, call: str, **body):
        request = urllib.request.Request(f"{self._origin}/input/devices/virtual/{call}", json.dumps(body).encode(), method="POST")
        return json.loads(urllib.request.urlopen(request, timeout=DEADLINE_S).read())

    def play(self, clip: str, **more):
        size = {"width": WIDTH, "height": HEIGHT, "frame_rate": RATE}
        self.post("configure", video={"type": "file", "url": str(CLIPS / clip), **size, **more})

    def status(self) -> dict:
        return json.loads(self.get("/input/devices/virtual/status"))

    def stats(self) -> dict:
        return self.status()["stats"]

    def cpu_s(self) -> float:
        return cpu_s(self.process.pid)


class Reader:
    """v4l2-ctl, which maps the buffers and streams, and what its frames say. It writes a file: a pipe would have it wait for us with a buffer."""

    def __init__(self, device: str, buffers: int = 4, size=(WIDTH, HEIGHT)):
        self._file = pathlib.Path(f"/tmp/frames-{time.monotonic_ns()}")
        self._file.touch()
        words = ["v4l2-ctl", "-d", device, f"--stream-mmap={buffers}", f"--stream-to={self._file}"]
        self._size = size
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.seen: list[tuple[float, int]] = []
        self.torn = 0
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        self._file.unlink()

    def _read(self):
        width, height = self._size
        frame_bytes, begin = width * height * 3 // 2, 0
        with self._file.open("rb") as file:
            while self._process.poll() is None:
                if self._file.stat().st_size < begin + frame_bytes:
                    time.sleep(0.02)
                    continue
                file.seek(begin)
                said = numbers(file.read(frame_bytes), width, height)
                self.torn += len(said) > 1
                self.seen.append((time.monotonic(), max(said)))
                begin += frame_bytes

    def says(self, condition, what: str, limit_s: float = DEADLINE_S):
        """Waits for a frame from now on whose number meets the condition."""
        start = len(self.seen)
        until(lambda: any(condition(number) for _, number in self.seen[start:]), what, limit_s)


def cpu_s(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def console(*words: str) -> str:
    return subprocess.run(["v4l2-ctl", *words], capture_output=True, text=True, check=True).stdout


def capabilities(device: str) -> str:
    return console("-d", device, "--info").split("Device Caps")[1]


def check_frames():
    """Format, rate, every frame in order, untorn, and not copied once; black at the end, on pause, and live again."""
    with Crosspoint("auto") as server:
        until(lambda: "Video Capture" in capabilities("/dev/video0"), "the device is a camera")
        assert "Video Output" not in capabilities("/dev/video0")
        said = console("-d", "/dev/video0", "--get-fmt-video", "--get-parm")
        assert f"{WIDTH}/{HEIGHT}" in said and "'YU12'" in said and re.search(rf"Frames per second: {RATE}\.000", said), said
        status = server.status()
        assert (status["mode"], status["video_device"], "video_file" in status) == ("device", "/dev/video0", False), status
        assert server.stats()["camera_in_use"] is False
        with Reader("/dev/video0") as reader:
            until(lambda: server.stats()["camera_in_use"], "the reader is noticed")
            reader.says(lambda number: number == -1, "black comes before anything is configured")
            # What is read from the disk for the first time takes its time here: once for the code, and once more if need be.
            server.play("fits.ts")
            until(lambda: server.stats()["frames_out"] > 20, "the first frames are shown")
            server.post("stop")
            attempts = (play_numbers(server, reader, attempt) for attempt in range(3))
            assert any(attempts), "frames are lost each time"

            before = server.stats()
            server.play("other.ts", loop=True)
            reader.says(lambda number: number >= 0, "a clip of another size is shown")
            until(lambda: server.stats()["frames_out"] > before["frames_out"] + 30, "thirty of its frames are written")
            stats = server.stats()
            copies = stats["copies"] - before["copies"]
            assert copies == stats["frames_out"] - before["frames_out"], stats
            assert stats["copied_bytes"] - before["copied_bytes"] == FRAME_BYTES * copies, stats
            # The clip goes on between the two calls; between some of them no frame comes.
            until(lambda: f"crosspoint_camera_copies_total{{camera=\"device\"}} {server.stats()['copies']}\n" in server.get("/metrics"), "the metric says the same")

            server.post("pause")
            reader.says(lambda number: number == -1, "pause is black")
            start = len(reader.seen)
            until(lambda: len(reader.seen) > start + 2 * RATE, "black keeps coming", 10)
            assert {number for _, number in reader.seen[start:]} == {-1}
            server.post("resume")
            reader.says(lambda number: number >= 0, "it is live again")
    assert "Video Output" in capabilities("/dev/video0"), "the device is free again"


def play_numbers(server: Crosspoint, reader: Reader, attempt: int) -> bool:
    """Plays the 300 frames and says whether every one was seen, whole. This slow machine may lose some, or starve a reader for as long as a
    buffer is left alone, which is a frame time; disorder is ours, and so are copies."""
    reader.says(lambda number: number == -1, "black comes before")
    start, torn, before = len(reader.seen), reader.torn, server.stats()
    server.play("fits.ts")
    until(lambda: server.status()["state"] == "idle", "the clip ends")
    reader.says(lambda number: number == -1, "black comes after the end")
    after = server.stats()
    written, copies, copied_bytes, dropped = (after[key] - before[key] for key in ("frames_out", "copies", "copied_bytes", "frames_dropped"))
    frames = [(at, number) for at, number in reader.seen[start:] if number >= 0]
    numbers = [number for _, number in frames]
    distinct = [number for last, number in zip([-1, *numbers], numbers) if number != last]
    rate = (numbers[-1] - numbers[0]) / (next(at for at, number in frames if number == numbers[-1]) - frames[0][0])
    print(f"  attempt {attempt + 1}: {len(distinct)} of 300 frames seen, {distinct[0]} to {distinct[-1]}, {len(frames) - len(distinct)} repeats,")
    print(f"  {reader.torn - torn} torn, {rate:.2f} a second; {written} written, {dropped} dropped, {copies} copies, {copied_bytes} bytes copied", flush=True)
    assert distinct == sorted(set(distinct)), f"out of order: {distinct}"
    if distinct != list(range(300)) or reader.torn > torn:
        return False
    assert abs(rate - RATE) < RATE / 10, rate
    assert (written, copies, copied_bytes) == (300, 0, 0), after
    return True


def check_readers():
    """Readers come and go, and one that takes buffers stops nobody."""
    with Crosspoint("v4l2") as server:
        server.play("fits.ts", loop=True)
        for _ in range(2):
            with Reader("/dev/video0") as reader:
                reader.says(lambda number: number >= 0, "a reader sees the clip")
                assert server.stats()["camera_in_use"]
            until(lambda: server.stats()["camera_in_use"] is False, "its going is noticed")
        with Reader("/dev/video0") as first:
            first.says(lambda number: number >= 0, "the first reader sees the clip")
            with Reader("/dev/video0", buffers=2) as second:
                second.says(lambda number: number >= 0, "so does one with two buffers")
                for _ in range(3):
                    first.says(lambda number: number >= 0, "the first one goes on")
            before = server.stats()
            until(lambda: server.stats()["frames_out"] > before["frames_out"] + 10, "frames are written")
            after = server.stats()
            assert after["copies"] - before["copies"] == after["frames_out"] - before["frames_out"], "two buffers are copied into"
            first.says(lambda number: number >= 0, "the first one goes on alone")
        assert "a reader took buffers" in server.log.read_text()


def check_devices():
    """Two devices at once; one that is taken is waited for; a stop sets it free."""
    with Crosspoint("v4l2:/dev/video1") as first, Crosspoint("v4l2:/dev/video0") as other:
        with Reader("/dev/video1") as reader, Reader("/dev/video0") as beside:
            first.play("fits.ts", loop=True)
            reader.says(lambda number: number >= 0, "the second device shows a clip")
            beside.says(lambda number: number == -1, "the first one stays black")
        other.post("stop")
        with Crosspoint("v4l2:/dev/video1") as late:
            late.play("fits.ts", loop=True)
            error = until(lambda: late.status()["last_error"], "the taken device is told")
            assert "another p" in error and "writing it" in error, error
            first.end()
            until(lambda: late.status()["last_error"] is None, "it is taken over")
            with Reader("/dev/video1") as reader:
                reader.says(lambda number: number >= 0, "and shown by the one that waited")
    assert "Video Output" in capabilities("/dev/video1")
    with Crosspoint("v4l2:/dev/video9") as server:
        server.play("fits.ts", loop=True)
        error = until(lambda: server.status()["last_error"], "the missing device is told")
        assert "no such device" in error, error


def check_formats():
    """A device that a reader holds to another format is written in that format, and in ours when the reader has left."""
    # Another writer makes it a device of another size and layout, and a reader keeps it so.
    words = "v4l2-ctl -d /dev/video1 --set-fmt-video-out=width=320,height=240,pixelformat=YUYV --stream-out-mmap"
    writer = subprocess.Popen(words.split(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: "Video Capture" in capabilities("/dev/video1"), "another program streams")
    with open("/dev/video1", "rb"):
        writer.terminate()
        writer.wait()
        until(lambda: "Video Output" in capabilities("/dev/video1"), "the device can be written again")
        with Crosspoint("v4l2:/dev/video1") as server:
            said = until(lambda: "width=320" in server.log.read_text() and console("-d", "/dev/video1", "--get-fmt-video"), "it is written")
            assert "320/240" in said and "'YUYV'" in said, said
            server.play("fits.ts", loop=True)
            until(lambda: server.stats()["frames_out"] > 10, "it is written as it is")
            stats = server.stats()
            assert stats["copies"] == 2 * stats["frames_out"], stats
    # ffmpeg only writes, and leaves a device that is neither camera nor output.
    words = "ffmpeg -nostdin -v error -f lavfi -i color=gray:size=320x240:rate=15 -pix_fmt yuv420p -frames:v 3 -f v4l2 /dev/video1"
    subprocess.run(words.split(), check=True)
    assert "Video" not in capabilities("/dev/video1"), capabilities("/dev/video1")
    with Crosspoint("v4l2:/dev/video1") as server:
        until(lambda: "camera ready" in server.log.read_text(), "the device is brought back to life")
        assert f"{WIDTH}/{HEIGHT}" in console("-d", "/dev/video1", "--get-fmt-video"), "it has our format"


def check_bench():
    """CPU a frame, beside ffmpeg on the same clip, with a reader."""
    size = tuple(int(side) for side in os.environ.get("BENCH_SIZE", "1280x720").split("x"))
    costs = collections.defaultdict(list)

    def measure(name: str, pid: int, frames):
        (begin, start), end = (frames(), cpu_s(pid)), time.monotonic() + 10
        until(lambda: time.monotonic() > end, "the time is over")
        costs[name].append((cpu_s(pid) - start) / (frames() - begin) * 1e3)

    for _ in range(BENCH_ROUNDS):
        with Crosspoint("v4l2:/dev/video0", f"{size[0]}x{size[1]}@10") as server, contextlib.ExitStack() as stack:
            server.post("configure", video={"type": "file", "url": str(CLIPS / "large.ts"), "loop": True})
            reader = stack.enter_context(Reader("/dev/video0", size=size))
            reader.says(lambda number: number >= 0, "crosspoint's clip is seen")
            measure("crosspoint", server.process.pid, lambda: server.stats()["frames_out"])
            print(f"  copies a frame: {server.stats()['copies_per_frame']}")
        # After ffmpeg the device is dead for the next one: see `check_formats`.
        with Crosspoint("v4l2:/dev/video1"):
            until(lambda: "Video Capture" in capabilities("/dev/video1"), "the device is alive")
        words = f"ffmpeg -nostdin -v error -re -stream_loop -1 -threads 1 -i {CLIPS / 'large.ts'} -pix_fmt yuv420p -f v4l2 /dev/video1"
        with subprocess.Popen(words.split()) as writer:
            until(lambda: "Video Capture" in capabilities("/dev/video1"), "ffmpeg streams")
            with Reader("/dev/video1", size=size) as reader:
                reader.says(lambda number: number >= 0, "ffmpeg's clip is seen")
                start = len(reader.seen)
                measure("ffmpeg", writer.pid, lambda: len(reader.seen))
            writer.terminate()
    ours, theirs = (min(costs[name]) for name in ("crosspoint", "ffmpeg"))
    print(f"  CPU a frame of {size[0]}x{size[1]}, emulated: {dict(costs)} ms; crosspoint costs {ours / theirs:.2f} of ffmpeg", flush=True)


PAGE = """<!doctype html><video muted></video><script>
const say = text => fetch('/' + encodeURIComponent(text), {method: 'POST'});
(async () => {
  const stream = await navigator.mediaDevices.getUserMedia({video: true});
  const track = stream.getVideoTracks()[0], {width, height, frameRate} = track.getSettings();
  await say(`camera ${track.label} ${width}x${height}@${frameRate}`);
  const video = document.querySelector('video'), canvas = new OffscreenCanvas(COLUMNS, 1);
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const look = () => {
    context.drawImage(video, 0, 0, COLUMNS, 1);
    const pixels = context.getImageData(0, 0, COLUMNS, 1).data;
    let number = 0;
    for (let column = 0; column < COLUMNS; column++) if (pixels[4 * column] > 110) number |= 1 << column;
    say('frame ' + number);
    video.requestVideoFrameCallback(look);
  };
  video.srcObject = stream;
  await video.play();
  video.requestVideoFrameCallback(look);
})().catch(error => say('failed ' + error));
</script>"""


def check_chromium():
    """A page of Chromium's sees the clip on the device, without a wrapper and without a copy."""
    said: list[str] = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.replace("COLUMNS", str(COLUMNS)).encode())

        def do_POST(self):
            said.append(urllib.parse.unquote(self.path[1:]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    with Crosspoint("v4l2:/dev/video0") as server:
        server.play("fits.ts", loop=True)
        flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"
        flags += " --disable-sync --disable-extensions --use-fake-ui-for-media-stream --user-data-dir=/tmp/chromium"
        words = ["chromium", *flags.split(), f"http://localhost:{pages.server_port}/"]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
            start = time.monotonic()
            until(lambda: said, "the page has a camera", 180)
            print(f"  after {time.monotonic() - start:.0f} s: {said[0]}", flush=True)
            frames = lambda: [int(text.split()[1]) for text in said if text.startswith("frame ")]  # noqa: E731
            until(lambda: len(set(frames()) - {0, 4095}) > 10, "the page sees the clip", 60)
            stats = server.stats()
            print(f"  frames {frames()[:40]}; {stats['frames_out']} written, {stats['copies']} copies", flush=True)
            browser.kill()
        assert "failed" not in " ".join(said), said[:3]
        assert f"{WIDTH}x{HEIGHT}" in said[0], said[0]


# The usual ones; a ring that a reader shrank stays so, so the checks of a whole ring come first.
CHECKS = [check_frames, check_devices, check_formats, check_readers]
FURTHER = [check_bench, check_chromium]


def main(names: list[str]):
    chosen = [check for check in CHECKS + FURTHER if check.__name__.removeprefix("check_") in names] if names else CHECKS
    for check in chosen:
        start = time.monotonic()
        print(f"device: {check.__name__.removeprefix('check_')}: {check.__doc__}", flush=True)
        check()
        print(f"device: ok after {time.monotonic() - start:.0f} s", flush=True)
    print("device: all checks passed", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
