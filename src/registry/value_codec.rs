//! How values of the contract's topics are encoded and decoded.

use std::sync::Arc;

use sealpost_schemas::codec::{Decoder, Encoder, Record, WriterSchemas};
use sealpost_schemas::record::{
    Command, DeadLetter, Delivery, Dispatch, Requeued, Returned, RouteNotice, SendState, Statement,
    Subscriber, Usage,
};

use super::error::RegistryError;
use super::schemas::Schemas;
use super::settings::SchemaRegistryConfig;
use super::subjects::Framings;
use crate::topics::Topics;

/// See the module. One for a process; cheap to clone.
#[derive(Clone, Default)]
pub struct ValueCodec {
    framings: Framings,
    source: Option<Arc<dyn WriterSchemas>>,
}

macro_rules! encoders {
    ($($(#[$doc:meta])* $encoder:ident: $framing:ident, $record:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $encoder(&self) -> Encoder<$record> {
                Encoder::framed(self.framings.$framing)
            }
        )*
    };
}

impl ValueCodec {
    /// Without a registry: single-object encoding.
    #[must_use]
    pub fn single_object() -> Self {
        Self::default()
    }

    /// As configured. With a registry, every schema of the topics is looked up there, and
    /// registered if it is missing and may be.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn open(
        config: Option<&SchemaRegistryConfig>,
        topics: &Topics,
    ) -> Result<Self, RegistryError> {
        let Some(config) = config else {
            return Ok(Self::single_object());
        };
        let schemas = Schemas::new(config)?;
        let framings = Framings::registered(topics, |subject, json| schemas.id_of(subject, json))?;
        Ok(Self {
            framings,
            source: Some(Arc::new(schemas)),
        })
    }

    /// A decoder of either framing.
    #[must_use]
    pub fn decoder<R: Record>(&self) -> Decoder<R> {
        match &self.source {
            Some(source) => Decoder::asking(Arc::clone(source)),
            None => Decoder::new(),
        }
    }

    encoders! {
        /// For `usage`.
        usage_encoder: usage, Usage;
        /// For `subscribers`.
        subscriber_encoder: subscriber, Subscriber;
        /// For `control`.
        command_encoder: command, Command;
        /// For `statements`.
        statement_encoder: statement, Statement;
        /// For `dispatches`.
        dispatch_encoder: dispatch, Dispatch;
        /// For `dispatches`, as well.
        route_notice_encoder: route_notice, RouteNotice;
        /// For `deliveries`.
        delivery_encoder: delivery, Delivery;
        /// For `deliveries`, as well.
        returned_encoder: returned, Returned;
        /// For `receipts`.
        receipt_encoder: receipt, Delivery;
        /// For `send-state`.
        send_state_encoder: send_state, SendState;
        /// For `dead-letters`.
        dead_letter_encoder: dead_letter, DeadLetter;
        /// For `dead-letters`, as well.
        requeued_encoder: requeued, Requeued;
    }
}
