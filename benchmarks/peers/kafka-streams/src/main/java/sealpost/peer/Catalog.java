package sealpost.peer;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.dataformat.toml.TomlMapper;
import java.math.BigDecimal;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** The tariff, read from the same TOML text that a close carries. */
final class Catalog {
    static final long NONE = Long.MAX_VALUE;

    /** Sizes in bytes; the rate in millionths of a won for one MB, 0 unless data is metered. */
    record Plan(String code, String name, long price, long included, long ceiling, long rate, boolean soldierDiscount,
                Set<String> bundled) {}

    record Option(String code, String name, long price) {}

    /** The rate in millionths. */
    record Welfare(String code, String name, long rate, long cap) {}

    final Map<String, Plan> plans = new HashMap<>();
    final Map<String, Option> options = new HashMap<>();
    final Map<String, Welfare> welfare = new HashMap<>();

    Catalog(String toml) {
        JsonNode root;
        try {
            root = new TomlMapper().readTree(toml);
        } catch (JsonProcessingException error) {
            throw new IllegalArgumentException("the catalogue cannot be read", error);
        }
        for (JsonNode plan : root.path("plan")) {
            boolean metered = plan.path("data").asText().equals("metered");
            Set<String> bundled = new HashSet<>();
            plan.path("bundled_options").forEach(code -> bundled.add(code.asText()));
            plans.put(plan.path("code").asText(), new Plan(plan.path("code").asText(), plan.path("name").asText(),
                plan.path("monthly_price_won").longValue(), megabytes(plan.path("included_mb"), 0),
                megabytes(plan.path("overage_ceiling_mb"), NONE),
                metered ? millionths(plan.path("overage_won_per_mb")) : 0,
                plan.path("soldier_discount").booleanValue(), bundled));
        }
        for (JsonNode option : root.path("option")) {
            options.put(option.path("code").asText(), new Option(option.path("code").asText(),
                option.path("name").asText(), option.path("monthly_price_won").longValue()));
        }
        for (JsonNode welfare : root.path("welfare")) {
            JsonNode cap = welfare.path("cap_won");
            this.welfare.put(welfare.path("code").asText(), new Welfare(welfare.path("code").asText(),
                welfare.path("name").asText(), millionths(welfare.path("rate")), cap.isMissingNode() ? NONE : cap.longValue()));
        }
    }

    private static long megabytes(JsonNode value, long missing) {
        return value.isMissingNode() ? missing : Math.multiplyExact(value.longValue(), 1_000_000L);
    }

    private static long millionths(JsonNode value) {
        return new BigDecimal(value.asText()).movePointRight(6).longValueExact();
    }
}
