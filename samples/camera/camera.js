// Opens the camera and the microphone as any web page does, shows both, and keeps a log of every frame for whoever checks them
// (`window.check`, read by the real-peer tests).

import { readCodes } from './code.js';

const element = (id) => document.getElementById(id);

// The shapes of clips that are looked for in the picture.
const ASPECTS = [16 / 9, 4 / 3];
// Ten minutes at 30 frames a second.
const LOG_FRAMES = 18_000;
// Frames that may wait while this page is busy: two seconds, so that a loaded machine's page misses none.
const LATE_FRAMES = 60;
// The meter's floor.
const FLOOR_DB = -60;

const check = {
  // One entry a frame: [milliseconds on the page's clock, top code, bottom code, mean luma of the picture].
  frames: [],
  size: null,
  camera: null,
  microphone: null,
  // The labels of all microphones.
  microphones: [],
  error: null,
  // The last of several sound measurements: root mean square of the samples (1 is full scale), and the strongest pitch in hertz.
  sound: { level: 0, pitch: 0, measured: 0 },
};
window.check = check;

function meanLuma(luma, stride, width, height) {
  let sum = 0;
  let samples = 0;
  for (let y = 4; y < height; y += 16) {
    for (let x = 4; x < width; x += 16) {
      sum += luma[y * stride + x];
      samples += 1;
    }
  }
  return sum / samples;
}

async function watchFrames(track) {
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: LATE_FRAMES }).readable.getReader();
  let bytes = new Uint8Array(0);
  for (;;) {
    const { done, value: frame } = await reader.read();
    if (done) return;
    const at = performance.now();
    const { width, height } = frame.visibleRect;
    const size = frame.allocationSize();
    if (bytes.length < size) bytes = new Uint8Array(size);
    const [plane] = await frame.copyTo(bytes);
    frame.close();
    const luma = bytes.subarray(plane.offset);
    const codes = readCodes({ luma, stride: plane.stride, width, height }, ASPECTS);
    check.size = { width, height };
    check.frames.push([at, codes.top, codes.bottom, meanLuma(luma, plane.stride, width, height)]);
    if (check.frames.length > LOG_FRAMES) check.frames.splice(0, LOG_FRAMES / 2);
  }
}

// The strongest frequency of a spectrum in hertz, between its bins by a parabola through the peak and its neighbours.
function strongest(spectrum, binHz) {
  let peak = 1;
  for (let bin = 2; bin < spectrum.length - 1; bin++) if (spectrum[bin] > spectrum[peak]) peak = bin;
  const [below, at, above] = [spectrum[peak - 1], spectrum[peak], spectrum[peak + 1]];
  const bend = below - 2 * at + above;
  return (peak + (bend < 0 ? (below - above) / (2 * bend) : 0)) * binHz;
}

function watchSound(stream) {
  const context = new AudioContext();
  const fine = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
  const quick = new AnalyserNode(context, { fftSize: 2048 });
  const source = context.createMediaStreamSource(stream);
  source.connect(fine);
  source.connect(quick);
  const spectrum = new Float32Array(fine.frequencyBinCount);
  const samples = new Float32Array(quick.fftSize);
  setInterval(() => {
    quick.getFloatTimeDomainData(samples);
    fine.getFloatFrequencyData(spectrum);
    const level = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
    const pitch = level > 0.001 ? strongest(spectrum, context.sampleRate / fine.fftSize) : 0;
    check.sound = { level, pitch, measured: check.sound.measured + 1 };
    const decibels = Math.max(FLOOR_DB, 20 * Math.log10(level || 1e-6));
    element('level').style.transform = `scaleX(${1 - decibels / FLOOR_DB})`;
    element('meter').setAttribute('aria-valuenow', decibels.toFixed(0));
    element('decibels').textContent = `${decibels.toFixed(0)} dB`;
    element('pitch').textContent = pitch ? `${pitch.toFixed(0)} Hz` : 'silent';
  }, 50);
}

function showFigures() {
  const now = performance.now();
  const recent = check.frames.slice(-90).filter(([at]) => at > now - 1000);
  element('size').textContent = check.size ? `${check.size.width} × ${check.size.height}` : '–';
  element('rate').textContent = `${recent.length} fps`;
  const number = recent.at(-1)?.[1] ?? null;
  element('number').textContent = number === null ? 'no clip' : `frame ${number}`;
}

// Chromium opens the default microphone under the label "Default": with one other there, that is the one behind it.
async function microphoneLabels(track) {
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === 'audioinput');
  const others = devices.filter(({ deviceId }) => deviceId !== 'default');
  const own = track.label === 'Default' && others.length === 1 && others[0].label ? others[0].label : track.label;
  return { own, all: devices.map(({ label }) => label) };
}

async function open() {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const [camera] = stream.getVideoTracks();
  const [microphone] = stream.getAudioTracks();
  element('view').srcObject = stream;
  element('message').textContent = '';
  element('camera-label').textContent = check.camera = camera.label;
  const labels = await microphoneLabels(microphone);
  element('microphone-label').textContent = check.microphone = labels.own;
  check.microphones = labels.all;
  camera.addEventListener('ended', () => fail(new Error('the camera ended')));
  setInterval(showFigures, 200);
  watchSound(stream);
  await watchFrames(camera.clone());
}

function fail(error) {
  check.error = `${error.name}: ${error.message}`;
  element('message').textContent = `No camera and microphone: ${error.message}`;
}

open().catch(fail);
