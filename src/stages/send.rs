//! The send stage on one shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sealpost_operators::gate::{Completion, Effect, Gate, Output, Scope};
use sealpost_operators::table::OperatorError;
use sealpost_schemas::codec::{Decoder, Encoder};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{Command, Delivery, Dispatch, Returned, RouteNotice};
use sealpost_topology::batch::Record;
use sealpost_topology::processor::{
    Context, Demand, InputId, Parts, ProcessError, Processor, Work,
};
use sealpost_topology::types::{Offset, TimeMs};

use crate::metrics::Metrics;
use crate::registry::ValueCodec;
use crate::stages::levels::{Counted, Levels};
use crate::stages::{
    DeadLetterWriter, StoreTable, Writer, emit, process_error, read, timestamp, user_period_key,
};
use crate::topics::Topics;

const CONTROL: InputId = InputId(0);
const DISPATCHES: InputId = InputId(1);
const RECEIPTS: InputId = InputId(2);

/// See the module.
pub struct SendProcessor {
    operator: Gate,
    topics: Arc<Topics>,
    dead_letters: DeadLetterWriter,
    deliveries: Encoder<Delivery>,
    returned: Encoder<Returned>,
    notices: Decoder<RouteNotice>,
    dispatches: Decoder<Dispatch>,
    receipts: Decoder<Delivery>,
    commands: Decoder<Command>,
    out: Vec<Output>,
    scratch: Vec<u8>,
    levels: Levels,
    metrics: Arc<Metrics>,
    stopping: Arc<AtomicBool>,
    /// The shard is about to be given away.
    closing: bool,
}

impl SendProcessor {
    /// A processor with an operator. Once `stopping` is set no call begins any more: those on the
    /// line are all that a stop has to wait for.
    #[must_use]
    pub fn new(
        operator: Gate,
        topics: Arc<Topics>,
        values: &ValueCodec,
        keys: Arc<KeyRing>,
        metrics: Arc<Metrics>,
        stopping: Arc<AtomicBool>,
    ) -> Self {
        Self {
            operator: operator.with_codec(values.send_state_encoder(), values.decoder()),
            topics,
            dead_letters: DeadLetterWriter::new("send", keys, values),
            deliveries: values.delivery_encoder(),
            returned: values.returned_encoder(),
            notices: values.decoder(),
            dispatches: values.decoder(),
            receipts: values.decoder(),
            commands: values.decoder(),
            out: Vec::new(),
            scratch: Vec::new(),
            levels: Levels::new(metrics.messages(), values.decoder()),
            metrics,
            stopping,
            closing: false,
        }
    }

    fn with_scope<T>(
        &mut self,
        context: &mut Context<'_, Effect>,
        act: impl FnOnce(&mut Gate, &mut Scope<'_>) -> Result<T, OperatorError>,
    ) -> Result<T, ProcessError> {
        let now = timestamp(context.now);
        let Parts {
            stores,
            outputs,
            effects,
            ..
        } = context.parts();
        let [send_state, send_holds] = stores else {
            return Err(wired_wrongly());
        };
        let [deliveries, _] = outputs else {
            return Err(wired_wrongly());
        };
        let mut scope = Scope {
            table: &mut Counted {
                table: StoreTable(send_state),
                levels: &mut self.levels,
            },
            holds: &mut StoreTable(send_holds),
            out: &mut self.out,
            effects,
            now,
        };
        let done = act(&mut self.operator, &mut scope).map_err(process_error)?;
        for output in self.out.drain(..) {
            match output {
                Output::Delivery(delivery) => {
                    let key = user_period_key(delivery.user_id, delivery.period);
                    emit(
                        &mut self.deliveries,
                        &delivery,
                        &key,
                        &mut self.scratch,
                        deliveries,
                    )?;
                }
                Output::Returned(returned) => {
                    let key = user_period_key(returned.user_id, returned.period);
                    emit(
                        &mut self.returned,
                        &returned,
                        &key,
                        &mut self.scratch,
                        deliveries,
                    )?;
                }
            }
        }
        Ok(done)
    }
}

fn wired_wrongly() -> ProcessError {
    ProcessError::Stop("the send stage is wired wrongly: this is a bug".to_owned())
}

impl Processor for SendProcessor {
    type Effect = Effect;
    type Completion = Completion;

    fn restored(&mut self, context: &mut Context<'_, Effect>) -> Result<(), ProcessError> {
        let Parts { stores, .. } = context.parts();
        let [send_state, send_holds] = stores else {
            return Err(wired_wrongly());
        };
        self.levels.count(&StoreTable(send_state));
        self.operator
            .restored(&StoreTable(send_holds))
            .map_err(process_error)
    }

    fn process(
        &mut self,
        input: InputId,
        record: Record<'_>,
        context: &mut Context<'_, Effect>,
    ) -> Result<(), ProcessError> {
        let Some(value) = record.value else {
            return Ok(());
        };
        let topics = Arc::clone(&self.topics);
        let (done, topic) = match input {
            DISPATCHES if self.notices.reads(value) => (
                read(&mut self.notices, value, Writer::Pipeline)?.map(|notice| {
                    self.with_scope(context, |operator, scope| {
                        operator.on_notice(&notice, scope)
                    })
                }),
                &topics.dispatches,
            ),
            DISPATCHES => (
                read(&mut self.dispatches, value, Writer::Pipeline)?.map(|dispatch| {
                    self.with_scope(context, |operator, scope| {
                        operator.on_dispatch(record.offset.0, dispatch, scope)
                    })
                }),
                &topics.dispatches,
            ),
            RECEIPTS => (
                read(&mut self.receipts, value, Writer::Outside)?.map(|receipt| {
                    self.with_scope(context, |operator, scope| {
                        operator.on_receipt(&receipt, scope)
                    })
                }),
                &topics.receipts,
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

    fn complete(
        &mut self,
        completion: Completion,
        context: &mut Context<'_, Effect>,
    ) -> Result<(), ProcessError> {
        if let Completion::Permits(channel, permit, count) = completion
            && (self.closing || self.stopping.load(Ordering::SeqCst))
        {
            // whoever stood in line for it stays there, and is read again
            let Parts { effects, .. } = context.parts();
            effects.push(Effect::ReturnPermits(channel, permit.rank(), count));
            return Ok(());
        }
        self.with_scope(context, |operator, scope| {
            operator.on_completion(completion, scope)
        })?;
        if self.closing {
            self.metrics.sent(std::mem::take(&mut self.operator.counts));
        }
        Ok(())
    }

    fn punctuate(&mut self, context: &mut Context<'_, Effect>) -> Result<Work, ProcessError> {
        let more = self.with_scope(context, |operator, scope| operator.advance(scope))?;
        self.metrics.sent(std::mem::take(&mut self.operator.counts));
        Ok(if more { Work::More } else { Work::Done })
    }

    fn closing(&mut self) {
        self.closing = true;
    }

    fn demand(&self, input: InputId) -> Demand {
        if input == DISPATCHES && !self.operator.has_room() {
            Demand::Nothing
        } else {
            Demand::Any
        }
    }

    fn low_watermark(&self, input: InputId) -> Option<Offset> {
        (input == DISPATCHES)
            .then(|| self.operator.low_watermark().map(Offset))
            .flatten()
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

    fn in_flight(&self) -> usize {
        self.operator.in_flight()
    }
}
