"""HLS presentations for `Origin`: segments that ffmpeg cuts, playlists that are written here."""

import hashlib
import pathlib
import shutil
import subprocess
import time
from dataclasses import dataclass

import clip
import media
from media import Recipe

SEGMENT_S = 1
# How many segments a live playlist shows.
WINDOW = 5


@dataclass(frozen=True)
class Segment:
    """A file of `seconds`; `is_new` when nothing before it tells how to decode it (a discontinuity)."""

    path: pathlib.Path
    seconds: float
    is_new: bool = False
    # The file with the header, of fragmented MP4.
    start: pathlib.Path | None = None


def cut(recipe: Recipe, kind="mpegts", pid=0x100) -> list[Segment]:
    """A recipe's media in segments of a second; `kind` is mpegts, its tracks from `pid` on, or fmp4. Cut once and kept."""
    assert recipe.gop == round(SEGMENT_S * 30), "every segment starts at a key frame"
    source = media.file(recipe)
    folder = media.ARTIFACTS / f"{source.stem}-{kind}-{pid:x}-{hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()[:8]}"
    ending = "ts" if kind == "mpegts" else "m4s"
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        words = [*clip.FFMPEG, "-i", str(source), "-c", "copy", "-f", "hls", "-hls_time", str(SEGMENT_S), "-hls_list_size", "0"]
        words += ["-hls_playlist_type", "vod", "-hls_segment_type", kind, "-hls_fmp4_init_filename", "start.mp4"]
        words += ["-hls_ts_options", f"mpegts_start_pid={pid}"] if kind == "mpegts" else []
        words += ["-hls_segment_filename", str(part / f"%d.{ending}"), str(part / "index.m3u8")]
        subprocess.run(words, check=True)
        part.rename(folder)
    lengths = [float(line[8:].rstrip(",")) for line in (folder / "index.m3u8").read_text().splitlines() if line.startswith("#EXTINF:")]
    start = folder / "start.mp4" if kind == "fmp4" else None
    return [Segment(folder / f"{index}.{ending}", seconds, start=start) for index, seconds in enumerate(lengths)]


def in_turn(*parts: list[Segment]) -> list[Segment]:
    """Several cuts one after the other, a discontinuity in front of each but the first."""
    joined = []
    for part in parts:
        joined += [Segment(segment.path, segment.seconds, bool(joined) and index == 0, segment.start) for index, segment in enumerate(part)]
    return joined


class Presentation:
    """Renditions of a presentation: `low` and `high`, say; with one there is no master playlist. One that is live and never `ends` just stops."""

    def __init__(self, renditions: dict[str, list[Segment]], *, live=False, ends=True):
        self._renditions = renditions
        self._is_live = live
        self._ends = ends
        # A live presentation has its first segments when it begins.
        self._began = time.monotonic() - 3 * SEGMENT_S
        self._bandwidth = {name: 8 * sum(s.path.stat().st_size for s in parts) // len(parts) for name, parts in renditions.items()}

    def answer(self, file: str) -> bytes | None:
        """The bytes of a playlist or of a segment, if there is one of that name now."""
        name, _, rest = file.partition("/")
        if file == "index.m3u8":
            return self._master() if len(self._renditions) > 1 else self._playlist(next(iter(self._renditions)))
        if rest == "index.m3u8" and name in self._renditions:
            return self._playlist(name)
        name, rest = (name, rest) if name in self._renditions else (next(iter(self._renditions)), file)
        segments = self._renditions[name]
        index, _, part = rest.partition(".")
        if not index.isdecimal() or int(index) >= len(segments):
            return None
        segment = segments[int(index)]
        path = segment.start if part == "start.mp4" else segment.path
        return path.read_bytes() if path else None

    def _master(self) -> bytes:
        lines = ["#EXTM3U"]
        for name in self._renditions:
            lines += [f"#EXT-X-STREAM-INF:BANDWIDTH={self._bandwidth[name]}", f"{name}/index.m3u8"]
        return "\n".join([*lines, ""]).encode()

    def _playlist(self, name: str) -> bytes:
        segments = self._renditions[name]
        first, last = self._window(segments)
        lines = ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{round(max(s.seconds for s in segments))}"]
        lines += [f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        start = None
        for index in range(first, last):
            segment = segments[index]
            lines += ["#EXT-X-DISCONTINUITY"] if segment.is_new else []
            if segment.start and segment.start != start:
                lines += [f'#EXT-X-MAP:URI="{index}.start.mp4"']
                start = segment.start
            lines += [f"#EXTINF:{segment.seconds:.6f},", f"{index}{segment.path.suffix}"]
        lines += ["#EXT-X-ENDLIST"] if self._ends and last == len(segments) else []
        return "\n".join([*lines, ""]).encode()

    def _window(self, segments: list[Segment]) -> tuple[int, int]:
        """The first segment that is named, and the one after the last."""
        if not self._is_live:
            return 0, len(segments)
        last, end = 0, self._began
        while last < len(segments) and (end := end + segments[last].seconds) <= time.monotonic():
            last += 1
        return max(last - WINDOW, 0), last

