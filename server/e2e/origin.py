"""An HTTP origin on loopback for `stream` inputs: good ones, slow ones, and every kind that misbehaves.

    /file/PATH        a media file, with Content-Length and ranges
    /unsized/PATH     the same without a length and without ranges
    /trickle/PATH     the same at TRICKLE_BYTES_S bytes a second
    /hls/NAME/FILE    a playlist of `hls.py`, and its segments
    /evil/NAME        see `EVIL`
"""

import contextlib
import http.server
import pathlib
import re
import socket
import threading
import urllib.parse

TRICKLE_BYTES_S = 2000
PIECE_BYTES = 16 * 1024

TYPES = {".m3u8": "application/vnd.apple.mpegurl", ".mp4": "video/mp4", ".png": "image/png", ".ts": "video/mp2t", ".webm": "video/webm"}


class Origin:
    """The server; everything it serves was put into it by name."""

    def __init__(self):
        self.files: dict[str, pathlib.Path] = {}
        # By name: a function that answers a playlist's or a segment's bytes, or nothing.
        self.playlists: dict[str, object] = {}
        self.asked: list[str] = []
        # A local media file that evil answers name, and that nobody may open for them.
        self.bait = pathlib.Path("/etc/passwd")
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", 0), type("Answer", (_Answer,), {"origin": self}))
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def put(self, path: pathlib.Path, way="file") -> str:
        """Serves a file; its URL."""
        self.files[path.name] = path
        return self.url(f"/{way}/{path.name}")

    def put_playlist(self, name: str, playlist) -> str:
        """Serves a `hls` presentation; the URL of its playlist."""
        self.playlists[name] = playlist
        return self.url(f"/hls/{name}/index.m3u8")

    def evil(self, name: str) -> str:
        assert name in EVIL
        return self.url(f"/evil/{name}")

    def pause(self, seconds: float) -> bool:
        """Waits as a slow server does; whether it may go on."""
        return not self._ended.wait(seconds)

    def end(self):
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # Handlers that hang on purpose end with `Origin.end`.
    block_on_close = False

    def handle_error(self, request, client_address):
        """A client that leaves is no error here."""


class _Answer(http.server.BaseHTTPRequestHandler):
    origin: Origin

    def do_GET(self):
        self.origin.asked.append(self.path)
        way, _, rest = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/").partition("/")
        with contextlib.suppress(OSError):
            match way:
                case "file" | "unsized" | "trickle" if rest in self.origin.files:
                    getattr(self, f"_{way}")(self.origin.files[rest])
                case "hls" if rest.partition("/")[0] in self.origin.playlists:
                    self._playlist(*rest.split("/", 1))
                case "evil" if rest.partition("/")[0] in EVIL:
                    EVIL[rest.partition("/")[0]](self)
                case _:
                    self.send_error(404)

    do_HEAD = do_GET

    def head(self, status=200, **headers):
        """Status line and headers; the connection ends with the answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def whole(self, body: bytes, kind: str):
        self.head(Content_Type=kind, Content_Length=len(body))
        self.wfile.write(body)

    def _file(self, path: pathlib.Path):
        body, kind = path.read_bytes(), TYPES.get(path.suffix, "application/octet-stream")
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            self.head(Content_Type=kind, Content_Length=len(body), Accept_Ranges="bytes")
            self.wfile.write(body)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(body) - 1), len(body) - 1)
        if first > last:
            self.head(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
            return
        self.head(206, Content_Type=kind, Content_Length=last + 1 - first, Content_Range=f"bytes {first}-{last}/{len(body)}")
        self.wfile.write(body[first : last + 1])

    def _unsized(self, path: pathlib.Path):
        self.head(Content_Type=TYPES.get(path.suffix, "application/octet-stream"))
        self.wfile.write(path.read_bytes())

    def _trickle(self, path: pathlib.Path):
        self.head(Content_Type=TYPES.get(path.suffix, "application/octet-stream"))
        body, step = path.read_bytes(), TRICKLE_BYTES_S // 10
        for at in range(0, len(body), step):
            self.wfile.write(body[at : at + step])
            if not self.origin.pause(0.1):
                return

    def _playlist(self, name: str, file: str):
        body = self.origin.playlists[name].answer(file)
        if body is None:
            self.send_error(404)
            return
        self.whole(body, TYPES.get(pathlib.PurePath(file).suffix, "application/octet-stream"))

    def log_message(self, format, *args):
        pass


def _hang(answer: _Answer):
    """Takes the request, and says nothing."""
    while answer.origin.pause(1):
        pass


def _hang_in_body(answer: _Answer):
    """Begins a file, and stops in the middle of it."""
    body = next(iter(answer.origin.files.values())).read_bytes()
    answer.head(Content_Type="video/mp2t", Content_Length=len(body))
    answer.wfile.write(body[: len(body) // 3])
    answer.wfile.flush()
    _hang(answer)


def _redirect(answer: _Answer):
    """Redirects to itself, under another name each time, for ever."""
    answer.head(302, Location=answer.origin.url(f"/evil/redirect/{len(answer.origin.asked)}"), Content_Length=0)


def _redirect_to_file(answer: _Answer):
    answer.head(302, Location=f"file://{answer.origin.bait}", Content_Length=0)


def _endless_header(answer: _Answer):
    """Header lines without an end, as fast as they are taken."""
    answer.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while answer.origin.pause(0):
        answer.wfile.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def _endless_line(answer: _Answer):
    """One header line without an end."""
    answer.wfile.write(b"HTTP/1.1 200 OK\r\nX-Filler: ")
    while answer.origin.pause(0):
        answer.wfile.write(b"x" * PIECE_BYTES)


def _endless_playlist(answer: _Answer):
    """A playlist that names segments for ever."""
    answer.head(Content_Type=TYPES[".m3u8"])
    answer.wfile.write(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n")
    segments = b"".join(b"#EXTINF:2,\nsegment%06d.ts\n" % number for number in range(500))
    while answer.origin.pause(0.001):
        answer.wfile.write(segments)


def _endless_garbage(answer: _Answer):
    """A body that is no media and never ends."""
    answer.head(Content_Type="video/mp4")
    piece = bytes((number * 37 + 11) % 251 for number in range(PIECE_BYTES))
    while answer.origin.pause(0.001):
        answer.wfile.write(piece)


def _playlist_naming(form: str):
    """An answer that is a playlist of one segment elsewhere; `{}` stands for the bait's path."""

    def answer_it(answer: _Answer):
        segment = form.format(answer.origin.bait)
        answer.whole(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{segment}\n#EXT-X-ENDLIST\n".encode(), TYPES[".m3u8"])

    return answer_it


def _master_of_itself(answer: _Answer):
    """A master playlist whose rendition is a master playlist, and so on."""
    body = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\n{answer.origin.url('/evil/master-of-itself')}\n".encode()
    answer.whole(body, TYPES[".m3u8"])


def _key_in_file(answer: _Answer):
    """A playlist whose decryption key is a local file."""
    key = '#EXT-X-KEY:METHOD=AES-128,URI="file:///etc/passwd"'
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", key, "#EXTINF:2,", "segment.ts", "#EXT-X-ENDLIST", ""]
    answer.whole("\n".join(lines).encode(), TYPES[".m3u8"])


# What misbehaves, and how it answers.
EVIL = {
    "empty": lambda answer: answer.whole(b"", "video/mp4"),
    "not-media": lambda answer: answer.whole(b"<!doctype html><title>Sign in</title>" * 50, "text/html"),
    "forbidden": lambda answer: answer.send_error(403),
    "server-error": lambda answer: answer.send_error(500),
    "hang": _hang,
    "hang-in-body": _hang_in_body,
    "redirect": _redirect,
    "redirect-to-file": _redirect_to_file,
    "endless-header": _endless_header,
    "endless-line": _endless_line,
    "endless-playlist": _endless_playlist,
    "endless-garbage": _endless_garbage,
    "master-of-itself": _master_of_itself,
    "key-in-file": _key_in_file,
    "playlist-naming-file": _playlist_naming("file://{}"),
    "playlist-naming-path": _playlist_naming("{}"),
    "playlist-naming-data": _playlist_naming("data:video/mp2t;base64,R0AAEAAAsA0AAcEAAAAB8AA="),
    "playlist-naming-concat": _playlist_naming("concat:{}"),
    "playlist-naming-subfile": _playlist_naming("subfile,,start,0,end,0,,:{}"),
}


class Mute:
    """A port that accepts connections into its backlog and never reads nor answers: not even the kernel's listener is served."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]

    def end(self):
        self._listener.close()


def refused_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]

