//! Timers of the network thread.
//!
//! tokio's own are for what is seldom: its wheel has slots of 1 ms, then of 64 ms, and a timer in one of these wakes the thread when the
//! slot begins, and again when it is due. Where media rests, what paces it is due some ten times a second, and waking is all that
//! it costs. These are kept by one timerfd (timerfd_create(2)), which wakes the thread once, to the microsecond.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use std::{io, mem};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits until `due`, or for ever when that is nothing; inside [`Io::block_on`](crate::runtime::Io::block_on) only.
pub(crate) fn sleep_until(due: impl Into<Option<Instant>>) -> Sleep {
    Sleep { due: due.into(), place: None }
}

/// What [`sleep_until`] returns.
#[derive(Debug)]
pub(crate) struct Sleep {
    due: Option<Instant>,
    place: Option<(Rc<Timers>, Place)>,
}

/// When a timer is due, and which of those that are due then it is.
type Place = (Instant, u64);

/// The timers of a thread.
#[derive(Debug)]
pub(crate) struct Timers {
    file: AsyncFd<OwnedFd>,
    waiting: RefCell<BTreeMap<Place, Waker>>,
    named: Cell<u64>,
    /// What the kernel was told.
    armed: Cell<Option<Instant>>,
    /// Who keeps time.
    keeper: RefCell<Option<Waker>>,
}

thread_local! {
    static TIMERS: RefCell<Option<Rc<Timers>>> = const { RefCell::new(None) };
}

/// Lets `future` and what it spawns on this thread wait for timers.
#[expect(deprecated, reason = "the call that takes its place is unsafe, for owners whose descriptor may change; an `OwnedFd`'s does not")]
pub(crate) async fn keeping_time<F: Future>(future: F) -> io::Result<F::Output> {
    let file = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let timers = Rc::new(Timers {
        file: AsyncFd::with_interest(file, Interest::READABLE)?,
        waiting: RefCell::default(),
        named: Cell::default(),
        armed: Cell::default(),
        keeper: RefCell::default(),
    });
    TIMERS.set(Some(Rc::clone(&timers)));
    let keeping = tokio::task::spawn_local(poll_fn(move |cx| timers.keep(cx)));
    let output = future.await;
    TIMERS.take();
    keeping.abort();
    Ok(output)
}

impl Timers {
    /// Wakes who is due, and has the kernel wake this again when the next one is. It never ends.
    fn keep(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.keeper.replace(Some(cx.waker().clone()));
        while let Poll::Ready(Ok(mut guard)) = self.file.poll_read_ready(cx) {
            // It is not read: to be armed anew takes the word back, too.
            guard.clear_ready();
            self.armed.set(None);
        }
        let now = Instant::now();
        let due = {
            let mut waiting = self.waiting.borrow_mut();
            let later = waiting.split_off(&(now, u64::MAX));
            mem::replace(&mut *waiting, later)
        };
        due.into_values().for_each(Waker::wake);
        let next = self.waiting.borrow().first_key_value().map(|((due, _), _)| *due);
        if next != self.armed.get() {
            // Nothing at all takes the last word back.
            let left = next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now).max(Duration::from_nanos(1)));
            let it_value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
            timerfd_settime(self.file.get_ref(), TimerfdTimerFlags::empty(), &once).expect("a timerfd takes any time from now");
            self.armed.set(next);
        }
        Poll::Pending
    }

    /// Takes a place in the line; another's may be the same moment.
    fn wait(&self, due: Instant, waker: Waker) -> Place {
        let place = (due, self.named.replace(self.named.get() + 1));
        self.waiting.borrow_mut().insert(place, waker);
        if self.armed.get().is_none_or(|armed| due < armed) {
            self.change();
        }
        place
    }

    fn leave(&self, place: Place) {
        if self.waiting.borrow_mut().remove(&place).is_some() && self.armed.get() == Some(place.0) {
            self.change();
        }
    }

    /// What the kernel was told may not hold any more: it is told once, when all who run now have.
    fn change(&self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.wake();
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else { return Poll::Pending };
        if Instant::now() >= due {
            return Poll::Ready(());
        }
        if let Some((timers, place)) = &self.place
            && let Some(waker) = timers.waiting.borrow_mut().get_mut(place)
        {
            waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        let timers = TIMERS.with_borrow(Clone::clone).expect("only inside `Io::block_on`");
        let place = timers.wait(due, cx.waker().clone());
        self.place = Some((timers, place));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((timers, place)) = self.place.take() {
            timers.leave(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;
    use crate::runtime::Io;

    fn after(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[test]
    fn timers_end_in_their_order() {
        Io::Epoll
            .block_on(async {
                let began = Instant::now();
                let ended = Rc::new(RefCell::new(Vec::new()));
                let waits = [30, 10, 20, 10, 100].map(|millis| {
                    let (due, ended) = (began + Duration::from_millis(millis), Rc::clone(&ended));
                    tokio::task::spawn_local(async move {
                        sleep_until(due).await;
                        assert!(Instant::now() >= due, "it came early");
                        ended.borrow_mut().push(millis);
                    })
                });
                for wait in waits {
                    wait.await.expect("it ends");
                }
                assert_eq!(*ended.borrow(), [10, 10, 20, 30, 100]);
            })
            .expect("an epoll instance");
    }

    #[test]
    fn who_is_first_in_line_may_leave_and_come() {
        Io::Epoll
            .block_on(async {
                let (far, near) = (after(40), after(20));
                tokio::select! {
                    biased;
                    () = sleep_until(far) => unreachable!("it is later"),
                    () = async {
                        sleep_until(after(5)).await;
                        sleep_until(near).await;
                    } => {}
                }
                assert!(Instant::now() >= near);
                drop(poll_once(sleep_until(after(10))).await);
                sleep_until(far).await;
                assert!(Instant::now() >= far);
                let timers = TIMERS.with_borrow(Clone::clone).expect("they are kept");
                assert!(timers.waiting.borrow().is_empty(), "nobody is left in the line");
            })
            .expect("an epoll instance");
    }

    /// Counts how often it wakes.
    struct Count(std::sync::atomic::AtomicU32);

    impl Wake for Count {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn far_timer_wakes_nobody_before_it_is_due() {
        Io::Epoll
            .block_on(async {
                let count = std::sync::Arc::new(Count(0.into()));
                let waker = Waker::from(std::sync::Arc::clone(&count));
                let mut sleep = std::pin::pin!(sleep_until(after(150)));
                assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                sleep_until(after(200)).await;
                assert_eq!(count.0.load(std::sync::atomic::Ordering::Relaxed), 1);
                assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            })
            .expect("an epoll instance");
    }

    /// How often this thread has gone to sleep.
    fn sleeps() -> u32 {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("a count");
        count.trim().parse().expect("a number")
    }

    #[test]
    fn thread_wakes_once_for_a_timer() {
        Io::Epoll
            .block_on(async {
                sleep_until(after(1)).await;
                let before = sleeps();
                for _ in 0..4 {
                    sleep_until(after(150)).await;
                }
                let woken = sleeps() - before;
                // Slots of 64 ms make it two to three times as many.
                assert!((4..8).contains(&woken), "woken {woken} times by 4 timers");
            })
            .expect("an epoll instance");
    }

    /// Polls a future once and gives it back.
    async fn poll_once<F: Future + Unpin>(mut future: F) -> F {
        poll_fn(|cx| {
            assert!(Pin::new(&mut future).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        future
    }
}
