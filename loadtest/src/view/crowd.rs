//! Viewers of every kind and behaviour.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::{sleep, timeout};

use super::account::{Account, Behaviour, Counts, Done, Kind, Schedule, Sum, Visitor};
use super::stage::{PLAYED, Stage};
use crate::cli::CrowdOptions;
use crate::client::Endpoint;
use crate::fanout::player::{self, play};
use crate::fanout::rtc::viewer::{self, Host, Viewer};
use crate::fanout::viewer::{Count, Place, open, watch};
use crate::impair::Impairment;
use crate::impair::serve::{Framing, Links, before};
use crate::publish::Dice;
use crate::watch::{Content, Watch};

/// How fast a viewer reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    behaviour: Behaviour,
    since: Instant,
}

/// Viewers. They leave when this is dropped.
pub(crate) struct Crowd {
    members: Vec<Member>,
    sums: BTreeMap<(Kind, Behaviour), Sum>,
    links: Links,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

struct Member {
    kind: Kind,
    behaviour: Behaviour,
    visits: Rc<RefCell<Vec<Visit>>>,
    /// Why it was ended.
    trouble: Rc<RefCell<Option<String>>>,
}

/// A time that a viewer was there.
struct Visit {
    visitor: Visitor,
    count: Counted,
    /// When it was left, or ended.
    end: Option<Instant>,
}

enum Counted {
    Peer(Rc<viewer::Count>),
    Stream(Rc<Count>),
}

/// Where viewers find what they watch.
#[derive(Clone)]
struct Doors {
    feed: Place,
    player: player::Place,
    endpoint: Endpoint,
    content: Rc<Content>,
    impairment: Impairment,
    links: Links,
}

impl Pace {
    /// One that reads what there is.
    pub(crate) fn steady() -> Self {
        Self::new(Behaviour::Steady)
    }

    fn new(behaviour: Behaviour) -> Self {
        Self { behaviour, since: Instant::now() }
    }

    /// The most that is read at once.
    pub(crate) fn read_bytes(self) -> usize {
        if self.behaviour == Behaviour::Slow { SLOW_BYTES } else { READ_BYTES }
    }

    /// What a viewer does between reads.
    pub(crate) async fn rest(self) {
        match self.behaviour {
            Behaviour::Leave | Behaviour::Steady => {}
            Behaviour::Slow => sleep(SLOW_REST).await,
            Behaviour::Stall if self.since.elapsed() > STALL_AFTER => std::future::pending().await,
            Behaviour::Stall => {}
        }
    }
}

impl Crowd {
    /// Lets all in, one after another. Needs a [`tokio::task::LocalSet`] around it.
    pub(crate) async fn join(stage: &Stage, options: &CrowdOptions, impairment: Impairment) -> Result<Self> {
        let links = Links::default();
        let (address, feed) = (stage.relay.address().to_owned(), stage.relay.viewers());
        let (websocket, rtmp) = if impairment == Impairment::default() {
            (address.clone(), address)
        } else {
            // RTMP is a stream of chunks without borders that a link would know: it comes late, and whole.
            let whole = Impairment { loss: 0.0, corruption: 0.0, ..impairment };
            let websocket = before(address.clone(), impairment, Framing::Messages, Rc::clone(&links)).await?;
            (websocket, before(address, whole, Framing::Bytes, Links::default()).await?)
        };
        let doors = Doors {
            feed: Place { address: websocket, ..feed },
            player: player::Place { address: rtmp, app: "live".into(), name: PLAYED.into() },
            endpoint: stage.relay.endpoint().clone(),
            content: Rc::clone(&stage.content),
            impairment,
            links: Rc::clone(&links),
        };
        let mut crowd = Self { members: Vec::new(), sums: BTreeMap::new(), links, tasks: Vec::new() };
        for (kind, count) in [(Kind::WebSocket, options.websocket), (Kind::Rtmp, options.rtmp), (Kind::WebRtc, options.webrtc)] {
            for nth in 0..count {
                crowd.add(kind, options.behaviour(nth, count), doors.clone());
                // One after another, as people come.
                sleep(BETWEEN).await;
            }
        }
        Ok(crowd)
    }

    fn add(&mut self, kind: Kind, behaviour: Behaviour, doors: Doors) {
        let (visits, trouble) = (Rc::<RefCell<Vec<Visit>>>::default(), Rc::<RefCell<Option<String>>>::default());
        let mut dice = Dice::new(u32::try_from(self.members.len()).unwrap_or(0) + 1);
        self.members.push(Member { kind, behaviour, visits: Rc::clone(&visits), trouble: Rc::clone(&trouble) });
        self.tasks.push(tokio::task::spawn_local(async move {
            loop {
                let stay = if behaviour == Behaviour::Leave { STAY.mul_f64(0.5 + dice.roll()) } else { FOR_EVER };
                let visit = timeout(stay, doors.visit(kind, behaviour, &visits)).await;
                if let Some(visit) = visits.borrow_mut().last_mut() {
                    visit.end = Some(Instant::now());
                }
                match visit {
                    // It was time to leave.
                    Err(_) => sleep(AWAY).await,
                    Ok(ended) => {
                        trouble.replace(Some(ended.err().map_or_else(|| "ended".to_owned(), |error| format!("{error:#}"))));
                        return;
                    }
                }
            }
        }));
    }

    /// Takes what came to all of them since the last time, and forgets who left: it has to be called now and then in a long run.
    pub(crate) fn gather(&mut self, schedule: &Schedule) {
        for member in &self.members {
            let sum = self.sums.entry((member.kind, member.behaviour)).or_default();
            let schedule = member.follows().then_some(schedule);
            member.visits.borrow_mut().retain_mut(|visit| {
                let pictures = visit.take();
                sum.take(&mut visit.visitor, &pictures, schedule);
                // Who was ended waits for the end of the run.
                let left = visit.end.filter(|_| member.behaviour == Behaviour::Leave);
                if let Some(left) = left {
                    sum.leave(&visit.visitor, left, left, schedule);
                    sum.counts.add(visit.counts());
                }
                left.is_none()
            });
        }
    }

    /// What all of them got until `end`, by kind and behaviour.
    pub(crate) fn accounts(mut self, schedule: &Schedule, end: Instant) -> Vec<Account> {
        self.gather(schedule);
        let mut accounts = Vec::new();
        for (&(kind, behaviour), sum) in &mut self.sums {
            let members: Vec<&Member> = self.members.iter().filter(|member| (member.kind, member.behaviour) == (kind, behaviour)).collect();
            let (mut counts, until) = (Counts::default(), if kind == Kind::WebSocket { schedule.until(end) } else { end });
            for member in &members {
                for visit in member.visits.borrow().iter() {
                    sum.leave(&visit.visitor, until, end, member.follows().then_some(schedule));
                    counts.add(visit.counts());
                }
            }
            let troubles: Vec<String> = members.iter().filter_map(|member| member.trouble.borrow().clone()).collect();
            accounts.push(sum.account(kind, behaviour, members.len(), counts, &troubles));
        }
        accounts
    }

    /// What the bad links did.
    pub(crate) fn done(&self) -> Done {
        Done::of(self.links.borrow().iter().map(|link| link.borrow().done()))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Member {
    /// Whether it is known what should come to it, and when: who stays away for a while, or reads no more, misses what comes meanwhile.
    fn follows(&self) -> bool {
        (self.kind, self.behaviour) == (Kind::WebSocket, Behaviour::Steady)
    }
}

impl Visit {
    /// The pictures that came since the last time.
    fn take(&self) -> Vec<(u64, Instant)> {
        match &self.count {
            Counted::Stream(count) => std::mem::take(&mut count.watch.borrow_mut().pictures),
            Counted::Peer(count) => std::mem::take(&mut count.account.borrow_mut().pictures),
        }
    }

    fn counts(&self) -> Counts {
        match &self.count {
            Counted::Stream(count) => {
                let Watch { messages, breaks, corrupt, .. } = *count.watch.borrow();
                Counts { messages, breaks, corrupt, ..Counts::default() }
            }
            Counted::Peer(count) => {
                let tally = &count.account.borrow().tally;
                Counts { packets: tally.packets, lost: tally.lost, missing: tally.missing(), ..Counts::default() }
            }
        }
    }
}

impl Doors {
    /// Watches until it is ended.
    async fn visit(&self, kind: Kind, behaviour: Behaviour, visits: &RefCell<Vec<Visit>>) -> Result<()> {
        let (start, pace) = (Instant::now(), Pace::new(behaviour));
        let begin = |count: Counted| visits.borrow_mut().push(Visit { visitor: Visitor::new(start), count, end: None });
        match kind {
            Kind::WebSocket => {
                let count = Rc::<Count>::default();
                begin(Counted::Stream(Rc::clone(&count)));
                watch(open(&self.feed).await?, &count, Some(&self.content), pace).await
            }
            Kind::Rtmp => {
                let count = Rc::<Count>::default();
                begin(Counted::Stream(Rc::clone(&count)));
                play(self.player.clone(), &count, pace).await
            }
            Kind::WebRtc => {
                let via = (self.impairment != Impairment::default()).then_some((self.impairment, &self.links));
                let viewer = Viewer::enter(Host::Crosspoint { server: &self.endpoint, estimated: false, via }).await?;
                begin(Counted::Peer(viewer.count()));
                viewer.watch(pace).await
            }
        }
    }
}

/// What a slow viewer reads at once, and how long it rests then: at most a megabit a second.
const SLOW_BYTES: usize = 4_096;
const SLOW_REST: Duration = Duration::from_millis(32);
const READ_BYTES: usize = 1 << 18;
/// How long one reads who stalls.
const STALL_AFTER: Duration = Duration::from_secs(1);
/// How long one stays who leaves, in the middle, and how long it is away.
const STAY: Duration = Duration::from_secs(1);
const AWAY: Duration = Duration::from_millis(200);
/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(1 << 20);
const BETWEEN: Duration = Duration::from_millis(2);
