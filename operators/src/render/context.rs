//! What a template can see.
//!
//! Invariant: names and contacts enter a [`Bill`] in masked form only, whatever they were given
//! as: the name is masked here, and the contacts, which come masked, are masked again (which
//! changes nothing if they are). There is no way from a template to anything else.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, Value};
use sealpost_schemas::record::{Line, LineKind, Locale, Statement};

use super::Profile;
use super::words;
use crate::mask;

/// Characters of a name (a person's, a plan's, an option's) that are shown.
const NAME_CHARACTERS_MAX: usize = 64;

/// Characters of a masked contact that are shown: the longest e-mail address there is.
const CONTACT_CHARACTERS_MAX: usize = 254;

/// Defines the variables once: the enum, the names, and the way from one to the other.
macro_rules! variables {
    ($($(#[$doc:meta])* $variable:ident = $name:literal,)*) => {
        /// A variable of a template. Every one is always there; what a bill does not have is
        /// an empty text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Variable {
            $($(#[$doc])* $variable,)*
        }

        impl Variable {
            /// All of them, in the order of their ordinals.
            pub(super) const ALL: &[Self] = &[$(Self::$variable,)*];

            /// Their names, in the same order.
            pub(super) const NAMES: &'static [&'static str] = &[$($name,)*];

            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variable),)*
                    _ => None,
                }
            }

            /// What a template writes.
            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variable => $name,)*
                }
            }
        }
    };
}

variables! {
    /// The masked name, `홍*동`; empty if there is none.
    MaskedName = "masked_name",
    /// The masked e-mail address; empty if there is none.
    MaskedEmail = "masked_email",
    /// The masked phone number; empty if there is none.
    MaskedPhone = "masked_phone",
    /// The month, `2026년 1월`, `January 2026`.
    Period = "period",
    /// The month as `2026-01`.
    PeriodCode = "period_code",
    /// The name of the plan, or its code if it has none.
    Plan = "plan",
    /// What is to be paid, `13,013원`, `₩13,013`.
    Total = "total",
    /// The same without a unit, `13,013`.
    TotalNumber = "total_number",
    /// The sum of the lines above 0; empty if no line is below 0.
    Charges = "charges",
    /// The sum of the lines below 0, with its minus sign; empty if there are none.
    Discounts = "discounts",
    /// The lines, in order; see [`LineView`].
    Lines = "lines",
    /// Data used, `2.3 GB`.
    DataUsed = "data_used",
    /// Time on the line, `1시간 2분`, `1 h 2 min`.
    VoiceUsed = "voice_used",
    /// Text messages, `12건`, `12`.
    MessagesUsed = "messages_used",
    /// Content bought, in won.
    ContentUsed = "content_used",
    /// The first 16 digits of the invoice key, in groups of four: what a reader can quote, and
    /// by which the bill is found in the result table.
    InvoiceNumber = "invoice_number",
}

/// Which variables the templates of one message may ask for; the others are not made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Uses(u32);

impl Uses {
    /// With one more.
    pub(super) const fn with(self, variable: Variable) -> Self {
        Self(self.0 | 1 << variable as u32)
    }

    const fn has(self, variable: Variable) -> bool {
        self.0 & (1 << variable as u32) != 0
    }
}

/// The root of what a template sees: one value for each [`Variable`], made before rendering.
#[derive(Debug)]
pub(super) struct Bill {
    /// In the order of [`Variable::ALL`]; undefined where not used.
    values: Vec<Value>,
}

impl Bill {
    /// The context of one statement, holding what is used.
    pub(super) fn context(statement: &Statement, profile: &Profile<'_>, uses: Uses) -> Value {
        let mut scratch = String::with_capacity(64);
        let values = Variable::ALL
            .iter()
            .map(|variable| {
                if !uses.has(*variable) {
                    return Value::UNDEFINED;
                }
                scratch.clear();
                value_of(*variable, statement, profile, &mut scratch)
            })
            .collect();
        Value::from_object(Self { values })
    }
}

impl Object for Bill {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.values.get(Variable::named(key)? as usize).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(Variable::NAMES)
    }
}

/// One variable; `scratch` is empty.
fn value_of(
    variable: Variable,
    statement: &Statement,
    profile: &Profile<'_>,
    scratch: &mut String,
) -> Value {
    let locale = statement.locale;
    match variable {
        Variable::MaskedName => {
            return shown(&mask::mask_name(profile.name), NAME_CHARACTERS_MAX);
        }
        Variable::MaskedEmail => {
            return shown(
                &mask::mask_email(profile.masked_email),
                CONTACT_CHARACTERS_MAX,
            );
        }
        Variable::MaskedPhone => {
            return shown(
                &mask::mask_phone(profile.masked_phone),
                CONTACT_CHARACTERS_MAX,
            );
        }
        Variable::Plan => {
            let name = Some(statement.plan_name.as_str()).filter(|name| !name.is_empty());
            return shown(name.unwrap_or(&statement.plan), NAME_CHARACTERS_MAX);
        }
        Variable::Lines => return lines(statement, scratch),
        Variable::Period => words::write_period(scratch, statement.period, locale),
        Variable::PeriodCode => {
            let _ = write!(scratch, "{}", statement.period);
        }
        Variable::Total => words::write_won(scratch, statement.total_won.0.into(), locale),
        Variable::TotalNumber => {
            words::write_grouped(scratch, statement.total_won.0.max(0).unsigned_abs().into());
        }
        Variable::Charges => {
            if sum(statement, |amount_won| amount_won < 0) < 0 {
                let charges_won = sum(statement, |amount_won| amount_won > 0);
                words::write_won(scratch, charges_won, locale);
            }
        }
        Variable::Discounts => {
            let discounts_won = sum(statement, |amount_won| amount_won < 0);
            if discounts_won < 0 {
                words::write_won(scratch, discounts_won, locale);
            }
        }
        Variable::DataUsed => words::write_data(scratch, statement.usage.data_bytes),
        Variable::VoiceUsed => words::write_voice(scratch, statement.usage.voice_seconds, locale),
        Variable::MessagesUsed => {
            words::write_messages(scratch, statement.usage.sms_messages, locale);
        }
        Variable::ContentUsed => {
            words::write_won(scratch, statement.usage.content_won.into(), locale);
        }
        Variable::InvoiceNumber => write_invoice_number(scratch, statement),
    }
    Value::from(scratch.as_str())
}

/// The sum of the lines whose amount passes; 128 bits cannot be left by adding amounts of 64.
fn sum(statement: &Statement, passes: fn(i64) -> bool) -> i128 {
    let amounts_won = statement.lines.iter().map(|line| line.amount_won.0);
    amounts_won
        .filter(|amount_won| passes(*amount_won))
        .map(i128::from)
        .sum()
}

/// Digits between two hyphens of an invoice number.
const INVOICE_GROUP_DIGITS: usize = 4;

/// Digits of an invoice number.
const INVOICE_DIGITS: usize = 16;

fn write_invoice_number(out: &mut String, statement: &Statement) {
    let key = Statement::invoice_key(statement.period, statement.user_id).to_string();
    for (position, digit) in key.chars().take(INVOICE_DIGITS).enumerate() {
        if position > 0 && position.is_multiple_of(INVOICE_GROUP_DIGITS) {
            out.push('-');
        }
        out.push(digit);
    }
}

fn shown(text: &str, characters_max: usize) -> Value {
    Value::from(words::shown(text, characters_max))
}

/// One line of the bill. Its fields: `label` (what kind it is), `detail` (name of the plan,
/// option or welfare class, or the month that an adjustment is about; empty if there is none),
/// `amount` (with unit and sign) and `discount` (whether it lowers the bill).
#[derive(Debug)]
struct LineView {
    label: Value,
    detail: Value,
    amount: Value,
    lowers: Value,
}

impl LineView {
    const FIELDS: &'static [&'static str] = &["label", "detail", "amount", "discount"];

    fn new(line: &Line, locale: Locale, scratch: &mut String) -> Self {
        scratch.clear();
        words::write_won(scratch, line.amount_won.0.into(), locale);
        let amount = Value::from(scratch.as_str());
        Self {
            label: Value::from(words::label(line.kind, locale)),
            detail: Value::from(detail(line, locale, scratch)),
            amount,
            lowers: Value::from(line.amount_won.0 < 0),
        }
    }
}

/// The name that tells a line from others of its kind.
fn detail<'a>(line: &'a Line, locale: Locale, scratch: &'a mut String) -> Cow<'a, str> {
    match (line.kind, line.source_period) {
        (LineKind::Adjustment, Some(period)) => {
            scratch.clear();
            words::write_period(scratch, period, locale);
            Cow::Borrowed(scratch)
        }
        _ => {
            let name = line.name.as_deref().filter(|name| !name.is_empty());
            let name = name.or(line.code.as_deref()).unwrap_or_default();
            words::shown(name, NAME_CHARACTERS_MAX)
        }
    }
}

impl Object for LineView {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "label" => Some(self.label.clone()),
            "detail" => Some(self.detail.clone()),
            "amount" => Some(self.amount.clone()),
            "discount" => Some(self.lowers.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(Self::FIELDS)
    }
}

fn lines(statement: &Statement, scratch: &mut String) -> Value {
    let view = |line| Value::from_object(LineView::new(line, statement.locale, scratch));
    Value::from_object(statement.lines.iter().map(view).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]

    use super::super::sample;
    use super::*;

    fn every() -> Uses {
        Variable::ALL
            .iter()
            .fold(Uses::default(), |uses, variable| uses.with(*variable))
    }

    #[test]
    fn every_variable_and_field_that_is_listed_is_there() {
        let bill = Bill::context(&sample::rich(Locale::Ko, ""), &sample::PROFILE, every());
        for name in Variable::NAMES {
            assert!(!bill.get_attr(name).unwrap().is_undefined(), "{name}");
        }
        let line = bill
            .get_attr("lines")
            .unwrap()
            .get_item_by_index(0)
            .unwrap();
        for field in LineView::FIELDS {
            assert!(!line.get_attr(field).unwrap().is_undefined(), "{field}");
        }
    }

    #[test]
    fn a_contact_that_comes_unmasked_is_masked_all_the_same() {
        let profile = Profile {
            name: "홍길동",
            masked_email: "gildong@example.com",
            masked_phone: "+821012345678",
        };
        let bill = Bill::context(&sample::rich(Locale::Ko, ""), &profile, every());
        let text = |name| bill.get_attr(name).unwrap().to_string();
        assert_eq!(text("masked_name"), "홍*동");
        assert_eq!(text("masked_email"), "gi*****@example.com");
        assert_eq!(text("masked_phone"), "010-****-5678");
    }

    #[test]
    fn what_is_not_used_is_not_made() {
        let uses = Uses::default().with(Variable::Total);
        let bill = Bill::context(&sample::rich(Locale::Ko, ""), &sample::PROFILE, uses);
        assert!(!bill.get_attr("total").unwrap().is_undefined());
        assert!(bill.get_attr("masked_name").unwrap().is_undefined());
    }

    #[test]
    fn charges_and_discounts_make_the_total() {
        let mut statement = sample::rich(Locale::En, "");
        let bill = Bill::context(&statement, &sample::PROFILE, every());
        let text = |bill: &Value, name| bill.get_attr(name).unwrap().to_string();
        let number = |text: String| text.replace(['₩', ','], "").parse::<i64>().unwrap();
        let parts = number(text(&bill, "charges")) + number(text(&bill, "discounts"));
        assert_eq!(parts, number(text(&bill, "total")));
        statement.lines.retain(|line| line.amount_won.0 >= 0);
        let bill = Bill::context(&statement, &sample::PROFILE, every());
        assert_eq!(
            (text(&bill, "charges"), text(&bill, "discounts")),
            (String::new(), String::new())
        );
    }
}
