// A viewer over WebRTC (WHEP): one peer connection that plays into a video element.

import { call } from "../access";

/** A connection that can be ended. */
export interface Player {
  destroy(): void;
}

/** Plays the stream `id` into `video`; says when it is lost. Rejects when the server refuses. */
export async function playRtc(id: string, video: HTMLVideoElement, lost: () => void): Promise<Player> {
  const peer = new RTCPeerConnection();
  let session: string | null = null;
  let over = false;
  const destroy = (): void => {
    over = true;
    peer.close();
    video.srcObject = null;
    // A session that ended by itself is no loss.
    if (session) void call(session, { method: "DELETE", keepalive: true }).catch(() => undefined);
    session = null;
  };
  peer.addTransceiver("video", { direction: "recvonly" });
  peer.addTransceiver("audio", { direction: "recvonly" });
  peer.addEventListener("track", ({ streams: [stream] }) => {
    if (stream) video.srcObject = stream;
  });
  peer.addEventListener("connectionstatechange", () => {
    if (over || !["closed", "disconnected", "failed"].includes(peer.connectionState)) return;
    lost();
  });
  try {
    await peer.setLocalDescription();
    // Our own candidates may stay unsaid: the server hears from us before it would need them.
    const body = peer.localDescription?.sdp ?? "";
    const answer = await call(`/whep/${encodeURIComponent(id)}`, { method: "POST", headers: { "Content-Type": "application/sdp" }, body });
    if (!answer.ok) throw new Error(`refused with ${answer.status}`);
    session = answer.headers.get("Location");
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  } catch (error) {
    destroy();
    throw error;
  }
  return { destroy };
}
