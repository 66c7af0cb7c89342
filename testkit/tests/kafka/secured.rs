//! A broker that demands TLS, a password and rights.

use std::sync::OnceLock;

use sealpost_testkit::{Cluster, Error, OrNotRun as _, java, python};

fn secured(test: &str) -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Result<Cluster, Error>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(Cluster::start_secured);
    cluster.as_ref().map_err(Clone::clone).or_not_run(test)
}

// These two by other implementations than librdkafka: they hold without our TLS feature too.

#[test]
fn another_client_gets_in_with_the_right_password() {
    let test = "Python logs in to a secured broker";
    let Some(cluster) = secured(test) else { return };
    let modules = ["kafka", "fastavro"];
    let Some(mut python) = python("kafka_reader.py", &modules).or_not_run(test) else {
        return;
    };
    let properties = cluster.directory().join("client.properties");
    python.arg("--properties").arg(properties);
    let output = python
        .args([cluster.bootstrap(), "no-such-topic"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no topic no-such-topic"), "{said}");
}

#[test]
fn another_client_is_refused_with_a_wrong_password() {
    let test = "Java is refused by a secured broker";
    let Some(cluster) = secured(test) else { return };
    let Some(mut java) = java("org.apache.kafka.tools.TopicCommand").or_not_run(test) else {
        return;
    };
    let right = std::fs::read_to_string(cluster.directory().join("java-client.properties"));
    let wrong = right.unwrap().replace("password=\"", "password=\"x");
    let file = cluster.directory().join("wrong.properties");
    std::fs::write(&file, wrong).unwrap();
    java.args(["--list", "--bootstrap-server", cluster.bootstrap()]);
    let output = java.arg("--command-config").arg(&file).output().unwrap();
    assert!(!output.status.success());
    // on the one or the other, by the mood of the tool
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("invalid credentials"), "{said}");
}

#[cfg(feature = "tls")]
mod by_librdkafka {
    use std::sync::Mutex;

    use rdkafka::ClientContext;
    use rdkafka::config::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaErrorCode;
    use sealpost_testkit::{Cluster, User, unique};

    use super::secured;
    use crate::support::{QUESTION, create_topic, deliver, keys, metadata, producer};

    fn client(cluster: &Cluster, user: User) -> ClientConfig {
        cluster
            .client_properties(user)
            .unwrap()
            .into_iter()
            .collect()
    }

    #[test]
    fn the_admin_creates_writes_and_reads() {
        let Some(cluster) = secured("the admin of a secured broker") else {
            return;
        };
        let (config, topic) = (client(cluster, User::Admin), unique("secured"));
        create_topic(&config, &topic, 1).unwrap();
        deliver(&producer(&config), &topic, "key").unwrap();
        assert_eq!(keys(&config, &topic), ["key"]);
    }

    #[test]
    fn a_stranger_gets_in_and_may_not_do_anything() {
        let Some(cluster) = secured("a stranger on a secured broker") else {
            return;
        };
        let topic = unique("secured");
        create_topic(&client(cluster, User::Admin), &topic, 1).unwrap();
        let stranger = client(cluster, User::Stranger);
        // without the right to see it, it is as if it were not there
        let seen = metadata(&stranger, Some(&topic), QUESTION).unwrap();
        assert!(seen.topics()[0].error().is_some());
        let refusal = create_topic(&stranger, &unique("secured"), 1).unwrap_err();
        assert!(refusal.contains("authorization failed"), "{refusal}");
    }

    #[derive(Default)]
    struct Errors(Mutex<Vec<KafkaError>>);
    impl ClientContext for Errors {
        fn error(&self, error: KafkaError, _reason: &str) {
            self.0.lock().unwrap().push(error);
        }
    }
    impl ConsumerContext for Errors {}

    #[test]
    fn a_wrong_password_is_refused() {
        let Some(cluster) = secured("a wrong password") else {
            return;
        };
        let consumer: BaseConsumer<Errors> = client(cluster, User::Admin)
            .set("sasl.password", "wrong")
            .create_with_context(Errors::default())
            .unwrap();
        let is_refusal =
            |error: &KafkaError| *error == KafkaError::Global(RDKafkaErrorCode::Authentication);
        crate::support::eventually("it is told that it was refused", || {
            // errors are handed over while it polls; it never gets as far as an answer
            drop(consumer.poll(std::time::Duration::from_millis(50)));
            consumer.context().0.lock().unwrap().iter().any(is_refusal)
        });
        assert!(
            consumer
                .fetch_metadata(None, std::time::Duration::from_secs(1))
                .is_err()
        );
    }
}
