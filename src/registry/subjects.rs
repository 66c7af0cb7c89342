//! Which records go onto which topic, and under which subject their schema is registered.
//!
//! Subjects are named as Confluent's clients name them by default (`TopicNameStrategy`): the topic
//! and `-value`. Three topics have two types of records each: their schema is the union of the two.

use sealpost_schemas::codec::{Framing, Place, RecordType, SchemaId, schema_json_of};
use sealpost_topology::types::Topic;

use super::error::RegistryError;
use crate::topics::Topics;

/// The subject of a topic's values.
fn subject(topic: &Topic) -> String {
    format!("{}-value", topic.name())
}

/// What each record is framed with, topic by topic.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Framings {
    pub(super) usage: Framing,
    pub(super) subscriber: Framing,
    pub(super) command: Framing,
    pub(super) statement: Framing,
    pub(super) dispatch: Framing,
    pub(super) route_notice: Framing,
    pub(super) delivery: Framing,
    pub(super) returned: Framing,
    /// A delivery on `receipts`.
    pub(super) receipt: Framing,
    pub(super) send_state: Framing,
    pub(super) dead_letter: Framing,
    pub(super) requeued: Framing,
}

impl Framings {
    /// With the ids that `id_of` gives for each subject and the text of its schema.
    pub(super) fn registered(
        topics: &Topics,
        id_of: impl Fn(&str, &str) -> Result<SchemaId, RegistryError>,
    ) -> Result<Self, RegistryError> {
        let id = |topic: &Topic, records: &[RecordType]| {
            id_of(&subject(topic), &schema_json_of(records))
        };
        let alone = |topic: &Topic, record: RecordType| {
            Ok::<_, RegistryError>(Framing::Registered {
                id: id(topic, &[record])?,
                place: None,
            })
        };
        let pair = |topic: &Topic, records: [RecordType; 2]| {
            let id = id(topic, &records)?;
            let at = |place| Framing::Registered {
                id,
                place: Place::new(place),
            };
            Ok::<_, RegistryError>((at(0), at(1)))
        };
        let (dispatch, route_notice) = pair(
            &topics.dispatches,
            [RecordType::Dispatch, RecordType::RouteNotice],
        )?;
        let (delivery, returned) = pair(
            &topics.deliveries,
            [RecordType::Delivery, RecordType::Returned],
        )?;
        let (dead_letter, requeued) = pair(
            &topics.dead_letters,
            [RecordType::DeadLetter, RecordType::Requeued],
        )?;
        Ok(Self {
            usage: alone(&topics.usage, RecordType::Usage)?,
            subscriber: alone(&topics.subscribers, RecordType::Subscriber)?,
            command: alone(&topics.control, RecordType::Command)?,
            statement: alone(&topics.statements, RecordType::Statement)?,
            dispatch,
            route_notice,
            delivery,
            returned,
            receipt: alone(&topics.receipts, RecordType::Delivery)?,
            send_state: alone(&topics.send_state, RecordType::SendState)?,
            dead_letter,
            requeued,
        })
    }
}
