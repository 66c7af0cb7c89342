package sealpost.peer;

import java.time.LocalDate;
import java.time.YearMonth;
import java.time.ZoneId;
import java.time.Instant;

/** A billing month as months since 1970-01, and which month a time is in. */
final class Period {
    private Period() {}

    static int parse(String text) {
        YearMonth month = YearMonth.parse(text);
        return (month.getYear() - 1970) * 12 + month.getMonthValue() - 1;
    }

    static String text(int months) {
        return String.format("%04d-%02d", 1970 + months / 12, months % 12 + 1);
    }

    static YearMonth month(int months) {
        return YearMonth.of(1970 + months / 12, months % 12 + 1);
    }

    /** Months by time; that of the last time is kept. */
    static final class Clock {
        private final ZoneId zone;
        private long from = 1;
        private long to;
        private int months;

        Clock(ZoneId zone) {
            this.zone = zone;
        }

        /** -1 if it is before 1970 or after 9999. */
        int of(long micros) {
            if (micros >= from && micros < to) {
                return months;
            }
            LocalDate day = Instant.ofEpochSecond(Math.floorDiv(micros, 1_000_000L)).atZone(zone).toLocalDate();
            if (day.getYear() < 1970 || day.getYear() > 9999) {
                return -1;
            }
            LocalDate first = day.withDayOfMonth(1);
            from = first.atStartOfDay(zone).toEpochSecond() * 1_000_000L;
            to = first.plusMonths(1).atStartOfDay(zone).toEpochSecond() * 1_000_000L;
            months = (day.getYear() - 1970) * 12 + day.getMonthValue() - 1;
            return months;
        }
    }
}
