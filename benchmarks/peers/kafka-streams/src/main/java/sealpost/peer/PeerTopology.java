package sealpost.peer;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.StreamPartitioner;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The one place where the graph is wired: three sub-topologies joined by topics, as sealpost's three stages are.
 *
 * <pre>
 *  subscribers ─┐
 *  usage ───────┼─► settle ──► statements ──► route ──► dispatches ──► gate ──► provider
 *  control ─────┘                              ▲                       │ ▲ │
 *                                              └──── deliveries ◄──────┘ └─┘ intents
 * </pre>
 *
 * <p>{@code subscribers} and {@code statements} are compacted topics already: their stores are read-only stores
 * (KIP-813), which restore from the topic itself and have no second changelog.
 */
final class PeerTopology {
    static final String ACCOUNTS = "accounts";
    static final String SUBSCRIBERS = "subscribers";
    static final String STATEMENTS = "statements";
    static final String ROUTES = "routes";
    static final String SEND_STATE = "send-state";
    static final String STATEMENTS_SINK = "statements-sink";
    static final String INTENTS_SINK = "intents-sink";
    static final String DELIVERIES_SINK = "deliveries-sink";
    static final String DEAD_LETTERS_SINK = "dead-letters-sink";

    /** What the peer writes, under its own prefix, and how it is kept. */
    static final Map<String, String> OUTPUTS = Map.of("statements", "compact", "dispatches", "delete",
        "intents", "delete", "deliveries", "delete", "dead-letters", "delete");

    private PeerTopology() {}

    static Topology build(String in, String out, boolean rocksDb, File keyFile, Path ledger, double[] failureRates,
                          Progress progress) {
        Topology topology = new Topology();
        var bytesIn = new ByteArrayDeserializer();
        var bytesOut = new ByteArraySerializer();
        topology.addReadOnlyStateStore(store(SUBSCRIBERS, rocksDb), "subscribers-source", bytesIn, bytesIn,
            in + "subscribers", "subscribers-update", () -> new Update(SUBSCRIBERS));
        topology.addSource("usage-source", bytesIn, bytesIn, in + "usage");
        topology.addSource("control-source", bytesIn, bytesIn, in + "control");
        topology.addProcessor("settle", () -> new SettleProcessor(progress),
            "subscribers-source", "usage-source", "control-source");
        topology.addStateStore(cached(ACCOUNTS, rocksDb), "settle");
        topology.connectProcessorAndStateStores("settle", SUBSCRIBERS);
        topology.addSink(STATEMENTS_SINK, out + "statements", bytesOut, bytesOut, new ByUser(), "settle");
        topology.addSink(DEAD_LETTERS_SINK, out + "dead-letters", bytesOut, bytesOut, new ByUser(), "settle");

        topology.addReadOnlyStateStore(store(STATEMENTS, rocksDb), "statements-source", bytesIn, bytesIn,
            out + "statements", "statements-update", () -> new Update(STATEMENTS));
        topology.addSource("deliveries-source", bytesIn, bytesIn, out + "deliveries");
        topology.addProcessor("route", () -> new RouteProcessor(keyFile, progress), "statements-source", "deliveries-source");
        topology.addStateStore(cached(ROUTES, rocksDb), "route");
        topology.connectProcessorAndStateStores("route", STATEMENTS);
        topology.addSink("dispatches-sink", out + "dispatches", bytesOut, bytesOut, new ByUser(), "route");

        topology.addSource("dispatches-source", bytesIn, bytesIn, out + "dispatches");
        topology.addSource("intents-source", bytesIn, bytesIn, out + "intents");
        topology.addProcessor("gate", () -> new GateProcessor(keyFile, new Provider(ledger, failureRates), progress),
            "dispatches-source", "intents-source");
        topology.addStateStore(cached(SEND_STATE, rocksDb), "gate");
        topology.addSink(INTENTS_SINK, out + "intents", bytesOut, bytesOut, new ByUser(), "gate");
        topology.addSink(DELIVERIES_SINK, out + "deliveries", bytesOut, bytesOut, new ByUser(), "gate");
        return topology;
    }

    private static StoreBuilder<KeyValueStore<Bytes, byte[]>> store(String name, boolean rocksDb) {
        KeyValueBytesStoreSupplier supplier = rocksDb ? Stores.persistentKeyValueStore(name) : Stores.inMemoryKeyValueStore(name);
        return Stores.keyValueStoreBuilder(supplier, Serdes.Bytes(), Serdes.ByteArray());
    }

    /** With a record cache: one changelog record for each key and commit, however often it was written. */
    private static StoreBuilder<KeyValueStore<Bytes, byte[]>> cached(String name, boolean rocksDb) {
        return store(name, rocksDb).withCachingEnabled().withLoggingEnabled(Map.of());
    }

    /** Puts what comes into a read-only store. */
    private static final class Update implements Processor<byte[], byte[], Void, Void> {
        private final String name;
        private KeyValueStore<Bytes, byte[]> store;

        Update(String name) {
            this.name = name;
        }

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            store = context.getStateStore(name);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            store.put(Bytes.wrap(record.key()), record.value());
        }
    }

    /** The partition of a user: murmur2 of the id in decimal, which a key is or begins with. */
    private static final class ByUser implements StreamPartitioner<byte[], byte[]> {
        private static final byte[] CLOSE = "close/".getBytes(StandardCharsets.US_ASCII);

        @Override
        public Optional<Set<Integer>> partitions(String topic, byte[] key, byte[] value, int partitions) {
            if (key[0] == 'c') {
                String number = new String(key, CLOSE.length, key.length - CLOSE.length, StandardCharsets.US_ASCII);
                return Optional.of(Set.of(Integer.parseInt(number)));
            }
            int length = 0;
            while (length < key.length && key[length] != '/') {
                length++;
            }
            byte[] user = length == key.length ? key : java.util.Arrays.copyOf(key, length);
            return Optional.of(Set.of(Utils.toPositive(Utils.murmur2(user)) % partitions));
        }
    }
}
