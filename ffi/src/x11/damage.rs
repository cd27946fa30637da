//! What changed on the screen since the last grab, in bands of rows.

use std::ops::Range;
use std::{ptr, slice};

use x11::{xfixes, xlib};

use super::display::Display;
use super::sys;
use crate::Result;

/// Bands of rows, sorted, apart from each other, with even starts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Bands(Vec<Range<usize>>);

impl Bands {
    /// Adds `rows`, widened to even bounds and cut at `height`; joins bands that are closer than [`Bands::GAP`].
    pub(super) fn insert(&mut self, rows: Range<usize>, height: usize) {
        let mut band = rows.start & !1..rows.end.next_multiple_of(2).min(height);
        if rows.is_empty() || band.is_empty() {
            return;
        }
        let first = self.0.partition_point(|other| other.end + Self::GAP < band.start);
        let last = self.0.partition_point(|other| other.start <= band.end + Self::GAP);
        if first < last {
            band = band.start.min(self.0[first].start)..band.end.max(self.0[last - 1].end);
            self.0.drain(first + 1..last);
            self.0[first] = band;
        } else {
            self.0.insert(first, band);
        }
    }

    /// Forgets the bands; keeps their memory.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The bands.
    pub(super) fn as_slice(&self) -> &[Range<usize>] {
        &self.0
    }

    /// Reading a band costs a round trip, which is worth about as many rows of 1080p.
    const GAP: usize = 64;
}

/// The DAMAGE extension's watch over the root window.
#[derive(Debug)]
pub(super) struct Damage {
    /// Nothing when the server has no DAMAGE or XFIXES: then everything is always damaged.
    watch: Option<Watch>,
    everything: bool,
    some: bool,
}

#[derive(Debug)]
struct Watch {
    damage: sys::DamageId,
    /// Where the server puts the damaged parts for us to fetch.
    parts: xfixes::XserverRegion,
    first_event: i32,
}

impl Damage {
    /// Starts to watch `root`.
    ///
    /// # Errors
    /// When the connection is lost or the server refuses.
    pub(super) fn new(display: &Display, root: xlib::Window) -> Result<Self> {
        const DOING: &str = "watching the screen for damage";
        display.check(DOING)?;
        let watch = Watch::new(display, root);
        display.sync(DOING)?;
        Ok(Self { watch, everything: true, some: false })
    }

    /// Whether the server can tell what changed.
    pub(super) fn is_watching(&self) -> bool {
        self.watch.is_some()
    }

    /// Takes note of an event of type `kind`, if it is ours.
    pub(super) fn handle_event(&mut self, kind: i32) {
        if self.watch.as_ref().is_some_and(|watch| kind == watch.first_event + sys::DAMAGE_NOTIFY) {
            self.some = true;
        }
    }

    /// Says that all rows must be read anew.
    pub(super) fn damage_everything(&mut self) {
        self.everything = true;
    }

    /// Whether anything is damaged.
    pub(super) fn is_some(&self) -> bool {
        self.everything || self.some || self.watch.is_none()
    }

    /// Moves the damage into `bands` of a screen `height` rows high. What is drawn from now on is new damage.
    ///
    /// # Errors
    /// When the connection is lost or the server refuses; then everything is damaged.
    pub(super) fn take(&mut self, display: &Display, height: usize, bands: &mut Bands) -> Result<()> {
        if !self.is_some() {
            return Ok(());
        }
        let everything = std::mem::replace(&mut self.everything, true) || self.watch.is_none();
        self.some = false;
        if let Some(watch) = &self.watch {
            watch.take(display, |rows| bands.insert(rows, height))?;
        }
        if everything {
            bands.insert(0..height, height);
        }
        self.everything = false;
        Ok(())
    }
}

impl Watch {
    fn new(display: &Display, root: xlib::Window) -> Option<Self> {
        let raw = display.raw();
        let (mut first_event, mut error, mut major, mut minor) = (0, 0, 1, 1);
        // SAFETY: the caller checked the connection; the out pointers are locals.
        if unsafe { xfixes::XFixesQueryExtension(raw, &raw mut first_event, &raw mut error) } == xlib::False {
            return None;
        }
        // SAFETY: as above.
        if unsafe { sys::damage_query_extension(raw, &raw mut first_event, &raw mut error) } == xlib::False {
            return None;
        }
        // The server wants to be asked for its version before anything else.
        // SAFETY: as above.
        if unsafe { sys::damage_query_version(raw, &raw mut major, &raw mut minor) } == 0 {
            return None;
        }
        // SAFETY: only queues a request; the server checks `root`.
        let damage = unsafe { sys::damage_create(raw, root, sys::DAMAGE_REPORT_NON_EMPTY) };
        // SAFETY: only queues a request; no rectangles to read behind the null.
        let parts = unsafe { xfixes::XFixesCreateRegion(raw, ptr::null_mut(), 0) };
        Some(Self { damage, parts, first_event })
    }

    fn take(&self, display: &Display, mut each: impl FnMut(Range<usize>)) -> Result<()> {
        const DOING: &str = "asking what changed on the screen";
        display.check(DOING)?;
        // SAFETY: the connection is not lost; only queues a request. Repair `None` (0) means all of the damage.
        unsafe { sys::damage_subtract(display.raw(), self.damage, 0, self.parts) };
        let mut count = 0;
        // SAFETY: the connection is not lost: queueing the request above flushes only a full buffer, which ours is not.
        let rectangles = unsafe { xfixes::XFixesFetchRegion(display.raw(), self.parts, &raw mut count) };
        if rectangles.is_null() {
            return Err(display.refusal(DOING));
        }
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: XFixesFetchRegion answers `count` rectangles in memory of its own, freed only below.
        for rectangle in unsafe { slice::from_raw_parts(rectangles, count) } {
            let top = i64::from(rectangle.y);
            let rows = top.max(0)..(top + i64::from(rectangle.height)).max(0);
            each(rows.start as usize..rows.end as usize);
        }
        // SAFETY: from XFixesFetchRegion, not freed before, not used after.
        unsafe { xlib::XFree(rectangles.cast()) };
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "bands are ranges")]
mod tests {
    use super::*;

    fn bands(height: usize, rows: &[Range<usize>]) -> Vec<Range<usize>> {
        let mut bands = Bands::default();
        for rows in rows {
            bands.insert(rows.clone(), height);
        }
        bands.as_slice().to_vec()
    }

    #[test]
    fn bands_are_even_sorted_and_apart() {
        for (rows, expected) in [
            (vec![3..4], vec![2..4]),
            (vec![301..303, 3..5], vec![2..6, 300..304]),
            (vec![0..10, 70..80], vec![0..80]),
            (vec![0..10, 76..80], vec![0..10, 76..80]),
            (vec![0..10, 200..210, 400..410, 15..399], vec![0..410]),
            (vec![200..210, 0..10, 400..410, 12..14], vec![0..14, 200..210, 400..410]),
            (vec![500..800], vec![500..601]),
            (vec![601..900, 700..710], vec![600..601]),
            (vec![5..5], vec![]),
        ] {
            assert_eq!(bands(601, &rows), expected, "{rows:?}");
        }
    }
}
