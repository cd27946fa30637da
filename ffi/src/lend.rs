//! Slots in which pictures are made where they are read: lent to a decoder, written by a copy, published, and never in the wrong order.
//!
//! A v4l2loopback device hands every reader the very buffers that its writer maps, and keeps no account of them: any buffer may be published
//! at any time, none is ever given back. So the account is ours. A [`Pool`] knows of each slot whether somebody holds it (a [`Lease`])
//! and which were published last:
//!
//! - **A slot that is held is nobody else's.** A decoder holds one for every picture that it may still predict from, and a picture that was
//!   handed on holds its own; the last of them to go frees it. The memory lives as long as any lease.
//! - **The last [`PROTECTED`] published slots are left alone.** A reader takes the newest frame or the one before it; were the third-newest
//!   written again at once, a reader that has just taken it would have no time to look. So it has at least one whole frame time.
//! - **One slot is always left for a copy** that is not the newest: what cannot be decoded in place, and black, must find a place
//!   however many pictures a decoder keeps. A decoder that asks for more gets other memory, and costs a copy a picture.
//!
//! With the four slots that Chromium asks for, a stream whose pictures refer to the one or two before them is decoded in place always:
//! three slots are published, among them those that it refers to, and it decodes into the fourth.
//!
//! Copies: 0.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::VideoFormat;
use crate::map::Region;

/// Slots for packed I420 pictures of one format.
#[derive(Debug)]
pub struct Pool {
    region: Region,
    format: VideoFormat,
    account: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    /// A bit for each slot that is held.
    held: u64,
    /// The slots that were published last, newest first; one may be there twice.
    recent: [Option<usize>; PROTECTED],
    /// Slots from this one on cannot be published.
    usable: usize,
}

/// A slot that is held.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    index: usize,
}

/// Where a decoder finds the pool of the day: both ends keep one, and the pool comes, goes and changes.
#[derive(Clone, Debug, Default)]
pub struct Lender(Arc<Offer>);

#[derive(Debug, Default)]
struct Offer {
    pool: Mutex<Option<Arc<Pool>>>,
    changes: AtomicU64,
}

impl Pool {
    /// Makes a pool of a region's slots, of which none is held and none published.
    ///
    /// # Panics
    /// When a slot is smaller than a picture, or there are more than 64.
    #[must_use]
    pub fn new(region: Region, format: VideoFormat) -> Self {
        assert!(region.slot_bytes() >= format.i420_bytes() && region.count() <= 64, "sized by the format");
        let account = Account { held: 0, recent: [None; PROTECTED], usable: region.count() };
        Self { region, format, account: Mutex::new(account) }
    }

    /// Lends a slot to a decoder, which may keep it; nothing when other memory has to do.
    #[must_use]
    pub fn lend(self: &Arc<Self>) -> Option<Lease> {
        let mut account = self.account();
        if account.usable <= PROTECTED {
            return None;
        }
        let index = (0..account.usable).find(|&index| account.is_free(index) && !account.recent.contains(&Some(index)))?;
        let newest = account.recent[0];
        let left = (0..account.usable).any(|other| other != index && account.is_free(other) && Some(other) != newest);
        left.then(|| self.hold(&mut account, index))
    }

    /// Gives a slot to write at once and publish: one that no reader looks at if there is one, else the one that was published longest
    /// ago; nothing when decoders hold all but the newest.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<Lease> {
        let mut account = self.account();
        let age = |index: &usize| account.recent.iter().position(|&recent| recent == Some(*index)).unwrap_or(PROTECTED);
        let index = (0..account.usable).filter(|&index| account.is_free(index)).max_by_key(age)?;
        // A ring of one is written while it is read, or not at all.
        let may_be = account.usable == 1 || account.recent[0] != Some(index);
        may_be.then(|| self.hold(&mut account, index))
    }

    /// Takes note that a slot is the newest that readers may take.
    pub fn publish(&self, index: usize) {
        let recent = &mut self.account().recent;
        recent.rotate_right(1);
        recent[0] = Some(index);
    }

    /// The slot that was published last.
    #[must_use]
    pub fn newest(&self) -> Option<usize> {
        self.account().recent[0]
    }

    /// Takes note that only the first `usable` slots can be published any more.
    pub fn shrink(&self, usable: usize) {
        let mut account = self.account();
        account.usable = account.usable.min(usable);
        let usable = account.usable;
        account.recent.iter_mut().for_each(|recent| *recent = recent.filter(|&index| index < usable));
    }

    /// The bytes of a slot that was published and is now given on by its owner, who alone publishes.
    #[cfg(feature = "v4l2")]
    pub(crate) fn published(&self, index: usize) -> &[u8] {
        // SAFETY: the region has so many bytes there, initialised as `Lease::as_mut_slice` says. Nobody writes them: a slot that is held
        // holds a finished picture once it is published, and one that is not is among the recent, which are not lent; `take` would give
        // it out only to the one who publishes, and that is our caller.
        unsafe { std::slice::from_raw_parts(self.region.slot(index).as_ptr(), self.region.slot_bytes()) }
    }

    /// The slots that can be published.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.account().usable
    }

    /// The slot that begins at `place`, if it can be published.
    #[must_use]
    pub fn slot_at(&self, place: *const u8) -> Option<usize> {
        (0..self.usable()).find(|&index| self.region.slot(index).as_ptr().cast_const() == place)
    }

    /// The first byte of slot `index`.
    #[cfg(test)]
    pub(crate) fn place(&self, index: usize) -> *const u8 {
        self.region.slot(index).as_ptr()
    }

    /// What the slots hold.
    #[must_use]
    pub fn format(&self) -> VideoFormat {
        self.format
    }

    fn hold(self: &Arc<Self>, account: &mut Account, index: usize) -> Lease {
        account.held |= 1 << index;
        Lease { pool: Arc::clone(self), index }
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        // A holder only moves numbers.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn is_free(&self, index: usize) -> bool {
        self.held & (1 << index) == 0
    }
}

impl Lease {
    /// The slot.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The slot's first byte, to write as long as the lease lives.
    #[must_use]
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.pool.region.slot(self.index).as_ptr()
    }

    /// The slot's bytes, to write.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let (place, bytes) = (self.as_mut_ptr(), self.pool.region.slot_bytes());
        // SAFETY: the slot has so many bytes inside a mapping that the lease's pool keeps alive, all of them initialised (a mapping is zero
        // or a device's memory). The account gave this slot to this lease alone, and whoever decodes into one keeps its lease, so nobody
        // else of this process uses them; other processes map them to read what was published.
        unsafe { std::slice::from_raw_parts_mut(place, bytes) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.account().held &= !(1 << self.index);
    }
}

impl Lender {
    /// Offers another pool, or none.
    pub fn offer(&self, pool: Option<Arc<Pool>>) {
        *self.lock() = pool;
        // Relaxed: a number to compare; what is offered is behind the lock.
        self.0.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// The pool, if one is offered.
    #[must_use]
    pub fn pool(&self) -> Option<Arc<Pool>> {
        self.lock().clone()
    }

    /// How often the offer changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Pool>>> {
        self.0.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of the slots published last are left alone.
pub const PROTECTED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(slots: usize) -> Arc<Pool> {
        let format = VideoFormat::new(64, 32, 30).expect("a format");
        Arc::new(Pool::new(Region::new(slots, format.i420_bytes()).expect("memory"), format))
    }

    /// Decodes `count` pictures that refer to `references` before them, each published when it is decoded; says how many were lent.
    fn decode(pool: &Arc<Pool>, references: usize, count: usize) -> usize {
        let mut kept = std::collections::VecDeque::new();
        let mut lent = 0;
        for _ in 0..count {
            let lease = pool.lend();
            match &lease {
                Some(lease) => {
                    lent += 1;
                    pool.publish(lease.index());
                }
                None => pool.publish(pool.take().expect("one is left for a copy").index()),
            }
            kept.push_back(lease);
            while kept.len() > references {
                kept.pop_front();
            }
        }
        lent
    }

    #[test]
    fn four_slots_carry_a_stream_of_one_or_two_references_without_a_copy() {
        for references in [0, 1, 2] {
            assert_eq!(decode(&pool(4), references, 300), 300, "{references} references");
        }
        let deep = decode(&pool(4), 3, 300);
        assert!((100..300).contains(&deep), "some of three references are lent: {deep}");
        assert_eq!(decode(&pool(8), 5, 300), 300, "more slots carry more");
    }

    #[test]
    fn what_was_published_last_is_neither_lent_nor_overwritten() {
        let pool = pool(4);
        for index in [0, 1, 2] {
            pool.publish(index);
        }
        let lease = pool.lend().expect("the fourth");
        assert_eq!((lease.index(), pool.take().expect("the oldest").index()), (3, 0));
        assert!(pool.lend().is_none(), "the three others are read");
        pool.publish(lease.index());
        drop(lease);
        assert_eq!(pool.lend().expect("the oldest is free now").index(), 0);
    }

    #[test]
    fn held_slots_stay_held_until_the_last_lease_goes() {
        let pool = pool(4);
        let leases: Vec<_> = std::iter::from_fn(|| pool.lend()).collect();
        assert_eq!(leases.len(), 3, "one is left for a copy");
        let copy = pool.take().expect("the one that is left");
        pool.publish(copy.index());
        drop(copy);
        assert!(pool.take().is_none(), "the newest is not overwritten");
        drop(leases);
        assert!(pool.take().is_some());
    }

    #[test]
    fn shrunk_pool_lends_nothing_and_still_takes_copies() {
        let pool = pool(4);
        let lent = pool.lend().expect("a slot");
        let far = pool.lend().expect("another");
        assert_eq!((pool.slot_at(lent.as_mut_ptr()), pool.slot_at(far.as_mut_ptr())), (Some(0), Some(1)));
        pool.shrink(1);
        assert_eq!(pool.slot_at(far.as_mut_ptr()), None, "it cannot be published any more");
        pool.publish(0);
        drop((lent, far));
        assert!(pool.lend().is_none());
        assert!(pool.take().is_some(), "the only one is written while it is read");
        let two = self::pool(2);
        two.publish(0);
        assert_eq!((two.lend().is_none(), two.take().expect("the other").index()), (true, 1));
    }
}
