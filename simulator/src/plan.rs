//! What a seed draws before anything happens: sizes, settings, and which faults there are at all.
//!
//! Some faults are off altogether (swarm testing): a run in which everything goes wrong all the
//! time never gets far enough to go wrong in an interesting way.

use std::collections::BTreeSet;
use std::fmt;

use sealpost_operators::gate::Doubt;

use crate::draw::Draw;

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident = $name:literal,)*) => {
        /// Something that goes wrong, or that an operator or upstream does at a bad moment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[$doc])* $fault,)* }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$fault,)*];

            /// What the command line calls it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$fault => $name,)* }
            }
        }
    };
}

faults! {
    /// Processes die between any two effects.
    Crash = "crash",
    /// Steps are aborted.
    Abort = "abort",
    /// Processes stand still, between steps or between a commit and its effects.
    Freeze = "freeze",
    /// Those that stand still lose their shards.
    Evict = "evict",
    /// Processes come and go in good order.
    Move = "move",
    /// Reading finds nothing now, though there is something.
    SlowRead = "slow-read",
    /// Upstream writes records twice.
    Duplicate = "duplicate",
    /// Upstream's records arrive later than they were made, also after their period closed.
    Delay = "delay",
    /// Records that cannot be read, and events that contradict each other.
    BadInput = "bad-input",
    /// No answer, before or after the message was taken.
    Timeout = "timeout",
    /// Answers that come long after they were expected.
    SlowAnswer = "slow-answer",
    /// The provider is busy.
    Busy = "busy",
    /// The provider refuses for good.
    Refuse = "refuse",
    /// The provider is away for a while.
    Outage = "outage",
    /// The channel is set up wrongly for a while.
    Misconfigured = "misconfigured",
    /// Questions are answered vaguely.
    Vague = "vague",
    /// The clocks of all processes jump ahead.
    ClockJump = "clock-jump",
    /// The clocks of processes differ a little.
    ClockSkew = "clock-skew",
    /// Closes that are said again, or before everything is there.
    CloseAgain = "close-again",
    /// Operators begin next rounds.
    Retry = "retry",
    /// Operators settle what is unknown.
    Resolve = "resolve",
    /// Operators change the policy.
    Policy = "policy",
    /// What operators say arrives a while after they looked.
    SlowOperator = "slow-operator",
    /// Stages are set back to the begin.
    Replay = "replay",
    /// Keys are rotated.
    Rotate = "rotate",
    /// The log is compacted.
    Compact = "compact",
    /// Send days and quiet hours.
    Windows = "windows",
    /// Operators hold periods and channels, and release them.
    Hold = "hold",
    /// Operators suppress addresses, and let them be used again.
    Suppress = "suppress",
    /// The provider says later what became of its messages.
    Receipts = "receipts",
    /// Operators send follow-ups.
    Correct = "correct",
    /// The deployment is carried over to another number of partitions.
    Repartition = "repartition",
}

impl std::str::FromStr for Fault {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|fault| fault.name() == name)
            .ok_or_else(|| format!("there is no fault {name}: see --help"))
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Out of which everything is drawn.
    pub seed: u64,
    /// Subscribers.
    pub users: u64,
    /// Moments in which anything may happen, before the faults stop.
    pub moments: u32,
    /// Partitions of the log.
    pub partitions: u32,
    /// Processes that run all stages.
    pub processes: usize,
    /// Workers of each stage in each process.
    pub workers: usize,
    /// Periods that are closed.
    pub periods: u32,
    /// What can be done about a call in doubt, by channel.
    pub doubts: [Doubt; 4],
    /// The same of a channel's second provider, where it has one.
    pub fallbacks: [Option<Doubt>; 4],
    /// Calls that may be on the line of one process and channel.
    pub max_in_flight: usize,
    /// Calls that may begin in a second, if there is a limit.
    pub rate_per_second: Option<u32>,
    /// Dispatches that one shard may have unfinished.
    pub window: usize,
    /// Users or routes that one portion of a long command handles.
    pub portion: usize,
    /// The faults that there are.
    pub faults: BTreeSet<Fault>,
}

impl Plan {
    /// What a seed draws.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut draw = Draw::of(seed, "plan");
        let window_ms = 60 * 60 * 1_000;
        let promise = |draw: &mut Draw| match draw.below(4) {
            0 => Doubt::Nothing,
            1 => Doubt::Repeat {
                window_ms: draw.within(8_000, window_ms),
            },
            _ => Doubt::Ask,
        };
        let doubts = [(); 4].map(|()| promise(&mut draw));
        let mut second = Draw::of(seed, "fallback");
        let fallbacks = [(); 4].map(|()| second.one_in(2).then(|| promise(&mut second)));
        let mut swarm = Draw::of(seed, "swarm");
        Self {
            seed,
            users: 1 + draw.below(8),
            moments: 150 + draw.below(650) as u32,
            partitions: 1 + draw.below(3) as u32,
            processes: 1 + draw.place(3),
            workers: 1 + draw.place(2),
            periods: 1 + draw.below(3) as u32,
            doubts,
            fallbacks,
            max_in_flight: *draw.pick(&[1, 2, 100]),
            rate_per_second: *draw.pick(&[None, None, Some(2), Some(20)]),
            window: *draw.pick(&[1, 2, 1_024]),
            portion: *draw.pick(&[1, 2, 500]),
            faults: Fault::ALL
                .iter()
                .copied()
                .filter(|_| swarm.one_in(2))
                .collect(),
        }
    }

    /// Whether there is such a fault.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// The arguments by which this plan is run again.
    #[must_use]
    pub fn arguments(&self) -> String {
        let drawn = Self::of(self.seed);
        let mut arguments = format!("--seed {}", self.seed);
        let without: Vec<_> = drawn
            .faults
            .difference(&self.faults)
            .map(|fault| fault.name())
            .collect();
        if !without.is_empty() {
            arguments.push_str(&format!(" --without {}", without.join(",")));
        }
        let with: Vec<_> = self
            .faults
            .difference(&drawn.faults)
            .map(|fault| fault.name())
            .collect();
        if !with.is_empty() {
            arguments.push_str(&format!(" --with {}", with.join(",")));
        }
        let mut number = |name: &str, mine: u64, theirs: u64| {
            if mine != theirs {
                arguments.push_str(&format!(" --{name} {mine}"));
            }
        };
        number("users", self.users, drawn.users);
        number("moments", self.moments.into(), drawn.moments.into());
        number(
            "partitions",
            self.partitions.into(),
            drawn.partitions.into(),
        );
        number("processes", self.processes as u64, drawn.processes as u64);
        number("workers", self.workers as u64, drawn.workers as u64);
        number("periods", self.periods.into(), drawn.periods.into());
        arguments
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().map(|fault| fault.name()).collect();
        write!(
            f,
            "{} users, {} moments, {} partitions, {} processes of {} workers a stage, {} periods, \
             {} calls at once{}, window {}, portion {}, doubts {:?}, of second providers {:?}; faults: {}",
            self.users,
            self.moments,
            self.partitions,
            self.processes,
            self.workers,
            self.periods,
            self.max_in_flight,
            self.rate_per_second
                .map_or_else(String::new, |rate| format!(", {rate} a second")),
            self.window,
            self.portion,
            self.doubts,
            self.fallbacks,
            faults.join(", "),
        )
    }
}
