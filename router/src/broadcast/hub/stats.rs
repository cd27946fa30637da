//! What a hub counts.

/// Counters since construction, and the present viewers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HubStats {
    /// Viewers now.
    pub viewers: usize,
    /// Units published.
    pub units: u64,
    /// Bytes published.
    pub bytes: u64,
    /// Times that a viewer was left behind.
    pub lags: u64,
    /// Units that slow viewers lost, summed over viewers.
    pub dropped: u64,
    /// Key frames ordered.
    pub keys_ordered: u64,
    /// The units that were given to viewers, by how many more the viewer had before it then: up to each of [`HubStats::BEHIND`], and more.
    pub behind: [u64; Self::BEHIND.len() + 1],
    /// The sum of these numbers.
    pub behind_sum: u64,
}

impl HubStats {
    /// The bounds of [`HubStats::behind`]: a frame with its sound, and on to what a hub keeps at most by default.
    pub const BEHIND: [u64; 6] = [0, 2, 8, 32, 64, 128];

    /// The figures of two hubs together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            viewers: self.viewers + other.viewers,
            units: self.units + other.units,
            bytes: self.bytes + other.bytes,
            lags: self.lags + other.lags,
            dropped: self.dropped + other.dropped,
            keys_ordered: self.keys_ordered + other.keys_ordered,
            behind_sum: self.behind_sum + other.behind_sum,
            behind: std::array::from_fn(|bucket| self.behind[bucket] + other.behind[bucket]),
        }
    }

    pub(super) fn count_behind(&mut self, units: u64) {
        let bucket = Self::BEHIND.iter().position(|&bound| units <= bound).unwrap_or(Self::BEHIND.len());
        self.behind[bucket] += 1;
        self.behind_sum += units;
    }
}
