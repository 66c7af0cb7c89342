package sealpost.peer;

import java.io.File;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;

/**
 * Runs the topology until everything is sent ({@code --drain}), or until it is stopped.
 *
 * <p>{@code Peer BOOTSTRAP IN_PREFIX OUT_PREFIX rocksdb|memory KEY_RING STATE_DIR [--drain] [name=value…]}; what is
 * given as name=value goes over the settings below.
 */
public final class Peer {
    private Peer() {}

    /** What was tuned, and by which page of the documentation. */
    static Properties settings(String bootstrap, String out, String stateDir) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, out + "app");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2); // one for each core
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, stateDir);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64 * 1024 * 1024);
        settings.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, RocksDbTuning.class);
        // inputs of a task are merged by time, and one that the broker has more of is waited for (KIP-695)
        settings.put(StreamsConfig.MAX_TASK_IDLE_MS_CONFIG, 0);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 1_000);
        settings.put(StreamsConfig.POLL_MS_CONFIG, 10);
        settings.put(StreamsConfig.ENSURE_EXPLICIT_INTERNAL_RESOURCE_NAMING_CONFIG, true);
        settings.put(StreamsConfig.ENABLE_METRICS_PUSH_CONFIG, false);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 128 * 1024);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64 * 1024 * 1024);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000);
        settings.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 128 * 1024);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG), 100);
        settings.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        // static membership: a restart takes its own place back and nobody waits for the one before to time out
        settings.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), "peer");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 10_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG), 2_000);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG), 10_000);
        return settings;
    }

    public static void main(String[] arguments) throws Exception {
        long started = ProcessHandle.current().info().startInstant().map(java.time.Instant::toEpochMilli).orElse(0L);
        String bootstrap = arguments[0];
        String in = arguments[1];
        String out = arguments[2];
        boolean rocksDb = arguments[3].equals("rocksdb");
        File keyFile = new File(arguments[4]);
        Properties settings = settings(bootstrap, out, arguments[5]);
        boolean drain = false;
        for (String argument : List.of(arguments).subList(6, arguments.length)) {
            int equals = argument.indexOf('=');
            if (argument.equals("--drain")) {
                drain = true;
            } else {
                settings.put(argument.substring(0, equals), argument.substring(equals + 1));
            }
        }
        int partitions = createTopics(bootstrap, in, out);
        Progress progress = new Progress();
        // as the configuration of sealpost in run.sh has it
        double[] failureRates = {0.01, 0, 0, 0};
        Path ledger = Path.of(arguments[5], "provider-ledger");
        var topology = PeerTopology.build(in, out, rocksDb, keyFile, ledger, failureRates, progress);
        if (System.getenv("PEER_DESCRIBE") != null) {
            System.err.println(topology.describe());
        }
        AtomicReference<Throwable> failure = new AtomicReference<>();
        KafkaStreams streams = new KafkaStreams(topology, settings);
        streams.setUncaughtExceptionHandler(error -> {
            failure.set(error);
            return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
        while (failure.get() == null && !(drain && progress.done(partitions))) {
            Thread.sleep(5);
        }
        long done = System.currentTimeMillis();
        streams.close();
        if (failure.get() != null) {
            failure.get().printStackTrace();
            Runtime.getRuntime().halt(1);
        }
        System.out.printf("{\"done_s\": %.1f, \"statements\": %d, \"total_won\": %d, \"ended\": %d, "
            + "\"refused_calls\": %d, \"suppressed_repeats\": %d}%n",
            (done - started) / 1000.0, progress.statements.get(), progress.totalWon.get(), progress.finished.get(),
            progress.refusedCalls.get(), progress.suppressedRepeats.get());
    }

    /** Makes what is missing of the output topics, with as many partitions as the inputs have. */
    private static int createTopics(String bootstrap, String in, String out) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            String usage = in + "usage";
            int partitions = admin.describeTopics(List.of(usage)).allTopicNames().get().get(usage).partitions().size();
            var there = admin.listTopics().names().get();
            List<NewTopic> missing = new ArrayList<>();
            PeerTopology.OUTPUTS.forEach((name, cleanup) -> {
                if (!there.contains(out + name)) {
                    missing.add(new NewTopic(out + name, partitions, (short) -1).configs(Map.of("cleanup.policy", cleanup,
                        cleanup.equals("compact") ? "min.compaction.lag.ms" : "retention.ms",
                        cleanup.equals("compact") ? "86400000" : "-1")));
                }
            });
            admin.createTopics(missing).all().get();
            return partitions;
        }
    }
}
