//! The calls into librdkafka that its Rust wrapper does not have: reading one partition from a
//! place of one's own, and writing to one, many messages at a time, and a flush that waits without
//! spinning; and a word to the C library's allocator, which librdkafka uses.
//!
//! # Invariants
//! - A [`Partition`] keeps its client alive, and gives back what it took from librdkafka in the
//!   reverse order: reading stopped, bell taken off, queue, topic handle.
//! - A client reads a partition through one [`Partition`] at a time: librdkafka refuses a second.
//! - Borrowed bytes never leave the closure that they are shown to.

#![allow(unsafe_code, reason = "the only module that calls into C")]

use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use crate::types::{Offset, Shard, TimeMs, Topic};

/// Most messages taken from librdkafka in one call.
const MESSAGES_PER_CALL: usize = 64;

/// One thing that a partition's queue held.
pub(super) enum Item<'a> {
    /// A record.
    Record {
        offset: Offset,
        appended_at: TimeMs,
        key: &'a [u8],
        value: Option<&'a [u8]>,
    },
    /// Everything before this offset was handed out, or is not for readers.
    End(Offset),
    /// The client cannot go on with this partition.
    Failed(RDKafkaErrorCode),
}

/// Called by librdkafka's threads whenever a queue has something after it had nothing.
pub(super) type Bell = Arc<dyn Fn() + Send + Sync>;

/// A partition that is read outside any assignment.
pub(super) struct Partition<C: ConsumerContext + 'static> {
    topic: *mut c::rd_kafka_topic_t,
    queue: *mut c::rd_kafka_queue_t,
    shard: i32,
    started: bool,
    /// What the callback was given; boxed twice to be one pointer wide.
    bell: Option<*mut Bell>,
    /// Last, so that everything above goes first.
    client: Arc<BaseConsumer<C>>,
}

// librdkafka's handles may be used from any thread; what is ours is moved with the struct.
unsafe impl<C: ConsumerContext + 'static> Send for Partition<C> {}

impl<C: ConsumerContext + 'static> Partition<C> {
    /// A partition that is not read yet.
    ///
    /// # Errors
    /// librdkafka's, when it has no memory or no such topic may be.
    pub(super) fn new(
        client: &Arc<BaseConsumer<C>>,
        topic: &Topic,
        shard: Shard,
        bell: Option<Bell>,
    ) -> Result<Self, RDKafkaErrorCode> {
        let name = CString::new(topic.name()).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        let shard = i32::try_from(shard.0).map_err(|_| RDKafkaErrorCode::UnknownPartition)?;
        let handle = client.client().native_ptr();
        // SAFETY: `handle` lives as long as `client`, which is kept; `name` outlives the call.
        unsafe {
            let topic = c::rd_kafka_topic_new(handle, name.as_ptr(), ptr::null_mut());
            if topic.is_null() {
                return Err(last_error());
            }
            let queue = c::rd_kafka_queue_new(handle);
            let bell = bell.map(|bell| Box::into_raw(Box::new(bell)));
            if let Some(bell) = bell {
                c::rd_kafka_queue_cb_event_enable(queue, Some(ring), bell.cast());
            }
            Ok(Self {
                topic,
                queue,
                shard,
                started: false,
                bell,
                client: Arc::clone(client),
            })
        }
    }

    /// Whether it is this client that reads it.
    pub(super) fn is_read_by(&self, client: &Arc<BaseConsumer<C>>) -> bool {
        Arc::ptr_eq(&self.client, client)
    }

    /// Reads from `offset`, wherever it was read before.
    ///
    /// # Errors
    /// librdkafka's.
    pub(super) fn start(&mut self, offset: Offset) -> Result<(), RDKafkaErrorCode> {
        self.stop();
        let offset = i64::try_from(offset.0).map_err(|_| RDKafkaErrorCode::OffsetOutOfRange)?;
        // SAFETY: both handles are ours and alive.
        let answer =
            unsafe { c::rd_kafka_consume_start_queue(self.topic, self.shard, offset, self.queue) };
        if answer != 0 {
            // SAFETY: reads a thread-local number.
            return Err(unsafe { last_error() });
        }
        self.started = true;
        Ok(())
    }

    /// Stops reading, and forgets what was fetched.
    pub(super) fn stop(&mut self) {
        if std::mem::take(&mut self.started) {
            // SAFETY: both handles are ours and alive; what is left in the queue is outdated,
            // which librdkafka itself leaves out from then on.
            unsafe {
                c::rd_kafka_consume_stop(self.topic, self.shard);
            }
        }
    }

    /// Everything before it was taken from the queue, or is no record: a marker that was come by
    /// counts. `None` before anything was taken since the start. Right after an [`Item::End`] was
    /// taken it is one too far: librdkafka takes the end for a record.
    pub(super) fn position(&self) -> Option<Offset> {
        let mut list = TopicPartitionList::new();
        // SAFETY: the topic handle is ours and alive, its name lives as long.
        let name = unsafe { CStr::from_ptr(c::rd_kafka_topic_name(self.topic)) };
        list.add_partition(name.to_str().ok()?, self.shard);
        // SAFETY: both the client and the list are alive; the list is written in place.
        unsafe {
            c::rd_kafka_position(self.client.client().native_ptr(), list.ptr());
        }
        match list.elements().first()?.offset() {
            rdkafka::Offset::Offset(offset) => u64::try_from(offset).ok().map(Offset),
            _ => None,
        }
    }

    /// Shows what the queue holds, up to [`MESSAGES_PER_CALL`] things; waits up to `wait` for the
    /// first. Returns how many.
    pub(super) fn take(&mut self, wait: Duration, mut see: impl FnMut(Item<'_>)) -> usize {
        let mut messages = [ptr::null_mut(); MESSAGES_PER_CALL];
        let mut count = 0;
        if !wait.is_zero() {
            // one message ends the wait; more at once would be waited for to the last
            let [first, ..] = &mut messages;
            // SAFETY: room for one pointer.
            let got = unsafe {
                c::rd_kafka_consume_batch_queue(self.queue, milliseconds(wait), first, 1)
            };
            if got <= 0 {
                return 0;
            }
            count = 1;
        }
        let rest = messages.get_mut(count..).unwrap_or_default();
        // SAFETY: room for as many pointers as are asked for.
        let got = unsafe {
            c::rd_kafka_consume_batch_queue(self.queue, 0, rest.as_mut_ptr(), rest.len())
        };
        count += usize::try_from(got).unwrap_or(0);
        for message in messages.iter().take(count).copied() {
            // SAFETY: librdkafka wrote this many pointers to messages, which are ours until they
            // are destroyed, once, after the closure.
            unsafe {
                see(item(&*message));
                c::rd_kafka_message_destroy(message);
            }
        }
        count
    }
}

impl<C: ConsumerContext + 'static> Drop for Partition<C> {
    fn drop(&mut self) {
        self.stop();
        // SAFETY: the callback is taken off before what it points to is freed; the handles are
        // ours and go once.
        unsafe {
            c::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            if let Some(bell) = self.bell {
                drop(Box::from_raw(bell));
            }
            c::rd_kafka_queue_destroy(self.queue);
            c::rd_kafka_topic_destroy(self.topic);
        }
    }
}

/// A topic that is written to, many records at a time.
pub(super) struct Outlet<C: ProducerContext + 'static> {
    topic: *mut c::rd_kafka_topic_t,
    /// Last, so that the handle above goes first.
    _producer: Arc<BaseProducer<C>>,
}

// librdkafka's handles may be used from any thread; what is ours is moved with the struct.
unsafe impl<C: ProducerContext + 'static> Send for Outlet<C> {}

impl<C: ProducerContext<DeliveryOpaque = ()> + 'static> Outlet<C> {
    /// # Errors
    /// librdkafka's, when it has no memory or no such topic may be.
    pub(super) fn new(
        producer: &Arc<BaseProducer<C>>,
        topic: &Topic,
    ) -> Result<Self, RDKafkaErrorCode> {
        let name = CString::new(topic.name()).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        // SAFETY: the client lives as long as `producer`, which is kept; `name` outlives the call.
        let topic = unsafe {
            c::rd_kafka_topic_new(
                producer.client().native_ptr(),
                name.as_ptr(),
                ptr::null_mut(),
            )
        };
        if topic.is_null() {
            // SAFETY: reads a thread-local number.
            return Err(unsafe { last_error() });
        }
        Ok(Self {
            topic,
            _producer: Arc::clone(producer),
        })
    }

    /// Copies records into the producer's queue, in order, until one does not go in. Returns how
    /// many did, and why the next one did not.
    pub(super) fn write<'a>(
        &self,
        shard: Shard,
        records: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> (usize, Option<RDKafkaErrorCode>) {
        let Ok(partition) = i32::try_from(shard.0) else {
            return (0, Some(RDKafkaErrorCode::UnknownPartition));
        };
        let mut messages: Vec<_> = records
            .map(|(key, value)| c::rd_kafka_message_t {
                err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
                rkt: ptr::null_mut(),
                partition,
                payload: value.map_or(ptr::null_mut(), |value| value.as_ptr().cast_mut().cast()),
                len: value.map_or(0, <[u8]>::len),
                key: key.as_ptr().cast_mut().cast(),
                key_len: key.len(),
                offset: 0,
                _private: ptr::null_mut(),
            })
            .collect();
        let count = c_int::try_from(messages.len()).unwrap_or(c_int::MAX);
        // SAFETY: the handle is ours and alive; the messages point to bytes that outlive the call,
        // which copies them and writes nothing but the messages' errors.
        unsafe {
            c::rd_kafka_produce_batch(
                self.topic,
                partition,
                c::RD_KAFKA_MSG_F_COPY,
                messages.as_mut_ptr(),
                count,
            );
        }
        let failed = messages
            .iter()
            .position(|message| message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
        match failed.and_then(|place| Some((place, messages.get(place)?.err))) {
            None => (messages.len(), None),
            Some((place, error)) => (place, Some(error.into())),
        }
    }
}

impl<C: ProducerContext + 'static> Drop for Outlet<C> {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and goes once, before its client.
        unsafe { c::rd_kafka_topic_destroy(self.topic) }
    }
}

unsafe extern "C" fn ring(_: *mut c::rd_kafka_t, bell: *mut c_void) {
    // SAFETY: the pointer is the boxed bell, freed only after the callback was taken off.
    let bell: &Bell = unsafe { &*bell.cast::<Bell>() };
    bell();
}

/// # Safety
/// The message must be alive for as long as the item is.
unsafe fn item(message: &c::rd_kafka_message_t) -> Item<'_> {
    let offset = Offset(u64::try_from(message.offset).unwrap_or(0));
    if message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF {
        return Item::End(offset);
    }
    if message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Item::Failed(message.err.into());
    }
    // SAFETY: librdkafka's pointers come with their lengths; a null one means absent.
    let bytes = |begin: *mut c_void, length: usize| unsafe {
        (!begin.is_null())
            .then(|| std::slice::from_raw_parts(begin.cast::<u8>().cast_const(), length))
    };
    let mut kind = c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: `kind` outlives the call.
    let time = unsafe { c::rd_kafka_message_timestamp(message, &raw mut kind) };
    Item::Record {
        offset,
        appended_at: TimeMs(time),
        key: bytes(message.key, message.key_len).unwrap_or_default(),
        value: bytes(message.payload, message.len),
    }
}

/// Has the C library's allocator keep few heaps: it would keep one for each of librdkafka's threads,
/// and what is fetched by one and freed by another stays in all of them. Nothing where it is not
/// glibc.
pub(super) fn keep_few_heaps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        const M_ARENA_MAX: c_int = -8;
        // SAFETY: the C library's own function; it may be called at any time, and a refusal leaves
        // everything as it was.
        unsafe {
            mallopt(M_ARENA_MAX, 2);
        }
    }
}

/// Whether a member's client was taken into its group.
pub(super) fn has_joined<C: ConsumerContext + 'static>(member: &BaseConsumer<C>) -> bool {
    // SAFETY: the client is alive; what it hands out is ours, is checked, and is destroyed once.
    unsafe {
        let group = c::rd_kafka_consumer_group_metadata(member.client().native_ptr());
        if group.is_null() {
            return false;
        }
        let generation = c::rd_kafka_consumer_group_metadata_generation_id(group);
        c::rd_kafka_consumer_group_metadata_destroy(group);
        generation > 0
    }
}

/// Waits until everything that was handed to a producer is acknowledged, or failed for good.
///
/// # Errors
/// librdkafka's, a time-out among them.
pub(super) fn flush<C: ProducerContext + 'static>(
    producer: &BaseProducer<C>,
    timeout: Duration,
) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: the handle lives as long as the producer.
    let error = unsafe { c::rd_kafka_flush(producer.client().native_ptr(), milliseconds(timeout)) };
    match error {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => Err(error.into()),
    }
}

/// # Safety
/// None; it reads a thread-local number.
unsafe fn last_error() -> RDKafkaErrorCode {
    // SAFETY: as said.
    unsafe { c::rd_kafka_last_error() }.into()
}

fn milliseconds(time: Duration) -> c_int {
    c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX)
}
