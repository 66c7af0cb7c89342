package sealpost.peer;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Waits for the next committed record of a topic: {@code Watch BOOTSTRAP TOPIC}. Says {@code ready} once it watches,
 * then the time at which the record came, in milliseconds since 1970.
 */
public final class Watch {
    private Watch() {}

    public static void main(String[] arguments) {
        Map<String, Object> settings = Map.of("bootstrap.servers", arguments[0], "isolation.level", "read_committed",
            "fetch.max.wait.ms", "10");
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(arguments[1])
                .forEach(info -> partitions.add(new TopicPartition(info.topic(), info.partition())));
            consumer.assign(partitions);
            consumer.seekToEnd(partitions);
            partitions.forEach(consumer::position);
            consumer.poll(Duration.ofMillis(100));
            System.out.println("ready");
            System.out.flush();
            while (consumer.poll(Duration.ofMillis(10)).isEmpty()) { }
            System.out.println(System.currentTimeMillis());
        }
    }
}
