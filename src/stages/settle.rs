//! The settle stage on one shard.

use std::sync::Arc;

use sealpost_operators::settle::{Output, Scope, Settle};
use sealpost_operators::table::{History, HistoryError, Source};
use sealpost_schemas::codec::{CodecError, Decoder, Encoder};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{Command, Statement, Subscriber, Usage};
use sealpost_topology::batch::Record;
use sealpost_topology::processor::{
    Context, Demand, InputId, Lookup, Parts, ProcessError, Processor, Work,
};
use sealpost_topology::types::{Offset, Shard, Topic};

use crate::metrics::Metrics;
use crate::registry::ValueCodec;
use crate::stages::{
    DeadLetterWriter, RefusedRecord, StoreTable, Writer, emit, process_error, read, user_period_key,
};
use crate::topics::Topics;

const CONTROL: InputId = InputId(0);
const SUBSCRIBERS: InputId = InputId(1);
const USAGE: InputId = InputId(2);

/// See the module.
pub struct SettleProcessor {
    operator: Settle,
    topics: Arc<Topics>,
    dead_letters: DeadLetterWriter,
    encoder: Encoder<Statement>,
    usages: Decoder<Usage>,
    subscribers: Decoder<Subscriber>,
    commands: Decoder<Command>,
    out: Vec<Output>,
    scratch: Vec<u8>,
    metrics: Arc<Metrics>,
}

struct SettleHistory<'a>(&'a mut dyn Lookup);

impl History for SettleHistory<'_> {
    fn value(
        &mut self,
        source: Source,
        key: &[u8],
        offset: u64,
    ) -> Result<Option<Vec<u8>>, HistoryError> {
        let input = if source == Source::Usage {
            USAGE
        } else {
            SUBSCRIBERS
        };
        self.0
            .value(input, key, Offset(offset))
            .map_err(|error| HistoryError(error.into()))
    }
}

impl SettleProcessor {
    /// A processor with an operator. Of the keys only the one for dead letters is used.
    #[must_use]
    pub fn new(
        operator: Settle,
        topics: Arc<Topics>,
        values: &ValueCodec,
        keys: Arc<KeyRing>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            operator: operator.with_decoder(values.decoder()),
            topics,
            dead_letters: DeadLetterWriter::new("settle", keys, values),
            encoder: values.statement_encoder(),
            usages: values.decoder(),
            subscribers: values.decoder(),
            commands: values.decoder(),
            out: Vec::new(),
            scratch: Vec::new(),
            metrics,
        }
    }

    fn with_scope<T>(
        &mut self,
        context: &mut Context<'_, ()>,
        act: impl FnOnce(
            &mut Settle,
            &mut Scope<'_>,
        ) -> Result<T, sealpost_operators::table::OperatorError>,
    ) -> Result<T, ProcessError> {
        let shard = context.shard;
        let Parts {
            stores,
            outputs,
            lookup,
            ..
        } = context.parts();
        let [accounts] = stores else {
            return Err(wired_wrongly());
        };
        let [statements, dead_letters] = outputs else {
            return Err(wired_wrongly());
        };
        let mut scope = Scope {
            table: &mut StoreTable(accounts),
            history: &mut SettleHistory(lookup),
            out: &mut self.out,
        };
        let done = act(&mut self.operator, &mut scope).map_err(process_error)?;
        for output in self.out.drain(..) {
            match output {
                Output::Statement(statement) => {
                    let key = user_period_key(statement.user_id, statement.period);
                    emit(
                        &mut self.encoder,
                        &statement,
                        &key,
                        &mut self.scratch,
                        statements,
                    )?;
                }
                Output::Refused {
                    user_id,
                    source,
                    offset,
                    reason,
                    detail,
                    raw,
                } => {
                    let topic = source_topic(&self.topics, source);
                    self.dead_letters.write(
                        &RefusedRecord {
                            user_id,
                            topic,
                            shard,
                            offset,
                            reason,
                            detail,
                            raw: &raw,
                        },
                        dead_letters,
                    )?;
                }
            }
        }
        Ok(done)
    }

    fn refuse(
        &mut self,
        topic: &Topic,
        shard: Shard,
        record: &Record<'_>,
        why: &CodecError,
        context: &mut Context<'_, ()>,
    ) -> Result<(), ProcessError> {
        let Parts { outputs, .. } = context.parts();
        let [_, dead_letters] = outputs else {
            return Err(wired_wrongly());
        };
        self.operator.counts.refused += 1;
        self.dead_letters
            .malformed(topic, shard, record, why, dead_letters)
    }
}

fn source_topic(topics: &Topics, source: Source) -> &Topic {
    match source {
        Source::Usage => &topics.usage,
        Source::Subscribers => &topics.subscribers,
        Source::Statements => &topics.statements,
    }
}

fn wired_wrongly() -> ProcessError {
    ProcessError::Stop("the settle stage is wired wrongly: this is a bug".to_owned())
}

impl Processor for SettleProcessor {
    type Effect = ();
    type Completion = ();

    fn restored(&mut self, context: &mut Context<'_, ()>) -> Result<(), ProcessError> {
        let Parts { stores, .. } = context.parts();
        let [accounts] = stores else {
            return Err(wired_wrongly());
        };
        self.operator
            .restored(&StoreTable(accounts))
            .map_err(process_error)
    }

    fn process(
        &mut self,
        input: InputId,
        record: Record<'_>,
        context: &mut Context<'_, ()>,
    ) -> Result<(), ProcessError> {
        let Some(value) = record.value else {
            return Ok(());
        };
        let topics = Arc::clone(&self.topics);
        let shard = context.shard;
        match input {
            USAGE => match read(&mut self.usages, value, Writer::Outside)? {
                Ok(usage) => self.with_scope(context, |operator, scope| {
                    operator.on_usage(record.offset.0, &usage, value, scope)
                }),
                Err(why) => self.refuse(&topics.usage, shard, &record, &why, context),
            },
            SUBSCRIBERS => match read(&mut self.subscribers, value, Writer::Outside)? {
                Ok(subscriber) => self.with_scope(context, |operator, scope| {
                    operator.on_subscriber(record.offset.0, &subscriber, scope)
                }),
                Err(why) => self.refuse(&topics.subscribers, shard, &record, &why, context),
            },
            CONTROL => match read(&mut self.commands, value, Writer::Pipeline)? {
                Ok(command) => self.with_scope(context, |operator, scope| {
                    operator.on_command(command, scope)
                }),
                Err(why) => self.refuse(&topics.control, shard, &record, &why, context),
            },
            _ => Err(wired_wrongly()),
        }
    }

    fn punctuate(&mut self, context: &mut Context<'_, ()>) -> Result<Work, ProcessError> {
        let more = if self.operator.unfinished() > 0 {
            self.with_scope(context, |operator, scope| operator.advance(scope))?
        } else {
            false
        };
        self.metrics
            .settled(std::mem::take(&mut self.operator.counts));
        Ok(if more { Work::More } else { Work::Done })
    }

    fn demand(&self, input: InputId) -> Demand {
        let source = match input {
            USAGE => Source::Usage,
            SUBSCRIBERS => Source::Subscribers,
            _ => return Demand::Any,
        };
        self.operator
            .limit(source)
            .map_or(Demand::Any, |limit| Demand::Before(Offset(limit)))
    }

    fn positioned(&mut self, input: InputId, next: Offset) {
        match input {
            USAGE => self.operator.positioned(Source::Usage, next.0),
            SUBSCRIBERS => self.operator.positioned(Source::Subscribers, next.0),
            _ => {}
        }
    }

    fn unfinished(&self) -> usize {
        self.operator.unfinished()
    }
}
