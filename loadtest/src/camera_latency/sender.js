// Draws numbered pictures on a canvas, and publishes it by WHIP like any page would.

import { drawCode } from '/code.js';
import { Link } from '/link.js';

const wanted = JSON.parse(new URL(location).searchParams.get('wanted'));
const { width, height, frame_rate: rate } = wanted;
const link = new Link('video');
const canvas = document.createElement('canvas');
Object.assign(canvas, { width, height });
document.body.replaceChildren(canvas);
const context = canvas.getContext('2d');
const peer = new RTCPeerConnection();
// Pixels a picture that the scenery moves by.
const SCROLL = 3;
// The first picture is as punctual as the others.
const LEAD_MS = 100;

try {
  const scenery = paintScenery();
  // A picture is sent when it is drawn, not when the page is.
  const media = canvas.captureStream(0);
  const [track] = media.getVideoTracks();
  track.contentHint = 'motion';
  const { sender } = peer.addTransceiver(track, { direction: 'sendonly', streams: [media] });
  await connect(sender);
  const start = performance.now() + LEAD_MS;
  link.send({ opened: { start } });
  for (let number = 0; number < wanted.pictures; number++) {
    await until(start + number * wanted.period_ms);
    const x = (number * SCROLL) % width;
    context.drawImage(scenery, -x, 0);
    context.drawImage(scenery, width - x, 0);
    drawCode(context, width, height, number);
    link.frame(number, number, performance.now());
    track.requestFrame();
  }
  link.send({ opened: { start, ...(await sentBy(sender)) } });
} catch (error) {
  link.fail(error);
}

async function connect(sender) {
  const connected = new Promise((done, failed) => {
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === 'connected') done();
      if (peer.connectionState === 'failed') failed(new Error('the connection failed'));
    };
  });
  await peer.setLocalDescription();
  const headers = { 'Content-Type': 'application/sdp' };
  const answer = await fetch(wanted.whip, { method: 'POST', headers, body: peer.localDescription.sdp });
  if (!answer.ok) throw new Error(`WHIP: ${answer.status} ${await answer.text()}`);
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  const parameters = sender.getParameters();
  parameters.degradationPreference = 'maintain-resolution';
  Object.assign(parameters.encodings[0], { maxBitrate: wanted.bitrate_bps, maxFramerate: rate });
  await sender.setParameters(parameters);
  await connected;
}

// What the browser says of what it sent.
async function sentBy(sender) {
  const stats = [...(await sender.getStats()).values()];
  const sent = stats.find(({ type }) => type === 'outbound-rtp');
  return {
    codec: stats.find(({ id }) => id === sent.codecId)?.mimeType ?? 'unknown',
    bytes: sent.bytesSent,
    encoding_ms: (sent.totalEncodeTime * 1e3) / sent.framesEncoded,
  };
}

// Soft shapes with some grain, which takes bits.
function paintScenery() {
  const scenery = new OffscreenCanvas(width, height);
  const brush = scenery.getContext('2d');
  const picture = brush.createImageData(width, height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      const turn = (x / width) * 2 * Math.PI;
      const tone = 126 + 45 * Math.sin(2 * turn + y / 90) + 30 * Math.sin(11 * turn + y / 40) + 12 * Math.random();
      picture.data.set([tone, tone, tone * 0.9, 255], at);
    }
  }
  brush.putImageData(picture, 0, 0);
  return scenery;
}

async function until(time) {
  const rest = time - performance.now();
  if (rest > 0) await new Promise((done) => setTimeout(done, rest));
}
