#!/usr/bin/env python3
"""Makes test clips: a moving picture that carries its frame number, and a tone.

The number stands as a row of black and white cells at the top and again at the bottom of every picture, wide enough to survive MPEG-1 at
1.5 Mbit/s, scaling and letterboxing; a torn picture shows two different numbers. `CELLS` describes the row, `samples/camera/code.js` reads it.

    clip.py video.ts --codec mpeg1 --seconds 20
    clip.py tone.mp3 --tone 440 --seconds 20
"""

import argparse
import itertools
import math
import pathlib
import subprocess

import numpy as np

# white, black, 16 bits of the number from the highest, 4 bits of checksum, black, white
CELLS = 24
# A code row is this part of the picture's height.
ROW = 1 / 15

# ffmpeg's encoder options; low delay unless B-frames are asked for.
CODECS = {
    "mpeg1": ["-c:v", "mpeg1video"],
    "mpeg2": ["-c:v", "mpeg2video"],
    "h264": ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency"],
    "hevc": ["-c:v", "libx265", "-preset", "ultrafast", "-tune", "zerolatency", "-x265-params", "log-level=error"],
}
# x264 and x265 by zerolatency forbid B-frames, so these clips go without that tune.
CODECS_WITH_B_FRAMES = {
    "mpeg1": [*CODECS["mpeg1"], "-bf", "2"],
    "mpeg2": [*CODECS["mpeg2"], "-bf", "2"],
    "h264": ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-x264-params", "b-adapt=0"],
    "hevc": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:bframes=3:b-adapt=0"],
}

TS_PACKET = 188
FFMPEG = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]

GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110", "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111", "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010", "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110", "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110", "9": "01110 10001 10001 01111 00001 00010 01100",
    ":": "00000 00100 00100 00000 00100 00100 00000", "#": "01010 01010 11111 01010 11111 01010 01010",
}

# Colour bars of ITU-R BT.601 at 75 %: Y, Cb, Cr.
BARS = [(180, 128, 128), (162, 44, 142), (131, 156, 44), (112, 72, 58), (84, 184, 198), (65, 100, 212), (35, 212, 114)]


def checksum(number: int) -> int:
    """The four bits behind a number; never those that an all-black or all-white row would show."""
    return (number ^ number >> 4 ^ number >> 8 ^ number >> 12 ^ 0b0110) & 0b1111


def bits(number: int) -> list[int]:
    """A row's cells, 1 for white."""
    word = (number & 0xFFFF) << 4 | checksum(number & 0xFFFF)
    return [1, 0, *(word >> shift & 1 for shift in range(19, -1, -1)), 0, 1]


def read_row(luma: np.ndarray) -> int | None:
    """Reads a code row from its luma samples, or nothing when none is there."""
    height, width = luma.shape
    band = luma[round(height * 0.35) : max(round(height * 0.65), 1)]
    levels = []
    for cell in range(CELLS):
        left, right = (cell + 0.3) * width / CELLS, (cell + 0.7) * width / CELLS
        levels.append(float(band[:, round(left) : max(round(right), round(left) + 1)].mean()))
    white, black = (levels[0] + levels[-1]) / 2, (levels[1] + levels[-2]) / 2
    if white - black < 80:
        return None
    word = 0
    for level in levels[2:-2]:
        word = word << 1 | (level > (white + black) / 2)
    number = word >> 4
    return number if checksum(number) == word & 0b1111 else None


def read_codes(luma: np.ndarray) -> tuple[int | None, int | None]:
    """Reads the codes at the top and at the bottom of a picture."""
    row = round(luma.shape[0] * ROW)
    return read_row(luma[:row]), read_row(luma[-row:])


class Picture:
    """Draws frames of one size as packed I420."""

    def __init__(self, width: int, height: int, fps: int):
        self.width, self.height, self.fps = width, height, fps
        self.row = round(height * ROW)
        self.edges = [round(cell * width / CELLS) for cell in range(CELLS + 1)]
        luma = np.full((height, width), 16, np.uint8)
        chroma = np.full((2, height // 2, width // 2), 128, np.uint8)
        inner, floor = height - 2 * self.row, round(height * 0.62)
        for index, (y, u, v) in enumerate(BARS):
            left, right = index * width // 7 // 2 * 2, (index + 1) * width // 7 // 2 * 2
            luma[self.row : floor, left:right] = y
            chroma[0, self.row // 2 : floor // 2, left // 2 : right // 2] = u
            chroma[1, self.row // 2 : floor // 2, left // 2 : right // 2] = v
        # A ramp, and below it a deep blue floor that fades towards the bottom.
        ramp = floor + inner // 16
        luma[floor:ramp] = np.linspace(16, 235, width).astype(np.uint8)
        fade = np.linspace(56, 30, height - self.row - ramp).astype(np.uint8)
        luma[ramp : height - self.row] = fade[:, None]
        chroma[0, ramp // 2 : (height - self.row) // 2] = 150
        chroma[1, ramp // 2 : (height - self.row) // 2] = 118
        self.luma, self.chroma = luma, chroma
        self.ramp = ramp
        radius = height // 14
        y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
        self.ball = y * y + x * x <= radius * radius
        self.shade = np.clip(225 - ((x + radius / 3) ** 2 + (y + radius / 3) ** 2) * 90 / radius**2, 60, 225).astype(np.uint8)

    def text(self, luma: np.ndarray, words: str, x: int, y: int, scale: int, level: int):
        for character in words:
            glyph = np.array([[int(dot) for dot in line] for line in GLYPHS[character].split()], bool)
            mask = glyph.repeat(scale, 0).repeat(scale, 1)
            luma[y : y + 7 * scale, x : x + 5 * scale][mask] = level
            x += 6 * scale

    def frame(self, number: int) -> bytes:
        width, height, seconds = self.width, self.height, number / self.fps
        luma, chroma = self.luma.copy(), self.chroma.copy()
        self.clock(luma, chroma, number)
        # A ball that bounces along the floor, and a bright line that sweeps the bars once in four seconds.
        radius = self.ball.shape[0] // 2
        span = width - 2 * radius - 2
        x = radius + round(abs((seconds * 0.35) % 2 - 1) * span)
        base, top = height - self.row - radius - 2, self.ramp + radius
        y = base - round(abs(math.sin(seconds * 3)) * max(base - top, 0))
        patch = luma[y - radius : y + radius + 1, x - radius : x + radius + 1]
        patch[self.ball] = self.shade[self.ball]
        for plane, level in zip(chroma, (96, 176)):
            plane[(y - radius) // 2 : (y + radius) // 2 + 1, (x - radius) // 2 : (x + radius) // 2 + 1][self.ball[::2, ::2]] = level
        sweep = round(seconds / 4 % 1 * (width - 8))
        luma[self.row : round(height * 0.62), sweep : sweep + 6] = 235
        for cell, white in enumerate(bits(number)):
            left, right = self.edges[cell], self.edges[cell + 1]
            luma[: self.row, left:right] = luma[height - self.row :, left:right] = 235 if white else 16
        half = self.row // 2 + 1
        chroma[:, :half] = chroma[:, -half:] = 128
        return luma.tobytes() + chroma.tobytes()

    def clock(self, luma: np.ndarray, chroma: np.ndarray, number: int):
        """A dark panel with the running time and the frame number."""
        scale = max(self.height // 100, 1)
        seconds, frame = divmod(number, self.fps)
        words = f"{seconds // 60:02}:{seconds % 60:02}:{frame:02}"
        wide, tall = len(words) * 6 * scale, 7 * scale
        x, y = (self.width - wide) // 2, round(self.height * 0.24)
        left, right, up, down = x - 4 * scale, x + wide + 3 * scale, y - 4 * scale, y + tall + 9 * scale
        luma[up:down, left:right] = 24
        chroma[:, up // 2 : down // 2, left // 2 : right // 2] = 128
        self.text(luma, words, x, y, scale, 235)
        small = max(scale // 2, 1)
        self.text(luma, f"#{number:06}", (self.width - 7 * 6 * small) // 2, y + tall + 3 * scale, small, 150)


def video(
    path, *, codec="mpeg1", width=1280, height=720, fps=30, seconds=10.0, first=0, bitrate="1500k", b_frames=False, gop=15, tone=None, offset=0.0
) -> pathlib.Path:
    """Writes an MPEG-TS clip whose pictures count up from `first`; with `tone` in hertz, MP2 sound beside it."""
    encoder = (CODECS_WITH_B_FRAMES if b_frames else CODECS)[codec]
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-r", str(fps), "-i", "pipe:0"]
    sound = [] if tone is None else ["-f", "lavfi", "-i", beat(tone, seconds)]
    sound_codec = [] if tone is None else ["-c:a", "mp2", "-b:a", "128k"]
    timing = ["-muxdelay", "0", "-output_ts_offset", f"{offset:.6f}"]
    words = [*FFMPEG, *raw, *sound, *encoder, "-g", str(gop), "-b:v", bitrate, *sound_codec, *timing, "-f", "mpegts", str(path)]
    picture = Picture(width, height, fps)
    encode = subprocess.Popen(words, stdin=subprocess.PIPE)
    assert encode.stdin
    with encode.stdin:
        for number in range(first, first + round(seconds * fps)):
            encode.stdin.write(picture.frame(number))
    if encode.wait() != 0:
        raise RuntimeError(f"ffmpeg could not write {path}")
    return pathlib.Path(path)


def switching(path, sizes=((1280, 720), (640, 360), (640, 480)), *, codec="mpeg1", fps=30, seconds=3.0, **options) -> pathlib.Path:
    """Writes a clip that changes size every `seconds`; time, numbers and continuity counters run on."""
    path = pathlib.Path(path)
    pieces = []
    for part, (width, height) in enumerate(sizes):
        piece = path.with_suffix(f".{part}.ts")
        first = part * round(seconds * fps)
        video(piece, codec=codec, width=width, height=height, fps=fps, seconds=seconds, first=first, offset=part * seconds, **options)
        pieces.append(piece.read_bytes())
        piece.unlink()
    path.write_bytes(joined(pieces))
    return path


def joined(pieces: list[bytes]) -> bytes:
    """Transport streams one after the other, with continuity counters that run on."""
    stream = bytearray(b"".join(pieces))
    counters: dict[int, int] = {}
    for at in range(0, len(stream), TS_PACKET):
        pid = (stream[at + 1] & 0x1F) << 8 | stream[at + 2]
        has_payload = stream[at + 3] >> 4 & 1
        counters[pid] = (counters.get(pid, 15) + has_payload) % 16
        stream[at + 3] = stream[at + 3] & 0xF0 | counters[pid]
    return bytes(stream)


def beat(hertz: float, seconds: float) -> str:
    """A tone that swells once a second, as a lavfi source: the pitch is steady, a level meter moves."""
    return f"aevalsrc='{wave(hertz)}|{wave(hertz)}':s=48000:d={seconds}"


def wave(hertz: float) -> str:
    """The tone of one channel, as an expression of ffmpeg's."""
    return f"sin(2*PI*{hertz}*t)*(0.22+0.16*sin(2*PI*t))"


def tone(path, *, hertz=440.0, seconds=10.0, bitrate="128k", sample_rate=48000) -> pathlib.Path:
    """Writes an MP3 of a tone."""
    words = [*FFMPEG, "-f", "lavfi", "-i", beat(hertz, seconds), "-ar", str(sample_rate), "-c:a", "libmp3lame", "-b:a", bitrate, str(path)]
    subprocess.run(words, check=True)
    return pathlib.Path(path)


def access_units(ts: bytes, pid=0x100) -> list[bytes]:
    """Cuts a clip before every packet that starts a picture; tables in front of a picture stay with it."""
    starts = [
        at
        for at in range(0, len(ts), TS_PACKET)
        if ts[at + 1] & 0x40 and (ts[at + 1] & 0x1F) << 8 | ts[at + 2] == pid
    ]
    cuts = [0]
    for start in starts[1:]:
        while start >= TS_PACKET and (ts[start - TS_PACKET + 1] & 0x1F) << 8 | ts[start - TS_PACKET + 2] in (0, 0x11, 0x1000):
            start -= TS_PACKET
        cuts.append(start)
    return [ts[a:b] for a, b in itertools.pairwise([*cuts, len(ts)])]


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", help="what to write: a name ending in .ts or .mp3")
    parser.add_argument("--codec", choices=sorted(CODECS), default="mpeg1")
    parser.add_argument("--size", default="1280x720", help="several, joined by commas, switch mid-stream")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--bitrate", default="1500k", help="of the picture")
    parser.add_argument("--b-frames", action="store_true")
    parser.add_argument("--tone", type=float, default=None, help="hertz; 440 for .mp3, none for .ts")
    options = parser.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in options.size.split(",")]
    picture = {"codec": options.codec, "fps": options.fps, "bitrate": options.bitrate, "b_frames": options.b_frames}
    if options.path.endswith(".mp3"):
        tone(options.path, hertz=options.tone or 440.0, seconds=options.seconds)
    elif len(sizes) > 1:
        switching(options.path, sizes, seconds=options.seconds / len(sizes), **picture)
    else:
        (width, height) = sizes[0]
        video(options.path, width=width, height=height, seconds=options.seconds, tone=options.tone, **picture)


if __name__ == "__main__":
    main()
