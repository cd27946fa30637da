// Reads every frame of a track as it arrives.

import { readFrame } from '/code.js';
import { Link } from '/link.js';

const link = new Link('worker');

onmessage = async ({ data: { readable } }) => {
  try {
    for await (const frame of readable) {
      const at = performance.now();
      const [top, bottom] = await readFrame(frame);
      link.frame(top, bottom, at);
    }
    link.fail('the camera ended');
  } catch (error) {
    link.fail(error);
  }
};
