// Captures the feed of the virtual input to a file, until Ctrl-C: feed_capture.mpegts, or feed_capture.ivf when the feed is IVF.
//
//   node samples/virtual-inputs/feed_capture.js [--host ws://localhost:444] [--output feed_capture] [--seconds N]
//
// CROSSPOINT_URL says the same as --host. The file's name ends in the format that the server's first message tells.

import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import WebSocket from 'ws';

// The server closes the socket with this code when the feed goes on in another format.
const FORMAT_CHANGED = 4411;

const { values: options } = parseArgs({
  options: {
    host: { type: 'string', default: process.env.CROSSPOINT_URL ?? 'ws://localhost:444' },
    output: { type: 'string', default: 'feed_capture' },
    seconds: { type: 'string' },
  },
});
const url = `${options.host.replace(/^http/, 'ws').replace(/\/$/, '')}/input/devices/virtual/feed/socket`;

// Writes what one connection brings; says how many bytes that were, and the code that the server closed it with.
async function capture(stopped) {
  const ws = new WebSocket(url);
  let file;
  let name;
  let bytes = 0;
  const stop = () => ws.close();
  stopped.addEventListener('abort', stop);
  ws.on('message', (data, isBinary) => {
    if (!isBinary) {
      name = `${options.output}.${data}`;
      console.log(`capturing ${name} (Ctrl-C ends)`);
      return;
    }
    // The file begins with the first chunk: a feed that sends nothing leaves an older capture alone.
    file ??= createWriteStream(name ?? `${options.output}.mpegts`);
    file.write(data);
    bytes += data.length;
  });
  ws.on('unexpected-response', (_, response) => {
    console.error(`refused with ${response.statusCode}: is a video input configured?`);
    process.exitCode = 1;
    ws.terminate();
  });
  ws.on('error', (error) => {
    if (stopped.aborted || process.exitCode) return;
    console.error(error.message);
    process.exitCode = 1;
  });
  const [code, reason] = await once(ws, 'close');
  stopped.removeEventListener('abort', stop);
  if (file) {
    file.end();
    await once(file, 'finish');
    console.log(`${bytes} bytes in ${name}`);
  }
  if (!stopped.aborted && !process.exitCode && code !== FORMAT_CHANGED) console.log(`closed by the server with ${code} ${reason}`);
  return { bytes, code };
}

const stopping = new AbortController();
process.once('SIGINT', () => stopping.abort());
process.once('SIGTERM', () => stopping.abort());
const timer = options.seconds && setTimeout(() => stopping.abort(), Number(options.seconds) * 1000);

// A feed that turns out to be in another format before anything was captured is captured in that one.
let last;
do last = await capture(stopping.signal);
while (last.code === FORMAT_CHANGED && last.bytes === 0 && !stopping.signal.aborted);
clearTimeout(timer);
