// The little that the page has to know of a transport stream (ISO/IEC 13818-1): which codec its pictures have, and where its sound is.

const CELL_BYTES = 188;
const SYNC_BYTE = 0x47;
const PAT_PID = 0;

export const STREAM_TYPE = { mpeg1: 0x01, mpeg2: 0x02, h264: 0x1b, hevc: 0x24 } as const;
const SOUND_TYPES = [0x03, 0x04, 0x0f, 0x11, 0x81];
/** "User private": a stream that no player takes. */
const PRIVATE_TYPE = 0xff;

/** Follows the tables of a stream whose chunks are whole packets. */
export class Program {
  #mapPid: number | undefined;
  /** The stream type of the pictures, once it is known. */
  video: number | undefined;

  /** Reads the tables in `chunk`, and makes the sound in its program map unknown to players: the page is silent, and sound that comes or
   * goes, or a little later than the pictures, must not hold these up. */
  read(chunk: Uint8Array): void {
    for (let at = 0; at + CELL_BYTES <= chunk.length && chunk[at] === SYNC_BYTE; at += CELL_BYTES) {
      const cell = chunk.subarray(at, at + CELL_BYTES);
      const pid = (byte(cell, 1) & 0x1f) << 8 | byte(cell, 2);
      const starts = (byte(cell, 1) & 0x40) !== 0;
      if (!starts || (pid !== PAT_PID && pid !== this.#mapPid)) continue;
      const payload = 4 + (byte(cell, 3) & 0x20 ? 1 + byte(cell, 4) : 0);
      const section = cell.subarray(payload + 1 + byte(cell, payload));
      if (pid === PAT_PID) this.#readPrograms(section);
      else this.#readMap(section);
    }
  }

  #readPrograms(section: Uint8Array): void {
    const end = sectionEnd(section);
    for (let at = 8; at + 4 <= end; at += 4) {
      const program = byte(section, at) << 8 | byte(section, at + 1);
      if (program === 0) continue;
      this.#mapPid = (byte(section, at + 2) & 0x1f) << 8 | byte(section, at + 3);
      return;
    }
  }

  #readMap(section: Uint8Array): void {
    const end = sectionEnd(section);
    let at = 12 + ((byte(section, 10) & 0x0f) << 8 | byte(section, 11));
    while (at + 5 <= end) {
      const type = byte(section, at);
      if (SOUND_TYPES.includes(type)) section[at] = PRIVATE_TYPE;
      else if (Object.values<number>(STREAM_TYPE).includes(type)) this.video ??= type;
      at += 5 + ((byte(section, at + 3) & 0x0f) << 8 | byte(section, at + 4));
    }
  }
}

/** Where a section's checksum begins. */
function sectionEnd(section: Uint8Array): number {
  return Math.min(3 + ((byte(section, 1) & 0x0f) << 8 | byte(section, 2)) - 4, section.length);
}

function byte(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}
