// Sends an MPEG-TS file as the camera's picture, and an MP3 file as the microphone's sound, in chunks over WebSockets.
//
//   sh samples/virtual-inputs/make_media.sh
//   node samples/virtual-inputs/ws_chunk_ingest.js [--host ws://localhost:444] [--video FILE.ts] [--audio FILE.mp3] [--loop] [--configure]
//
// Without --video and --audio it sends make_media.sh's files to whatever is configured as a socket (with --configure: to both).
// CROSSPOINT_URL, VIDEO_FILE and AUDIO_FILE say the same as the options.

import { createReadStream } from 'node:fs';
import { access } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import WebSocket from 'ws';

const CHUNK_BYTES = 65536;
const CHUNK_INTERVAL_MS = 35;

const { values: options } = parseArgs({
  options: {
    host: { type: 'string', default: process.env.CROSSPOINT_URL ?? 'ws://localhost:444' },
    video: { type: 'string', default: process.env.VIDEO_FILE },
    audio: { type: 'string', default: process.env.AUDIO_FILE },
    loop: { type: 'boolean', default: false },
    configure: { type: 'boolean', default: false },
  },
});
const host = options.host.replace(/^http/, 'ws').replace(/\/$/, '');
const api = `${host.replace(/^ws/, 'http')}/input/devices/virtual`;
const sample = (name) => fileURLToPath(new URL(`media/${name}`, import.meta.url));

// Takes the sample files for the tracks that are there to be fed.
async function chooseSamples() {
  const { ingest } = options.configure ? {} : await (await fetch(`${api}/status`)).json();
  const takes = (track) => options.configure || ingest?.[track]?.protocol === 'socket';
  if (takes('video')) options.video = sample('sample_video_mpeg1.ts');
  if (takes('audio')) options.audio = sample('sample_audio.mp3');
  if (!options.video && !options.audio) throw new Error('nothing is configured as a socket: configure first, or give --configure');
}

// Tells the server what will come; what is not named is switched off.
async function configure() {
  const body = {};
  if (options.video) body.video = { type: 'socket', format: 'mpegts', width: 1280, height: 720, frame_rate: 30 };
  if (options.audio) body.audio = { type: 'socket', format: 'mp3' };
  const response = await fetch(`${api}/configure`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`configure: ${answer.message}`);
}

function connect(path) {
  const ws = new WebSocket(host + path);
  ws.on('message', (hint) => console.log(`${path}: server expects ${hint}`));
  return new Promise((resolve, reject) => {
    ws.once('open', () => resolve(ws));
    ws.once('error', reject);
    ws.once('unexpected-response', (_, response) => reject(new Error(`${path}: refused with ${response.statusCode}`)));
  });
}

// Sends a chunk and waits until the kernel has it: the server reads at the pace of the media, and that is how far ahead we run.
function send(ws, chunk) {
  return new Promise((resolve, reject) => ws.send(chunk, (error) => (error ? reject(error) : resolve())));
}

async function publish(path, file) {
  const ws = await connect(path);
  const closed = new Promise((_, reject) => {
    ws.once('close', (code, reason) => reject(new Error(`${path}: closed by the server with ${code} ${reason}`)));
    ws.on('error', reject);
  });
  const sending = (async () => {
    do {
      for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES })) {
        await send(ws, chunk);
        await new Promise((resolve) => setTimeout(resolve, CHUNK_INTERVAL_MS));
      }
    } while (options.loop);
  })();
  await Promise.race([sending, closed]);
  closed.catch(() => {});
  ws.close();
}

try {
  if (!options.video && !options.audio) await chooseSamples();
  for (const file of [options.video, options.audio]) if (file) await access(file);
  if (options.configure) await configure();
  const feeds = [];
  if (options.video) feeds.push(publish('/input/devices/virtual/socket/video', options.video));
  if (options.audio) feeds.push(publish('/input/devices/virtual/socket/audio', options.audio));
  await Promise.all(feeds);
} catch (error) {
  console.error(error.code === 'ENOENT' ? `${error.path} is missing: sh samples/virtual-inputs/make_media.sh makes the samples` : error.message);
  process.exit(1);
}
