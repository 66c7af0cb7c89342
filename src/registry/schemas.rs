//! What a process knows of the registry's schemas.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealpost_schemas::codec::{NoSchema, SchemaId, WriterSchemas};

use super::client::Client;
use super::error::RegistryError;
use super::settings::SchemaRegistryConfig;

/// How long an id that the registry does not know is not asked for again: a replica may learn of
/// it later, and noise on a topic must not become a question for every record.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// Most unknown ids that are remembered; beyond that all are forgotten at once.
const UNKNOWN_MAX: usize = 10_000;
const AVRO: &str = "AVRO";

/// See the module. Decoders have caches of their own before this one: its lock is taken once for
/// each id and decoder.
pub(super) struct Schemas {
    client: Client,
    auto_register: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    schemas: HashMap<SchemaId, Result<Arc<str>, NoSchema>>,
    unknown: HashMap<SchemaId, Instant>,
}

impl Schemas {
    pub(super) fn new(config: &SchemaRegistryConfig) -> Result<Self, RegistryError> {
        Ok(Self {
            client: Client::new(config)?,
            auto_register: config.auto_register,
            known: Mutex::default(),
        })
    }

    /// The id of one of our schemas under a subject; registers it if it is not there and may be.
    pub(super) fn id_of(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        // looked up first: that needs no right to write, and is all there is to do but once
        let id = match self.client.look_up(subject, schema)? {
            Some(id) => id,
            None if self.auto_register => self.register(subject, schema)?,
            None => {
                let said = match self.client.objection(subject, schema) {
                    Ok(Some(objection)) => format!(", and would be incompatible ({objection})"),
                    // the answer would be welcome, but is not what is wrong here
                    Ok(None) | Err(_) => String::new(),
                };
                return Err(RegistryError::NotRegistered {
                    subject: subject.to_owned(),
                    said,
                });
            }
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.schemas.insert(id, Ok(schema.into()));
        Ok(id)
    }

    fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        match self.client.register(subject, schema) {
            // processes that start together race for the first version of a subject
            Err(error @ RegistryError::Incompatible { .. }) => {
                self.client.look_up(subject, schema)?.ok_or(error)
            }
            other => other,
        }
    }
}

impl WriterSchemas for Schemas {
    fn writer_schema(&self, id: SchemaId) -> Result<Arc<str>, NoSchema> {
        // held while asking: who wants the same id has the same wait, and asks nothing
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = known.schemas.get(&id) {
            return schema.clone();
        }
        if known
            .unknown
            .get(&id)
            .is_some_and(|since| since.elapsed() < UNKNOWN_FOR)
        {
            return Err(NoSchema::Unknown);
        }
        match self.client.schema(id) {
            Ok(Some(registered)) => {
                let schema = if registered
                    .schema_type
                    .as_deref()
                    .is_none_or(|schema_type| schema_type == AVRO)
                {
                    Ok(registered.schema.into())
                } else {
                    Err(NoSchema::NotAvro)
                };
                known.schemas.insert(id, schema.clone());
                schema
            }
            Ok(None) => {
                if known.unknown.len() >= UNKNOWN_MAX {
                    known.unknown.clear();
                }
                known.unknown.insert(id, Instant::now());
                Err(NoSchema::Unknown)
            }
            // what has to be mended is no reason to refuse a record either
            Err(error) => Err(NoSchema::Silent(error.to_string())),
        }
    }
}
