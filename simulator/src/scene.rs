//! What everybody in a run shares: the clock, what is due, the trace, and whether something is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealpost_schemas::Timestamp;
use sealpost_topology::types::TimeMs;

use crate::canary::Canary;
use crate::draw::Draw;
use crate::marks::{Mark, Marks};
use crate::plan::{Fault, Plan};
use crate::suppressed::Suppressed;
use crate::trace::{Show, Trace};
use crate::upstream::Record;
use crate::vitals::Vitals;

/// Something that is done later, whatever it is.
pub type Act = Box<dyn FnOnce() + Send>;

/// What happens by itself when its time has come.
pub enum Event {
    /// The provider decides on a call.
    Take(u64),
    /// The answer to a call arrives.
    Answer(u64),
    /// The answer to a question arrives.
    Word(u64),
    /// A timer of a process.
    Timer(Arc<Vitals>, Act),
    /// A receipt of the provider arrives.
    Receipt(u64),
    /// Upstream's records arrive.
    Arrive(Vec<Record>),
    /// What an operator decided on is written.
    Command(sealpost_schemas::record::Action),
    /// A process that stood still goes on.
    Thaw(usize),
    /// A process that stands still is taken for dead.
    Evict(usize),
    /// A process is started in the place of one that ended.
    Start(usize),
}

/// What is due, by time and the order in which it was asked for; and how much ever was.
type Agenda = (BTreeMap<(i64, u64), Event>, u64);

/// Whether anything still goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// It does.
    Storm,
    /// No longer.
    Calm,
}

/// See the module.
pub struct Scene {
    /// What the seed drew.
    pub plan: Plan,
    /// The known bug that is switched on, if any.
    pub canary: Option<Canary>,
    /// What happened.
    pub trace: Trace,
    /// What was reached.
    pub marks: Marks,
    /// What nothing may be sent to.
    pub suppressed: Suppressed,
    now_us: AtomicI64,
    storm: AtomicBool,
    due: Mutex<Agenda>,
    violation: Mutex<Option<String>>,
    slow_read: Mutex<Draw>,
    looks: Mutex<Draw>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scene {
    /// A scene at its begin.
    #[must_use]
    pub fn new(plan: Plan, canary: Option<Canary>, show: Show, begins: Timestamp) -> Self {
        let slow_read = Mutex::new(Draw::of(plan.seed, "slow-read"));
        let looks = Mutex::new(Draw::of(plan.seed, "looks"));
        Self {
            plan,
            canary,
            trace: Trace::new(show),
            marks: Marks::default(),
            suppressed: Suppressed::default(),
            now_us: AtomicI64::new(begins.0),
            storm: AtomicBool::new(true),
            due: Mutex::default(),
            violation: Mutex::new(None),
            slow_read,
            looks,
        }
    }

    /// The true time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.now_us.load(Ordering::SeqCst))
    }

    /// The true time as the log tells it.
    #[must_use]
    pub fn now_ms(&self) -> TimeMs {
        TimeMs(self.now().ms())
    }

    /// Sets the clock, never back.
    pub fn advance_to(&self, at: Timestamp) {
        self.now_us.fetch_max(at.0, Ordering::SeqCst);
    }

    /// Something is due then.
    pub fn schedule(&self, at: Timestamp, event: Event) {
        let mut due = lock(&self.due);
        due.1 += 1;
        let place = (at.0, due.1);
        due.0.insert(place, event);
    }

    /// When the next thing is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        lock(&self.due)
            .0
            .first_key_value()
            .map(|((at, _), _)| Timestamp(*at))
    }

    /// Takes the next thing that is due by then, and sets the clock to its time.
    pub fn take_due(&self, until: Timestamp) -> Option<Event> {
        let mut due = lock(&self.due);
        let entry = due.0.first_entry()?;
        let at = entry.key().0;
        if at > until.0 {
            return None;
        }
        let event = entry.remove();
        drop(due);
        self.advance_to(Timestamp(at));
        Some(event)
    }

    /// Whether this goes wrong now.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.storm.load(Ordering::SeqCst) && self.plan.has(fault)
    }

    /// From now on nothing goes wrong any more, or it does again.
    pub fn set(&self, weather: Weather) {
        self.storm
            .store(weather == Weather::Storm, Ordering::SeqCst);
    }

    /// Whether this bug is switched on.
    #[must_use]
    pub fn is_sabotaged(&self, canary: Canary) -> bool {
        self.canary == Some(canary)
    }

    /// Whether reading finds nothing now.
    pub fn reads_slowly(&self) -> bool {
        self.has(Fault::SlowRead) && lock(&self.slow_read).one_in(3)
    }

    /// Whether a worker that lost its shards had looked whose they are just before.
    pub fn looks_too_early(&self) -> bool {
        self.has(Fault::Evict) && lock(&self.looks).one_in(2)
    }

    /// A promise is broken. The first one counts.
    pub fn violate(&self, what: fmt::Arguments<'_>) {
        self.say(format_args!("VIOLATION {what}"));
        lock(&self.violation).get_or_insert_with(|| what.to_string());
    }

    /// What is wrong.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        lock(&self.violation).clone()
    }

    /// A line of the trace.
    pub fn say(&self, line: fmt::Arguments<'_>) {
        self.trace.line(self.now().0, line);
    }

    /// A state was reached.
    pub fn reach(&self, mark: Mark) {
        self.marks.reach(mark);
    }
}
