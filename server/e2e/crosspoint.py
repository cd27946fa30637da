"""The server under test: its process, its HTTP calls, its sockets."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import tempfile
import time
import urllib.error
import urllib.request

from websockets.sync.client import connect

import clip
import wait
from process import Process

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(
    os.environ.get("CROSSPOINT_BIN") or pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "debug/crosspoint"
)
# The file's name is the label that pages see.
CAMERA_NAME = "HD Webcam.y4m"
# What a process ends by that broke, not by what a test does to it.
CRASHES = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL}

VIDEO = "/input/devices/virtual/socket/video"
AUDIO = "/input/devices/virtual/socket/audio"
SOCKET_VIDEO = {"type": "socket", "format": "mpegts", "width": 1280, "height": 720, "frame_rate": 30}
SOCKET_AUDIO = {"type": "socket", "format": "mp3"}

# As the example script of the API sends.
CHUNK_BYTES = 65536
CHUNK_INTERVAL_S = 0.035


class Refused(Exception):
    """An HTTP answer that is not a success."""

    def __init__(self, status: int, message: str):
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Api:
    """A server's calls and sockets, by its address, wherever it runs."""

    def __init__(self, listen: str):
        self.listen = listen
        # Shown with each call, where it asks for one.
        self.token = None

    def call(self, method: str, path: str, body=None):
        """The JSON answer of a call; raises `Refused` for every other."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(f"http://{self.listen}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=wait.DEADLINE_S) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refusal:
            raise Refused(refusal.code, json.loads(refusal.read())["message"]) from None

    def configure(self, video=None, audio=None, **more):
        tracks = {"video": video, "audio": audio}
        return self.call("POST", "/input/devices/virtual/configure", {k: v for k, v in tracks.items() if v} | more)

    def input(self, verb: str):
        """POST pause, resume or stop."""
        return self.call("POST", f"/input/devices/virtual/{verb}")

    def status(self) -> dict:
        return self.call("GET", "/input/devices/virtual/status")

    def stats(self) -> dict:
        return self.status()["stats"]

    def metrics(self) -> dict[str, float]:
        """The counters, by name and label."""
        with urllib.request.urlopen(f"http://{self.listen}/metrics", timeout=wait.DEADLINE_S) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    def streams(self) -> dict[str, dict]:
        return {stream["id"]: stream for stream in self.call("GET", "/stream/list")}

    def socket(self, path: str, **options):
        options = {"max_size": None, "compression": None, "ping_interval": None, "close_timeout": 2} | options
        return connect(f"ws://{self.listen}{path}", **options)

    @contextlib.contextmanager
    def publisher(self, path: str):
        """A publisher's socket that has had its greeting."""
        with self.socket(path) as socket:
            socket.greeting = socket.recv(timeout=wait.DEADLINE_S)
            yield socket

    def reset(self):
        """Back to nothing configured and nothing streamed."""
        self.input("stop")
        for name in self.streams():
            self.call("POST", "/stream/stop", {"id": name})
        wait.until(lambda: self.status()["state"] == "idle", "the input to be idle")


class Crosspoint(Api):
    """A running server with a camera of its own."""

    def __init__(
        self,
        folder: pathlib.Path,
        io: str,
        env: dict[str, str],
        *,
        preexec_fn=None,
        listen="127.0.0.1:0",
        flags=(),
        prefix=(),
        binary=BINARY,
        usual=False,
    ):
        """With `usual`, RTMP's ports are left to it."""
        assert binary.exists(), f"{binary} is missing: cargo build --workspace --bins, or name one in CROSSPOINT_BIN"
        folder.mkdir(exist_ok=True)
        self.io = io
        # tmpfs, where a live one-frame Y4M belongs.
        self._camera_folder = pathlib.Path(tempfile.mkdtemp(prefix="crosspoint-e2e-", dir="/dev/shm"))
        # Chromium without root has to come in.
        self._camera_folder.chmod(0o755)
        self.camera = f"file:{self._camera_folder / CAMERA_NAME}"
        ready = folder / "ready.json"
        words = [*prefix, str(binary), "--listen", listen]
        words += ["--camera", self.camera, "--io", io, "--ready-file", str(ready)]
        for flag in ("--rtmp-listen", "--rtmps-listen"):
            words += [] if usual or flag in flags else [flag, "127.0.0.1:0"]
        words += flags
        env = {"XDG_STATE_HOME": str(folder / "state")} | env
        self.process = Process(words, folder / "crosspoint.log", env=env, preexec_fn=preexec_fn)
        try:
            told = self.process.until(lambda: ready.exists() and ready.read_text().strip(), "crosspoint is ready")
        except BaseException:
            self.end()
            raise
        told = json.loads(told)
        super().__init__(told["listen"])
        self.rtmp, self.rtmps = told["rtmp"], told["rtmps"]
        self.port = int(self.listen.rsplit(":", 1)[1])
        self.udp_port = told["udp"] and int(told["udp"].rsplit(":", 1)[1])

    @property
    def camera_file(self) -> pathlib.Path:
        return self._camera_folder / CAMERA_NAME

    def threads(self) -> dict[int, str]:
        """Its threads' names, by id."""
        names = {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                names[int(task.name)] = (task / "comm").read_text().strip()
        return names

    def switches(self, thread: int) -> int:
        """How often a thread was given the processor and left it."""
        lines = pathlib.Path(f"/proc/{self.process.pid}/task/{thread}/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

    def end(self):
        self.process.end()
        # Whatever a test did to it, and at its end, too.
        assert self.process.code not in CRASHES, self.process.output()
        shutil.rmtree(self._camera_folder, ignore_errors=True)


def send_ahead(socket, media: bytes, *, stop=lambda: False):
    """Sends as the API's example script does: 64 KiB every 35 ms, far ahead of real time; the server's reading slows it down."""
    for at in range(0, len(media), CHUNK_BYTES):
        if stop():
            return
        due = time.monotonic() + CHUNK_INTERVAL_S
        socket.send(media[at : at + CHUNK_BYTES])
        wait.until_moment(due)


def send_pictures(socket, media: bytes, *, fps: float, jitter=None, stop=lambda: False):
    """Sends one picture a message at a rate, each off by what `jitter` says in seconds, until `stop` says so."""
    start = time.monotonic()
    for index, unit in enumerate(clip.access_units(media)):
        if stop():
            return
        wait.until_moment(start + index / fps + (jitter() if jitter else 0))
        socket.send(unit)
