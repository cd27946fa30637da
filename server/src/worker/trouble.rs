//! What went wrong last, for `last_error`.

use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The newest trouble of one flow, told until media has gone well for [`Trouble::MEMORY`].
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Option<Entry>>);

#[derive(Debug)]
struct Entry {
    message: String,
    at: Instant,
    count: u64,
}

impl Trouble {
    /// How long a trouble that went away is still told: long enough to be seen by someone who polls.
    const MEMORY: Duration = Duration::from_secs(10);

    /// Notes a trouble; says whether it is another one than the last, so that a caller logs it once.
    pub(crate) fn note(&self, what: impl Display) -> bool {
        let message = what.to_string();
        let mut entry = self.lock();
        let count = match entry.as_ref() {
            Some(old) if old.message == message => old.count + 1,
            Some(_) | None => 0,
        };
        *entry = Some(Entry { message, at: Instant::now(), count });
        count == 0
    }

    /// Notes that media goes well.
    pub(crate) fn mend(&self) {
        let mut entry = self.lock();
        if entry.as_ref().is_some_and(|entry| entry.at.elapsed() > Self::MEMORY) {
            *entry = None;
        }
    }

    /// Forgets this trouble, unless there is another by now.
    pub(crate) fn take_back(&self, told: &str) {
        let mut entry = self.lock();
        if entry.as_ref().is_some_and(|entry| entry.message == told) {
            *entry = None;
        }
    }

    /// Forgets what was: something else was configured, or the device is back.
    pub(crate) fn clear(&self) {
        *self.lock() = None;
    }

    /// The trouble, if there is one.
    pub(crate) fn told(&self) -> Option<String> {
        self.lock().as_ref().map(|entry| entry.message.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Entry>> {
        // A holder cannot panic; were it to, the text is whole all the same.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
