//! The render stage on one shard.

use std::sync::Arc;

use sealpost_operators::route::{Output, Router, Scope};
use sealpost_operators::table::{History, HistoryError, OperatorError, Source};
use sealpost_schemas::codec::{Decoder, Encoder};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{Command, Delivery, Dispatch, Returned, RouteNotice, Statement};
use sealpost_topology::batch::Record;
use sealpost_topology::processor::{
    Context, InputId, Lookup, Parts, ProcessError, Processor, Work,
};
use sealpost_topology::types::{Offset, TimeMs};

use crate::metrics::Metrics;
use crate::registry::ValueCodec;
use crate::stages::{
    DeadLetterWriter, StoreTable, Writer, emit, process_error, read, timestamp, user_period_key,
};
use crate::topics::Topics;

const CONTROL: InputId = InputId(0);
const STATEMENTS: InputId = InputId(1);
const DELIVERIES: InputId = InputId(2);

/// See the module.
pub struct RenderProcessor {
    operator: Router,
    topics: Arc<Topics>,
    dead_letters: DeadLetterWriter,
    dispatches: Encoder<Dispatch>,
    notices: Encoder<RouteNotice>,
    statements: Decoder<Statement>,
    deliveries: Decoder<Delivery>,
    returned: Decoder<Returned>,
    commands: Decoder<Command>,
    out: Vec<Output>,
    scratch: Vec<u8>,
    metrics: Arc<Metrics>,
}

struct RenderHistory<'a>(&'a mut dyn Lookup);

impl History for RenderHistory<'_> {
    fn value(
        &mut self,
        _: Source,
        key: &[u8],
        offset: u64,
    ) -> Result<Option<Vec<u8>>, HistoryError> {
        self.0
            .value(STATEMENTS, key, Offset(offset))
            .map_err(|error| HistoryError(error.into()))
    }
}

impl RenderProcessor {
    /// A processor with an operator.
    #[must_use]
    pub fn new(
        operator: Router,
        topics: Arc<Topics>,
        values: &ValueCodec,
        keys: Arc<KeyRing>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            operator: operator.with_decoder(values.decoder()),
            topics,
            dead_letters: DeadLetterWriter::new("render", keys, values),
            dispatches: values.dispatch_encoder(),
            notices: values.route_notice_encoder(),
            statements: values.decoder(),
            deliveries: values.decoder(),
            returned: values.decoder(),
            commands: values.decoder(),
            out: Vec::new(),
            scratch: Vec::new(),
            metrics,
        }
    }

    fn with_scope<T>(
        &mut self,
        context: &mut Context<'_, ()>,
        act: impl FnOnce(&mut Router, &mut Scope<'_>) -> Result<T, OperatorError>,
    ) -> Result<T, ProcessError> {
        let now = timestamp(context.now);
        let Parts {
            stores,
            outputs,
            lookup,
            ..
        } = context.parts();
        let [routes] = stores else {
            return Err(wired_wrongly());
        };
        let [dispatches, _] = outputs else {
            return Err(wired_wrongly());
        };
        let mut scope = Scope {
            table: &mut StoreTable(routes),
            history: &mut RenderHistory(lookup),
            out: &mut self.out,
            now,
        };
        let done = act(&mut self.operator, &mut scope).map_err(process_error)?;
        for output in self.out.drain(..) {
            match output {
                Output::Dispatch(dispatch) => {
                    let key = user_period_key(dispatch.user_id, dispatch.period);
                    emit(
                        &mut self.dispatches,
                        &dispatch,
                        &key,
                        &mut self.scratch,
                        dispatches,
                    )?;
                }
                Output::Notice(notice) => {
                    let key = user_period_key(notice.user_id, notice.period);
                    emit(
                        &mut self.notices,
                        &notice,
                        &key,
                        &mut self.scratch,
                        dispatches,
                    )?;
                }
            }
        }
        Ok(done)
    }
}

fn wired_wrongly() -> ProcessError {
    ProcessError::Stop("the render stage is wired wrongly: this is a bug".to_owned())
}

impl Processor for RenderProcessor {
    type Effect = ();
    type Completion = ();

    fn restored(&mut self, context: &mut Context<'_, ()>) -> Result<(), ProcessError> {
        let Parts { stores, .. } = context.parts();
        let [routes] = stores else {
            return Err(wired_wrongly());
        };
        self.operator
            .restored(&StoreTable(routes))
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
        let (done, topic) = match input {
            STATEMENTS => (
                read(&mut self.statements, value, Writer::Pipeline)?.map(|statement| {
                    self.with_scope(context, |operator, scope| {
                        operator.on_statement(record.offset.0, &statement, scope)
                    })
                }),
                &topics.statements,
            ),
            DELIVERIES if self.returned.reads(value) => (
                read(&mut self.returned, value, Writer::Pipeline)?.map(|returned| {
                    self.with_scope(context, |operator, scope| {
                        operator.on_returned(&returned, scope)
                    })
                }),
                &topics.deliveries,
            ),
            DELIVERIES => (
                read(&mut self.deliveries, value, Writer::Pipeline)?.map(|delivery| {
                    self.with_scope(context, |operator, scope| {
                        operator.on_delivery(&delivery, scope)
                    })
                }),
                &topics.deliveries,
            ),
            CONTROL => (
                read(&mut self.commands, value, Writer::Pipeline)?.map(|command| {
                    self.with_scope(context, |operator, scope| {
                        operator.on_command(&command, scope)
                    })
                }),
                &topics.control,
            ),
            _ => return Err(wired_wrongly()),
        };
        // settle refuses what cannot be read of `control`: once is enough
        done.unwrap_or_else(|why| {
            if input == CONTROL {
                return Ok(());
            }
            let shard = context.shard;
            let Parts { outputs, .. } = context.parts();
            let [_, dead_letters] = outputs else {
                return Err(wired_wrongly());
            };
            self.dead_letters
                .malformed(topic, shard, &record, &why, dead_letters)
        })
    }

    fn punctuate(&mut self, context: &mut Context<'_, ()>) -> Result<Work, ProcessError> {
        let more = self.with_scope(context, |operator, scope| operator.advance_due(scope))?;
        self.metrics
            .routed(std::mem::take(&mut self.operator.counts));
        Ok(if more { Work::More } else { Work::Done })
    }

    fn next_timer(&self) -> Option<TimeMs> {
        // rounded up: a timer that fires early would only be looked at again
        self.operator
            .next_timer()
            .map(|at| TimeMs(at.plus_ms(1).ms()))
    }

    fn unfinished(&self) -> usize {
        self.operator.unfinished()
    }
}
