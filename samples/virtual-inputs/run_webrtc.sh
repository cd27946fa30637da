#!/bin/sh
# Sends samples/virtual-inputs/media/sample_video.mp4 over WebRTC into the camera and the microphone, until Ctrl-C; options as
# webrtc_publish.py has them. Makes the media, and a Python environment with aiortc, when they are missing.
set -eu
cd "$(dirname "$0")"
[ -s media/sample_video.mp4 ] || sh ./make_media.sh

# One that has aiortc: the caller's, the repository's, or one made here.
for python in "${PYTHON:-python3}" ../../.venv/bin/python .venv/bin/python; do
    if "$python" -c 'import aiohttp, aiortc' 2>/dev/null; then
        exec "$python" webrtc_publish.py "$@"
    fi
done
printf 'making an environment with aiortc\n' >&2
"${PYTHON:-python3}" -m venv .venv
.venv/bin/pip install --quiet 'aiortc==1.16.0' aiohttp
exec .venv/bin/python webrtc_publish.py "$@"
