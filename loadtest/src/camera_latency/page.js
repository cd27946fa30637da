// Opens the camera like any page would, and tells which frames reach it when: in a worker as the track delivers them, here as the
// <video> element paints them.

import { readFrame } from '/code.js';
import { Link } from '/link.js';

const wanted = JSON.parse(new URL(location).searchParams.get('wanted'));
const link = new Link('video');

try {
  const media = await navigator.mediaDevices.getUserMedia({
    audio: wanted.microphone,
    video: {
      width: { exact: wanted.width },
      height: { exact: wanted.height },
      frameRate: { ideal: wanted.frame_rate },
    },
  });
  const [track] = media.getVideoTracks();
  link.send({ opened: { label: track.label, ...track.getSettings(), isolated: crossOriginIsolated } });
  if (wanted.in_page) readInWorker(track.clone());
  if (wanted.visible) watchPaints(media);
} catch (error) {
  link.fail(error);
}

function readInWorker(track) {
  const { readable } = new MediaStreamTrackProcessor({ track });
  const worker = new Worker('/reader.js', { type: 'module' });
  worker.onerror = (event) => link.fail(event.message);
  worker.postMessage({ readable }, [readable]);
}

function watchPaints(media) {
  const video = document.getElementById('video');
  const painted = (now, metadata) => {
    video.requestVideoFrameCallback(painted);
    const at = metadata.expectedDisplayTime;
    readFrame(new VideoFrame(video)).then(([top, bottom]) => link.frame(top, bottom, at), (error) => link.fail(error));
  };
  video.requestVideoFrameCallback(painted);
  video.srcObject = media;
}
