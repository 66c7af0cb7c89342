package sealpost.peer;

import java.util.ArrayList;
import java.util.List;

/** The sends of one (user, period), in the encoding of sealpost's {@code send-state}. */
final class SendState {
    static final int PENDING = 0;
    static final int SENDING = 2;
    static final int SENT = 3;
    static final int FAILED = 4;
    static final int UNKNOWN = 5;
    private static final int OPEN = -1;

    static final class Call {
        int version;
        int channel;
        long firstIntentAt;
        long deadlineAt;
        /** {@link Records#SENT}, {@link Records#FAILED}, or below 0 while it is not known. */
        int outcome = OPEN;
        String reason;
        int attempts;
        String providerMessageId;
        Slice bodyDigest;
        long updatedAt;

        boolean open() {
            return outcome == OPEN;
        }
    }

    static final class Kind {
        String kind;
        int state = PENDING;
        int version;
        long heldUntil = OPEN;
        String reason;
        long updatedAt;
        final List<Call> calls = new ArrayList<>(1);

        Call call(int version, int channel) {
            for (Call call : calls) {
                if (call.version == version && call.channel == channel) {
                    return call;
                }
            }
            return null;
        }

        /** Whether no other call may be made now. */
        boolean shut() {
            return state == SENDING || state == SENT || state == UNKNOWN || calls.stream().anyMatch(Call::open);
        }
    }

    private final long user;
    private final String period;
    private final List<Kind> kinds = new ArrayList<>(1);

    SendState(long user, String period) {
        this.user = user;
        this.period = period;
    }

    Kind kind(String name) {
        for (Kind kind : kinds) {
            if (kind.kind.equals(name)) {
                return kind;
            }
        }
        Kind kind = new Kind();
        kind.kind = name;
        kinds.add(kind);
        return kind;
    }

    byte[] write(AvroOut out) {
        out.begin(Schemas.Name.SEND_STATE).number(user).text(period).number(kinds.size());
        for (Kind kind : kinds) {
            out.text(kind.kind).number(kind.state).number(kind.version);
            numberOrNull(out, kind.heldUntil).textOrNull(kind.reason).number(kind.updatedAt);
            if (!kind.calls.isEmpty()) {
                out.number(kind.calls.size());
            }
            for (Call call : kind.calls) {
                out.number(call.version).number(call.channel).number(call.firstIntentAt).number(call.deadlineAt);
                numberOrNull(out, call.outcome).textOrNull(call.reason).number(call.attempts)
                    .textOrNull(call.providerMessageId).raw(call.bodyDigest).number(call.updatedAt);
            }
            out.number(0);
        }
        return out.number(0).toBytes();
    }

    private static AvroOut numberOrNull(AvroOut out, long value) {
        return value == OPEN ? out.number(0) : out.number(1).number(value);
    }

    static SendState read(byte[] bytes) {
        AvroIn in = new AvroIn(bytes, Schemas.Name.SEND_STATE);
        SendState state = new SendState(in.number(), in.text());
        for (int left = in.block(); left > 0; left = in.block()) {
            for (; left > 0; left--) {
                Kind kind = new Kind();
                kind.kind = in.text();
                kind.state = in.small();
                kind.version = in.small();
                kind.heldUntil = in.number() == 0 ? OPEN : in.number();
                kind.reason = in.textOrNull();
                kind.updatedAt = in.number();
                for (int calls = in.block(); calls > 0; calls = in.block()) {
                    for (; calls > 0; calls--) {
                        Call call = new Call();
                        call.version = in.small();
                        call.channel = in.small();
                        call.firstIntentAt = in.number();
                        call.deadlineAt = in.number();
                        call.outcome = in.smallOr(OPEN);
                        call.reason = in.textOrNull();
                        call.attempts = in.small();
                        call.providerMessageId = in.textOrNull();
                        call.bodyDigest = in.raw(32);
                        call.updatedAt = in.number();
                        kind.calls.add(call);
                    }
                }
                state.kinds.add(kind);
            }
        }
        return state;
    }
}
