package sealpost.peer;

import java.io.File;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import sealpost.peer.Records.Delivery;
import sealpost.peer.Records.Dispatch;

/**
 * The promise not to send twice: intent, call, outcome.
 *
 * <p>A call may be made only when its intent is committed, and Kafka Streams tells a processor nothing about commits.
 * So with the intent in the store goes a short record to the topic {@code intents}, which comes back to this
 * processor, read committed, when and only when the intent is. The message itself waits in memory meanwhile: if it is
 * gone when the intent comes, another process may have called, and the provider is asked by key.
 */
final class GateProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    private static final long START_WITHIN_MICROS = 30_000_000;
    private static final long GRACE_MICROS = 3_000_000;
    /** What begins an intent: user, period, kind, version, channel, message key. */
    private static final byte INTENT = 1;

    private final File keyFile;
    private final Provider provider;
    private final Progress progress;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<Bytes, byte[]> states;
    private KeyRing keys;
    private final Map<Bytes, Dispatch> waiting = new HashMap<>();
    private final AvroOut out = new AvroOut();
    /** Of the record at hand; what is made of it has it too, so that what is under way goes before what is new. */
    private long timestamp;

    GateProcessor(File keyFile, Provider provider, Progress progress) {
        this.keyFile = keyFile;
        this.provider = provider;
        this.progress = progress;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        states = context.getStateStore(PeerTopology.SEND_STATE);
        keys = new KeyRing(keyFile);
    }

    @Override
    public void close() {
        provider.close();
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        timestamp = record.timestamp();
        byte[] value = record.value();
        if (value[0] == INTENT) {
            onIntent(record.key(), value);
        } else if (Schemas.Name.DISPATCH.wrote(value)) {
            onDispatch(record.key(), Dispatch.read(value));
        } else {
            onNotice(record.key(), Records.Notice.read(value));
        }
    }

    private long nowMicros() {
        return context.currentSystemTimeMs() * 1_000;
    }

    private SendState load(byte[] key, long user, String period) {
        byte[] bytes = states.get(Bytes.wrap(key));
        return bytes == null ? new SendState(user, period) : SendState.read(bytes);
    }

    private void onDispatch(byte[] key, Dispatch dispatch) {
        SendState state = load(key, dispatch.user(), dispatch.period());
        SendState.Kind kind = state.kind(dispatch.kind());
        SendState.Call call = kind.call(dispatch.version(), dispatch.channel());
        if (call != null && !call.open()) {
            // the route may have lost what it was told: say it again, call nobody
            progress.suppressedRepeats.incrementAndGet();
            deliver(key, dispatch, call);
            return;
        }
        if (call != null || kind.shut() || dispatch.version() < kind.version) {
            progress.suppressedRepeats.incrementAndGet();
            return;
        }
        call = new SendState.Call();
        call.version = dispatch.version();
        call.channel = dispatch.channel();
        call.firstIntentAt = nowMicros();
        call.bodyDigest = dispatch.bodyDigest();
        kind.calls.add(call);
        kind.version = dispatch.version();
        intend(key, dispatch, state, kind, call);
    }

    private void intend(byte[] key, Dispatch dispatch, SendState state, SendState.Kind kind, SendState.Call call) {
        long now = nowMicros();
        call.deadlineAt = now + START_WITHIN_MICROS;
        call.updatedAt = now;
        kind.state = SendState.SENDING;
        kind.reason = null;
        kind.updatedAt = now;
        states.put(Bytes.wrap(key), state.write(out));
        waiting.put(Bytes.wrap(dispatch.messageKey().copy()), dispatch);
        forwardIntent(key, dispatch);
    }

    private void forwardIntent(byte[] key, Dispatch of) {
        out.clear().raw(new byte[] {INTENT}).number(of.user()).text(of.period()).text(of.kind()).number(of.version())
            .number(of.channel()).raw(of.messageKey());
        forward(key, out.toBytes(), PeerTopology.INTENTS_SINK);
    }

    private void onIntent(byte[] key, byte[] value) {
        AvroIn in = new AvroIn(value);
        in.at = 1;
        Dispatch intent = new Dispatch(in.number(), in.text(), in.text(), in.small(), in.small(), in.raw(32), null, null);
        SendState state = load(key, intent.user(), intent.period());
        SendState.Kind kind = state.kind(intent.kind());
        SendState.Call call = kind.call(intent.version(), intent.channel());
        if (call == null || !call.open()) {
            progress.suppressedRepeats.incrementAndGet();
            return;
        }
        Dispatch dispatch = waiting.remove(Bytes.wrap(intent.messageKey().copy()));
        long now = nowMicros();
        if (dispatch == null) {
            settleDoubt(key, intent, state, kind, call, now);
        } else if (now > call.deadlineAt) {
            intend(key, dispatch, state, kind, call);
        } else {
            String purpose = "destination/" + Records.CHANNELS.get(dispatch.channel());
            byte[] address = keys.open(purpose, dispatch.user(), dispatch.destination());
            boolean taken = provider.call(dispatch, address, now / 1_000);
            call.attempts++;
            conclude(key, dispatch, state, kind, call, taken, taken ? null : "simulated", now);
        }
    }

    /** The message went with an earlier process: once nobody can be on the line any more, the provider is asked. */
    private void settleDoubt(byte[] key, Dispatch intent, SendState state, SendState.Kind kind, SendState.Call call, long now) {
        if (now < call.deadlineAt + GRACE_MICROS) {
            forwardIntent(key, intent);
            return;
        }
        boolean taken = provider.hasTaken(intent.messageKey());
        conclude(key, intent, state, kind, call, taken, taken ? "found-by-key" : "not-started", now);
    }

    private void conclude(byte[] key, Dispatch dispatch, SendState state, SendState.Kind kind, SendState.Call call,
                          boolean taken, String reason, long now) {
        call.outcome = taken ? Records.SENT : Records.FAILED;
        call.reason = reason;
        call.providerMessageId = taken ? Provider.messageId(dispatch.messageKey()) : null;
        call.updatedAt = now;
        kind.state = taken ? SendState.SENT : SendState.PENDING;
        kind.updatedAt = now;
        if (!taken) {
            progress.refusedCalls.incrementAndGet();
        }
        states.put(Bytes.wrap(key), state.write(out));
        deliver(key, dispatch, call);
    }

    private void deliver(byte[] key, Dispatch dispatch, SendState.Call call) {
        byte[] delivery = new Delivery(dispatch.user(), dispatch.period(), dispatch.kind(), dispatch.version(),
            dispatch.channel(), dispatch.messageKey(), call.outcome, call.reason, call.attempts, call.providerMessageId,
            call.updatedAt).write(out);
        forward(key, delivery, PeerTopology.DELIVERIES_SINK);
    }

    private void onNotice(byte[] key, Records.Notice notice) {
        SendState state = load(key, notice.user(), notice.period());
        SendState.Kind kind = state.kind(notice.kind());
        if (kind.shut() || notice.version() < kind.version) {
            return;
        }
        kind.state = SendState.FAILED;
        kind.version = notice.version();
        kind.reason = notice.reason();
        kind.updatedAt = nowMicros();
        states.put(Bytes.wrap(key), state.write(out));
    }

    private void forward(byte[] key, byte[] value, String child) {
        context.forward(new Record<>(key, value, timestamp), child);
    }
}
