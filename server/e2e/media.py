"""Makes the media that the table tests play: our numbered pictures and a tone in any container, codec, size, rate and layout.

A `Recipe` says what a file holds. Files are small, made by ffmpeg when they are first wanted, and kept in `.artifacts` under a name that
follows from the recipe and from the code that makes them, so that a second run makes none.
"""

import hashlib
import os
import pathlib
import subprocess
import zlib
from dataclasses import dataclass, replace
from fractions import Fraction

import clip

ARTIFACTS = pathlib.Path(__file__).with_name(".artifacts") / "media"

# ffmpeg's options for each way of coding pictures, tuned to be made fast.
VIDEO = {
    **{name: [*words, "-b:v", "1500k"] for name, words in clip.CODECS.items()},
    "mpeg2-interlaced": [*clip.CODECS["mpeg2"], "-b:v", "2500k", "-flags", "+ildct+ilme", "-top", "1"],
    "h264-interlaced": ["-c:v", "libx264", "-preset", "veryfast", "-x264-params", "tff=1", "-b:v", "1500k"],
    "h264-b-frames": [*clip.CODECS_WITH_B_FRAMES["h264"], "-b:v", "1500k"],
    "hevc-b-frames": [*clip.CODECS_WITH_B_FRAMES["hevc"], "-b:v", "1500k"],
    "vp8": ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1500k"],
    "vp9": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1500k"],
    "av1": ["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-b:v", "1500k"],
    "ffv1": ["-c:v", "ffv1", "-level", "3"],
    "flv1": ["-c:v", "flv", "-q:v", "3"],
    "mjpeg": ["-c:v", "mjpeg", "-q:v", "3", "-color_range", "pc"],
    "mpeg4": ["-c:v", "mpeg4", "-q:v", "3"],
    "png": ["-c:v", "png"],
    "prores": ["-c:v", "prores_ks", "-profile:v", "2"],
    "raw": ["-c:v", "wrapped_avframe"],
    "theora": ["-c:v", "libtheora", "-q:v", "8"],
}

AUDIO = {
    "aac": ["-c:a", "aac", "-b:a", "128k"],
    "ac3": ["-c:a", "ac3", "-b:a", "192k"],
    "dts": ["-c:a", "dca", "-strict", "-2"],
    "eac3": ["-c:a", "eac3", "-b:a", "192k"],
    "flac": ["-c:a", "flac"],
    "mp2": ["-c:a", "mp2", "-b:a", "128k"],
    "mp3": ["-c:a", "libmp3lame", "-q:a", "4"],
    "opus": ["-c:a", "libopus", "-b:a", "96k", "-mapping_family", "1"],
    "pcm": ["-c:a", "pcm_s16le"],
    "pcm24": ["-c:a", "pcm_s24le"],
    "pcm-alaw": ["-c:a", "pcm_alaw"],
    "pcm-float": ["-c:a", "pcm_f32le"],
    "pcm-u8": ["-c:a", "pcm_u8"],
    "s302m": ["-c:a", "s302m", "-strict", "-2"],
    "vorbis": ["-c:a", "libvorbis", "-q:a", "4"],
}

# ffmpeg's name of a container where a file's ending does not say it.
FORMATS = {"adts": "adts", "jpg": "image2", "m4a": "ipod", "mkv": "matroska", "png": "image2", "ts": "mpegts", "y4m": "yuv4mpegpipe"}
STILLS = ("jpg", "png")

CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6}

# A 33-bit clock of 90 kHz wraps after this many seconds.
TS_WRAP_S = 2**33 / 90_000


@dataclass(frozen=True)
class Recipe:
    """What a file holds: pictures, sound, or both, `seconds` long."""

    ending: str
    video: str | None = None
    audio: str | None = None
    size: tuple[int, int] = (320, 180)
    rate: str = "30"
    pixels: str = "yuv420p"
    # The number of the first picture; None takes one that follows from the rest, so that no two recipes show the same.
    start: int | None = None
    hertz: float | None = None
    sample_rate: int = 48000
    layout: str = "stereo"
    seconds: float = 1.6
    gop: int = 15
    # A filter over the pictures: `setpts` for times that are not regular, `crop` for odd sizes.
    filters: str = ""
    # Seconds that all times are later.
    offset_s: float = 0.0
    # Two halves joined, the times of the second start anew before the first's (TS only).
    jumps_back: bool = False
    # More options of ffmpeg's, in front of the output.
    extra: tuple[str, ...] = ()

    @property
    def is_still(self) -> bool:
        return self.ending in STILLS

    @property
    def first(self) -> int:
        """The number of the first picture."""
        return self._draw("number") % 60 * 1000 if self.start is None else self.start

    @property
    def tone(self) -> float:
        """The pitch of the sound in hertz."""
        return 400 + self._draw("tone") % 40 * 25 if self.hertz is None else self.hertz

    @property
    def pictures(self) -> int:
        return 1 if self.is_still else round(self.seconds * Fraction(self.rate))

    @property
    def numbers(self) -> range:
        """The numbers that its pictures carry."""
        return range(self.first, self.first + self.pictures) if self.video else range(0)

    def _draw(self, what: str) -> int:
        return zlib.crc32(f"{what} {self!r}".encode())


def file(recipe: Recipe) -> pathlib.Path:
    """The recipe's file, made now unless it was made before."""
    code = b"".join(pathlib.Path(module).read_bytes() for module in (__file__, clip.__file__))
    digest = hashlib.sha256(repr(recipe).encode() + code).hexdigest()[:20]
    path = ARTIFACTS / f"{digest}.{recipe.ending}"
    if not path.exists():
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{digest}.{os.getpid()}.part.{recipe.ending}")
        _make_halves(recipe, part) if recipe.jumps_back else _make(recipe, part)
        part.rename(path)
    return path


def _make(recipe: Recipe, path: pathlib.Path):
    words = [*clip.FFMPEG]
    # Odd sizes are drawn one larger and cropped: packed 4:2:0 has even ones.
    width, height = (side + side % 2 for side in recipe.size)
    if recipe.video:
        words += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-r", recipe.rate, "-i", "pipe:0"]
    if recipe.audio:
        words += ["-f", "lavfi", "-i", _sound(recipe)]
    if recipe.video:
        crop = "" if (width, height) == recipe.size else f"crop={recipe.size[0]}:{recipe.size[1]}:0:0:exact=1"
        filters = ",".join(filter(None, [f"format={recipe.pixels}", crop, recipe.filters]))
        words += [*VIDEO[recipe.video], "-vf", filters, "-pix_fmt", recipe.pixels, "-fps_mode", "passthrough"]
        words += ["-update", "1"] if recipe.is_still else ["-g", str(recipe.gop)]
    if recipe.audio:
        words += AUDIO[recipe.audio]
    if recipe.ending == "ts":
        words += ["-muxdelay", "0"]
    if recipe.offset_s:
        words += ["-output_ts_offset", f"{recipe.offset_s:.6f}"]
    words += [*recipe.extra, "-f", FORMATS.get(recipe.ending, recipe.ending), str(path)]
    _feed(words, recipe, width, height)


def _feed(words: list[str], recipe: Recipe, width: int, height: int):
    """Runs ffmpeg and draws the pictures into it."""
    encode = subprocess.Popen(words, stdin=subprocess.PIPE)
    assert encode.stdin
    with encode.stdin:
        if recipe.video:
            picture = clip.Picture(width, height, round(Fraction(recipe.rate)))
            for number in recipe.numbers:
                encode.stdin.write(picture.frame(number))
    if encode.wait() != 0:
        raise RuntimeError(f"ffmpeg could not make {recipe}: {' '.join(words)}")


def _make_halves(recipe: Recipe, path: pathlib.Path):
    """Two halves of which the second starts its times anew, ten seconds before the first's."""
    half = replace(recipe, jumps_back=False, seconds=recipe.seconds / 2, hertz=recipe.tone)
    parts = []
    for index, offset_s in enumerate((recipe.offset_s + 10, recipe.offset_s)):
        part = path.with_suffix(f".{index}.ts")
        start = recipe.first + index * half.pictures
        _make(replace(half, start=start, offset_s=offset_s), part)
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(clip.joined(parts))


def _sound(recipe: Recipe) -> str:
    """The tone on every channel, as a lavfi source."""
    wave = clip.wave(recipe.tone)
    channels = "|".join([wave] * CHANNELS[recipe.layout])
    return f"aevalsrc='{channels}':c={recipe.layout}:s={recipe.sample_rate}:d={recipe.seconds}"
