//! Whether a process lives, stands still, and how its clock goes.
//!
//! Every effect of a process on anything outside it passes [`Vitals::effect`]: that is where it
//! can die, just before or just after.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use sealpost_schemas::Timestamp;

use crate::scene::{Act, Scene};

/// What becomes of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It happens.
    Happens,
    /// It does not: the process is dead.
    Not,
    /// It happens, and is the last thing that the process does.
    Last,
}

/// See the module.
#[derive(Default)]
pub struct Vitals {
    /// Which process.
    pub number: usize,
    dead: AtomicBool,
    frozen: AtomicBool,
    /// Its shards were given to others while it stood still.
    evicted: AtomicBool,
    /// After so many effects it dies; none when 0.
    dies_in: AtomicI64,
    /// Odd: the effect at which it dies still happens.
    dies_after: AtomicBool,
    /// After so many commits it stands still; none when 0.
    freezes_in: AtomicI64,
    skew_us: AtomicI64,
    deferred: Mutex<Vec<Act>>,
}

impl Vitals {
    /// A healthy process.
    #[must_use]
    pub fn new(number: usize, skew_us: i64) -> Self {
        Self {
            number,
            skew_us: AtomicI64::new(skew_us),
            ..Self::default()
        }
    }

    /// The time as this process has it.
    #[must_use]
    pub fn now(&self, scene: &Scene) -> Timestamp {
        Timestamp(scene.now().0 + self.skew_us.load(Ordering::SeqCst))
    }

    /// Dies at its `effects`-th effect from now on.
    pub fn die_in(&self, effects: i64, after: bool) {
        self.dies_after.store(after, Ordering::SeqCst);
        self.dies_in.store(effects, Ordering::SeqCst);
    }

    /// Stands still after its `commits`-th commit from now on.
    pub fn freeze_in(&self, commits: i64) {
        self.freezes_in.store(commits, Ordering::SeqCst);
    }

    /// Nothing is wrong with it any more.
    pub fn calm(&self) {
        self.dies_in.store(0, Ordering::SeqCst);
        self.freezes_in.store(0, Ordering::SeqCst);
    }

    /// One effect on the outside.
    pub fn effect(&self) -> Effect {
        if self.is_dead() {
            return Effect::Not;
        }
        if self.dies_in.load(Ordering::SeqCst) == 0
            || self.dies_in.fetch_sub(1, Ordering::SeqCst) > 1
        {
            return Effect::Happens;
        }
        self.dead.store(true, Ordering::SeqCst);
        if self.dies_after.load(Ordering::SeqCst) {
            Effect::Last
        } else {
            Effect::Not
        }
    }

    /// A commit stands; it may be the one after which it stands still. Returns whether it is.
    pub fn committed(&self) -> bool {
        let freezes = self.freezes_in.load(Ordering::SeqCst) > 0
            && self.freezes_in.fetch_sub(1, Ordering::SeqCst) == 1;
        if freezes {
            self.freeze();
        }
        freezes
    }

    /// It is dead, and whatever it was about to do is gone.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        drop(self.take_deferred());
    }

    /// Whether it is dead.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// It stands still from now on.
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
    }

    /// Whether it stands still.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    /// Its shards are elsewhere, or are its own again.
    pub fn set_evicted(&self, evicted: bool) {
        self.evicted.store(evicted, Ordering::SeqCst);
    }

    /// Whether its shards were given to others while it stood still.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::SeqCst)
    }

    /// Goes on. Returns what waited for that.
    pub fn thaw(&self) -> Vec<Act> {
        self.frozen.store(false, Ordering::SeqCst);
        self.take_deferred()
    }

    /// Does something now, or when it goes on, or never.
    pub fn act(&self, act: Act) {
        if self.is_dead() {
            return;
        }
        if self.is_frozen() {
            self.lock().push(act);
        } else {
            act();
        }
    }

    fn take_deferred(&self) -> Vec<Act> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Act>> {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
