// A sandbox's page: it has the camera open, where there is one, and shows it.

import { Link } from '/link.js';

const wanted = JSON.parse(new URL(location).searchParams.get('wanted'));
const link = new Link('video');
const video = document.getElementById('video');

try {
  if (wanted.camera) {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: { exact: 1280 }, height: { exact: 720 } } });
    await video.play();
  }
  link.send({ opened: { camera: wanted.camera } });
} catch (error) {
  link.fail(error);
}
