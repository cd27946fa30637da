"""Makes the clips that are shown inside the machine: clips.py FOLDER

Each picture says its number in bars from top to bottom, so that a picture of two frames tells two numbers.
"""

import pathlib
import subprocess
import sys

COLUMNS = 12
DARK, BRIGHT = 40, 200


def picture(number: int, width: int, height: int) -> bytes:
    bar = width // COLUMNS
    row = b"".join(bytes([BRIGHT if number >> column & 1 else DARK]) * bar for column in range(COLUMNS))
    row += bytes([DARK]) * (width - len(row))
    return row * height + bytes([128]) * (width * height // 2)


def numbers(frame: bytes, width: int, height: int) -> set[int]:
    """What a picture's bands say; of a whole picture of a clip they say one number, black is -1."""
    bar, said = width // COLUMNS, set()
    for row in range(height // 16, height, height // 8):
        levels = [frame[row * width + column * bar + bar // 2] for column in range(COLUMNS)]
        said.add(-1 if max(levels) < 28 else sum((level > (DARK + BRIGHT) // 2) << column for column, level in enumerate(levels)))
    return said


def make(path: pathlib.Path, width: int, height: int, rate: int, count: int):
    words = f"ffmpeg -nostdin -v error -f rawvideo -pix_fmt yuv420p -s {width}x{height} -r {rate} -i - -c:v libx264 -preset ultrafast"
    words += f" -tune zerolatency -bf 0 -g {rate} -qp 20 -f mpegts -y {path}"
    frames = b"".join(picture(number, width, height) for number in range(count))
    subprocess.run(words.split(), input=frames, check=True)


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    make(folder / "fits.ts", 384, 288, 10, 300)
    make(folder / "other.ts", 192, 144, 10, 60)
    make(folder / "large.ts", 1280, 720, 10, 200)
