#!/bin/sh
# Makes the media that the samples send, in samples/virtual-inputs/media: a test picture with a running clock, and a tone. Needs ffmpeg.
# Run again, it makes only what is missing.
set -eu
cd "$(dirname "$0")"
mkdir -p media

seconds=${SECONDS_OF_MEDIA:-20}
picture="testsrc2=size=1280x720:rate=30:duration=$seconds"
tone="sine=frequency=440:sample_rate=48000:duration=$seconds"

# make FILE FFMPEG-OPTIONS...: written under another name first, so that a file that is there is whole.
make() {
    file=media/$1
    shift
    [ -s "$file" ] && return
    printf 'making %s\n' "$file" >&2
    part=media/part.${file##*.}
    ffmpeg -nostdin -hide_banner -loglevel error -y "$@" "$part"
    mv "$part" "$file"
}

make sample_video.mp4 -f lavfi -i "$picture" -f lavfi -i "$tone" -c:v libx264 -preset veryfast -pix_fmt yuv420p -g 30 -c:a aac -movflags +faststart
make sample_video_mpeg1.ts -f lavfi -i "$picture" -c:v mpeg1video -b:v 3000k -pix_fmt yuv420p -g 15 -f mpegts
make sample_audio.mp3 -f lavfi -i "$tone" -ac 2 -c:a libmp3lame -b:a 128k
