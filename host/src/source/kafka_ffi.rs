//! What the Kafka client's Rust interface lacks: a queue for each topic partition that is read in batches, topic ids,
//! a commit that waits no longer than it is told, and the end offsets that the client has heard of.
//!
//! The one place with `unsafe` in the sources. Guarantee: no native pointer leaves this file, and each is destroyed
//! exactly once, before the client that it belongs to.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as native;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::kafka::Client;
use super::{Header, Message, Messages, TopicPartition, Wake};

/// The queue of one topic partition, apart from the client's main queue.
pub(super) struct PartitionQueue {
    queue: Queue,
    /// What the native queue's callback points to; its address stays while the queue lives.
    _wake: Box<Wake>,
    client: Arc<Client>,
}

// SAFETY: librdkafka's queues may be used from any thread, and `Wake` is Send and Sync.
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Splits the queue of a topic partition off, which must be done before it is assigned: the client sets where a
    /// queue leads when fetching starts, except for queues whose way was set from outside. `wake` is called when the
    /// queue is no longer empty. `None`: the client knows no such topic partition.
    pub(super) fn split(client: &Arc<Client>, topic_partition: &TopicPartition, wake: Wake) -> Option<Self> {
        let topic = CString::new(&*topic_partition.topic).ok()?;
        let rk = client.client().native_ptr();
        // SAFETY: `rk` lives as long as `client`, `topic` for the call. The result is null or a reference that is ours.
        let queue = unsafe { native::rd_kafka_queue_get_partition(rk, topic.as_ptr(), topic_partition.partition) };
        let queue = Queue(NonNull::new(queue)?);
        let wake = Box::new(wake);
        let opaque = ptr::from_ref::<Wake>(&wake).cast_mut().cast::<c_void>();
        // SAFETY: the queue is valid. `opaque` points into the box that this value holds until its `drop` has disabled
        // the callback; enabling, disabling and calling are done under the queue's lock.
        unsafe {
            native::rd_kafka_queue_forward(queue.0.as_ptr(), ptr::null_mut());
            native::rd_kafka_queue_cb_event_enable(queue.0.as_ptr(), Some(call_wake), opaque);
        }
        Some(Self { queue, _wake: wake, client: Arc::clone(client) })
    }

    /// Takes up to `limit` messages and notices out of the queue, without waiting. Fewer than `limit`: it is empty now.
    pub(super) fn pull(&self, limit: usize) -> Pulled {
        let mut pointers: Vec<*mut native::rd_kafka_message_t> = Vec::with_capacity(limit);
        // SAFETY: there is room for `limit` pointers. The call fills the first ones of them with messages that are ours,
        // and returns how many, or -1.
        unsafe {
            let count = native::rd_kafka_consume_batch_queue(self.queue.0.as_ptr(), 0, pointers.as_mut_ptr(), limit);
            pointers.set_len(usize::try_from(count).unwrap_or(0).min(limit));
        }
        Pulled { pointers, _client: Arc::clone(&self.client) }
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is valid. The queue's lock is held while a callback runs, so none runs after this.
        unsafe { native::rd_kafka_queue_cb_event_enable(self.queue.0.as_ptr(), None, ptr::null_mut()) }
    }
}

/// Calls the wake that a queue was given.
unsafe extern "C" fn call_wake(_: *mut native::rd_kafka_t, wake: *mut c_void) {
    // SAFETY: `wake` is what `PartitionQueue::split` passed; it lives until the callback was disabled.
    let wake = unsafe { &*wake.cast::<Wake>() };
    wake();
}

/// A reference to a native queue.
struct Queue(NonNull<native::rd_kafka_queue_t>);

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and given back once. Every holder also holds the client, and drops it later.
        unsafe { native::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// A notice that stands in a queue among the messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) code: RDKafkaErrorCode,
    pub(super) text: String,
}

/// Messages of one topic partition as the client holds them, in offset order; notices (end, errors) stand among them
/// until they have been split off.
pub(super) struct Pulled {
    /// Valid, and destroyed when this is dropped.
    pointers: Vec<*mut native::rd_kafka_message_t>,
    /// Native messages must not outlive their client. Declared after `pointers`, whose `drop` comes first.
    _client: Arc<Client>,
}

// SAFETY: a native message is a value that belongs to nobody else; librdkafka lets any thread read and destroy it.
unsafe impl Send for Pulled {}

impl Pulled {
    fn at(&self, index: usize) -> &native::rd_kafka_message_t {
        // SAFETY: all pointers are valid until `self` is dropped or changed, and nothing writes to the fields.
        unsafe { &*self.pointers[index] }
    }

    /// The offset of a message, or the one that a notice is about.
    pub(super) fn offset(&self, index: usize) -> i64 {
        self.at(index).offset
    }

    /// `Some`: not a message.
    pub(super) fn notice(&self, index: usize) -> Option<Notice> {
        let message = self.at(index);
        if message.err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: the payload of a notice is its text, `len` bytes long.
        let text = unsafe { bytes(message.payload, message.len) }.unwrap_or_default();
        Some(Notice { code: message.err.into(), text: String::from_utf8_lossy(text).into_owned() })
    }

    /// Those from `index` on; `self` keeps the ones before.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        Self { pointers: self.pointers.split_off(index), _client: Arc::clone(&self._client) }
    }

    /// Destroys the first `count`.
    pub(super) fn drop_first(&mut self, count: usize) {
        let rest = self.split_off(count);
        *self = rest;
    }
}

impl Drop for Pulled {
    fn drop(&mut self) {
        for message in self.pointers.drain(..) {
            // SAFETY: valid, ours, and destroyed once: it has just left the vector.
            unsafe { native::rd_kafka_message_destroy(message) }
        }
    }
}

impl Messages for Pulled {
    fn len(&self) -> usize {
        self.pointers.len()
    }

    fn get(&self, index: usize) -> Message<'_> {
        let message = self.at(index);
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid; its payload and key are null or as long as it says, and live as long as it does.
        unsafe {
            let timestamp = native::rd_kafka_message_timestamp(message, &mut kind);
            Message {
                offset: message.offset,
                timestamp_ms: (timestamp >= 0).then_some(timestamp),
                key: bytes(message.key, message.key_len),
                payload: bytes(message.payload, message.len),
            }
        }
    }

    fn headers(&self, index: usize) -> Vec<Header> {
        let mut headers = ptr::null_mut();
        let mut found = Vec::new();
        // SAFETY: the message is valid. Its headers are parsed on the first call, by this thread alone (the type is not
        // Sync), and belong to the message.
        let code = unsafe { native::rd_kafka_message_headers(self.pointers[index], &mut headers) };
        if code != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
            return found;
        }
        loop {
            let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `headers` is valid; past the last one the call says so. Name and value live as long as the message.
            unsafe {
                let code = native::rd_kafka_header_get_all(headers, found.len(), &mut name, &mut value, &mut length);
                if code != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return found;
                }
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                found.push((name, bytes(value, length).map(<[u8]>::to_vec)));
            }
        }
    }
}

/// The bytes at `start`, unless it is null.
///
/// # Safety
/// Null, or `length` bytes that are not changed while the result lives.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: by this function's own contract.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
}

/// The end (high watermark) of a topic partition as the last fetch answer told it; `None` before there was one.
pub(super) fn known_end(client: &Client, topic_partition: &TopicPartition) -> Option<i64> {
    let topic = CString::new(&*topic_partition.topic).ok()?;
    let (mut low, mut high) = (0, 0);
    // SAFETY: the client and the text live for the call, which writes two integers and asks no broker.
    let code = unsafe {
        let rk = client.client().native_ptr();
        native::rd_kafka_get_watermark_offsets(rk, topic.as_ptr(), topic_partition.partition, &mut low, &mut high)
    };
    (code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// Commits `offsets` and waits for the group coordinator's answer, at most `wait`. `None`: no answer.
pub(super) fn commit_and_wait(
    client: &Client,
    offsets: &TopicPartitionList,
    wait: Duration,
) -> Option<Result<(), RDKafkaErrorCode>> {
    let queue = new_queue(client)?;
    // SAFETY: client, list and queue are valid for the call, which copies the list. An answer that comes too late goes to
    // a queue that the client itself keeps alive until then.
    unsafe {
        let code = native::rd_kafka_commit_queue(
            client.client().native_ptr(),
            offsets.ptr(),
            queue.0.as_ptr(),
            None,
            ptr::null_mut(),
        );
        if code != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Some(Err(code.into()));
        }
    }
    let event = poll(&queue, wait)?;
    // SAFETY: the event is valid until it is dropped.
    let code = unsafe { native::rd_kafka_event_error(event.0.as_ptr()) };
    match code {
        native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Some(Ok(())),
        code => Some(Err(code.into())),
    }
}

/// The generation of the group that the client belongs to (under the consumer protocol its own epoch); not positive while
/// it belongs to none.
pub(super) fn generation(client: &Client) -> i32 {
    // SAFETY: the client lives for the calls; the metadata is null or ours, read while it lives, and destroyed once.
    unsafe {
        let metadata = native::rd_kafka_consumer_group_metadata(client.client().native_ptr());
        if metadata.is_null() {
            return -1;
        }
        let generation = native::rd_kafka_consumer_group_metadata_generation_id(metadata);
        native::rd_kafka_consumer_group_metadata_destroy(metadata);
        generation
    }
}

/// The id of a topic, as Kafka's tools print it. An empty text: the broker is too old to have ids.
pub(super) fn topic_id(client: &Client, topic: &str, wait: Duration) -> Result<String, RDKafkaErrorCode> {
    let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let queue = new_queue(client).ok_or(RDKafkaErrorCode::Fail)?;
    describe_topic(client, &name, &queue, wait);
    let event = poll(&queue, wait).ok_or(RDKafkaErrorCode::OperationTimedOut)?;
    // SAFETY: everything that is read here belongs to the event, which lives to the end of the function.
    unsafe {
        no_error(native::rd_kafka_event_error(event.0.as_ptr()))?;
        let result = native::rd_kafka_event_DescribeTopics_result(event.0.as_ptr());
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let topics = native::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count != 1 {
            return Err(RDKafkaErrorCode::Fail);
        }
        let error = native::rd_kafka_TopicDescription_error(*topics);
        if !error.is_null() {
            no_error(native::rd_kafka_error_code(error))?;
        }
        let id = native::rd_kafka_TopicDescription_topic_id(*topics);
        let (most, least) =
            (native::rd_kafka_Uuid_most_significant_bits(id), native::rd_kafka_Uuid_least_significant_bits(id));
        if most == 0 && least == 0 {
            return Ok(String::new());
        }
        Ok(CStr::from_ptr(native::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned())
    }
}

/// Asks; the answer comes to `queue`.
fn describe_topic(client: &Client, topic: &CStr, queue: &Queue, wait: Duration) {
    let rk = client.client().native_ptr();
    let mut names: [*const c_char; 1] = [topic.as_ptr()];
    let mut reason = [0; 256];
    // SAFETY: all that is passed lives for the calls, which copy it; what is made here is destroyed here.
    unsafe {
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = native::rd_kafka_AdminOptions_new(rk, operation);
        native::rd_kafka_AdminOptions_set_request_timeout(
            options,
            milliseconds(wait),
            reason.as_mut_ptr(),
            reason.len(),
        );
        let topics = native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        native::rd_kafka_DescribeTopics(rk, topics, options, queue.0.as_ptr());
        native::rd_kafka_TopicCollection_destroy(topics);
        native::rd_kafka_AdminOptions_destroy(options);
    }
}

fn no_error(code: native::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    match code {
        native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}

fn new_queue(client: &Client) -> Option<Queue> {
    // SAFETY: the client lives for the call; the result is a reference that is ours.
    NonNull::new(unsafe { native::rd_kafka_queue_new(client.client().native_ptr()) }).map(Queue)
}

/// An answer, which is ours.
struct Event(NonNull<native::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: valid, ours, and destroyed once.
        unsafe { native::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

fn poll(queue: &Queue, wait: Duration) -> Option<Event> {
    // SAFETY: the queue is valid; the result is null or an event that is ours.
    NonNull::new(unsafe { native::rd_kafka_queue_poll(queue.0.as_ptr(), milliseconds(wait)) }).map(Event)
}

fn milliseconds(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}
