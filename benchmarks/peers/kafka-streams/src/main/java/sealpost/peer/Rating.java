package sealpost.peer;

import java.math.BigInteger;
import java.util.List;
import java.util.Map;
import sealpost.peer.Records.Line;
import sealpost.peer.Records.LineKind;

/** The tariff's rules 1 to 6. Whole won, checked: what leaves 64 bits is an {@link ArithmeticException}. */
final class Rating {
    private Rating() {}

    /** A code that the catalogue does not have; the message is the dead letter's reason. */
    static final class Unknown extends RuntimeException {
        Unknown(String reason) {
            super(reason, null, false, false);
        }
    }

    /** Appends the lines of one period and returns their sum. */
    static long rate(Catalog catalog, Account.Frozen input, List<Line> lines) {
        Catalog.Plan plan = catalog.plans.get(input.plan());
        if (plan == null) {
            throw new Unknown("unknown_plan");
        }
        Catalog.Welfare welfare = input.welfare() == null ? null : catalog.welfare.get(input.welfare());
        if (input.welfare() != null && welfare == null) {
            throw new Unknown("unknown_welfare");
        }
        long overage = overage(plan, input.usage()[0]);
        long contract = input.contract() ? plan.price() * 25 / 100 : 0;
        long soldier = input.soldier() && plan.soldierDiscount() ? (plan.price() - contract) * 20 / 100 : 0;
        long discount = welfare == null ? 0
            : Math.min(welfare.cap(),
                share(Math.addExact(plan.price() - contract - soldier, overage), welfare.rate(), 1_000_000L));

        lines.add(new Line(LineKind.PLAN, plan.code(), plan.name(), null, plan.price()));
        long sum = plan.price();
        sum = charge(lines, sum, LineKind.DATA_OVERAGE, null, null, overage);
        for (String code : input.options()) {
            Catalog.Option option = catalog.options.get(code);
            if (option == null) {
                throw new Unknown("unknown_option");
            }
            long price = plan.bundled().contains(code) ? 0 : option.price();
            sum = charge(lines, sum, LineKind.OPTION, option.code(), option.name(), price);
        }
        sum = charge(lines, sum, LineKind.CONTENT, null, null, input.usage()[3]);
        sum = charge(lines, sum, LineKind.CONTRACT_DISCOUNT, null, null, -contract);
        sum = charge(lines, sum, LineKind.SOLDIER_DISCOUNT, null, null, -soldier);
        return welfare == null ? sum
            : charge(lines, sum, LineKind.WELFARE_DISCOUNT, welfare.code(), welfare.name(), -discount);
    }

    /** Ends a statement: adjustments by source period, credit, and what is carried forward. Returns total and credit. */
    static long[] finish(long own, Map<Integer, Long> adjustments, long credit, List<Line> lines) {
        long sum = own;
        for (var adjustment : adjustments.entrySet()) {
            if (adjustment.getValue() != 0) {
                sum = Math.addExact(sum, adjustment.getValue());
                lines.add(new Line(LineKind.ADJUSTMENT, null, null, Period.text(adjustment.getKey()), adjustment.getValue()));
            }
        }
        sum = charge(lines, sum, LineKind.BROUGHT_FORWARD, null, null, -credit);
        long carried = Math.max(0, -sum);
        sum = charge(lines, sum, LineKind.CARRIED_FORWARD, null, null, carried);
        return new long[] {sum, carried};
    }

    private static long charge(List<Line> lines, long sum, LineKind kind, String code, String name, long amount) {
        if (amount == 0) {
            return sum;
        }
        lines.add(new Line(kind, code, name, null, amount));
        return Math.addExact(sum, amount);
    }

    private static long overage(Catalog.Plan plan, long used) {
        long billable = Math.max(0, Math.min(used, plan.ceiling()) - plan.included());
        return share(billable, plan.rate(), 1_000_000_000_000L);
    }

    /** floor(value × rate / unit), with as many bits in between as it takes. */
    private static long share(long value, long rate, long unit) {
        if (Math.multiplyHigh(value, rate) == 0 && value * rate >= 0) {
            return value * rate / unit;
        }
        return BigInteger.valueOf(value).multiply(BigInteger.valueOf(rate)).divide(BigInteger.valueOf(unit)).longValueExact();
    }
}
