"""Streams a display with PyPI's pixelflux into a descriptor, as H.264 in access units, until it is ended.

    screen.py WIDTH HEIGHT FPS KBPS FD
"""

import os
import signal
import sys

import pixelflux

width, height, fps, kbps, descriptor = map(int, sys.argv[1:])
settings = pixelflux.CaptureSettings()
settings.use_wayland, settings.use_cpu, settings.encode_node_index = False, True, -1
settings.capture_width, settings.capture_height, settings.capture_cursor = width, height, True
settings.target_fps = float(fps)
# Whole pictures, as who packetises them for WebRTC asks for them.
settings.codec, settings.video_fullframe, settings.omit_stripe_headers = "h264", True, True
settings.video_cbr_mode, settings.video_bitrate_kbps = True, kbps


def send(frame):
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


capture = pixelflux.ScreenCapture()
capture.start_capture(send, settings)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
capture.stop_capture()
