#!/usr/bin/python3
"""Serves a file by RTSP in real time: rtsp.py PORT FILE, with H.264 and AAC in an MPEG-TS file, at /live.

Runs under the system's Python, whose `gi` binds GStreamer's RTSP server.
"""

import sys

import gi

gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
port, path = sys.argv[1:]
source = f'filesrc location="{path}" ! tsdemux name=demux'
video = "demux. ! queue ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96"
audio = "demux. ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97"
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( {source} {video} {audio} )")
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
server.get_mount_points().add_factory("/live", factory)
assert server.attach(None)
GLib.MainLoop().run()
