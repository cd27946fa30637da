//! What is counted, for whoever collects figures.

use crosspoint_router::control::{InputStats, StreamMode};

use super::App;
use super::media::MediaFigures;
use crate::broadcast::BroadcastStats;
use crate::config::CameraChoice;
use crate::rtc::RtcStats;

/// How a viewer or a publisher is connected to us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    /// RTMP, plain or inside TLS.
    Rtmp,
    /// A peer connection.
    WebRtc,
    /// A WebSocket.
    WebSocket,
}

/// Everything at one moment. Words are of a few fixed values: nothing in it names a stream or a peer.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Which kind of camera there is, if any.
    pub(crate) camera: Option<&'static str>,
    pub(crate) inputs: InputStats,
    pub(crate) media: MediaFigures,
    pub(crate) broadcast: BroadcastStats,
    pub(crate) rtc: RtcStats,
    /// Publishers by track and transport.
    pub(crate) publishers: Vec<(&'static str, &'static str, u64)>,
    /// Viewers of streams by transport, those that connect included.
    pub(crate) viewers: Vec<(&'static str, u64)>,
    /// Streams by mode.
    pub(crate) streams: Vec<(&'static str, u64)>,
    /// Streams that are pushed, by whether media flows.
    pub(crate) pushes: [(&'static str, u64); 2],
    /// How often pushes that run now began anew.
    pub(crate) reconnects: u64,
}

impl Transport {
    const ALL: [Self; 3] = [Self::Rtmp, Self::WebRtc, Self::WebSocket];

    fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::WebRtc => "webrtc",
            Self::WebSocket => "websocket",
        }
    }
}

impl App {
    /// What is counted, at this moment.
    pub(crate) fn figures(&self) -> Figures {
        let (streams, pushes) = (self.streams(), self.0.pushes.borrow());
        let modes = [StreamMode::Internal, StreamMode::Remote, StreamMode::Socket, StreamMode::Webrtc];
        let viewers = self.0.viewers.borrow();
        let flowing = pushes.values().filter(|(push, _)| push.flows()).count() as u64;
        let seats = [("video", &self.0.video), ("audio", &self.0.audio)];
        // Nobody publishes to us by RTMP.
        let publishers = seats.into_iter().flat_map(|(track, seat)| {
            let of = move |transport: Transport| (track, transport.name(), u64::from(seat.transport() == Some(transport)));
            [of(Transport::WebRtc), of(Transport::WebSocket)]
        });
        Figures {
            camera: match self.camera() {
                CameraChoice::V4l2(_) => Some("device"),
                CameraChoice::Auto | CameraChoice::File(_) => Some("file"),
                CameraChoice::Off => None,
            },
            inputs: self.input_status().stats,
            media: self.0.media.figures(),
            broadcast: self.0.media.broadcast.stats(),
            rtc: self.0.rtc.stats(),
            publishers: publishers.collect(),
            viewers: Transport::ALL
                .map(|transport| (transport.name(), viewers.iter().filter(|(_, by, _)| *by == transport).count() as u64))
                .to_vec(),
            streams: modes.map(|mode| (mode.name(), streams.iter().filter(|stream| stream.mode == mode).count() as u64)).to_vec(),
            pushes: [("flowing", flowing), ("waiting", pushes.len() as u64 - flowing)],
            reconnects: pushes.values().map(|(push, _)| push.reconnects()).sum(),
        }
    }
}
