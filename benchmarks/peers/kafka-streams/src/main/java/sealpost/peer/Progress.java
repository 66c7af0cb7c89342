package sealpost.peer;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/** Counts of this process, by which it knows that everything is done. Not state: nothing depends on them. */
final class Progress {
    final AtomicLong statements = new AtomicLong();
    final AtomicLong totalWon = new AtomicLong();
    final AtomicLong finished = new AtomicLong();
    final AtomicLong refusedCalls = new AtomicLong();
    final AtomicLong suppressedRepeats = new AtomicLong();
    final AtomicInteger closedPartitions = new AtomicInteger();

    void statement(long won) {
        statements.incrementAndGet();
        totalWon.addAndGet(won);
    }

    void closed() {
        closedPartitions.incrementAndGet();
    }

    boolean done(int partitions) {
        return closedPartitions.get() >= partitions && finished.get() >= statements.get();
    }
}
