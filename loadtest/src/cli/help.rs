//! What is told behind `--help`.

pub(super) const EXIT_CODES: &str = "Exit code: 0 when the given limits held, 1 when one was broken, 2 when nothing could be measured.";

pub(super) const CAMERA_LATENCY: &str = "\
Frames of H.264 carry their number as light and dark cells at their top and bottom. They are encoded before the run, sent one to a
message in real time over WebSocket, and read back from the pixels by a page that has the camera open. The time of a frame is when
the kernel has taken its last byte; the page's clock is mapped to ours by round trips, and the report says how well. A second figure
counts every frame from when it was due, seen or not: one that never was is as old as the one that was seen instead, or as the end of the
run, so that a stall is as many old frames as were due in it. Limits hold this one.

The report splits the time: the router's part by its own count (arrival to the camera file), the wait for the camera's reader (its
reads are watched by inotify; it samples on its own timer, so half a period on average; what the router holds a frame back beyond its
median, so that the one before is read first, is in here too), the browser from that read to the page's script, and from there to the
display time of the video element.

That last part depends on how the reader's timer stands to the display's refresh, which is chance and stays for the run: from one run
to the next it differs by up to a refresh of the display.

With --source whip another browser has a page that draws the numbers on a canvas and publishes that by WHIP, over WebRTC, as its browser likes
it (codec, rate and pace). The time of a frame is when the page had drawn it: encoding in that browser is in its age, and told apart only as
the mean that the browser says of it. Five seconds are sent before what counts, in which the browser finds its bitrate.

Examples:
  loadtest camera-latency
  loadtest camera-latency --source whip --max-p50-ms 80
  loadtest camera-latency --seconds 60 --jitter-ms 4 --json
  loadtest camera-latency --max-p50-ms 40 --max-server-p99-ms 5 --min-seen-percent 98";

pub(super) const GLASS: &str = "\
A display of our own is drawn on: a number as light and dark cells at its top and bottom, another one each period, which slips against
the stream's so that every phase counts alike. Crosspoint streams the display; a page of a headless Chromium views it by WHEP, pictures
alone or with sound, and reads the numbers back from what its video element shows. The age of a picture is the time from when the X server was asked to
draw it to the callback that the page asked for (requestVideoFrameCallback); the page's clock is mapped to ours by round trips, and the
report says how well. A second figure counts every picture from when it was due, shown or not: one that never was is as old as the one that
was shown instead, or as the end of the run, so that a stall is as many old pictures as were due in it. Limits hold this one.

The report splits the time by what the browser knows of each picture: when it was captured (as the router says in each, by the wall clock
of this machine), when its last packet was there, how long decoding took, when it was handed to the compositor. All of it is one machine:
painter, X server, router and browser share its processors, and the browser decodes and draws without a GPU.

With --sound the loudspeaker plays a pulse of 60 ms five times a second, whose pitch is its number mod 16. A second viewer, a peer on str0m,
decodes the sound as it comes, and finds each pulse by a matched filter: its age is the time from when it was written to the player (pacat)
to when what it begins with was decoded. What waits in the sound server before it is played is part of it and told apart, by pacat's word;
what a browser holds back of sound stands below.

Examples:
  loadtest glass
  loadtest glass --sound
  loadtest glass --seconds 60 --json
  loadtest glass --max-p50-ms 35 --max-p95-ms 60";

pub(super) const DENSITY: &str = "\
Each sandbox is an X server, a sound server and a router in a network namespace of its own. Some have a camera that is fed with H.264 of 2
Mbit/s over WebSocket and read frame by frame at 30 Hz, as Chromium reads it; some have their screen watched over WebSocket, which changes a
few times a second. What feeds, reads, draws and watches is told apart from what a sandbox costs. With --chromium each has a browser, too,
which counts as part of it: a window on the display, whose page has the camera open and shows it, where there is one.

A number of sandboxes breaks when a viewer or a camera gets less than 95 of 100 pictures, or anything of it ends. The projection is
arithmetic from the last number that did not: the processor time of a sandbox into 64 processors of this speed, of which a fifth is left.

Examples:
  loadtest density
  loadtest density --sandboxes 64 --cameras 10 --viewers 20 --seconds 20
  loadtest density --sandboxes 2 --cameras 100 --chromium
  loadtest density --max-cpu-percent 5 --max-mib 16";

pub(super) const FANOUT: &str = "\
A clip of 3 Mbit/s is published in real time over WebSocket, and viewers take it as it comes: from Crosspoint through the feed of its
video input, whose camera nobody reads, so that fan-out is all there is to do. Viewers check every transport packet's continuity, and a
run in which one of them missed something does not count. The processor time (user and system, from /proc) without viewers is taken off
that with all of them, and the rest shared out over frames and viewers. Relays have their turns one after another, round by round.

Examples:
  loadtest fanout --peers --rtmp --pin
  loadtest fanout --viewers 1000 --rounds 1 --json";

pub(super) const INGEST: &str = "\
A 720p30 clip of H.264 is sent in real time: in MPEG-TS to Crosspoint over WebSocket, whose camera is read frame by frame at 30 Hz, as Chromium
reads it; to ffmpeg over TCP, which decodes it and throws it away, or writes it as Y4M; as it is to pixelflux, whose virtual camera is read
like ours. With --webrtc a peer on str0m publishes the same and Opus: to Crosspoint, which has the pictures in the camera and the sound in a
PulseAudio of its own, and to aiortc and a webrtcbin, which decode both and throw them away. These two offer, over the machine's first address
that is no loopback. A run in which pictures were missing does not count. The processor time (user and system) of all threads counts, from a
second after the start on; that of PulseAudio and of readers does not.

Examples:
  loadtest ingest --peers --webrtc
  loadtest ingest --rounds 1 --seconds 30 --max-percent 6";

pub(super) const PUBLISH: &str = "\
A camera has one publisher: each gets a router of its own, whose camera is read at 30 Hz. A clip of 720p30 H.264 is sent in real time, as
MPEG-TS over WebSocket, or in RTP by a WebRTC peer on str0m. A reader looks at the camera 30 times a second, as Chromium does, and reads
each picture's number back from its pixels: ages count from when each picture was due, one that was never there is as old as the one that
was there instead. The router's processor time and ours are told apart.

Examples:
  loadtest publish --websocket 4 --webrtc 4 --whip 4
  loadtest publish --webrtc 0 --whip 0 --min-shown-percent 99 --max-server-p99-ms 5";

pub(super) const SOAK: &str = "\
Runs what view runs, for minutes: a clip is published again and again, a display is streamed, viewers watch, come and go. Each second
the router's own memory (Private_Dirty of smaps_rollup), its descriptors and its threads are looked at. Of the WebSocket viewers who read
steadily every frame counts from when it was due, over the whole run; what that takes of memory here does not grow with it.

Examples:
  loadtest soak --minutes 60 --leave 50
  loadtest soak --leave 80 --stall 10 --max-mib-per-hour 2 --max-new-descriptors 0";

pub(super) const VIEW: &str = "\
Starts a router, publishes a clip of 2.5 Mbit/s to its camera and shows it a display that is all noise. WebSocket viewers watch the feed of
what is published: every transport packet is checked against the clip, and a picture's age counts from when its frame was due at the
publisher, whether it came or not: one that did not is as old as the one that came instead, or as the end. RTMP players watch the display and check times and where it starts; WebRTC viewers decrypt every packet and count what was not
there in its turn, what a retransmission brought, and what never came. The router ends who does not read: those who read steadily must
not be ended, nor notice.

A bad link may be put before them: what is measured can then be held against what was done.

Examples:
  loadtest view --websocket 100 --rtmp 20 --webrtc 20 --stall 10 --slow 10 --leave 20
  loadtest view --delay-ms 50 --loss-percent 1
  loadtest view --max-age-p99-ms 20 --max-missing-percent 0 --min-pictures-percent 100";

pub(super) const PEERS: &str = "\
Runs the other measurements with others beside ours, in interleaved rounds, and prints one table: what, the peers, what nobody can go below,
what ours aims at, ours, and how many times as much each peer takes (a ratio is taken within a round). Floors and aims were set on a
machine with two cores of an EPYC: elsewhere, ratios count. --only webrtc,fanout,screen,camera,glass,memory chooses. Run it in the
repository's folder: the screen is measured with the tests' own scenes and viewers (make setup installs what they need).

Examples:
  loadtest peers --setup --pin
  loadtest peers --only webrtc --only fanout --rounds 3 --seconds 6
  loadtest peers --json > peers.json";

pub(super) const FANOUT_RTC: &str = "\
Each viewer is a WebRTC peer on a UDP socket of its own, which decrypts all packets and counts those that never came. The processor time of
the router's network thread (of others: of all threads) and its resident memory with one viewer are taken off those with all of them.
Others take part over the machine's first address that is no loopback: Janus, and a program of Python that has a webrtcbin for each viewer.
They get the packets as they came to a viewer of ours, and neither encode nor packetise; webrtcbins are 25 at most, or they would drop some.

Examples:
  loadtest fanout-rtc --pin --peers
  loadtest fanout-rtc --display :7 --viewers 50";
