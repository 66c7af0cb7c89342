package sealpost.peer;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Writes Avro's binary encoding into one growing buffer that is used again. */
final class AvroOut {
    byte[] bytes = new byte[8 * 1024];
    int length;

    AvroOut begin(Schemas.Name schema) {
        length = 0;
        return raw(schema.header);
    }

    AvroOut clear() {
        length = 0;
        return this;
    }

    byte[] toBytes() {
        return Arrays.copyOf(bytes, length);
    }

    private void room(int more) {
        if (length + more > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(length + more, 2 * bytes.length));
        }
    }

    AvroOut raw(byte[] from) {
        return raw(from, 0, from.length);
    }

    AvroOut raw(byte[] from, int at, int count) {
        room(count);
        System.arraycopy(from, at, bytes, length, count);
        length += count;
        return this;
    }

    AvroOut raw(Slice slice) {
        return raw(slice.bytes(), slice.from(), slice.length());
    }

    AvroOut number(long value) {
        room(10);
        long rest = (value << 1) ^ (value >> 63);
        while ((rest & ~0x7fL) != 0) {
            bytes[length++] = (byte) (rest & 0x7f | 0x80);
            rest >>>= 7;
        }
        bytes[length++] = (byte) rest;
        return this;
    }

    AvroOut bytes(byte[] value) {
        return number(value.length).raw(value);
    }

    AvroOut bytes(Slice value) {
        return number(value.length()).raw(value);
    }

    AvroOut text(String value) {
        return bytes(value.getBytes(StandardCharsets.UTF_8));
    }

    /** The union of null and a text. */
    AvroOut textOrNull(String value) {
        return value == null ? number(0) : number(1).text(value);
    }

    /** The union of null and a text, given in UTF-8. */
    AvroOut bytesOrNull(Slice value) {
        return value == null ? number(0) : number(1).bytes(value);
    }
}
