"""Shows H.264 in the virtual camera of PyPI's pixelflux, which is read 30 times a second.

    camera.py SOCKET

Says a port. Who connects there sends access units behind their lengths (four bytes, little-endian), ends, and is told how many of them came to
the camera and how many its reader saw. The camera is memory that is handed out at SOCKET: to what is preloaded into browsers, and here to the
reader, a process of its own (`camera.py SOCKET read`).
"""

import mmap
import select
import socket
import struct
import subprocess
import sys
import time

import pixelflux

PERIOD_S = 1 / 30
LAYOUT = pixelflux.VirtualCamera.shm_layout()


def read(path: str):
    """Copies the newest picture each period, until its input ends; says how many there were that differ."""
    with socket.socket(socket.AF_UNIX) as camera:
        camera.connect(path)
        said, descriptors, *_ = socket.recv_fds(camera, LAYOUT["config_size"], 1)
        fields = dict(zip(LAYOUT["config_fields"], struct.unpack_from(f"<{len(LAYOUT['config_fields'])}I", said)))
        memory = mmap.mmap(descriptors[0], 0, prot=mmap.PROT_READ)
        latest = 4 * LAYOUT["header_fields"].index("latest_slot")
        seen, due = set(), time.monotonic()
        print(flush=True)
        while True:
            due += PERIOD_S
            if select.select([sys.stdin], [], [], max(0, due - time.monotonic()))[0]:
                break
            (slot,) = struct.unpack_from("<I", memory, latest)
            start = fields["data_offset"] + slot * fields["slot_size"]
            memory[start : start + fields["sizeimage"]]
            seen.add(struct.unpack_from("<Q", memory, LAYOUT["header_latest_frame_seq_offset"]))
        # The first was there before any was sent.
        print(len(seen) - 1, flush=True)


def show(path: str):
    settings = pixelflux.VirtualCameraSettings()
    settings.socket_path, settings.device_path, settings.pipewire = path, "", False
    settings.width, settings.height, settings.pixel_format = 1280, 720, "I420"
    settings.fps_num, settings.fps_den = 30, 1
    camera = pixelflux.VirtualCamera()
    camera.start(settings)
    reader = subprocess.Popen([sys.executable, __file__, path, "read"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    reader.stdout.readline()
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        publisher, _ = server.accept()
    with publisher, publisher.makefile("rb") as units:
        is_key = True
        while length := units.read(4):
            unit = units.read(int.from_bytes(length, "little"))
            is_key = bool(camera.push(unit, camera.CODEC_H264, keyframe=is_key) & camera.KEYFRAME_WANTED)
        # The last is shown a picture's time later.
        time.sleep(2 * PERIOD_S)
        seen, _ = reader.communicate()
        publisher.sendall(f"{camera.stats()['published']} {int(seen)}\n".encode())
    camera.stop()


if sys.argv[2:] == ["read"]:
    read(sys.argv[1])
else:
    show(sys.argv[1])
