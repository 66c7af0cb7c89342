//! What is not pushed but looked at when Prometheus asks: the workers of the stages, the sender's
//! channels, the key rings.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use sealpost_schemas::Channel;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::Rank;
use sealpost_schemas::sealed::Purpose;
use sealpost_topology::durations::BOUNDS_US;
use sealpost_topology::worker::WorkerStatus;

use super::COMMIT_DURATION;
use crate::sender::{ANSWER_KINDS, LATENCY_MS_BUCKETS, Sender, WORD_KINDS};

/// A stage, its workers and its keys.
struct Stage {
    name: &'static str,
    workers: Vec<Arc<WorkerStatus>>,
    keys: Arc<KeyRing>,
}

#[derive(Default)]
struct Sources {
    stages: Vec<Stage>,
    sender: Option<Arc<Sender>>,
}

/// See the module. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Observed(Arc<Mutex<Sources>>);

impl Observed {
    pub(super) fn stage(
        &self,
        name: &'static str,
        workers: Vec<Arc<WorkerStatus>>,
        keys: Arc<KeyRing>,
    ) {
        let stage = Stage {
            name,
            workers,
            keys,
        };
        self.sources().stages.push(stage);
    }

    pub(super) fn sender(&self, sender: Arc<Sender>) {
        self.sources().sender = Some(sender);
    }

    fn sources(&self) -> std::sync::MutexGuard<'_, Sources> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Observed {
    fn desc(&self) -> Vec<&Desc> {
        // families come and go with what there is to look at
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sources = self.sources();
        let mut families = of_stages(&sources.stages);
        if let Some(sender) = &sources.sender {
            families.extend(of_channels(sender));
        }
        families
    }
}

fn of_stages(stages: &[Stage]) -> Vec<MetricFamily> {
    let sum = |of: fn(&WorkerStatus) -> &AtomicU64| {
        move |stage: &Stage| -> f64 {
            let amounts = stage.workers.iter();
            amounts
                .map(|worker| of(worker).load(Ordering::Relaxed))
                .sum::<u64>() as f64
        }
    };
    let those = |of: fn(&WorkerStatus) -> &AtomicBool| {
        move |stage: &Stage| -> f64 {
            let workers = stage.workers.iter();
            workers
                .filter(|worker| of(worker).load(Ordering::Relaxed))
                .count() as f64
        }
    };
    let gauges = |name: &str, help: &str, of: &dyn Fn(&Stage) -> f64| {
        let metrics = stages
            .iter()
            .map(|stage| gauge(&[("stage", stage.name)], of(stage)));
        family(name, help, MetricType::GAUGE, metrics.collect())
    };
    let counters = |name: &str, help: &str, of: &dyn Fn(&Stage) -> f64| {
        let metrics = stages
            .iter()
            .map(|stage| counter(&[("stage", stage.name)], of(stage)));
        family(name, help, MetricType::COUNTER, metrics.collect())
    };
    vec![
        gauges(
            "sealpost_shards",
            "Shards that are being worked on.",
            &sum(|status| &status.shards),
        ),
        gauges(
            "sealpost_store_entries",
            "Entries in the stores of the shards that are here.",
            &sum(|status| &status.entries),
        ),
        gauges(
            "sealpost_in_flight",
            "Calls and questions whose answer is awaited.",
            &sum(|status| &status.in_flight),
        ),
        gauges(
            "sealpost_workers_restoring",
            "Workers that read stores back.",
            &those(|status| &status.restoring),
        ),
        counters(
            "sealpost_records_processed_total",
            "Records that were read and worked on.",
            &sum(|status| &status.records),
        ),
        counters(
            "sealpost_steps_aborted_total",
            "Steps that were aborted or fenced.",
            &sum(|status| &status.aborted),
        ),
        family(
            COMMIT_DURATION,
            "How long the commit of a step took.",
            MetricType::HISTOGRAM,
            stages.iter().map(commits).collect(),
        ),
        family(
            "sealpost_decryptions_total",
            "Sealed values opened, by stage and purpose.",
            MetricType::COUNTER,
            stages.iter().flat_map(openings).collect(),
        ),
    ]
}

fn openings(stage: &Stage) -> Vec<Metric> {
    let count = |purpose: Purpose| {
        let labels = [("stage", stage.name), ("purpose", purpose.name())];
        counter(&labels, stage.keys.opened(purpose) as f64)
    };
    Purpose::ALL.into_iter().map(count).collect()
}

fn commits(stage: &Stage) -> Metric {
    let mut counts = [0; BOUNDS_US.len() + 1];
    let mut sum_us = 0;
    for worker in &stage.workers {
        let (more, more_us) = worker.commits.snapshot();
        counts
            .iter_mut()
            .zip(more)
            .for_each(|(count, more)| *count += more);
        sum_us += more_us;
    }
    let ends = BOUNDS_US.iter().map(|us| *us as f64 / 1e6);
    histogram(&[("stage", stage.name)], ends, &counts, sum_us)
}

fn of_channels(sender: &Sender) -> Vec<MetricFamily> {
    let mut took = Vec::new();
    let (mut answers, mut words) = (Vec::new(), Vec::new());
    let (mut slots, mut waiting) = (Vec::new(), Vec::new());
    let (mut parked, mut open) = (Vec::new(), Vec::new());
    let providers = Channel::ALL
        .into_iter()
        .flat_map(|channel| Rank::ALL.map(|rank| (channel, rank)))
        .filter(|(channel, rank)| sender.has(*channel, *rank));
    for (channel, rank) in providers {
        let snapshot = sender.snapshot(channel, rank);
        let labels = [("channel", channel.name()), ("provider", rank.name())];
        let with = |name, value| [labels.as_slice(), &[(name, value)]].concat();
        let ends = LATENCY_MS_BUCKETS.iter().map(|ms| *ms as f64 / 1e3);
        took.push(histogram(
            &labels,
            ends,
            &snapshot.latency,
            snapshot.latency_us_sum,
        ));
        for (kind, count) in ANSWER_KINDS.into_iter().zip(snapshot.answers) {
            answers.push(counter(&with("answer", kind), count as f64));
        }
        for (kind, count) in WORD_KINDS.into_iter().zip(snapshot.words) {
            words.push(counter(&with("word", kind), count as f64));
        }
        let level = |is: bool| gauge(&labels, f64::from(u8::from(is)));
        slots.push(gauge(&labels, snapshot.slots_taken as f64));
        waiting.push(gauge(&labels, snapshot.permits_waiting as f64));
        parked.push(level(sender.is_parked(channel, rank)));
        open.push(level(sender.is_circuit_open(channel, rank)));
    }
    vec![
        family(
            "sealpost_call_duration_seconds",
            "How long calls of a channel's provider took.",
            MetricType::HISTOGRAM,
            took,
        ),
        family(
            "sealpost_call_answers_total",
            "How calls of a channel's provider ended.",
            MetricType::COUNTER,
            answers,
        ),
        family(
            "sealpost_key_questions_total",
            "What a channel's provider said of messages in doubt when it was asked.",
            MetricType::COUNTER,
            words,
        ),
        family(
            "sealpost_call_slots_taken",
            "Calls on the line of a channel, or about to be.",
            MetricType::GAUGE,
            slots,
        ),
        family(
            "sealpost_permits_waiting",
            "Messages that stand in line for a permit of a channel.",
            MetricType::GAUGE,
            waiting,
        ),
        family(
            "sealpost_channel_parked",
            "Whether a provider is parked because it says that it is set up wrongly.",
            MetricType::GAUGE,
            parked,
        ),
        family(
            "sealpost_channel_circuit_open",
            "Whether nothing is sent by a provider because it is down.",
            MetricType::GAUGE,
            open,
        ),
    ]
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn metric(labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut metric = Metric::default();
    metric.set_label(labels.iter().map(pair).collect());
    metric
}

fn gauge(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut metric = metric(labels);
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    metric.set_gauge(gauge);
    metric
}

fn counter(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut metric = metric(labels);
    let mut counter = Counter::default();
    counter.set_value(value);
    metric.set_counter(counter);
    metric
}

/// Counts are not cumulated, and one more than there are ends.
fn histogram(
    labels: &[(&str, &str)],
    ends_s: impl Iterator<Item = f64>,
    counts: &[u64],
    sum_us: u64,
) -> Metric {
    let mut cumulated = 0;
    let buckets = ends_s
        .chain([f64::INFINITY])
        .zip(counts)
        .map(|(end, count)| {
            cumulated += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(end);
            bucket.set_cumulative_count(cumulated);
            bucket
        });
    let buckets = buckets.collect();
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(cumulated);
    histogram.set_sample_sum(sum_us as f64 / 1e6);
    let mut metric = metric(labels);
    metric.set_histogram(histogram);
    metric
}
