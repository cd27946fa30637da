#!/usr/bin/env python3
"""Measures what a configured camera costs while nobody reads it, and while somebody does: a live 720p30 H.264 publisher.

    cargo build --release && CROSSPOINT_BIN=target/release/crosspoint .venv/bin/python server/e2e/idle_cpu.py
"""

import pathlib
import tempfile
import threading
import time

import clip
import crosspoint as server
import wait
from eye import Eye
from usage import processor_s

WINDOW_S = 12
# Until the costs of starting are over.
SETTLE_S = 3


class Meter:
    """Reads the processor time of a server and what it decoded, over a window."""

    def __init__(self, crosspoint: server.Crosspoint):
        self._crosspoint = crosspoint

    def measure(self, what: str):
        wait.until_moment(time.monotonic() + SETTLE_S)
        before, start, used = self._crosspoint.stats(), time.monotonic(), processor_s(self._crosspoint.process.pid)
        wait.until_moment(start + WINDOW_S)
        share = (processor_s(self._crosspoint.process.pid) - used) / (time.monotonic() - start)
        after = self._crosspoint.stats()
        pictures = [after[name] - before[name] for name in ("frames_in", "frames_decoded")]
        print(f"{what:20} {share:6.2%} of a core; {pictures[0]} pictures came, {pictures[1]} were decoded")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        media = clip.video(folder / "clip.ts", codec="h264", seconds=3 * (WINDOW_S + SETTLE_S)).read_bytes()
        crosspoint = server.Crosspoint(folder / "crosspoint", "auto", {}, flags=["--microphone", "off"])
        try:
            meter, ended = Meter(crosspoint), threading.Event()
            meter.measure("nothing configured")
            crosspoint.configure(server.SOCKET_VIDEO)
            with crosspoint.publisher(server.VIDEO) as socket:
                options = {"fps": 30, "stop": ended.is_set}
                sender = threading.Thread(target=server.send_pictures, args=(socket, media), kwargs=options)
                sender.start()
                meter.measure("camera not read")
                eye = Eye(crosspoint.camera_file)
                meter.measure("camera read")
                eye.close()
                ended.set()
                sender.join()
        finally:
            crosspoint.end()


if __name__ == "__main__":
    main()
