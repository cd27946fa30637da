"""Every kind of media that the table tests play, by name: the cells of the matrix, less where the media comes from."""

from media import TS_WRAP_S, Recipe

# A rate that no multiple of makes 30.
FILM = "24000/1001"

# What a `file` input takes, and therefore every pulled one.
FILES = {
    # Containers and codecs.
    "mp4-h264-aac": Recipe("mp4", "h264", "aac"),
    "mp4-h264-b-frames-aac": Recipe("mp4", "h264-b-frames", "aac", extra=("-movflags", "+faststart")),
    "mp4-h264-fragmented": Recipe("mp4", "h264", "aac", extra=("-movflags", "+frag_keyframe+empty_moov")),
    "mp4-hevc-aac": Recipe("mp4", "hevc", "aac", extra=("-tag:v", "hvc1")),
    "mp4-av1-opus": Recipe("mp4", "av1", "opus"),
    "mp4-mpeg4-mp3": Recipe("mp4", "mpeg4", "mp3"),
    "webm-vp8-vorbis": Recipe("webm", "vp8", "vorbis"),
    "webm-vp8-opus": Recipe("webm", "vp8", "opus"),
    "webm-vp9-opus": Recipe("webm", "vp9", "opus"),
    "webm-av1-opus": Recipe("webm", "av1", "opus"),
    "mkv-h264-vorbis": Recipe("mkv", "h264", "vorbis"),
    "mkv-hevc-b-frames-flac": Recipe("mkv", "hevc-b-frames", "flac"),
    "mkv-ffv1-flac": Recipe("mkv", "ffv1", "flac"),
    "mkv-mjpeg-pcm": Recipe("mkv", "mjpeg", "pcm", pixels="yuvj420p"),
    "mkv-mpeg2-ac3": Recipe("mkv", "mpeg2", "ac3"),
    "mkv-vp9-aac": Recipe("mkv", "vp9", "aac"),
    "mov-prores-pcm": Recipe("mov", "prores", "pcm24", pixels="yuv422p10le"),
    "mov-h264-alaw": Recipe("mov", "h264", "pcm-alaw"),
    "ts-mpeg1-mp2": Recipe("ts", "mpeg1", "mp2"),
    "ts-mpeg2-mp2": Recipe("ts", "mpeg2", "mp2"),
    "ts-h264-aac": Recipe("ts", "h264", "aac"),
    "ts-hevc-ac3": Recipe("ts", "hevc", "ac3"),
    "ts-h264-mp3": Recipe("ts", "h264", "mp3"),
    "avi-mpeg4-mp3": Recipe("avi", "mpeg4", "mp3"),
    "avi-mjpeg-pcm": Recipe("avi", "mjpeg", "pcm-u8", pixels="yuvj422p"),
    "flv-h264-aac": Recipe("flv", "h264", "aac"),
    "flv-flv1-mp3": Recipe("flv", "flv1", "mp3", sample_rate=44100),
    "ogv-theora-vorbis": Recipe("ogv", "theora", "vorbis"),
    "y4m-raw": Recipe("y4m", "raw"),
    # Sound alone.
    "wav-pcm": Recipe("wav", audio="pcm"),
    "wav-float": Recipe("wav", audio="pcm-float"),
    "mp3": Recipe("mp3", audio="mp3"),
    "ogg-vorbis": Recipe("ogg", audio="vorbis"),
    "ogg-opus": Recipe("ogg", audio="opus"),
    "ogg-flac": Recipe("ogg", audio="flac"),
    "flac": Recipe("flac", audio="flac"),
    "m4a-aac": Recipe("m4a", audio="aac"),
    "adts-aac": Recipe("adts", audio="aac"),
    # Stills.
    "png": Recipe("png", "png", pixels="rgb24"),
    "png-alpha": Recipe("png", "png", pixels="rgba", size=(640, 360)),
    "jpg": Recipe("jpg", "mjpeg", pixels="yuvj420p"),
    "jpg-portrait": Recipe("jpg", "mjpeg", pixels="yuvj444p", size=(1080, 1920)),
    # Sizes.
    "size-853x480": Recipe("mkv", "vp9", size=(853, 480)),
    "size-853x480-h264-444": Recipe("mp4", "h264", size=(853, 480), pixels="yuv444p"),
    "size-1080x1920": Recipe("mp4", "h264", "aac", size=(1080, 1920)),
    "size-64x64": Recipe("webm", "vp8", size=(64, 64)),
    # Samples' layouts and depths.
    "pixels-422": Recipe("mkv", "h264", pixels="yuv422p"),
    "pixels-422-10": Recipe("mkv", "h264", pixels="yuv422p10le"),
    "pixels-444": Recipe("webm", "vp9", pixels="yuv444p"),
    "pixels-420-10": Recipe("mp4", "hevc", pixels="yuv420p10le"),
    "pixels-av1-10": Recipe("mkv", "av1", pixels="yuv420p10le"),
    "pixels-ffv1-444-16": Recipe("mkv", "ffv1", pixels="yuv444p16le"),
    "pixels-grey": Recipe("mkv", "ffv1", pixels="gray"),
    "pixels-rgb": Recipe("mkv", "ffv1", pixels="bgr0"),
    # Scans and rates.
    "interlaced-mpeg2": Recipe("ts", "mpeg2-interlaced", "mp2", size=(720, 576), rate="25"),
    "interlaced-h264": Recipe("mp4", "h264-interlaced", rate="25"),
    "rate-23.976": Recipe("mp4", "h264-b-frames", "aac", rate=FILM),
    "rate-60": Recipe("mp4", "h264", "aac", rate="60"),
    "rate-10": Recipe("webm", "vp8", "opus", rate="10"),
    # Every third interval is twice as long.
    "rate-variable": Recipe("mkv", "h264", "aac", filters="setpts=(N+floor(N/3))/30/TB", extra=("-enc_time_base", "1/90000")),
    # Times.
    "time-wraps": Recipe("ts", "h264", "aac", offset_s=TS_WRAP_S - 1),
    "time-wraps-b-frames": Recipe("ts", "h264-b-frames", "mp2", offset_s=TS_WRAP_S - 1),
    "time-jumps-back": Recipe("ts", "mpeg2", "mp2", jumps_back=True),
    "time-starts-late": Recipe("mkv", "h264", "vorbis", offset_s=1000),
    # Rates and layouts of sound.
    "sound-8000-mono": Recipe("wav", audio="pcm", sample_rate=8000, layout="mono"),
    "sound-11025-mono": Recipe("wav", audio="pcm-u8", sample_rate=11025, layout="mono"),
    "sound-11025-stereo-mp3": Recipe("mp3", audio="mp3", sample_rate=11025),
    "sound-22050-stereo": Recipe("ogg", audio="vorbis", sample_rate=22050),
    "sound-44100-mono": Recipe("mp3", audio="mp3", sample_rate=44100, layout="mono"),
    "sound-44100-5.1": Recipe("m4a", audio="aac", sample_rate=44100, layout="5.1"),
    "sound-48000-5.1": Recipe("mkv", audio="ac3", layout="5.1"),
    "sound-48000-5.1-opus": Recipe("ogg", audio="opus", layout="5.1"),
    "sound-96000-stereo": Recipe("flac", audio="flac", sample_rate=96000),
    "sound-96000-5.1": Recipe("wav", audio="pcm24", sample_rate=96000, layout="5.1"),
}

# What a WebSocket publisher may send to the camera.
SOCKET_VIDEO = {
    name: FILES[name]
    for name in ("ts-mpeg1-mp2", "ts-mpeg2-mp2", "ts-h264-aac", "ts-hevc-ac3", "ts-h264-mp3", "interlaced-mpeg2", "time-wraps", "time-jumps-back")
} | {
    "ts-mpeg1-853x480": Recipe("ts", "mpeg1", size=(853, 480)),
    "ts-mpeg1-64x64": Recipe("ts", "mpeg1", size=(64, 64)),
    "ts-h264-1080x1920": Recipe("ts", "h264", size=(1080, 1920)),
    "ts-h264-422-10": Recipe("ts", "h264", pixels="yuv422p10le"),
    "ts-hevc-10": Recipe("ts", "hevc", pixels="yuv420p10le"),
    "ts-mpeg2-422": Recipe("ts", "mpeg2", pixels="yuv422p"),
    "ts-h264-23.976": Recipe("ts", "h264", rate=FILM),
    "ts-h264-60": Recipe("ts", "h264", rate="60"),
    "ts-mpeg4": Recipe("ts", "mpeg4"),
    "ts-mpeg4-ac3": Recipe("ts", "mpeg4", "ac3", extra=("-mpegts_flags", "+system_b")),
    "ts-h264-ac3-5.1": Recipe("ts", "h264", "ac3", layout="5.1"),
    "ts-h264-eac3": Recipe("ts", "h264", "eac3"),
    "ts-h264-latm": Recipe("ts", "h264", "aac", extra=("-mpegts_flags", "+latm")),
    "ts-h264-opus": Recipe("ts", "h264", "opus"),
    "ts-h264-opus-5.1": Recipe("ts", "h264", "opus", layout="5.1"),
    "ts-h264-dts": Recipe("ts", "h264", "dts"),
    "ts-mpeg2-302m": Recipe("ts", "mpeg2", "s302m"),
}

# What a WebSocket publisher may send to the microphone.
SOCKET_AUDIO = {
    name: FILES[name]
    for name in (
        "mp3",
        "adts-aac",
        "ogg-opus",
        "wav-pcm",
        "wav-float",
        "sound-8000-mono",
        "sound-11025-mono",
        "sound-11025-stereo-mp3",
        "sound-44100-mono",
        "sound-48000-5.1-opus",
        "sound-96000-5.1",
    )
}

# One of each container, for sources that differ from a file in how its bytes come.
STREAMS = {
    name: FILES[name]
    for name in (
        "mp4-h264-b-frames-aac",
        "mp4-h264-aac",
        "webm-vp9-opus",
        "mkv-hevc-b-frames-flac",
        "mov-prores-pcm",
        "ts-hevc-ac3",
        "avi-mpeg4-mp3",
        "flv-h264-aac",
        "y4m-raw",
        "wav-pcm",
        "mp3",
        "ogg-opus",
        "adts-aac",
        "png",
        "jpg",
    )
}
