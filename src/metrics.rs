//! Counters for `/metrics`: conventional names and units, bounded labels, nothing personal.

mod observed;

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};
use sealpost_operators::{gate, route, settle};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_topology::worker::WorkerStatus;

use crate::sender::Sender;
use observed::Observed;

/// Named here for whoever looks for what rules over metrics name.
const COMMIT_DURATION: &str = "sealpost_commit_duration_seconds";

/// Everything that is counted in this process.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    usage_events: IntCounterVec,
    statements: IntCounter,
    dead_letters: IntCounterVec,
    rendered: IntCounter,
    route_events: IntCounterVec,
    calls: IntCounterVec,
    dropped: IntCounterVec,
    receipts: IntCounterVec,
    messages: IntGaugeVec,
    lag: IntGaugeVec,
    observed: Observed,
}

impl Metrics {
    /// Counters at zero.
    ///
    /// # Errors
    /// None in practice: the names are fixed and each is registered once.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let vec =
            |name: &str, help: &str, label: &str| -> Result<IntCounterVec, prometheus::Error> {
                let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
                registry.register(Box::new(counter.clone()))?;
                Ok(counter)
            };
        let one = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let receipts = IntCounterVec::new(
            Opts::new(
                "sealpost_receipts_total",
                "Receipts of providers by what was done with them.",
            ),
            &["channel", "result"],
        )?;
        registry.register(Box::new(receipts.clone()))?;
        let messages = gauges(
            "sealpost_messages",
            "Messages by where they stand, in the shards that are here.",
            &["state"],
        )?;
        let lag = gauges(
            "sealpost_lag_records",
            "Records that a stage has not finished, of the whole deployment: the same in every process.",
            &["stage", "topic"],
        )?;
        let observed = Observed::default();
        registry.register(Box::new(observed.clone()))?;
        Ok(Self {
            usage_events: vec(
                "sealpost_usage_events_total",
                "Usage events by what became of them.",
                "result",
            )?,
            statements: one("sealpost_statements_total", "Statements settled.")?,
            dead_letters: vec(
                "sealpost_dead_letters_total",
                "Records refused, by stage.",
                "stage",
            )?,
            rendered: one("sealpost_messages_rendered_total", "Messages rendered.")?,
            route_events: vec(
                "sealpost_route_events_total",
                "What happened to routes.",
                "event",
            )?,
            calls: vec(
                "sealpost_calls_total",
                "Calls of providers by outcome; `intent` counts intents written.",
                "outcome",
            )?,
            dropped: vec(
                "sealpost_dropped_total",
                "Records that a replay brought again and that were dropped, by stage.",
                "stage",
            )?,
            receipts,
            messages,
            lag,
            observed,
            registry,
        })
    }

    /// What settle did.
    pub fn settled(&self, counts: settle::Counts) {
        let events =
            |result: &str, count: u64| self.usage_events.with_label_values(&[result]).inc_by(count);
        events("counted", counts.events);
        events("duplicate", counts.duplicates);
        events("late", counts.late);
        self.statements.inc_by(counts.statements);
        self.dead_letters
            .with_label_values(&["settle"])
            .inc_by(counts.refused);
        self.dropped
            .with_label_values(&["settle"])
            .inc_by(counts.duplicates);
    }

    /// What render did.
    pub fn routed(&self, counts: route::Counts) {
        self.rendered.inc_by(counts.rendered);
        let event =
            |event: &str, count: u64| self.route_events.with_label_values(&[event]).inc_by(count);
        event("held", counts.held);
        event("exhausted", counts.exhausted);
        event("unrenderable", counts.unrenderable);
        event("channel_unfit", counts.unfit);
        event("suppressed", counts.suppressed);
        self.dropped
            .with_label_values(&["render"])
            .inc_by(counts.replayed + counts.stale);
    }

    /// What send did.
    pub fn sent(&self, counts: gate::Counts) {
        let call =
            |outcome: &str, count: u64| self.calls.with_label_values(&[outcome]).inc_by(count);
        call("intent", counts.intents);
        call("sent", counts.sent);
        call("failed", counts.failed);
        call("unknown", counts.unknown);
        call("doubt", counts.doubts);
        call("returned", counts.returned);
        self.dropped
            .with_label_values(&["send"])
            .inc_by(counts.dropped + counts.repeated);
    }

    /// What was done with a receipt.
    pub fn receipt(&self, channel: &str, result: &str) {
        self.receipts.with_label_values(&[channel, result]).inc();
    }

    /// Levels of messages by state, for the send stage to keep up.
    #[must_use]
    pub const fn messages(&self) -> &prometheus::IntGaugeVec {
        &self.messages
    }

    /// How far a stage is behind on one of its inputs.
    pub fn lag(&self, stage: &str, topic: &str, records: u64) {
        self.lag
            .with_label_values(&[stage, topic])
            .set(records.cast_signed());
    }

    /// Has a stage looked at whenever somebody asks.
    pub fn watch_stage(
        &self,
        stage: &'static str,
        workers: Vec<Arc<WorkerStatus>>,
        keys: Arc<KeyRing>,
    ) {
        self.observed.stage(stage, workers, keys);
    }

    /// Has the sender looked at whenever somebody asks.
    pub fn watch_sender(&self, sender: Arc<Sender>) {
        self.observed.sender(sender);
    }

    /// Messages that have been taken by a provider since the start.
    #[must_use]
    pub fn sent_total(&self) -> u64 {
        self.calls_total("sent")
    }

    /// Calls since the start that ended in an outcome.
    #[must_use]
    pub fn calls_total(&self, outcome: &str) -> u64 {
        self.calls.with_label_values(&[outcome]).get()
    }

    /// Statements settled since the start.
    #[must_use]
    pub fn statements_total(&self) -> u64 {
        self.statements.get()
    }

    /// Records dropped by a stage since the start.
    #[must_use]
    pub fn dropped_total(&self, stage: &str) -> u64 {
        self.dropped.with_label_values(&[stage]).get()
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// [`prometheus::Error`] when a metric cannot be written, which would be a bug.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
