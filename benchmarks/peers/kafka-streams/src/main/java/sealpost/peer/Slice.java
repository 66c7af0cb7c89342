package sealpost.peer;

/** A part of a record's bytes, not copied. */
record Slice(byte[] bytes, int from, int length) {
    static Slice of(byte[] bytes) {
        return new Slice(bytes, 0, bytes.length);
    }

    byte[] copy() {
        return java.util.Arrays.copyOfRange(bytes, from, from + length);
    }
}
