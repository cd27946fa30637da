//! What a sandbox says of itself.

use serde::{Deserialize, Serialize};

/// A sandbox over the time that counts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Account {
    pub(super) crosspoint: Use,
    pub(super) display: Use,
    pub(super) sound: Use,
    /// All of its processes.
    pub(super) browser: Option<Use>,
    /// What feeds, reads, draws and watches: percent of a processor.
    pub(super) generator_percent: f64,
    /// The router's first thread and all others, each time that one was given a processor.
    pub(super) wake_ups_per_s: f64,
    pub(super) camera: Option<Camera>,
    pub(super) viewer: Option<Viewer>,
}

/// What a process took.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Use {
    /// Of a processor, in percent.
    pub(super) cpu_percent: f64,
    /// Its share of memory at the end, in MiB.
    pub(super) mib: f64,
}

/// A camera that is fed and read.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Camera {
    pub(super) sent: u64,
    /// Pictures written into the camera.
    pub(super) shown: u64,
    /// From a frame's last byte to the end of its write into the camera, as the router says.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// A screen that is watched.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Viewer {
    /// How often the screen changed.
    pub(super) changes: u64,
    /// Pictures that came: those, and what players get of a screen that stands still.
    pub(super) received: u64,
}

impl Account {
    /// What the sandbox takes of a processor, the generator aside, in percent.
    pub(super) fn cpu_percent(&self) -> f64 {
        self.parts().map(|part| part.cpu_percent).sum()
    }

    /// The memory that it takes, in MiB.
    pub(super) fn mib(&self) -> f64 {
        self.parts().map(|part| part.mib).sum()
    }

    fn parts(&self) -> impl Iterator<Item = Use> {
        [self.crosspoint, self.display, self.sound].into_iter().chain(self.browser)
    }

    /// What is wrong with it, if anything.
    pub(super) fn broken(&self) -> Option<String> {
        let is_short = |got: u64, of: u64| got * 100 < of * LEAST_PERCENT;
        let camera = self.camera.filter(|camera| is_short(camera.shown, camera.sent));
        let viewer = self.viewer.filter(|viewer| is_short(viewer.received, viewer.changes));
        camera
            .map(|camera| format!("a camera showed {} of {} pictures", camera.shown, camera.sent))
            .or_else(|| viewer.map(|viewer| format!("a viewer got {} pictures of {} changes", viewer.received, viewer.changes)))
    }
}

const LEAST_PERCENT: u64 = 95;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_picture_in_twenty_may_be_missing() {
        let camera = |shown| Account { camera: Some(Camera { sent: 100, shown, ..Camera::default() }), ..Account::default() };
        assert_eq!((camera(95).broken(), camera(94).broken().is_some()), (None, true));
        let viewer = |received| Account { viewer: Some(Viewer { changes: 40, received }), ..Account::default() };
        assert_eq!((viewer(38).broken(), viewer(37).broken().is_some()), (None, true));
        assert_eq!(Account::default().broken(), None);
    }
}
