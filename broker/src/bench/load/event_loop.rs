//! The loop of a thread: waits for its connections and for the next request that is due, sends, receives, counts.
//!
//! Protects the rule of an open loop: a request is sent when it is due, or as soon as fewer are in flight than are allowed,
//! and counts from when it was due. The next time is kept by a timer of the kernel (timerfd), because epoll's own waits are
//! counted in milliseconds.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::connection::Connection;
use super::error::Broken;
use super::schedule::Schedule;
use super::script::{Counting, InTransit};
use super::tally::{Period, Tally};
use crate::bench::error::{BenchError, Doing};

/// Events taken at once.
const EVENTS: usize = 256;

/// What the timer is known by; connections are known by their place.
const TIMER: u64 = u64::MAX;

/// When requests leave.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As soon as fewer are in flight than allowed.
    Closed,
    /// When they are due.
    Open(Schedule),
}

/// The connections of a thread.
#[derive(Debug)]
pub struct EventLoop {
    connections: Vec<Connection>,
    transit: Vec<InTransit>,
    pace: Pace,
    period: Period,
    epoll: OwnedFd,
    timer: OwnedFd,
    timer_set_to: Option<Instant>,
    /// Whether any of the connections ever rests.
    may_rest: bool,
    /// Of an open loop, the next that is due: which of each connection's, and the connection's place here.
    next_due: (u64, usize),
    tally: Tally,
}

impl EventLoop {
    /// Connections in the order of their turns, and of each pair what is in transit.
    ///
    /// # Errors
    /// The system's.
    pub fn new(
        connections: Vec<Connection>,
        pairs: usize,
        pace: Pace,
        period: Period,
    ) -> Result<Self, BenchError> {
        let doing = "wait for connections";
        let epoll = epoll::create(CreateFlags::CLOEXEC).doing(doing)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).doing("make a timer")?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN).doing(doing)?;
        for (place, connection) in connections.iter().enumerate() {
            let data = EventData::new_u64(place as u64);
            epoll::add(&epoll, connection.stream(), data, EventFlags::IN).doing(doing)?;
        }
        Ok(Self {
            may_rest: connections.iter().any(|one| one.script.ends_by_itself()),
            connections,
            transit: vec![InTransit::new(); pairs],
            pace,
            period,
            epoll,
            timer,
            timer_set_to: None,
            next_due: (0, 0),
            tally: Tally::new(),
        })
    }

    /// Runs until everything that was due is answered or given up.
    ///
    /// # Errors
    /// The system's. A connection that breaks is counted and left, and the others go on.
    pub fn run(mut self) -> Result<Tally, BenchError> {
        self.skip_listeners();
        for place in 0..self.connections.len() {
            self.send(place)?;
        }
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            self.send_what_is_due()?;
            let now = Instant::now();
            if self.is_done(now) {
                break;
            }
            self.set_timer(now)?;
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(cause) => return Err(cause).doing("wait for connections"),
            }
            for event in &events {
                self.handle(event.data.u64(), event.flags)?;
            }
        }
        self.give_up();
        Ok(self.tally)
    }

    fn handle(&mut self, event: u64, flags: EventFlags) -> Result<(), BenchError> {
        if event == TIMER {
            let mut expirations = [0; 8];
            // It was set anew in the meantime, or is ready to be read.
            let read = rustix::io::read(&self.timer, &mut expirations);
            self.timer_set_to = None;
            return match read {
                Ok(_) | Err(Errno::AGAIN) => Ok(()),
                Err(cause) => Err(cause).doing("read a timer"),
            };
        }
        let Ok(place) = usize::try_from(event) else {
            return Ok(());
        };
        if flags == EventFlags::OUT {
            return self.send(place);
        }
        let Some(connection) = self.connections.get_mut(place).filter(|one| one.is_open) else {
            return Ok(());
        };
        let mut counting = Counting {
            period: &self.period,
            now: Instant::now(),
            tally: &mut self.tally,
        };
        let received = connection.receive(&mut self.transit, &mut counting);
        let pair = connection.script.pair();
        match received {
            Ok(()) => self.send(place)?,
            Err(broken) => self.close(place, &broken)?,
        }
        // What arrived makes room for what is sent on the other connection of the pair.
        match pair.and_then(|pair| self.sender_of(pair)) {
            Some(sender) if sender != place => self.send(sender),
            _ => Ok(()),
        }
    }

    fn sender_of(&self, pair: usize) -> Option<usize> {
        let is_sender =
            |one: &Connection| one.script.pair() == Some(pair) && !one.script.only_listens() && one.is_open;
        // A pair's connections stand side by side.
        let near = [pair * 2, pair * 2 + 1];
        near.into_iter()
            .find(|place| self.connections.get(*place).is_some_and(is_sender))
    }

    /// Sends as much as is due and allowed on one connection.
    fn send(&mut self, place: usize) -> Result<(), BenchError> {
        let Some(connection) = self.connections.get_mut(place).filter(|one| one.is_open) else {
            return Ok(());
        };
        let now = Instant::now();
        let mut sent = Ok(());
        while sent.is_ok() && connection.may_send(&self.transit) {
            let Some(due) = due_now(self.pace, &self.period, connection, now) else {
                break;
            };
            sent = connection.queue(due, &mut self.transit);
        }
        let mut counting = Counting {
            period: &self.period,
            now,
            tally: &mut self.tally,
        };
        let flushed = sent.and_then(|()| connection.flush(&mut counting));
        match flushed {
            Ok(()) => self.await_room(place, now),
            Err(broken) => self.close(place, &broken),
        }
    }

    /// Sends on every connection whose next request became due, or that has rested.
    fn send_what_is_due(&mut self) -> Result<(), BenchError> {
        while let Some((place, until)) = self.next_rest()
            && until <= Instant::now()
        {
            if let Some(connection) = self.connections.get_mut(place) {
                connection.script.end_rest();
            }
            self.send(place)?;
        }
        let Pace::Open(schedule) = self.pace else {
            return Ok(());
        };
        let now = Instant::now();
        while let Some(due) = self.next_due_at(schedule)
            && due <= now
            && due < self.period.until
        {
            let (number, place) = self.next_due;
            self.send(place)?;
            if let Some(connection) = self.connections.get(place)
                && connection.is_open
                && connection.sent <= number
            {
                self.tally.delayed += 1;
            }
            self.advance();
        }
        Ok(())
    }

    /// Which connection rests, and until when: of several the first that ends.
    fn next_rest(&self) -> Option<(usize, Instant)> {
        if !self.may_rest {
            return None;
        }
        let open = self.connections.iter().enumerate().filter(|(_, one)| one.is_open);
        let resting = open.filter_map(|(place, one)| Some((place, one.script.rests_until()?)));
        resting.min_by_key(|(_, until)| *until)
    }

    fn next_due_at(&self, schedule: Schedule) -> Option<Instant> {
        let (number, place) = self.next_due;
        let connection = self.connections.get(place)?;
        Some(schedule.due(connection.turn, number))
    }

    fn advance(&mut self) {
        self.next_due.1 += 1;
        if self.next_due.1 >= self.connections.len() {
            self.next_due = (self.next_due.0 + 1, 0);
        }
        self.skip_listeners();
    }

    /// Those have no schedule: they ask as soon as they are answered.
    fn skip_listeners(&mut self) {
        let listens = |at: usize| {
            let one = self.connections.get(at);
            one.is_some_and(|one| one.script.only_listens())
        };
        let mut at = self.next_due.1;
        while listens(at) {
            at += 1;
        }
        if at < self.connections.len() {
            self.next_due.1 = at;
        } else if self.next_due.1 > 0 && self.connections.iter().any(|one| !one.script.only_listens()) {
            self.next_due = (self.next_due.0 + 1, 0);
            self.skip_listeners();
        }
    }

    fn is_done(&self, now: Instant) -> bool {
        now >= self.period.give_up || self.connections.iter().all(|one| self.is_finished(one, now))
    }

    fn is_finished(&self, connection: &Connection, now: Instant) -> bool {
        if !connection.is_open {
            return true;
        }
        if connection.script.only_listens() {
            let pair = connection.script.pair();
            let nothing_comes = pair.is_none_or(|pair| {
                self.sender_of(pair).is_none() || self.transit.get(pair).is_none_or(InTransit::is_empty)
            });
            return now >= self.period.until && nothing_comes;
        }
        let has_sent_all = match self.pace {
            _ if connection.script.ends_by_itself() => !connection.may_send(&self.transit),
            Pace::Closed => now >= self.period.until,
            Pace::Open(schedule) => {
                let due = schedule.due_before(connection.turn, self.period.until);
                now >= self.period.until && connection.sent >= due
            }
        };
        has_sent_all && connection.is_quiet()
    }

    /// Wakes the loop for the next request that is due, and for the end.
    fn set_timer(&mut self, now: Instant) -> Result<(), BenchError> {
        let next = match self.pace {
            Pace::Closed => None,
            Pace::Open(schedule) => self.next_due_at(schedule),
        };
        let ends = [self.period.until, self.period.give_up];
        let end = ends.into_iter().find(|end| *end > now);
        let wake = next
            .filter(|due| *due < self.period.until)
            .into_iter()
            .chain(end)
            .chain(self.next_rest().map(|(_, until)| until))
            .min();
        if wake == self.timer_set_to {
            return Ok(());
        }
        let Some(moment) = wake else {
            return Ok(());
        };
        // A time of zero would switch it off.
        let left = moment.saturating_duration_since(now).as_nanos().max(1);
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(left / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(left % 1_000_000_000).unwrap_or(0),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).doing("set a timer")?;
        self.timer_set_to = wake;
        Ok(())
    }

    /// Asks to be woken when a connection takes more, as long as something waits to be written, or could be sent at once
    /// because nothing that was sent before is answered.
    fn await_room(&mut self, place: usize, now: Instant) -> Result<(), BenchError> {
        let Some(connection) = self.connections.get_mut(place) else {
            return Ok(());
        };
        let sends_on = !connection.script.is_answered()
            && connection.may_send(&self.transit)
            && due_now(self.pace, &self.period, connection, now).is_some();
        let awaits = sends_on || connection.has_output();
        if awaits == connection.awaits_room {
            return Ok(());
        }
        connection.awaits_room = awaits;
        let flags = match awaits {
            true => EventFlags::IN | EventFlags::OUT,
            false => EventFlags::IN,
        };
        let data = EventData::new_u64(place as u64);
        epoll::modify(&self.epoll, connection.stream(), data, flags).doing("wait for a connection")
    }

    fn close(&mut self, place: usize, broken: &Broken) -> Result<(), BenchError> {
        self.tally.broke(broken.to_string());
        let Some(connection) = self.connections.get_mut(place) else {
            return Ok(());
        };
        connection.is_open = false;
        epoll::delete(&self.epoll, connection.stream()).doing("leave a connection")
    }

    /// What was due and has no answer is counted as such.
    fn give_up(&mut self) {
        let now = Instant::now();
        let (period, tally) = (self.period, &mut self.tally);
        for connection in &self.connections {
            if connection.script.only_listens() {
                continue;
            }
            if let Some(transit) = connection.script.pair().and_then(|pair| self.transit.get(pair)) {
                transit
                    .iter()
                    .for_each(|due| tally.never_answered(&period, *due, now));
            } else {
                let sent = connection.in_flight();
                sent.for_each(|sent| tally.never_answered(&period, sent.due, now));
            }
            if let Pace::Open(schedule) = self.pace {
                let due = schedule.due_before(connection.turn, period.until.min(now));
                for number in connection.sent..due {
                    tally.never_answered(&period, schedule.due(connection.turn, number), now);
                }
            }
        }
    }
}

/// When the connection's next request was due, if it is already.
fn due_now(pace: Pace, period: &Period, connection: &Connection, now: Instant) -> Option<Instant> {
    if connection.script.only_listens() {
        return Some(now);
    }
    if connection.script.rests_until().is_some() {
        return None;
    }
    match pace {
        Pace::Closed => (now < period.until).then_some(now),
        Pace::Open(schedule) => {
            let due = schedule.due(connection.turn, connection.sent);
            (due <= now && due < period.until).then_some(due)
        }
    }
}
