package sealpost.peer;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * sealpost's simulated provider: answers at once, refuses a share that is drawn from the message key, and writes
 * each call and its answer to a ledger before it answers. The ledger can be asked by key. One for each task.
 */
final class Provider {
    private final Path folder;
    private final double[] failureRates;
    private static final String ACCEPTED = "{\"event\":\"accepted\",\"message_key\":\"";
    private static final int KEY_DIGITS = 64;
    private static final AtomicInteger INSTANCES = new AtomicInteger();
    private final String name = ProcessHandle.current().pid() + "-" + INSTANCES.incrementAndGet() + ".ndjson";
    private final StringBuilder lines = new StringBuilder(512);
    private FileChannel ledger;
    private Set<String> accepted;

    /** Failure rates by channel. */
    Provider(Path folder, double[] failureRates) {
        this.folder = folder;
        this.failureRates = failureRates;
    }

    /** 64 bits of a message key, evenly distributed. */
    static long draw(Slice messageKey) {
        return Long.reverseBytes(ByteBuffer.wrap(messageKey.bytes()).getLong(messageKey.from()));
    }

    static String messageId(Slice messageKey) {
        return "sim-" + HexFormat.of().toHexDigits(draw(messageKey));
    }

    /** Calls: true if the message is taken. The address goes no further than here. */
    boolean call(Records.Dispatch dispatch, byte[] address, long nowMs) {
        boolean taken = (draw(dispatch.messageKey()) >>> 11) / (double) (1L << 53) >= failureRates[dispatch.channel()];
        Slice key = dispatch.messageKey();
        String hex = HexFormat.of().formatHex(key.bytes(), key.from(), key.from() + key.length());
        lines.setLength(0);
        line("call", hex, dispatch, nowMs);
        line(taken ? "accepted" : "refused", hex, dispatch, nowMs);
        try {
            if (ledger == null) {
                Files.createDirectories(folder);
                ledger = FileChannel.open(folder.resolve(name), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
            }
            ByteBuffer text = ByteBuffer.wrap(lines.toString().getBytes(StandardCharsets.US_ASCII));
            while (text.hasRemaining()) {
                ledger.write(text);
            }
        } catch (IOException error) {
            throw new UncheckedIOException("the provider's ledger cannot be written", error);
        }
        java.util.Arrays.fill(address, (byte) 0);
        return taken;
    }

    private void line(String event, String key, Records.Dispatch dispatch, long nowMs) {
        lines.append("{\"event\":\"").append(event).append("\",\"message_key\":\"").append(key)
            .append("\",\"channel\":\"").append(Records.CHANNELS.get(dispatch.channel()))
            .append("\",\"user_id\":").append(dispatch.user()).append(",\"period\":\"").append(dispatch.period())
            .append("\",\"kind\":\"").append(dispatch.kind()).append("\",\"at_ms\":").append(nowMs).append("}\n");
    }

    /** Whether the ledgers of any process say that a message was taken. */
    boolean hasTaken(Slice messageKey) {
        if (accepted == null) {
            accepted = new HashSet<>();
            try (var files = Files.newDirectoryStream(folder)) {
                for (Path file : files) {
                    try (var text = Files.lines(file)) {
                        text.filter(line -> line.startsWith(ACCEPTED) && line.length() >= ACCEPTED.length() + KEY_DIGITS)
                            .forEach(line -> accepted.add(line.substring(ACCEPTED.length(), ACCEPTED.length() + KEY_DIGITS)));
                    }
                }
            } catch (IOException error) {
                throw new UncheckedIOException("the provider's ledger cannot be read", error);
            }
        }
        return accepted.contains(HexFormat.of().formatHex(messageKey.copy()));
    }

    void close() {
        try {
            if (ledger != null) {
                ledger.close();
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
