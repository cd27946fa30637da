#!/usr/bin/env python3
"""Measures what streaming the screen costs, X server and PulseAudio included, beside others who capture and encode it at the same settings,
and how evenly its pictures come: a screen that stands still, one with sound, a caret that blinks, a page that scrolls, full motion.

    cargo build --release && CROSSPOINT_BIN=target/release/crosspoint .venv/bin/python server/e2e/screen_cpu.py [--help]

pixelflux takes part where `loadtest peers --setup` has installed it. Of a page that scrolls it says how near the pictures are to what was painted
(PSNR). Each round measures everybody in turn, and figures are the medians of the rounds. What painting and playing alone take of the X server and
of PulseAudio is left out of each.
"""

import argparse
import bisect
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field

import crosspoint as server
import numpy as np
import rtc_peer
import rtmp
import sandbox
import wait
from process import Process
from scene import FPS, STEP, Scene, text
from usage import threads_ns
from viewer import Viewer, picture_starts

# Until the costs of starting are over: an RTMP player's first 50 pictures come at the full rate.
SETTLE_S = 4.0
SPEAKER = "audio_output"
# What greys become, full range and limited (ITU-R BT.601): times, and plus.
LEVELS = ((1, 0), (219 / 255, 16))
# Where `loadtest peers --setup` installs what is measured beside ours.
PEERS = pathlib.Path(__file__).resolve().parents[2] / "loadtest/peers"
PIXELFLUX = PEERS / ".venv/bin/python"


@dataclass(frozen=True)
class Case:
    """What is on the screen and in the speaker, and who watches ours."""

    name: str
    picture: str
    viewers: tuple[str, ...]
    size: tuple[int, int] = (1280, 720)
    plays: bool = False
    beside_others: bool = False

    @property
    def moves(self) -> bool:
        return self.picture in ("scrolling", "motion")


EVERYBODY = ("webrtc", "socket", "internal")
CASES = [
    Case("still, WebRTC alone", "still", ("webrtc",)),
    Case("still", "still", EVERYBODY, beside_others=True),
    Case("caret, WebRTC alone", "caret", ("webrtc",)),
    Case("caret", "caret", EVERYBODY, beside_others=True),
    Case("still, sound plays", "still", EVERYBODY, plays=True),
    Case("scrolling", "scrolling", ("socket",), beside_others=True),
    Case("motion", "motion", ("socket",), (1920, 1080), beside_others=True),
]


@dataclass
class Figures:
    """What the rounds of one contender gave."""

    shares: list[float] = field(default_factory=list)
    bits_per_s: list[float] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    psnr_db: list[float] = field(default_factory=list)

    def told(self) -> str:
        words = f"{statistics.median(self.shares):7.2%} of a core ({min(self.shares):.2%} to {max(self.shares):.2%})"
        if self.bits_per_s:
            words += f", {statistics.median(self.bits_per_s) / 1e6:.2f} Mb/s"
        if self.gaps_s:
            off = np.array(self.gaps_s) - 1 / FPS
            far = np.percentile(np.abs(off), 99)
            words += f", {1 / np.mean(self.gaps_s):.1f} pictures/s, off their period by {np.std(off) * 1e3:.1f} ms, 1 % by over {far * 1e3:.1f} ms"
        if self.psnr_db:
            words += f", PSNR {statistics.median(self.psnr_db):.1f} dB"
        return words

    def told_to_machines(self) -> dict[str, list[float]]:
        return {"percent": [100 * share for share in self.shares], "mbit_per_s": [bits / 1e6 for bits in self.bits_per_s], "psnr_db": self.psnr_db}


class Meter:
    """Reads the processor time of processes over a window."""

    def __init__(self, window_s: float):
        self._window_s = window_s

    def share(self, *pids: int) -> float:
        """In shares of a core."""
        wait.until_moment(time.monotonic() + SETTLE_S)
        before, start = [threads_ns(pid) for pid in pids], time.monotonic()
        wait.until_moment(start + self._window_s)
        after, end = [threads_ns(pid) for pid in pids], time.monotonic()
        used = sum(ns - was.get(thread, 0) for was, now in zip(before, after) for thread, ns in now.items())
        return used / 1e9 / (end - start)


class Pipe:
    """Reads the transport stream that a child writes into a pipe."""

    def __init__(self):
        self._reading, self.writing = os.pipe()
        self._pieces, self._moments = [], []
        self._reader = threading.Thread(target=self._read, daemon=True)

    def start(self):
        os.close(self.writing)
        self._reader.start()

    def _read(self):
        while piece := os.read(self._reading, 1 << 16):
            self._moments.append(time.monotonic())
            self._pieces.append(piece)

    def arrivals(self):
        moments = list(self._moments)
        return self._pieces[: len(moments)], moments

    def close(self):
        self._reader.join()
        os.close(self._reading)


def starts_of(media: bytes) -> list[int]:
    """Where pictures start in a transport stream, or in H.264 as such."""
    if media[:1] == b"G":
        return picture_starts(media[: len(media) // 188 * 188])
    # A slice that begins with the first macroblock (ITU-T H.264, 7.3.1 and 7.3.3).
    return [found.start() for found in re.finditer(rb"\x00\x00\x01[\x01\x05\x21\x25\x41\x45\x61\x65][\x80-\xff]", media)]


def pictures(reader, since: float) -> tuple[float, list[float]]:
    """The bits a second of a stream since a moment, and how far apart its pictures arrived."""
    pieces, moments = reader.arrivals()
    first = bisect.bisect(moments, since)
    ends = np.cumsum([len(piece) for piece in pieces])
    media = b"".join(pieces)
    starts = starts_of(media)
    times = [moments[np.searchsorted(ends, start, side="right")] for start in starts]
    times = [moment for moment in times if moment > since]
    bits = 8 * sum(map(len, pieces[first:]))
    return bits / (time.monotonic() - since), list(np.diff(times))


def psnr_db(reader, size: tuple[int, int]) -> float:
    """How near the decoded pictures of a scrolling page are to what was painted, in the median.

    Whether levels are of the full range or of the limited one is no error of a picture."""
    width, height = size
    words = ["ffmpeg", "-v", "quiet", "-i", "-", "-vf", "select=not(mod(n\\,15))", "-vsync", "0", "-pix_fmt", "gray", "-f", "rawvideo", "-"]
    decoded = subprocess.run(words, input=b"".join(reader.arrivals()[0]), stdout=subprocess.PIPE).stdout
    decoded = np.frombuffer(decoded[: len(decoded) // (width * height) * width * height], np.uint8).reshape(-1, height, width)
    page, found = text(size).astype(np.float32), []
    # Every eighth column tells by how much it has scrolled: lines of text are alike in all but where their letters stand.
    pages = np.stack([np.roll(page[:, ::8], -top, axis=0).ravel() for top in range(0, height, STEP)]) - page.mean()
    # The first pictures are of before the rate control has settled.
    for picture in decoded[4:].astype(np.float32):
        top = int(np.argmax(pages @ picture[:, ::8].ravel())) * STEP
        painted = np.roll(page, -top, axis=0)
        errors = [np.mean(((picture - level) / gain - painted) ** 2) for gain, level in LEVELS]
        found.append(10 * np.log10(255**2 / max(min(errors), 1e-3)))
    return float(np.median(found))


class Drain:
    """An RTMP player that keeps nothing."""

    def __init__(self, crosspoint: server.Crosspoint, stream: str):
        self._player = rtmp.Player(crosspoint.rtmp, stream, receive_bytes=1 << 18)
        assert self._player.next_of(rtmp.VIDEO), "a picture"
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with contextlib.suppress(OSError, ValueError):
            while self._player.next():
                pass

    def close(self):
        self._player.close()
        self._reader.join()


@contextlib.contextmanager
def watched(crosspoint: server.Crosspoint, viewers: tuple[str, ...], loop: rtc_peer.Loop):
    """Viewers of every kind told; answers what reads the transport stream, if anybody does."""
    with contextlib.ExitStack() as ends:
        reader = None
        for kind in viewers:
            crosspoint.call("POST", "/stream/start", {"mode": kind, "id": kind, "framerate": FPS})
            ends.callback(crosspoint.call, "POST", "/stream/stop", {"id": kind})
            if kind == "webrtc":
                peer = ends.enter_context(contextlib.closing(rtc_peer.Peer(loop)))
                peer.receive("video", "audio")
                peer.connect(crosspoint, "/stream/webrtc/offer", id=kind)
                # It shows a picture when the next one comes, which a still screen never sends.
                peer.until_connected()
            elif kind == "socket":
                reader = ends.enter_context(contextlib.closing(Viewer(crosspoint, kind)))
                reader.until_pictures(2)
            else:
                ends.enter_context(contextlib.closing(Drain(crosspoint, kind)))
        yield reader


@contextlib.contextmanager
def rival(folder: pathlib.Path, words):
    """A program that writes a transport stream into the pipe whose number its words are made of."""
    pipe = Pipe()
    process = Process(words(pipe.writing), folder / "rival.log", pass_fds=(pipe.writing,))
    pipe.start()
    try:
        process.until(lambda: pipe.arrivals()[0], "its first picture")
        yield process.pid, pipe
        assert process.alive, process.output()[-2000:]
    finally:
        process.end()
        pipe.close()


def rivals(display: sandbox.Display, size: tuple[int, int], preset: str):
    width, height = size
    grab = ["ffmpeg", "-nostdin", "-v", "error", "-f", "x11grab", "-framerate", str(FPS), "-video_size", f"{width}x{height}", "-i", display.name]
    encode = ["-c:v", "libx264", "-preset", preset, "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-b:v", "3M", "-flush_packets", "1"]
    yield "ffmpeg x11grab", lambda fd: [*grab, *encode, "-f", "mpegts", f"pipe:{fd}"]
    plugins = ("ximagesrc", "videoconvert", "x264enc", "mpegtsmux", "fdsink")
    if shutil.which("gst-launch-1.0") and all(subprocess.run(["gst-inspect-1.0", "--exists", plugin]).returncode == 0 for plugin in plugins):
        source = f"ximagesrc display-name={display.name} use-damage=true ! video/x-raw,framerate={FPS}/1 ! videoconvert ! video/x-raw,format=I420"
        encode_too = f"x264enc tune=zerolatency speed-preset={preset} bitrate=3000"
        pipeline = f"{source} ! {encode_too} ! mpegtsmux ! fdsink sync=false fd="
        yield "GStreamer ximagesrc", lambda fd: ["gst-launch-1.0", "-q", *f"{pipeline}{fd}".split()]
    if PIXELFLUX.exists():
        script = [str(PIXELFLUX), str(PEERS / "screen.py"), *map(str, (width, height, FPS, 3000))]
        yield "pixelflux", lambda fd: ["env", f"DISPLAY={display.name}", *script, str(fd)]


@contextlib.contextmanager
def tone(sound: sandbox.Sound):
    """Something that plays into the speaker."""
    source = ["-re", "-f", "lavfi", "-i", "sine=440:sample_rate=48000"]
    words = ["ffmpeg", "-nostdin", "-v", "error", *source, "-f", "pulse", "-device", SPEAKER, "tone"]
    with subprocess.Popen(words, env={**os.environ, **sound.env}) as player:
        try:
            wait.until(lambda: sound.pactl("list", "short", "sink-inputs"), "the tone")
            yield
        finally:
            player.terminate()


def measure(case: Case, binaries: dict[str, pathlib.Path], options) -> dict[str, Figures]:
    meter, figures = Meter(options.seconds), {}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ends:
        folder = pathlib.Path(name)
        loop = rtc_peer.Loop()
        ends.callback(loop.end)
        display = sandbox.Display(folder, geometry="x".join(map(str, (*case.size, 24))))
        ends.callback(display.end)
        sound = sandbox.Sound(folder)
        ends.callback(sound.end)
        ours = {}
        for who, binary in binaries.items():
            # Nobody watches it yet: beside the others it costs nothing.
            flags = ["--preset", options.preset]
            running = server.Crosspoint(folder / who, "auto", {**sound.env, "DISPLAY": display.name}, flags=flags, binary=binary)
            ends.callback(running.end)
            ours[who] = running
        wait.until(lambda: SPEAKER in sound.names("sinks"), "the speaker")
        if case.plays:
            ends.enter_context(tone(sound))
        ends.enter_context(contextlib.closing(Scene(display.name, case.size, case.picture)))
        servers = (display.pid, sound.pid)
        for _ in range(options.rounds):
            # A caret costs the X server nothing to speak of, and a still screen in silence nothing: what these take is ours.
            alone = meter.share(*servers) if case.moves or case.plays else 0.0
            for who, running in ours.items():
                with watched(running, case.viewers, loop) as reader:
                    if not case.plays:
                        wait.until(lambda: sound.pactl("list", "short", "sinks").count("SUSPENDED") == 2, "the sound server to rest")
                    row = figures.setdefault(who, Figures())
                    read(row, meter, reader, case, running.process.pid, *servers, alone=alone)
            for who, words in rivals(display, case.size, options.preset) if case.beside_others else ():
                with rival(folder, words) as (pid, pipe):
                    read(figures.setdefault(who, Figures()), meter, pipe, case, pid, display.pid, alone=alone)
    return figures


def read(row: Figures, meter: Meter, reader, case: Case, *pids: int, alone: float):
    since = time.monotonic() + SETTLE_S
    row.shares.append(meter.share(*pids) - alone)
    if reader:
        bits, gaps = pictures(reader, since)
        row.bits_per_s.append(bits)
        row.gaps_s += gaps if case.moves else []
        row.psnr_db += [psnr_db(reader, case.size)] if case.picture == "scrolling" else []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="how long a figure is measured in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="ultrafast", help="x264's, of all")
    parser.add_argument("--before", type=pathlib.Path, help="another build of Crosspoint, to be measured in the same rounds")
    parser.add_argument("--json", action="store_true", help="for machines, at the end")
    parser.add_argument("--only", action="append", help=f"of: {'; '.join(case.name for case in CASES)}")
    options = parser.parse_args()
    # Who is told to end ends what it started, each in a session of its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    binaries = {"before": options.before} if options.before else {}
    binaries["crosspoint"] = server.BINARY
    told = {}
    for case in CASES:
        if options.only is not None and case.name not in options.only:
            continue
        rows = measure(case, binaries, options)
        told[case.name] = {who: row.told_to_machines() for who, row in rows.items()}
        if not options.json:
            print(f"{case.name}, {case.size[0]}x{case.size[1]}, watched by {', '.join(case.viewers)}", flush=True)
            for who, row in rows.items():
                print(f"  {who:20} {row.told()}", flush=True)
    if options.json:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
