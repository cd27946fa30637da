//! What a pull thread fetched, on its way to the network thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A bounded queue from a blocking thread to an async task. Full, the thread waits; closed, it is told so and ends.
#[derive(Debug)]
pub(crate) struct Pipe<T> {
    state: Mutex<State<T>>,
    room: Condvar,
    filled: Notify,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
}

impl<T> Pipe<T> {
    /// Items it holds: five seconds of pictures and sound.
    const MOST_ITEMS: usize = 384;
    /// Bytes it holds, unless a single item has more: a few raw pictures, or seconds of anything compressed.
    const MOST_BYTES: usize = 32 << 20;

    /// Makes an empty pipe.
    pub(crate) fn new() -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, closed: false };
        Self { state: Mutex::new(state), room: Condvar::new(), filled: Notify::new() }
    }

    /// Puts in an item of so many bytes, waiting for room; says whether anybody still wants it.
    pub(crate) fn push(&self, item: T, bytes: usize) -> bool {
        let full = |state: &mut State<T>| {
            let too_many = state.items.len() >= Self::MOST_ITEMS || state.bytes + bytes > Self::MOST_BYTES;
            !state.closed && !state.items.is_empty() && too_many
        };
        let mut state = self.room.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return false;
        }
        state.items.push_back((item, bytes));
        state.bytes += bytes;
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Takes the oldest item, waiting for one. Cancel safe; for one task.
    pub(crate) async fn pop(&self) -> T {
        loop {
            if let Some(item) = self.try_pop() {
                return item;
            }
            self.filled.notified().await;
        }
    }

    /// Lets the thread wait, unless the pipe is closed meanwhile; says whether anybody still wants what it fetches.
    pub(crate) fn rest(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.closed {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { return true };
            state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// Nobody wants any more: what is there is dropped, and the thread need not wait.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.items.clear();
        state.bytes = 0;
        drop(state);
        self.room.notify_all();
    }

    fn try_pop(&self) -> Option<T> {
        let mut state = self.lock();
        let (item, bytes) = state.items.pop_front()?;
        state.bytes -= bytes;
        drop(state);
        self.room.notify_all();
        Some(item)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A holder cannot panic; were it to, the queue is whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime::Io;

    #[test]
    fn full_pipe_holds_the_thread_and_loses_nothing() {
        let pipe = Arc::new(Pipe::new());
        let filling = Arc::clone(&pipe);
        let thread = std::thread::spawn(move || (0..5_000).all(|n| filling.push(n, 100_000)));
        Io::Epoll
            .block_on(async {
                for n in 0..5_000 {
                    assert_eq!(pipe.pop().await, n);
                    let state = pipe.lock();
                    assert!(state.items.len() <= Pipe::<i32>::MOST_ITEMS && state.bytes <= Pipe::<i32>::MOST_BYTES);
                }
            })
            .unwrap();
        assert!(thread.join().unwrap());
    }

    #[test]
    fn item_larger_than_the_pipe_passes() {
        let pipe = Pipe::new();
        assert!(pipe.push("huge", usize::MAX / 2));
        assert_eq!(pipe.try_pop(), Some("huge"));
    }

    #[test]
    fn closed_pipe_lets_its_thread_go() {
        let pipe = Arc::new(Pipe::new());
        let (filling, resting) = (Arc::clone(&pipe), Arc::clone(&pipe));
        let full = std::thread::spawn(move || while filling.push((), 1 << 20) {});
        let idle = std::thread::spawn(move || resting.rest(Duration::from_secs(3_600)));
        pipe.close();
        full.join().unwrap();
        assert!(!idle.join().unwrap());
    }
}
