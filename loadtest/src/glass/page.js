// Views a stream by WHEP like any page would, and tells which pictures it shows and what the browser knows of their way.

import { readFrame } from '/code.js';
import { Link } from '/link.js';

const wanted = JSON.parse(new URL(location).searchParams.get('wanted'));
const link = new Link('video');
const video = document.getElementById('video');
const peer = new RTCPeerConnection();
const transceiver = peer.addTransceiver('video', { direction: 'recvonly' });
// From 1900, where NTP counts from, to 1970.
const TO_1970_MS = 2_208_988_800_000;
const LOOK_AGAIN_MS = 50;
const TELL_MS = 250;
let before = {};
// When ICE had a way, and whether a picture was shown.
let connected = null;
let hasBegun = false;

try {
  video.requestVideoFrameCallback(shown);
  // Browsers do not ask by themselves when things were captured.
  const extensions = transceiver.getHeaderExtensionsToNegotiate();
  extensions.find(({ uri }) => uri.endsWith('/abs-capture-time')).direction = 'sendrecv';
  transceiver.setHeaderExtensionsToNegotiate(extensions);
  if (wanted.sound) peer.addTransceiver('audio', { direction: 'recvonly' });
  video.muted = !wanted.sound;
  video.srcObject = new MediaStream();
  peer.ontrack = ({ track }) => video.srcObject.addTrack(track);
  peer.onconnectionstatechange = () => {
    if (peer.connectionState === 'failed') link.fail('the connection failed');
  };
  peer.oniceconnectionstatechange = () => {
    if (peer.iceConnectionState === 'connected') connected ??= performance.now();
  };
  await peer.setLocalDescription();
  const headers = { 'Content-Type': 'application/sdp' };
  const answer = await fetch(wanted.whep, { method: 'POST', headers, body: peer.localDescription.sdp });
  if (!answer.ok) throw new Error(`WHEP: ${answer.status} ${await answer.text()}`);
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  if (wanted.sound) await soundHeard();
  link.send({ opened: { sound: wanted.sound } });
  setInterval(tellBuffers, TELL_MS);
} catch (error) {
  link.fail(error);
}

function shown(_now, { receiveTime, presentationTime, processingDuration, rtpTimestamp }) {
  const at = performance.now();
  video.requestVideoFrameCallback(shown);
  if (!hasBegun) link.send({ begun: at - connected });
  hasBegun = true;
  const way = [capturedAt(rtpTimestamp), receiveTime ?? null, processingDuration ?? null, presentationTime];
  readFrame(new VideoFrame(video)).then(
    ([top, bottom]) => link.frame(top, bottom, at, way),
    (error) => link.fail(error),
  );
}

// What the jitter buffers held since the last look, and how far apart the clocks of picture and sound are by the sender's reports.
async function tellBuffers() {
  const now = {};
  for (const stats of (await peer.getStats()).values()) if (stats.type === 'inbound-rtp') now[stats.kind] = stats;
  const held = (kind) => {
    const emitted = (now[kind]?.jitterBufferEmittedCount ?? 0) - (before[kind]?.jitterBufferEmittedCount ?? 0);
    if (emitted <= 0) return null;
    return ((now[kind].jitterBufferDelay - (before[kind]?.jitterBufferDelay ?? 0)) * 1e3) / emitted;
  };
  const [picture, sound] = [now.video?.estimatedPlayoutTimestamp, now.audio?.estimatedPlayoutTimestamp];
  link.send({ buffers: { picture_ms: held('video'), sound_ms: held('audio'), ahead_ms: picture && sound ? picture - sound : null } });
  before = now;
}

async function soundHeard() {
  const isHeard = ({ type, kind, audioLevel }) => type === 'inbound-rtp' && kind === 'audio' && audioLevel > 0;
  while (![...(await peer.getStats()).values()].some(isHeard)) await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS));
}

// When the sender captured a picture, by its own wall clock, which is ours; null when the browser has gone on to another picture.
function capturedAt(rtpTimestamp) {
  const source = transceiver.receiver.getSynchronizationSources().find((source) => source.rtpTimestamp === rtpTimestamp);
  if (source?.captureTimestamp === undefined) return null;
  return source.captureTimestamp - TO_1970_MS - performance.timeOrigin;
}
