package sealpost.peer;

import java.nio.charset.StandardCharsets;

/** Reads Avro's binary encoding without copying what is only passed on. */
final class AvroIn {
    final byte[] bytes;
    int at;

    AvroIn(byte[] bytes) {
        this.bytes = bytes;
    }

    /** Begins a record that must have been written with this schema. */
    AvroIn(byte[] bytes, Schemas.Name schema) {
        this(bytes);
        if (!schema.wrote(bytes)) {
            throw new IllegalArgumentException("not a record of " + schema);
        }
        at = schema.header.length;
    }

    long number() {
        long value = 0;
        for (int shift = 0; ; shift += 7) {
            byte next = bytes[at++];
            value |= (long) (next & 0x7f) << shift;
            if (next >= 0) {
                return (value >>> 1) ^ -(value & 1);
            }
        }
    }

    int small() {
        return Math.toIntExact(number());
    }

    Slice raw(int length) {
        Slice slice = new Slice(bytes, at, length);
        at += length;
        return slice;
    }

    Slice slice() {
        return raw(small());
    }

    void skip() {
        int length = small();
        at += length;
    }

    String text() {
        int length = small();
        String text = new String(bytes, at, length, StandardCharsets.UTF_8);
        at += length;
        return text;
    }

    String textOrNull() {
        return number() == 0 ? null : text();
    }

    Slice sliceOrNull() {
        return number() == 0 ? null : slice();
    }

    /** The union of null and an int; null as {@code missing}. */
    int smallOr(int missing) {
        return number() == 0 ? missing : small();
    }

    /** How many items of an array are next; 0 at its end. */
    int block() {
        int count = small();
        if (count < 0) {
            number();
            return -count;
        }
        return count;
    }

    Slice since(int from) {
        return new Slice(bytes, from, at - from);
    }

    Slice rest() {
        return new Slice(bytes, at, bytes.length - at);
    }
}
