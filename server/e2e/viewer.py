"""Viewers of the socket stream, and what is in the transport stream that they get."""

import contextlib
import threading
import time

import clip
import wait
from websockets.exceptions import ConnectionClosed


class Viewer:
    """A viewer of the socket stream that keeps all it gets."""

    def __init__(self, crosspoint, stream: str):
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(crosspoint.socket(f"/stream/socket/{stream}"))
        self._messages: list[bytes] = []
        self._moments: list[float] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        try:
            for message in self._socket:
                self._moments.append(time.monotonic())
                self._messages.append(message)
        except ConnectionClosed:
            pass

    def received(self) -> bytes:
        """All that came."""
        messages = list(self._messages)
        assert all(isinstance(message, bytes) for message in messages), "binary messages only"
        assert all(len(message) % clip.TS_PACKET == 0 for message in messages), "whole packets in a message"
        return b"".join(messages)

    def arrivals(self) -> tuple[list[bytes], list[float]]:
        """All that came, as it came, and when."""
        return list(self._messages), list(self._moments)

    def media(self) -> bytes:
        """Whole pictures: all up to the start of the newest, which is still arriving."""
        received = self.received()
        return received[: start_of_newest_picture(received)]

    def until_pictures(self, count: int):
        """Waits until so many whole pictures are there."""
        return wait.until(lambda: len(picture_starts(media := self.media())) >= count and media, f"{count} pictures")

    def close(self):
        self._open.close()
        self._reader.join()

    @property
    def attached(self) -> bool:
        """Whether the server keeps the socket open."""
        return self._reader.is_alive()


def pid(media: bytes, at: int) -> int:
    return (media[at + 1] & 0x1F) << 8 | media[at + 2]


def picture_starts(media: bytes) -> list[int]:
    """Where packets start that begin a video PES (stream ids 0xe0 to 0xef)."""
    starts = []
    for at in range(0, len(media), clip.TS_PACKET):
        if not media[at + 1] & 0x40 or not media[at + 3] & 0x10:
            continue
        payload = at + 4 + (1 + media[at + 4] if media[at + 3] & 0x20 else 0)
        if media[payload : payload + 3] == b"\0\0\1" and 0xE0 <= media[payload + 3] <= 0xEF:
            starts.append(at)
    return starts


def start_of_newest_picture(media: bytes) -> int:
    starts = picture_starts(media)
    return starts[-1] if starts else 0
