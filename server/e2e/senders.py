"""Sources of `stream` inputs that are not plain HTTP: ffmpeg or GStreamer sends a file once, in real time, to whoever a URL names."""

import pathlib
import socket

import clip
import wait
from process import Process

RTSP_SERVER = pathlib.Path(__file__).with_name("rtsp.py")
# Seven transport packets.
DATAGRAM_BYTES = 1316
# ffmpeg ends by itself after this long without whoever it waits for.
PATIENCE_US = 20_000_000


class Sender:
    """A process that sends a file."""

    def __init__(self, folder: pathlib.Path, words: list[str]):
        self._process = Process(words, folder / "sender.log")

    def until(self, condition, what: str):
        self._process.until(condition, what)

    def output(self) -> str:
        return self._process.output()

    def end(self):
        self._process.end()


def udp(folder: pathlib.Path, path: pathlib.Path, start) -> Sender:
    """Sends an MPEG-TS file in datagrams; `start` is told where to listen, and must listen when it returns."""
    port = free_port(socket.SOCK_DGRAM)
    start(f"udp://127.0.0.1:{port}")
    wait.until(lambda: is_open(port, "udp"), "someone to listen for the datagrams")
    return _ffmpeg(folder, path, "mpegts", f"udp://127.0.0.1:{port}?pkt_size={DATAGRAM_BYTES}")


def srt(folder: pathlib.Path, path: pathlib.Path, start) -> Sender:
    """Listens for an SRT caller and sends it an MPEG-TS file; `start` is told whom to call."""
    port = free_port(socket.SOCK_DGRAM)
    url = f"srt://127.0.0.1:{port}"
    sender = _ffmpeg(folder, path, "mpegts", f"{url}?mode=listener&pkt_size={DATAGRAM_BYTES}&listen_timeout={PATIENCE_US}")
    sender.until(lambda: is_open(port, "udp"), "ffmpeg listens")
    start(url)
    return sender


def rtmp(folder: pathlib.Path, path: pathlib.Path, start) -> Sender:
    """Listens for an RTMP player and sends it an FLV file; `start` is told whom to play from."""
    port = free_port(socket.SOCK_STREAM)
    url = f"rtmp://127.0.0.1:{port}/live/camera"
    sender = _ffmpeg(folder, path, "flv", url, ["-listen", "1"])
    sender.until(lambda: is_open(port, "tcp"), "ffmpeg listens")
    start(url)
    return sender


def http_live(folder: pathlib.Path, path: pathlib.Path, start) -> Sender:
    """Serves one HTTP client an FLV file in real time: a stream without a length."""
    port = free_port(socket.SOCK_STREAM)
    url = f"http://127.0.0.1:{port}/live.flv"
    sender = _ffmpeg(folder, path, "flv", url, ["-listen", "1"])
    sender.until(lambda: is_open(port, "tcp"), "ffmpeg listens")
    start(url)
    return sender


def rtsp(folder: pathlib.Path, path: pathlib.Path, start) -> Sender:
    """Serves an MPEG-TS file of H.264 and AAC by RTSP; `start` is told what to play."""
    port = free_port(socket.SOCK_STREAM)
    sender = Sender(folder, [str(RTSP_SERVER), str(port), str(path)])
    sender.until(lambda: is_open(port, "tcp"), "the RTSP server listens")
    start(f"rtsp://127.0.0.1:{port}/live")
    return sender


def _ffmpeg(folder: pathlib.Path, path: pathlib.Path, kind: str, url: str, options=()) -> Sender:
    """An ffmpeg that sends a file's packets as they are, at their own pace."""
    return Sender(folder, [*clip.FFMPEG, "-re", "-i", str(path), "-c", "copy", "-f", kind, *options, url])


def free_port(kind: int) -> int:
    """A port of loopback that nobody has at this moment."""
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def is_open(port: int, protocol: str) -> bool:
    """Whether someone has a port, without touching it: some who listen answer once."""
    state = {"tcp": "0A", "udp": "07"}[protocol]
    rows = [row.split() for name in (protocol, f"{protocol}6") for row in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == state for row in rows)
