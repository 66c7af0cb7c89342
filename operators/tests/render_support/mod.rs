//! A bill to render.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]
#![allow(dead_code, reason = "each test file uses some of it")]

use sealpost_operators::render::{Profile, RenderError, Rendered, TemplateSet};
use sealpost_schemas::record::{Contacts, Line, LineKind, Locale, Statement, UsageTotals, Windows};
use sealpost_schemas::{Channel, Digest, Period, UserId, Won};

pub(crate) const LOCALES: [Locale; 2] = [Locale::Ko, Locale::En];

/// Whose bill it is.
pub(crate) const PROFILE: Profile<'static> = Profile {
    name: "홍길동",
    masked_email: "gi*****@example.com",
    masked_phone: "010-****-5678",
};

pub(crate) const NOBODY: Profile<'static> = Profile {
    name: "",
    masked_email: "",
    masked_phone: "",
};

pub(crate) fn line(kind: LineKind, name: Option<&str>, amount_won: i64) -> Line {
    Line {
        kind,
        code: name.map(|_| "CODE-1".to_owned()),
        name: name.map(str::to_owned),
        source_period: None,
        amount_won: Won(amount_won),
    }
}

/// A bill with every kind of line that one bill can have (what is carried forward makes a bill
/// of 0, see [`carried_forward`]).
pub(crate) fn rich(locale: Locale) -> Statement {
    let late = |month: i8, amount_won| Line {
        source_period: Some(Period::new(2025, month).unwrap()),
        ..line(LineKind::Adjustment, None, amount_won)
    };
    of_lines(
        locale,
        vec![
            line(LineKind::Plan, Some("LTE 데이터 33"), 33_000),
            line(LineKind::DataOverage, None, 220),
            line(LineKind::Option, Some("V컬러링"), 3_135),
            line(
                LineKind::Option,
                Some("GS칼텍스 주유세차권&차량정비서비스"),
                5_900,
            ),
            line(LineKind::Content, None, 1_012_900),
            line(LineKind::ContractDiscount, None, -8_250),
            line(LineKind::SoldierDiscount, None, -4_950),
            line(LineKind::WelfareDiscount, Some("국가 유공자 할인"), -7_007),
            late(11, 1_100),
            late(12, -300),
            line(LineKind::BroughtForward, None, -2_000),
        ],
    )
}

/// A bill on which credit was left over.
pub(crate) fn carried_forward(locale: Locale) -> Statement {
    of_lines(
        locale,
        vec![
            line(LineKind::Plan, Some("LTE 데이터 33"), 33_000),
            line(LineKind::BroughtForward, None, -40_000),
            line(LineKind::CarriedForward, None, 7_000),
        ],
    )
}

pub(crate) fn of_lines(locale: Locale, lines: Vec<Line>) -> Statement {
    Statement {
        user_id: UserId::new(1_234_567_890_123).unwrap(),
        period: Period::new(2026, 1).unwrap(),
        plan: "PLN-043".to_owned(),
        plan_name: "LTE 데이터 33".to_owned(),
        total_won: Won::sum(lines.iter().map(|line| line.amount_won)).unwrap(),
        lines,
        usage: UsageTotals {
            data_bytes: 2_300_000_000,
            voice_seconds: 3_725,
            sms_messages: 12,
            content_won: 1_012_900,
        },
        catalog_digest: Digest::of(b"catalogue"),
        template_digest: Digest::of(b"templates"),
        locale,
        windows: Windows::default(),
        contacts: Contacts::default(),
    }
}

/// Every channel in every language.
pub(crate) fn messages() -> impl Iterator<Item = (Channel, Locale)> {
    Channel::ALL
        .into_iter()
        .flat_map(|channel| LOCALES.map(|locale| (channel, locale)))
}

/// The parts of a message that are there, each with the end of its template's name.
pub(crate) fn parts(rendered: &Rendered) -> Vec<(&'static str, &str)> {
    let subject = rendered
        .subject
        .as_deref()
        .map(|subject| ("subject", subject));
    let html = rendered.html.as_deref().map(|html| ("html", html));
    subject
        .into_iter()
        .chain([("txt", rendered.body.as_str())])
        .chain(html)
        .collect()
}

/// The built-in templates with some of them replaced.
pub(crate) fn with_templates(changes: &[(&str, &str)]) -> TemplateSet {
    TemplateSet::from_sources(&sources_with(changes)).unwrap()
}

pub(crate) fn sources_with(changes: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    let mut sources = TemplateSet::built_in_sources();
    for (name, text) in changes {
        sources.insert((*name).to_owned(), (*text).to_owned());
    }
    sources
}

/// The text of a message.
pub(crate) fn body(
    set: &TemplateSet,
    statement: &Statement,
    channel: Channel,
) -> Result<String, RenderError> {
    set.render(statement, &PROFILE, channel)
        .map(|rendered| rendered.body)
}
