//! What the tariff rules say, one by one, on figures computed by hand.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use sealpost_operators::rating::{RatingError, RatingInput, rate};
use sealpost_schemas::Won;
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::record::{Line, LineKind, Reason, UsageTotals};

const MB: i64 = 1_000_000;

/// A plan and nothing else.
fn plain(plan: &str) -> RatingInput<'_> {
    RatingInput {
        plan,
        options: &[],
        contract: false,
        soldier: false,
        welfare: None,
        usage: UsageTotals::default(),
    }
}

fn data(bytes: i64) -> UsageTotals {
    UsageTotals {
        data_bytes: bytes,
        ..UsageTotals::default()
    }
}

fn codes(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

fn lines_by(catalog: &Catalog, input: &RatingInput<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    let total = rate(catalog, input, &mut lines).unwrap();
    assert_eq!(
        Won::sum(lines.iter().map(|line| line.amount_won)),
        Ok(total)
    );
    lines
}

/// Kind and amount of each line, by the built-in catalogue.
fn rated(input: &RatingInput<'_>) -> Vec<(LineKind, i64)> {
    let lines = lines_by(&Catalog::built_in(), input);
    lines
        .iter()
        .map(|line| (line.kind, line.amount_won.0))
        .collect()
}

/// The amount of the line of a kind, 0 if there is none.
fn amount(kind: LineKind, input: &RatingInput<'_>) -> i64 {
    rated(input)
        .iter()
        .filter(|(of, _)| *of == kind)
        .map(|(_, won)| won)
        .sum()
}

fn overage(plan: &str, bytes: i64) -> i64 {
    amount(
        LineKind::DataOverage,
        &RatingInput {
            usage: data(bytes),
            ..plain(plan)
        },
    )
}

fn refusal(input: &RatingInput<'_>) -> RatingError {
    rate(&Catalog::built_in(), input, &mut Vec::new()).unwrap_err()
}

#[test]
fn the_worked_case_of_the_contract_comes_out() {
    let input = RatingInput {
        contract: true,
        soldier: true,
        welfare: Some("WLF-03"),
        usage: data(2_300 * MB),
        ..plain("PLN-043")
    };
    let expected = [
        (LineKind::Plan, 33_000),
        (LineKind::DataOverage, 220),
        (LineKind::ContractDiscount, -8_250),
        (LineKind::SoldierDiscount, -4_950),
        (LineKind::WelfareDiscount, -7_007),
    ];
    assert_eq!(rated(&input), expected);
    assert_eq!(
        rate(&Catalog::built_in(), &input, &mut Vec::new()),
        Ok(Won(13_013))
    );
}

#[test]
fn lines_come_in_the_order_of_the_rules_with_codes_and_names() {
    let options = codes(&["OPT-0013", "OPT-0002"]);
    let input = RatingInput {
        options: &options,
        contract: true,
        soldier: true,
        welfare: Some("WLF-03"),
        usage: UsageTotals {
            content_won: 1_234,
            ..data(2_300 * MB)
        },
        ..plain("PLN-043")
    };
    let lines = lines_by(&Catalog::built_in(), &input);
    let shown: Vec<(LineKind, Option<&str>, Option<&str>, i64)> = lines
        .iter()
        .map(|line| {
            (
                line.kind,
                line.code.as_deref(),
                line.name.as_deref(),
                line.amount_won.0,
            )
        })
        .collect();
    let expected = [
        (
            LineKind::Plan,
            Some("PLN-043"),
            Some("(LTE) 데이터 33"),
            33_000,
        ),
        (LineKind::DataOverage, None, None, 220),
        (LineKind::Option, Some("OPT-0002"), Some("디즈니+"), 9_405),
        (
            LineKind::Option,
            Some("OPT-0013"),
            Some("유튜브 프리미엄"),
            13_900,
        ),
        (LineKind::Content, None, None, 1_234),
        (LineKind::ContractDiscount, None, None, -8_250),
        (LineKind::SoldierDiscount, None, None, -4_950),
        (
            LineKind::WelfareDiscount,
            Some("WLF-03"),
            Some("국가 유공자 할인"),
            -7_007,
        ),
    ];
    assert_eq!(shown, expected);
    assert!(lines.iter().all(|line| line.source_period.is_none()));
}

#[test]
fn lines_already_there_stay_before_the_new_ones() {
    let mut lines = lines_by(&Catalog::built_in(), &plain("PLN-044"));
    let total = rate(&Catalog::built_in(), &plain("PLN-043"), &mut lines);
    assert_eq!(total, Ok(Won(33_000)));
    let plans: Vec<Option<&str>> = lines.iter().map(|line| line.code.as_deref()).collect();
    assert_eq!(plans, [Some("PLN-044"), Some("PLN-043")]);
}

#[test]
fn a_plan_alone_costs_its_price() {
    assert_eq!(rated(&plain("PLN-001")), [(LineKind::Plan, 85_000)]);
}

#[test]
fn a_plan_of_0_won_keeps_its_line() {
    let catalog = Catalog::from_toml(
        "version = \"free\"\n[[plan]]\ncode = \"P\"\nname = \"Free\"\nmonthly_price_won = 0\n\
         data = \"unlimited\"\nsoldier_discount = true\n",
    )
    .unwrap();
    let lines = lines_by(
        &catalog,
        &RatingInput {
            contract: true,
            soldier: true,
            ..plain("P")
        },
    );
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0].kind, lines[0].amount_won),
        (LineKind::Plan, Won::ZERO)
    );
}

#[test]
fn unlimited_and_blocked_data_are_never_charged() {
    for plan in ["PLN-001", "PLN-058", "PLN-059"] {
        assert_eq!(overage(plan, i64::MAX), 0, "{plan}");
    }
}

#[test]
fn overage_stops_at_the_ceiling() {
    // floor(0.725 × (3,000 − 300)) = floor(1,957.5)
    assert_eq!(overage("PLN-045", 100_000 * MB), 1_957);
    assert_eq!(overage("PLN-045", 3_000 * MB), 1_957);
    assert_eq!(overage("PLN-045", 3_000 * MB + 1), 1_957);
    assert_eq!(overage("PLN-045", i64::MAX), 1_957);
    // 0.725 × 2,699 = 1,956.775: the last MB below the ceiling still counts
    assert_eq!(overage("PLN-045", 2_999 * MB), 1_956);
}

#[test]
fn overage_counts_bytes_up_to_the_ceiling_and_not_beyond() {
    // at 1 won a byte every byte shows
    let catalog = byte_metered();
    let overage = |bytes| {
        let lines = lines_by(
            &catalog,
            &RatingInput {
                usage: data(bytes),
                ..plain("P")
            },
        );
        lines.get(1).map(|line| line.amount_won.0)
    };
    assert_eq!(overage(2 * MB - 1), None);
    assert_eq!(overage(2 * MB), None);
    assert_eq!(overage(2 * MB + 1), Some(1));
    assert_eq!(overage(5 * MB - 1), Some(3 * MB - 1));
    assert_eq!(overage(5 * MB), Some(3 * MB));
    assert_eq!(overage(5 * MB + 1), Some(3 * MB));
}

/// A plan of 0 won at 1 won a byte, 2 MB included, ceiling 5 MB.
fn byte_metered() -> Catalog {
    Catalog::from_toml(
        "version = \"bytes\"\n[[plan]]\ncode = \"P\"\nname = \"Bytes\"\nmonthly_price_won = 0\n\
         data = \"metered\"\nincluded_mb = 2\noverage_ceiling_mb = 5\n\
         overage_won_per_mb = \"1000000\"\nsoldier_discount = false\n",
    )
    .unwrap()
}

#[test]
fn an_empty_ceiling_means_none() {
    // PLN-044: nothing included, 0.275 won for each MB
    assert_eq!(overage("PLN-044", 100_000 * MB), 27_500);
    assert_eq!(overage("PLN-044", 1_000_000_000_000_000), 275_000_000);
    // floor(0.275 × 9,223,372,036,854.775807)
    assert_eq!(overage("PLN-044", i64::MAX), 2_536_427_310_135);
}

#[test]
fn overage_is_floored_once_at_the_end_over_bytes() {
    // 1 won is 3,636,363.63… bytes beyond the 1,500 MB of PLN-043
    let included = 1_500 * MB;
    assert_eq!(overage("PLN-043", included), 0);
    assert_eq!(overage("PLN-043", included + 1), 0);
    assert_eq!(overage("PLN-043", included + 3_636_363), 0);
    assert_eq!(overage("PLN-043", included + 3_636_364), 1);
    // 40 MB are 11 won to the byte
    assert_eq!(overage("PLN-043", included + 40 * MB - 1), 10);
    assert_eq!(overage("PLN-043", included + 40 * MB), 11);
}

#[test]
fn voice_and_sms_are_included_in_every_plan() {
    let usage = UsageTotals {
        voice_seconds: i64::MAX,
        sms_messages: i64::MAX,
        ..UsageTotals::default()
    };
    for plan in Catalog::built_in().plans() {
        let input = RatingInput {
            usage,
            ..plain(&plan.code)
        };
        assert_eq!(rated(&input), [(LineKind::Plan, plan.monthly_price_won.0)]);
    }
}

#[test]
fn an_option_bundled_with_the_plan_has_no_line() {
    let options = codes(&["OPT-0002", "OPT-0012"]);
    let with = |plan| {
        rated(&RatingInput {
            options: &options,
            ..plain(plan)
        })
    };
    assert_eq!(
        with("PLN-003"),
        [(LineKind::Plan, 95_000), (LineKind::Option, 9_405)]
    );
    assert_eq!(
        with("PLN-013"),
        [(LineKind::Plan, 105_000), (LineKind::Option, 11_900)]
    );
}

#[test]
fn an_option_of_0_won_has_no_line() {
    let options = codes(&["OPT-0014", "OPT-0015", "OPT-0016"]);
    let input = RatingInput {
        options: &options,
        ..plain("PLN-001")
    };
    assert_eq!(rated(&input), [(LineKind::Plan, 85_000)]);
}

#[test]
fn options_are_a_set() {
    let options = codes(&["OPT-0003", "OPT-0001", "OPT-0003", "OPT-0001", "OPT-0003"]);
    let input = RatingInput {
        options: &options,
        ..plain("PLN-001")
    };
    let expected = [
        (LineKind::Plan, 85_000),
        (LineKind::Option, 3_135),
        (LineKind::Option, 6_500),
    ];
    assert_eq!(rated(&input), expected);
    let options = codes(&["OPT-0003", "OPT-0003"]);
    let input = RatingInput {
        options: &options,
        ..plain("PLN-001")
    };
    assert_eq!(
        rated(&input),
        [(LineKind::Plan, 85_000), (LineKind::Option, 6_500)]
    );
}

#[test]
fn options_and_content_are_never_discounted() {
    let discounted = RatingInput {
        contract: true,
        soldier: true,
        welfare: Some("WLF-02"),
        ..plain("PLN-001")
    };
    let options = codes(&["OPT-0011"]);
    let usage = UsageTotals {
        content_won: 50_000,
        ..UsageTotals::default()
    };
    let with = RatingInput {
        options: &options,
        usage,
        ..discounted
    };
    let total = |input| {
        rate(&Catalog::built_in(), input, &mut Vec::new())
            .unwrap()
            .0
    };
    assert_eq!(total(&with) - total(&discounted), 19_900 + 50_000);
}

#[test]
fn the_contract_takes_a_quarter_of_the_plans_price_rounded_down() {
    let contract = |plan| {
        amount(
            LineKind::ContractDiscount,
            &RatingInput {
                contract: true,
                ..plain(plan)
            },
        )
    };
    assert_eq!(contract("PLN-001"), -21_250);
    // 11,990 × 25 % = 2,997.5
    assert_eq!(contract("PLN-044"), -2_997);
    assert_eq!(amount(LineKind::ContractDiscount, &plain("PLN-001")), 0);
}

#[test]
fn the_contract_does_not_discount_overage() {
    let input = RatingInput {
        contract: true,
        usage: data(3_000 * MB),
        ..plain("PLN-043")
    };
    assert_eq!(amount(LineKind::ContractDiscount, &input), -8_250);
}

#[test]
fn service_takes_a_fifth_of_what_the_contract_leaves() {
    let soldier = |contract| RatingInput {
        contract,
        soldier: true,
        ..plain("PLN-043")
    };
    assert_eq!(amount(LineKind::SoldierDiscount, &soldier(false)), -6_600);
    assert_eq!(amount(LineKind::SoldierDiscount, &soldier(true)), -4_950);
}

#[test]
fn service_takes_nothing_on_a_plan_without_the_discount() {
    let input = RatingInput {
        soldier: true,
        ..plain("PLN-042")
    };
    assert_eq!(rated(&input), [(LineKind::Plan, 33_000)]);
}

#[test]
fn the_soldier_discount_is_rounded_down() {
    let catalog = Catalog::from_toml(
        "version = \"odd\"\n[[plan]]\ncode = \"P\"\nname = \"Odd\"\nmonthly_price_won = 10003\n\
         data = \"unlimited\"\nsoldier_discount = true\n",
    )
    .unwrap();
    let lines = lines_by(
        &catalog,
        &RatingInput {
            contract: true,
            soldier: true,
            ..plain("P")
        },
    );
    let amounts: Vec<i64> = lines.iter().map(|line| line.amount_won.0).collect();
    // floor(2,500.75), then floor(7,503 × 20 %) = floor(1,500.6)
    assert_eq!(amounts, [10_003, -2_500, -1_500]);
}

#[test]
fn welfare_takes_its_share_of_plan_and_overage_after_the_other_discounts() {
    // floor((11,990 + 275) × 35 %) = floor(4,292.75)
    let input = RatingInput {
        welfare: Some("WLF-02"),
        usage: data(1_000 * MB),
        ..plain("PLN-044")
    };
    assert_eq!(amount(LineKind::WelfareDiscount, &input), -4_292);
    // (11,990 − 2,997 + 275) × 35 % = 3,243.8
    let input = RatingInput {
        contract: true,
        ..input
    };
    assert_eq!(amount(LineKind::WelfareDiscount, &input), -3_243);
}

#[test]
fn welfare_stops_at_its_cap() {
    let welfare = |class, plan| {
        amount(
            LineKind::WelfareDiscount,
            &RatingInput {
                welfare: Some(class),
                ..plain(plan)
            },
        )
    };
    // 35 % of 130,000 is 45,500, half of it 65,000
    assert_eq!(welfare("WLF-02", "PLN-027"), -45_500);
    assert_eq!(welfare("WLF-03", "PLN-027"), -28_600);
    assert_eq!(welfare("WLF-04", "PLN-027"), -23_650);
    assert_eq!(welfare("WLF-05", "PLN-027"), -12_100);
    // below the cap: half of 16,500
    assert_eq!(welfare("WLF-05", "PLN-045"), -8_250);
}

#[test]
fn a_class_with_a_rate_of_0_has_no_line() {
    let input = RatingInput {
        welfare: Some("WLF-01"),
        ..plain("PLN-001")
    };
    assert_eq!(rated(&input), [(LineKind::Plan, 85_000)]);
}

#[test]
fn a_code_that_the_catalogue_does_not_have_is_refused_by_its_class() {
    let options = codes(&["OPT-0001", "OPT-9999"]);
    for (input, error, reason) in [
        (
            plain("PLN-999"),
            RatingError::UnknownPlan,
            Reason::UnknownPlan,
        ),
        (
            RatingInput {
                options: &options,
                ..plain("PLN-001")
            },
            RatingError::UnknownOption,
            Reason::UnknownOption,
        ),
        (
            RatingInput {
                welfare: Some("WLF-99"),
                ..plain("PLN-001")
            },
            RatingError::UnknownWelfare,
            Reason::UnknownWelfare,
        ),
    ] {
        assert_eq!(refusal(&input), error);
        assert_eq!(error.reason(), reason);
    }
}

#[test]
fn a_refusal_leaves_the_lines_as_they_were() {
    let before = lines_by(&Catalog::built_in(), &plain("PLN-001"));
    let mut lines = before.clone();
    let options = codes(&["OPT-0001", "OPT-9999"]);
    let input = RatingInput {
        options: &options,
        ..plain("PLN-001")
    };
    assert!(rate(&Catalog::built_in(), &input, &mut lines).is_err());
    assert_eq!(lines, before);
}

#[test]
fn a_refusal_does_not_repeat_what_stood_in_the_code() {
    let options = codes(&["someone@example.com"]);
    let input = RatingInput {
        options: &options,
        ..plain("PLN-001")
    };
    let error = refusal(&input);
    assert!(!format!("{error} {error:?}").contains("someone"));
}

#[test]
fn usage_below_0_is_refused() {
    for usage in [
        UsageTotals {
            data_bytes: -1,
            ..UsageTotals::default()
        },
        UsageTotals {
            voice_seconds: -1,
            ..UsageTotals::default()
        },
        UsageTotals {
            sms_messages: -1,
            ..UsageTotals::default()
        },
        UsageTotals {
            content_won: -1,
            ..UsageTotals::default()
        },
    ] {
        let error = refusal(&RatingInput {
            usage,
            ..plain("PLN-043")
        });
        assert_eq!(error, RatingError::Negative);
        assert_eq!(error.reason(), Reason::Malformed);
    }
}

#[test]
fn a_total_beyond_64_bits_is_refused_and_one_at_the_limit_is_not() {
    let content = |content_won| UsageTotals {
        content_won,
        ..UsageTotals::default()
    };
    let limit = i64::MAX - 85_000;
    let at_limit = RatingInput {
        usage: content(limit),
        ..plain("PLN-001")
    };
    assert_eq!(
        rate(&Catalog::built_in(), &at_limit, &mut Vec::new()),
        Ok(Won(i64::MAX))
    );
    let error = refusal(&RatingInput {
        usage: content(limit + 1),
        ..plain("PLN-001")
    });
    assert_eq!(error, RatingError::Overflow);
    assert_eq!(error.reason(), Reason::Overflow);
}

#[test]
fn a_sum_that_passes_64_bits_on_its_way_and_comes_back_is_no_overflow() {
    let usage = UsageTotals {
        content_won: i64::MAX - 85_000 + 21_250,
        ..UsageTotals::default()
    };
    let input = RatingInput {
        contract: true,
        usage,
        ..plain("PLN-001")
    };
    assert_eq!(
        rate(&Catalog::built_in(), &input, &mut Vec::new()),
        Ok(Won(i64::MAX))
    );
}

#[test]
fn the_largest_figures_do_not_wrap() {
    let catalog = Catalog::from_toml(&format!(
        "version = \"max\"\n[[plan]]\ncode = \"P\"\nname = \"Max\"\nmonthly_price_won = {price}\n\
         data = \"metered\"\nincluded_mb = 0\noverage_won_per_mb = \"9223372036854.775807\"\n\
         soldier_discount = true\n[[welfare]]\ncode = \"W\"\nname = \"All\"\nrate = \"1\"\n",
        price = i64::MAX,
    ))
    .unwrap();
    let everything = RatingInput {
        contract: true,
        soldier: true,
        welfare: Some("W"),
        ..plain("P")
    };
    // the whole is taken off again
    assert_eq!(rate(&catalog, &everything, &mut Vec::new()), Ok(Won::ZERO));
    // 2^63 bytes at 2^63 millionths cost about 8.5 × 10^25 won
    let most = RatingInput {
        usage: data(i64::MAX),
        ..everything
    };
    assert_eq!(
        rate(&catalog, &most, &mut Vec::new()),
        Err(RatingError::Overflow)
    );
}
