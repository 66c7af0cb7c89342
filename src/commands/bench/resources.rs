//! What a phase took of the machine.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Clock ticks a second, as Linux tells them to programs on every architecture of ours.
const TICKS_PER_SECOND: f64 = 100.0;

/// Wall time, processor time and memory of this process, phase by phase.
pub(super) struct Resources {
    since: Instant,
    cpu_seconds: Option<f64>,
}

/// One phase.
pub(super) struct Phase {
    name: &'static str,
    seconds: f64,
    cpu_seconds: Option<f64>,
    peak_memory_bytes: Option<u64>,
    count: u64,
    unit: &'static str,
}

impl Resources {
    pub(super) fn now() -> Self {
        // from here on the peak is counted anew
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self {
            since: Instant::now(),
            cpu_seconds: cpu_seconds(),
        }
    }

    /// Ends a phase in which `count` of something was done, and begins the next.
    pub(super) fn lap(&mut self, name: &'static str, count: u64, unit: &'static str) -> Phase {
        let phase = Phase {
            name,
            seconds: self
                .since
                .elapsed()
                .max(Duration::from_micros(1))
                .as_secs_f64(),
            cpu_seconds: self
                .cpu_seconds
                .zip(cpu_seconds())
                .map(|(before, after)| after - before),
            peak_memory_bytes: peak_memory_bytes(),
            count,
            unit,
        };
        *self = Self::now();
        phase
    }
}

impl Phase {
    pub(super) fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "phase": self.name,
            "seconds": rounded(self.seconds),
            "cpu_seconds": self.cpu_seconds.map(rounded),
            "peak_memory_bytes": self.peak_memory_bytes,
            "count": self.count,
            "unit": self.unit,
            "per_second": rounded(self.per_second()),
        })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:22} {:8.2} s", self.name, self.seconds)?;
        if let Some(cpu) = self.cpu_seconds {
            write!(f, " {cpu:8.2} s of CPU")?;
        }
        if let Some(peak) = self.peak_memory_bytes {
            write!(f, " {:6} MiB", peak / (1024 * 1024))?;
        }
        if self.count > 0 {
            write!(f, " {:10.0} {} a second", self.per_second(), self.unit)?;
        }
        Ok(())
    }
}

/// What was measured on: enough to compare with another machine, and nothing that names it.
pub(super) fn machine() -> Value {
    let field = |file: &str, name: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    json!({
        "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "processor": field("/proc/cpuinfo", "model name"),
        "memory": field("/proc/meminfo", "MemTotal"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
    })
}

fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

/// Of this process, with what ended threads took; only where `/proc` is.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // the second field is a name in parentheses that may hold anything
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
