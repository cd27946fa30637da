"""The feed as its page and its socket's viewers have it."""

import contextlib
import threading

import clip
import wait
from crosspoint import REPOSITORY, VIDEO, send_pictures
from websockets.exceptions import ConnectionClosed

PAGE = "/input/devices/virtual/feed"
SOCKET = "/input/devices/virtual/feed/socket"
INFO = "/input/devices/virtual/feed/socket/info"
LOADING = "Loading virtual feed..."
# A picture as wide as what the codes are read from has cells of 26 pixels.
READ_SIZE = (640, 360)
# In milliseconds, between two looks of the page at itself.
LOOK_MS = 40


def _looker() -> str:
    """What the page logs of itself: [milliseconds, top code, bottom code, mean luma, words on it] every look."""
    codes = (REPOSITORY / "samples/camera/code.js").read_text().replace("export ", "")
    width, height = READ_SIZE
    return (
        codes
        + f"""
window.looks = [];
window.addEventListener('DOMContentLoaded', () => {{
  const canvas = new OffscreenCanvas({width}, {height});
  const context = canvas.getContext('2d', {{ willReadFrequently: true }});
  const look = () => {{
    const shown = document.querySelector('#stage > :not(.stale)');
    const notice = document.getElementById('notice');
    context.fillStyle = 'black';
    context.fillRect(0, 0, {width}, {height});
    try {{ if (shown) context.drawImage(shown, 0, 0, {width}, {height}); }} catch {{ /* no picture yet */ }}
    const {{ data }} = context.getImageData(0, 0, {width}, {height});
    const luma = new Uint8Array({width * height});
    let sum = 0;
    for (let at = 0; at < luma.length; at++) sum += luma[at] = (data[4 * at] * 77 + data[4 * at + 1] * 150 + data[4 * at + 2] * 29) >> 8;
    const {{ top, bottom }} = readCodes({{ luma, stride: {width}, width: {width}, height: {height} }}, [{width} / {height}]);
    window.looks.push([performance.now(), top, bottom, sum / luma.length, notice.hidden ? null : notice.textContent]);
  }};
  setInterval(look, {LOOK_MS});
}});
"""
    )


class FeedPage:
    """The feed page, and what it was seen to show."""

    def __init__(self, browser, crosspoint, query: str = "", *, look: bool = True):
        self.page = browser.new_page()
        self.page.set_viewport_size({"width": 1280, "height": 720})
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        if look:
            self.page.add_init_script(_looker())
        self.page.goto(f"http://{crosspoint.listen}{PAGE}{query}")

    def looks(self, start: int = 0) -> list[list]:
        return self.page.evaluate("start => window.looks.slice(start)", start)

    def mark(self) -> int:
        return self.page.evaluate("window.looks.length")

    @property
    def newest(self) -> list:
        return self.page.evaluate("window.looks.at(-1) ?? [0, null, null, 0, null]")

    @property
    def words(self) -> str | None:
        """What is written over the picture."""
        return self.page.evaluate("document.getElementById('notice').hidden ? null : document.getElementById('notice').textContent")

    @property
    def players(self) -> int:
        return self.page.evaluate("document.getElementById('stage').childElementCount")

    def until_moving(self, start: int = 0, deadline=wait.DEADLINE_S):
        """Waits until three different numbers have been read since `start`."""
        ask = "start => new Set(window.looks.slice(start).filter(([, top, bottom]) => top !== null && top === bottom).map(([, top]) => top)).size >= 3"
        wait.until(lambda: self.page.evaluate(ask, start), lambda: f"a moving clip (newest {self.newest}, {self.complaints})", deadline)

    def until_words(self, words: str | None, deadline=wait.DEADLINE_S):
        wait.until(lambda: self.words == words, lambda: f"the words {words!r} ({self.words!r})", deadline)

    def numbers(self, start: int = 0) -> list[int]:
        """The numbers of the whole pictures that were seen."""
        return [top for _, top, bottom, *_ in self.looks(start) if top is not None and top == bottom]

    def close(self):
        self.page.close()


class FeedViewer:
    """A viewer of the feed's socket that keeps all it gets."""

    def __init__(self, crosspoint):
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(crosspoint.socket(SOCKET))
        self.greeting = self._socket.recv(timeout=wait.DEADLINE_S)
        self.messages: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with contextlib.suppress(ConnectionClosed):
            for message in self._socket:
                self.messages.append(message)

    @property
    def media(self) -> bytes:
        messages = list(self.messages)
        assert all(isinstance(message, bytes) for message in messages), "binary messages only"
        return b"".join(messages)

    @property
    def close_code(self) -> int | None:
        """The code that the server closed it with; nothing while it is open."""
        return None if self._reader.is_alive() else self._socket.close_code

    def until_more(self, count: int):
        """Waits until so many messages more have come."""
        wanted = len(self.messages) + count
        wait.until(lambda: len(self.messages) >= wanted, lambda: f"{wanted} messages ({len(self.messages)})")

    def close(self):
        self._open.close()
        self._reader.join()


class Publisher:
    """Sends a clip in real time, again and again, until it is told to stop."""

    def __init__(self, crosspoint, media: bytes):
        self._crosspoint, self._media = crosspoint, media
        self._stop = threading.Event()
        self._hold = threading.Event()
        self._sender = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        with contextlib.suppress(ConnectionClosed), self._crosspoint.publisher(VIDEO) as socket:
            while not self._stop.is_set():
                send_pictures(socket, self._media, fps=30, stop=lambda: self._stop.is_set() or self._hold.is_set())
                while self._hold.is_set() and not self._stop.is_set():
                    self._stop.wait(0.01)

    def hold(self):
        """Sends nothing, but stays."""
        self._hold.set()

    def go_on(self):
        """Sends again, from the clip's beginning."""
        self._hold.clear()

    def __enter__(self):
        self._sender.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._sender.join()


def tables_first(media: bytes) -> bool:
    """Whether whole packets begin with PAT and PMT."""
    pids = [(media[at + 1] & 0x1F) << 8 | media[at + 2] for at in range(0, 2 * clip.TS_PACKET, clip.TS_PACKET)]
    return len(media) % clip.TS_PACKET == 0 and pids == [0, 0x1000]
