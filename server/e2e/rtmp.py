"""RTMP peers: a player that reads as fast or as slow as it is told, one that records, nginx as a platform to push to, and a TLS front before it."""

import contextlib
import pathlib
import socket
import ssl
import struct
import subprocess
import threading

import wait
from process import Process

VIDEO, AUDIO, SCRIPT = 9, 8, 18
HANDSHAKE_BYTES = 1536


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _text(value: str) -> bytes:
    return b"\x02" + struct.pack(">H", len(value)) + value.encode()


def _command(name: str, transaction: float, *arguments: bytes) -> bytes:
    return _text(name) + b"\0" + struct.pack(">d", transaction) + b"".join(arguments)


def _message(body: bytes, stream=0) -> bytes:
    """A command in chunks of 128 bytes, which is where every session begins."""
    chunks = [body[at : at + 128] for at in range(0, len(body), 128)]
    head = b"\x03\0\0\0" + len(body).to_bytes(3, "big") + b"\x14" + struct.pack("<I", stream)
    return head + b"\xc3".join(chunks)


class Player:
    """A player that reads only when it is told to."""

    def __init__(self, address: str, stream: str, receive_bytes=4096):
        host, port = address.rsplit(":", 1)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(wait.DEADLINE_S)
        self._socket.connect((host, int(port)))
        self._file = self._socket.makefile("rb")
        self._chunk_bytes = 128
        self._socket.sendall(b"\x03" + bytes(HANDSHAKE_BYTES))
        self._file.read(1 + 2 * HANDSHAKE_BYTES)
        app = b"\x03" + struct.pack(">H", 3) + b"app" + _text("live") + b"\0\0\x09"
        self._socket.sendall(bytes(HANDSHAKE_BYTES) + _message(_command("connect", 1, app)))
        self._socket.sendall(_message(_command("createStream", 2, b"\x05")) + _message(_command("play", 0, b"\x05", _text(stream)), 1))

    def next(self):
        """The next message's type, time in milliseconds and body; nothing at the end."""
        head = self._file.read(12)
        if len(head) < 12:
            return None
        assert head[0] >> 6 == 0, "every message has a whole header"
        time_ms, size = int.from_bytes(head[1:4], "big"), int.from_bytes(head[4:7], "big")
        body = b""
        while len(body) < size:
            part = self._file.read(min(self._chunk_bytes, size - len(body)))
            if not part:
                return None
            body += part
            if len(body) < size:
                assert self._file.read(1)[0] >> 6 == 3
        if head[7] == 1:
            self._chunk_bytes = int.from_bytes(body, "big")
        return head[7], time_ms, body

    def next_of(self, kind: int):
        """The next message of a type."""
        while message := self.next():
            if message[0] == kind:
                return message
        return None

    def close(self):
        """Also wakes whoever is reading."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Recorder:
    """ffmpeg as a player that keeps what it gets, as it comes."""

    def __init__(self, url: str, path: pathlib.Path):
        self._path = path
        # FFmpeg guesses a rate from 40 pictures before it plays.
        words = ["ffmpeg", "-nostdin", "-v", "error", "-fpsprobesize", "0", "-copyts", "-i", url, "-map", "0:v", "-map", "0:a"]
        self._process = Process([*words, "-c", "copy", "-flush_packets", "1", "-f", "flv", str(path)], path.with_suffix(".log"))

    def media(self) -> bytes:
        """Whole tags: all up to one that is still being written."""
        assert self._process.alive, self._process.output()
        media = self._path.read_bytes() if self._path.exists() else b""
        # Each tag has a header of 11 bytes with its size, and the size of the whole behind it; the file's own header has 9 and 4.
        end = 13
        while end + 11 <= len(media) and (whole := end + 15 + int.from_bytes(media[end + 1 : end + 4], "big")) <= len(media):
            end = whole
        return media[:end] if end > 13 else b""

    def close(self):
        self._process.end()


class Platform:
    """nginx with its RTMP module: publishers in, players out."""

    def __init__(self, folder: pathlib.Path):
        folder.mkdir()
        self.port = free_port()
        self._folder = folder
        self._process = None
        (folder / "nginx.conf").write_text(f"""
            load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
            daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log info;
            events {{ worker_connections 64; }}
            rtmp {{ server {{ listen 127.0.0.1:{self.port}; application app {{ live on; }} }} }}
        """)

    def start(self):
        words = ["/usr/sbin/nginx", "-p", str(self._folder), "-c", str(self._folder / "nginx.conf"), "-e", str(self._folder / "error.log")]
        self._process = Process(words, self._folder / "nginx.log")
        self._process.until(self._listens, "nginx listens")

    def stop(self):
        if self._process:
            self._process.end()
            self._process = None

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


class Authority:
    """A certificate authority of our own, and a certificate for 127.0.0.1 by it."""

    def __init__(self, folder: pathlib.Path):
        folder.mkdir()
        self.root, self.certificate, self.key = folder / "root.pem", folder / "certificate.pem", folder / "key.pem"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        root_key, request, more = folder / "root-key.pem", folder / "request.pem", folder / "more.cnf"
        more.write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        self._openssl("req", "-x509", *curve, "-keyout", root_key, "-out", self.root, "-subj", "/CN=Root of a test")
        self._openssl("req", *curve[:-2], "-keyout", self.key, "-out", request, "-subj", "/CN=127.0.0.1")
        by = ["-CA", self.root, "-CAkey", root_key, "-CAcreateserial", "-days", "2", "-extfile", more]
        self._openssl("x509", "-req", "-in", request, "-out", self.certificate, *by)

    @staticmethod
    def _openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class Front:
    """TLS before a port on this machine."""

    def __init__(self, authority: Authority, port: int):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(authority.certificate, authority.key)
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, plain):
        with contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as front:
            with socket.create_connection(("127.0.0.1", self._behind)) as behind:
                # An SSL socket is not for two threads at a time: one short look this way, one that.
                front.settimeout(0.01)
                behind.settimeout(0.01)
                while self._moved(front, behind) and self._moved(behind, front):
                    pass

    @staticmethod
    def _moved(source, sink) -> bool:
        try:
            data = source.recv(65536)
        except TimeoutError:
            return True
        sink.settimeout(wait.DEADLINE_S)
        sink.sendall(data)
        sink.settimeout(0.01)
        return bool(data)

    def close(self):
        self._listener.close()
