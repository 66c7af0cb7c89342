package sealpost.peer;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.utils.Bytes;

/**
 * Holds what the peer wrote against what sealpost wrote, record by record: {@code Compare BOOTSTRAP ONE OTHER}. Of each
 * value its SHA-256 is kept: a million pages on either side would not fit into memory.
 */
public final class Compare {
    private Compare() {}

    public static void main(String[] arguments) {
        Map<Bytes, Seen> one = read(arguments[0], arguments[1] + "statements", Schemas.Name.STATEMENT);
        Map<Bytes, Seen> other = read(arguments[0], arguments[2] + "statements", Schemas.Name.STATEMENT);
        long total = one.values().stream().mapToLong(Seen::total).sum();
        long otherTotal = other.values().stream().mapToLong(Seen::total).sum();
        long statements = same(one, other);
        int count = one.size();
        int otherCount = other.size();
        one = read(arguments[0], arguments[1] + "dispatches", Schemas.Name.DISPATCH);
        other = read(arguments[0], arguments[2] + "dispatches", Schemas.Name.DISPATCH);
        System.out.printf("{\"statements\": [%d, %d], \"total_won\": [%d, %d], \"statements_same_bytes\": %d, "
            + "\"dispatches\": [%d, %d], \"dispatches_same_bytes\": %d}%n", count, otherCount, total, otherTotal,
            statements, one.size(), other.size(), same(one, other));
        boolean equal = count == otherCount && total == otherTotal && statements == count;
        System.exit(equal ? 0 : 1);
    }

    /** A record's value, and of a statement its total. */
    private record Seen(byte[] digest, long total) {
        boolean isSameAs(Seen other) {
            return other != null && Arrays.equals(digest, other.digest);
        }
    }

    private static long same(Map<Bytes, Seen> one, Map<Bytes, Seen> other) {
        return one.entrySet().stream().filter(entry -> entry.getValue().isSameAs(other.get(entry.getKey()))).count();
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException("every Java has SHA-256", error);
        }
    }

    /** The last record of each key; of dispatches, of each message key. */
    private static Map<Bytes, Seen> read(String bootstrap, String topic, Schemas.Name schema) {
        Map<Bytes, Seen> records = new HashMap<>();
        MessageDigest digest = sha256();
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed");
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(info -> partitions.add(new TopicPartition(topic, info.partition())));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                consumer.poll(Duration.ofMillis(200)).forEach(record -> {
                    if (schema.wrote(record.value())) {
                        byte[] key = schema == Schemas.Name.DISPATCH
                            ? Records.Dispatch.read(record.value()).messageKey().copy() : record.key();
                        long total = schema == Schemas.Name.STATEMENT ? Records.Statement.read(record.value()).total() : 0;
                        records.put(Bytes.wrap(key), new Seen(digest.digest(record.value()), total));
                    }
                });
            }
        }
        return records;
    }
}
