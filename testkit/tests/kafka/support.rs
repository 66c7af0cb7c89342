//! Small things that every test here needs from a broker.

use std::future::Future;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Until when a thing that is to happen must have happened.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long one question to a broker may take.
pub(crate) const QUESTION: Duration = Duration::from_secs(20);

pub(crate) fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        // brokers go away here; it need not wait long before it tries again
        .set("reconnect.backoff.max.ms", "200");
    config
}

/// Asks again until the answer is yes.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn metadata(
    config: &ClientConfig,
    topic: Option<&str>,
    timeout: Duration,
) -> Result<Metadata, KafkaError> {
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.fetch_metadata(topic, timeout)
}

/// Waits for a future on this thread.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A topic with as many replicas as the cluster has by default.
pub(crate) fn create_topic(
    config: &ClientConfig,
    topic: &str,
    partitions: i32,
) -> Result<(), String> {
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let options = AdminOptions::new().operation_timeout(Some(QUESTION));
    let answers = wait_for(admin.create_topics([&new], &options)).map_err(|e| e.to_string())?;
    for answer in answers {
        answer.map_err(|(_, code)| code.to_string())?;
    }
    Ok(())
}

/// What became of the records of a producer.
#[derive(Default)]
pub(crate) struct Outcomes(Mutex<Vec<Result<(), KafkaError>>>);

impl ClientContext for Outcomes {}
impl ProducerContext for Outcomes {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = result
            .as_ref()
            .map(drop)
            .map_err(|(error, _)| error.clone());
        self.0.lock().unwrap().push(outcome);
    }
}

pub(crate) fn producer(config: &ClientConfig) -> BaseProducer<Outcomes> {
    config.create_with_context(Outcomes::default()).unwrap()
}

/// Sends one record to partition 0 and says what became of it.
pub(crate) fn deliver(
    producer: &BaseProducer<Outcomes>,
    topic: &str,
    key: &str,
) -> Result<(), KafkaError> {
    let record = BaseRecord::to(topic).partition(0).key(key).payload("");
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(PATIENCE)?;
    producer.context().0.lock().unwrap().pop().unwrap()
}

/// The keys in partition 0 of a topic, as committed.
pub(crate) fn keys(config: &ClientConfig, topic: &str) -> Vec<String> {
    let consumer: BaseConsumer = config
        .clone()
        .set("group.id", "none")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut places = TopicPartitionList::new();
    places
        .add_partition_offset(topic, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&places).unwrap();
    let mut keys = Vec::new();
    loop {
        match consumer.poll(QUESTION).expect("the end, or an error") {
            Ok(record) => keys.push(String::from_utf8(record.key().unwrap().to_vec()).unwrap()),
            Err(KafkaError::PartitionEOF(_)) => return keys,
            // a broker that is away for now
            Err(KafkaError::MessageConsumption(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs a program on `input`; what it printed.
pub(crate) fn run(mut command: Command, input: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    // after its status: a program that failed has closed its ears too
    writer.join().unwrap().unwrap();
    output.stdout
}
