#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use super::*;

/// A small catalogue that is right; each test breaks one thing of it.
const RIGHT: &str = r#"version = "test-1"

[[plan]]
code = "P-METERED"
name = "Metered"
network = "LTE"
monthly_price_won = 33000
data = "metered"
included_mb = 1500
overage_won_per_mb = "0.2750"
overage_ceiling_mb = 3000
soldier_discount = true
bundled_options = ["O-2", "O-1"]
note = "한글"

[[plan]]
code = "P-BLOCKED"
name = "Blocked"
monthly_price_won = 0
data = "blocked"
included_mb = 350
soldier_discount = false

[[option]]
code = "O-1"
name = "One"
name_en = "The first"
monthly_price_won = 100

[[option]]
code = "O-2"
name = "Two"
monthly_price_won = 0

[[welfare]]
code = "W-1"
name = "Some"
rate = "0.35"
cap_won = 28600

[[welfare]]
code = "W-2"
name = "All"
rate = "1"
"#;

/// Reads [`RIGHT`] with `old` replaced, once, by `new`.
fn broken(old: &str, new: &str) -> CatalogError {
    assert!(RIGHT.contains(old), "nothing to replace: {old}");
    match Catalog::from_toml(&RIGHT.replacen(old, new, 1)) {
        Ok(_) => panic!("accepted {new:?} for {old:?}"),
        Err(error) => error,
    }
}

fn check(old: &str, new: &str, message: &str) {
    assert_eq!(broken(old, new).to_string(), message);
}

#[test]
fn a_catalogue_is_read_figure_for_figure() {
    let catalog = Catalog::from_toml(RIGHT).unwrap();
    assert_eq!(catalog.version(), "test-1");
    let plan = catalog.plan("P-METERED").unwrap();
    let expected = Plan {
        code: "P-METERED".to_owned(),
        name: "Metered".to_owned(),
        name_en: None,
        network: Some("LTE".to_owned()),
        monthly_price_won: Won(33_000),
        data: DataAllowance::Metered {
            included: Megabytes(1_500),
            rate: "0.275".parse().unwrap(),
            ceiling: Some(Megabytes(3_000)),
        },
        soldier_discount: true,
        bundled_options: vec!["O-1".to_owned(), "O-2".to_owned()],
        note: Some("한글".to_owned()),
    };
    assert_eq!(plan, &expected);
    let blocked = catalog.plan("P-BLOCKED").unwrap();
    let included = Megabytes(350);
    assert_eq!(blocked.data, DataAllowance::Blocked { included });
    assert!(!blocked.soldier_discount);
    let option = catalog.option("O-1").unwrap();
    assert_eq!(option.monthly_price_won, Won(100));
    assert_eq!(option.name_en.as_deref(), Some("The first"));
    let welfare = catalog.welfare("W-1").unwrap();
    assert_eq!(welfare.rate.parts_per_million(), 350_000);
    assert_eq!(welfare.cap_won, Some(Won(28_600)));
    assert_eq!(catalog.welfare("W-2").unwrap().cap_won, None);
}

#[test]
fn a_code_that_is_not_there_is_not_found_and_case_matters() {
    let catalog = Catalog::from_toml(RIGHT).unwrap();
    assert!(catalog.plan("O-1").is_none());
    assert!(catalog.option("o-1").is_none());
    assert!(catalog.welfare("").is_none());
}

#[test]
fn entries_come_in_the_order_of_their_codes() {
    let catalog = Catalog::from_toml(RIGHT).unwrap();
    let plans: Vec<&str> = catalog.plans().map(|plan| plan.code.as_str()).collect();
    assert_eq!(plans, ["P-BLOCKED", "P-METERED"]);
    assert_eq!(catalog.options().len(), 2);
    assert_eq!(catalog.welfare_classes().len(), 2);
}

#[test]
fn a_plan_bundles_what_it_lists_and_nothing_else() {
    let catalog = Catalog::from_toml(RIGHT).unwrap();
    let plan = catalog.plan("P-METERED").unwrap();
    assert!(plan.bundles("O-1") && plan.bundles("O-2"));
    assert!(!plan.bundles("O-3"));
    assert!(!catalog.plan("P-BLOCKED").unwrap().bundles("O-1"));
}

#[test]
fn the_digest_is_that_of_the_texts_bytes() {
    let catalog = Catalog::from_toml(RIGHT).unwrap();
    assert_eq!(catalog.text(), RIGHT);
    assert_eq!(catalog.digest(), Digest::of(RIGHT.as_bytes()));
    let with_comment = Catalog::from_toml(&format!("# other bytes\n{RIGHT}")).unwrap();
    assert_ne!(catalog.digest(), with_comment.digest());
    assert_ne!(catalog, with_comment);
}

#[test]
fn a_catalogue_read_again_from_its_own_text_is_the_same() {
    let catalog = Catalog::built_in();
    let again = Catalog::from_toml(catalog.text()).unwrap();
    assert_eq!(again, catalog);
    assert_eq!(again.digest(), catalog.digest());
}

#[test]
fn a_text_that_is_not_toml_is_refused_with_its_line() {
    let error = broken("monthly_price_won = 33000", "monthly_price_won = ");
    assert!(matches!(error.problem(), CatalogProblem::Syntax(_)));
    assert_eq!(error.line(), Some(LineNumber(7)));
    assert!(!error.to_string().contains('\n'));
}

#[test]
fn a_field_written_twice_is_refused_with_its_line() {
    let error = broken("network = \"LTE\"", "code = \"P-TWICE\"");
    assert!(matches!(error.problem(), CatalogProblem::Syntax(_)));
    assert_eq!(error.line(), Some(LineNumber(6)));
}

#[test]
fn an_unknown_field_is_refused() {
    check(
        "network = ",
        "netwrok = ",
        "catalogue line 6, plan P-METERED: unknown field `netwrok`: correct its spelling or remove it",
    );
    check(
        "name_en = ",
        "name_fr = ",
        "catalogue line 27, option O-1: unknown field `name_fr`: correct its spelling or remove it",
    );
    check(
        "cap_won = ",
        "cap = ",
        "catalogue line 39, welfare W-1: unknown field `cap`: correct its spelling or remove it",
    );
    check(
        "version = ",
        "edition = 2\nversion = ",
        "catalogue line 1: unknown field `edition`: correct its spelling or remove it",
    );
    check(
        "[[welfare]]\ncode = \"W-2\"",
        "[[wellfare]]\ncode = \"W-2\"",
        "catalogue line 41: unknown field `wellfare`: correct its spelling or remove it",
    );
}

#[test]
fn a_missing_field_is_refused() {
    check(
        "monthly_price_won = 33000\n",
        "",
        "catalogue line 4, plan P-METERED: `monthly_price_won` is missing: add it, it must be a whole number of won, 0 or more",
    );
    check(
        "rate = \"0.35\"\n",
        "",
        "catalogue line 36, welfare W-1: `rate` is missing: add it, it must be a share from 0 to 1, such as \"0.35\"",
    );
    for required in [
        "version = \"test-1\"\n",
        "code = \"P-METERED\"\n",
        "name = \"Metered\"\n",
        "data = \"metered\"\n",
        "included_mb = 1500\n",
        "soldier_discount = true\n",
        "included_mb = 350\n",
        "code = \"O-1\"\n",
        "name = \"One\"\n",
        "monthly_price_won = 100\n",
        "code = \"W-1\"\n",
        "name = \"Some\"\n",
    ] {
        let error = broken(required, "");
        let CatalogProblem::MissingField { field, .. } = error.problem() else {
            panic!("{required}: {error}");
        };
        assert!(required.starts_with(field), "{required}: {error}");
    }
}

#[test]
fn an_entry_without_a_code_is_refused_with_its_line() {
    let error = broken("code = \"P-BLOCKED\"\n", "");
    assert_eq!(error.line(), Some(LineNumber(16)));
    assert_eq!(error.table(), Some(CatalogTable::Plan));
    assert_eq!(error.code(), None);
}

#[test]
fn a_code_that_stands_twice_is_refused_with_both_lines() {
    check(
        "\"P-BLOCKED\"",
        "\"P-METERED\"",
        "catalogue line 17, plan P-METERED: the code stands already on line 4: give each entry its own code",
    );
    check(
        "\"O-2\"\nname",
        "\"O-1\"\nname",
        "catalogue line 31, option O-1: the code stands already on line 25: give each entry its own code",
    );
    check(
        "\"W-2\"",
        "\"W-1\"",
        "catalogue line 42, welfare W-1: the code stands already on line 36: give each entry its own code",
    );
}

#[test]
fn a_bundled_option_that_does_not_exist_is_refused() {
    check(
        "[\"O-2\", \"O-1\"]",
        "[\"O-2\", \"O-9\"]",
        "catalogue line 4, plan P-METERED: bundled option O-9 does not exist: add an [[option]] with that code or take it out of `bundled_options`",
    );
}

#[test]
fn a_bundled_option_listed_twice_is_refused() {
    let error = broken("[\"O-2\", \"O-1\"]", "[\"O-2\", \"O-1\", \"O-2\"]");
    let option = "O-2".to_owned();
    assert_eq!(
        error.problem(),
        &CatalogProblem::DuplicateBundledOption { option }
    );
}

#[test]
fn a_negative_figure_is_refused() {
    check(
        "monthly_price_won = 33000",
        "monthly_price_won = -1",
        "catalogue line 7, plan P-METERED: `monthly_price_won` must be a whole number of won, 0 or more",
    );
    check(
        "monthly_price_won = 100",
        "monthly_price_won = -100",
        "catalogue line 28, option O-1: `monthly_price_won` must be a whole number of won, 0 or more",
    );
    check(
        "cap_won = 28600",
        "cap_won = -28600",
        "catalogue line 39, welfare W-1: `cap_won` must be a whole number of won, 0 or more",
    );
    check(
        "included_mb = 1500",
        "included_mb = -1500",
        "catalogue line 9, plan P-METERED: `included_mb` must be a whole number of MB, 0 or more",
    );
}

#[test]
fn a_discount_beyond_the_whole_or_below_nothing_is_refused() {
    check(
        "rate = \"0.35\"",
        "rate = \"1.000001\"",
        "catalogue line 38, welfare W-1: `rate` must be from 0 to 1, such as \"0.35\" for 35 %",
    );
    check(
        "rate = \"0.35\"",
        "rate = \"-0.35\"",
        "catalogue line 38, welfare W-1: `rate` must be 0 or more",
    );
}

#[test]
fn a_rate_with_more_digits_than_are_held_is_refused() {
    check(
        "\"0.2750\"",
        "\"0.2750001\"",
        "catalogue line 10, plan P-METERED: `overage_won_per_mb` must be a decimal with at most 6 digits after the point",
    );
}

#[test]
fn a_rate_without_quotes_is_refused_since_it_would_be_a_float() {
    check(
        "\"0.2750\"",
        "0.2750",
        "catalogue line 10, plan P-METERED: `overage_won_per_mb` must be a decimal in quotes, such as \"0.35\": digits, and a point between digits",
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused() {
    for (right, wrong) in [
        ("monthly_price_won = 33000", "monthly_price_won = \"33000\""),
        ("monthly_price_won = 33000", "monthly_price_won = 33000.0"),
        (
            "monthly_price_won = 33000",
            "monthly_price_won = 9223372036854775808",
        ),
        ("soldier_discount = true", "soldier_discount = \"true\""),
        ("soldier_discount = true", "soldier_discount = 1"),
        ("data = \"metered\"", "data = \"Metered\""),
        ("included_mb = 1500", "included_mb = 1.5e3"),
        (
            "bundled_options = [\"O-2\", \"O-1\"]",
            "bundled_options = \"O-1\"",
        ),
        (
            "bundled_options = [\"O-2\", \"O-1\"]",
            "bundled_options = [1]",
        ),
        ("code = \"O-1\"", "code = \"O;1\""),
        ("code = \"O-1\"", "code = \"O 1\""),
        ("code = \"O-1\"", "code = \"\""),
        ("code = \"O-1\"", "code = 1"),
        ("name = \"One\"", "name = \"\""),
        ("name = \"One\"", "name = \"  \""),
        ("name = \"One\"", "name = \"One\\nTwo\""),
        ("version = \"test-1\"", "version = 1"),
        ("rate = \"0.35\"", "rate = \"35%\""),
        ("cap_won = 28600", "cap_won = \"\""),
    ] {
        let error = broken(right, wrong);
        let CatalogProblem::BadValue { field, .. } = error.problem() else {
            panic!("{wrong}: {error}");
        };
        assert!(wrong.starts_with(field), "{wrong}: {error}");
    }
}

#[test]
fn metered_data_without_a_rate_is_refused() {
    check(
        "overage_won_per_mb = \"0.2750\"\n",
        "",
        "catalogue line 4, plan P-METERED: `data` is \"metered\" without `overage_won_per_mb`: add the price of 1 MB in won, such as \"0.2750\"",
    );
}

#[test]
fn metered_data_without_a_ceiling_has_none() {
    let catalog =
        Catalog::from_toml(&RIGHT.replacen("overage_ceiling_mb = 3000\n", "", 1)).unwrap();
    let data = catalog.plan("P-METERED").unwrap().data;
    assert!(matches!(data, DataAllowance::Metered { ceiling: None, .. }));
}

#[test]
fn a_ceiling_below_what_is_included_is_refused() {
    let error = broken("overage_ceiling_mb = 3000", "overage_ceiling_mb = 1499");
    assert_eq!(error.problem(), &CatalogProblem::CeilingBelowIncluded);
    let at_included = RIGHT.replacen("overage_ceiling_mb = 3000", "overage_ceiling_mb = 1500", 1);
    assert!(Catalog::from_toml(&at_included).is_ok());
}

#[test]
fn fields_of_metered_data_are_refused_on_other_plans() {
    for (field, line) in [
        ("overage_won_per_mb", "overage_won_per_mb = \"0.1\"\n"),
        ("overage_ceiling_mb", "overage_ceiling_mb = 3000\n"),
    ] {
        let error = broken("included_mb = 350\n", &format!("included_mb = 350\n{line}"));
        assert_eq!(error.problem(), &CatalogProblem::NotMetered { field });
        assert_eq!(error.code(), Some("P-BLOCKED"));
    }
}

#[test]
fn unlimited_data_takes_no_limit_other_than_0() {
    let blocked = "data = \"blocked\"\nincluded_mb = 350\n";
    let error = broken(blocked, "data = \"unlimited\"\nincluded_mb = 350\n");
    assert_eq!(error.problem(), &CatalogProblem::UnlimitedWithIncluded);
    for right in [
        "data = \"unlimited\"\n",
        "data = \"unlimited\"\nincluded_mb = 0\n",
    ] {
        let catalog = Catalog::from_toml(&RIGHT.replacen(blocked, right, 1)).unwrap();
        assert_eq!(
            catalog.plan("P-BLOCKED").unwrap().data,
            DataAllowance::Unlimited
        );
    }
}

#[test]
fn a_catalogue_without_plans_is_refused() {
    let error = Catalog::from_toml("version = \"empty\"\n").unwrap_err();
    assert_eq!(error.problem(), &CatalogProblem::NoPlan);
    assert_eq!(error.line(), None);
}

#[test]
fn one_table_where_many_belong_is_refused() {
    let one = "version = \"one\"\n[plan]\ncode = \"P\"\n";
    let error = Catalog::from_toml(one).unwrap_err();
    assert_eq!(
        error.problem(),
        &CatalogProblem::NotTables(CatalogTable::Plan)
    );
    let error = Catalog::from_toml("version = \"one\"\nplan = [1]\n").unwrap_err();
    assert_eq!(
        error.problem(),
        &CatalogProblem::NotTables(CatalogTable::Plan)
    );
}

#[test]
fn a_text_beyond_the_limit_is_refused() {
    let long = format!("{RIGHT}#{}", "x".repeat(Catalog::TEXT_BYTES_MAX));
    let max = Catalog::TEXT_BYTES_MAX;
    let error = Catalog::from_toml(&long).unwrap_err();
    assert_eq!(error.problem(), &CatalogProblem::TooLarge { max });
}

#[test]
fn every_refusal_is_one_line() {
    for (old, new) in [
        ("network = ", "\"net\\nwork\" = "),
        ("name = \"One\"", "name = \"One"),
        ("code = \"O-1\"", "code = \"O\\n1\""),
        ("[[plan]]", "[[plan"),
    ] {
        assert_eq!(broken(old, new).to_string().lines().count(), 1, "{new}");
    }
}
