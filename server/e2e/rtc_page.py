"""WebRTC viewers that are pages of a browser."""

import itertools

import wait

# Livestreaming / Video: WebRTC / Connect viewer (browser), word for word.
VIEW = """
const pc = new RTCPeerConnection();
pc.ontrack = e => { document.getElementById('video').srcObject = e.streams[0]; };

const offer = await pc.createOffer({ offerToReceiveVideo: true, offerToReceiveAudio: true });
await pc.setLocalDescription(offer);

const res = await fetch('http://localhost:444/stream/webrtc/offer', {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({ sdp: pc.localDescription.sdp, id: 'live-webrtc' })
});
const { sdp } = await res.json();
await pc.setRemoteDescription({ type: 'answer', sdp });
"""

# What a viewer has got, from its one element and its statistics.
SEEN = """
async () => {
  const video = document.getElementById('video');
  if (video.srcObject?.getAudioTracks().length && !window.listener) {
    const context = new AudioContext({ sampleRate: 48000 });
    window.listener = Object.assign(context.createAnalyser(), { fftSize: 8192 });
    context.createMediaStreamSource(video.srcObject).connect(window.listener);
  }
  const bins = new Float32Array(window.listener?.frequencyBinCount ?? 1);
  window.listener?.getFloatFrequencyData(bins);
  const peak = bins.indexOf(Math.max(...bins));
  const seen = { pitch: bins[peak] > -60 ? peak * 48000 / 8192 : 0, tracks: video.srcObject?.getTracks().map(track => track.kind).sort() ?? [], width: video.videoWidth };
  const stats = await window.pc.getStats();
  for (const report of stats.values()) {
    if (report.type === 'inbound-rtp') {
      const { framesDecoded: frames, packetsReceived: packets, estimatedPlayoutTimestamp: played } = report;
      const codec = stats.get(report.codecId)?.mimeType;
      seen[report.kind] = { frames, packets, played, codec, delay: 1000 * report.jitterBufferDelay / report.jitterBufferEmittedCount };
    }
    if (report.type === 'candidate-pair' && report.nominated) seen.protocol = stats.get(report.localCandidateId)?.protocol;
  }
  return seen;
}
"""


def open_page(browser, crosspoint):
    page = browser.new_page()
    page.goto(f"http://{crosspoint.listen}/livez")
    page.evaluate("document.body.innerHTML = '<video id=video autoplay muted></video>'")
    return page


def view(page, crosspoint, stream: str, before_offer: str = ""):
    script = VIEW.replace("const offer", f"{before_offer}\nconst offer").replace("localhost:444", crosspoint.listen).replace("live-webrtc", stream)
    page.evaluate(f"async () => {{ {script}; window.pc = pc; }}")


def draw_until(screen, condition, what: str, deadline=wait.DEADLINE_S):
    """Draws until a condition holds: a display that stands still is not encoded."""
    seeds = itertools.count()

    def check():
        screen.draw(next(seeds))
        return condition()

    return wait.until(check, what, deadline)
