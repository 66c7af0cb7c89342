//! A row as a subscriber.

use sealpost_schemas::key_ring::{KeyRing, SealError};
use sealpost_schemas::record::{
    Contacts, Destination, Interval, Locale, Reason, Subscriber, SubscriberStatus, Windows,
};
use sealpost_schemas::{Channel, Digest, Sealed};
use zeroize::Zeroizing;

use super::cell::Rule;
use super::column::Column;
use super::contacts::{self, ContactsError, PlainContacts};
use super::header::Header;
use super::row::{Cells, Fault, optional, required, user_id};

/// The longest code of a plan, an option or a class.
const CODE_BYTES_MAX: usize = 128;
/// The most options of one subscriber.
const OPTIONS_MAX: usize = 256;
/// The longest name.
const NAME_BYTES_MAX: usize = 1024;
/// The longest push token.
const PUSH_TOKEN_BYTES_MAX: usize = 4096;
/// The longest sealed value.
const SEALED_BYTES_MAX: usize = 8192;

/// What became of a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The row is bad.
    Row(Fault),
    /// No row can be sealed.
    Keys(SealError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Row(fault)
    }
}

/// Reads a subscriber by the rules of the contract, and seals what is in the clear.
pub(super) fn read(
    cells: &impl Cells,
    header: &Header,
    ring: &KeyRing,
) -> Result<Subscriber, Trouble> {
    let user_id = user_id(cells)?;
    let subscriber = Subscriber {
        user_id,
        status: status(cells)?,
        plan: required(Column::Plan, Ok(code(cells, Column::Plan)?))?,
        options: options(cells)?,
        contract: interval(cells, Column::ContractStart, Column::ContractEnd)?,
        welfare: code(cells, Column::Welfare)?,
        soldier: interval(cells, Column::SoldierStart, Column::SoldierEnd)?,
        windows: windows(cells)?,
        locale: locale(cells)?,
        contacts: Contacts::default(),
    };
    // last, so that nothing is sealed for a bad row
    let contacts = contacts(cells, header, ring, &subscriber)?;
    if contacts.destinations.is_empty() {
        let fault = Fault::row("must have an e-mail address, a phone number or a push token");
        return Err(Trouble::Row(fault));
    }
    Ok(Subscriber {
        contacts,
        ..subscriber
    })
}

fn code(cells: &impl Cells, column: Column) -> Result<Option<String>, Fault> {
    match optional(column, cells.cell(column).text())? {
        Some(code) if code.len() > CODE_BYTES_MAX => {
            Err(Fault::malformed(column, "must have at most 128 bytes"))
        }
        code => Ok(code.map(str::to_owned)),
    }
}

fn options(cells: &impl Cells) -> Result<Vec<String>, Fault> {
    let cell = cells.cell(Column::Options);
    let Some(text) = optional(Column::Options, cell.text())? else {
        return Ok(Vec::new());
    };
    let mut codes = Vec::new();
    for code in text
        .split(';')
        .map(str::trim)
        .filter(|code| !code.is_empty())
    {
        if code.len() > CODE_BYTES_MAX {
            return Err(Fault::malformed(
                Column::Options,
                "must have at most 128 bytes each",
            ));
        }
        if codes.len() == OPTIONS_MAX {
            return Err(Fault::malformed(Column::Options, "must be at most 256"));
        }
        codes.push(code.to_owned());
    }
    codes.sort_unstable();
    codes.dedup();
    Ok(codes)
}

fn interval(cells: &impl Cells, from: Column, to: Column) -> Result<Interval, Fault> {
    let start = optional(from, cells.cell(from).day())?;
    let end = optional(to, cells.cell(to).day())?;
    if start.zip(end).is_some_and(|(start, end)| start > end) {
        return Err(Fault::malformed(to, "must not be before the start"));
    }
    Ok(Interval { start, end })
}

fn within(
    cells: &impl Cells,
    column: Column,
    range: std::ops::RangeInclusive<u8>,
    rule: Rule,
) -> Result<Option<u8>, Fault> {
    match optional(column, cells.cell(column).integer())? {
        None => Ok(None),
        Some(number) => u8::try_from(number)
            .ok()
            .filter(|number| range.contains(number))
            .map(Some)
            .ok_or(Fault::malformed(column, rule)),
    }
}

fn windows(cells: &impl Cells) -> Result<Windows, Fault> {
    let quiet_from = within(
        cells,
        Column::QuietFrom,
        0..=23,
        "must be an hour from 0 to 23",
    )?;
    let quiet_to = within(
        cells,
        Column::QuietTo,
        0..=23,
        "must be an hour from 0 to 23",
    )?;
    let send_day = within(cells, Column::SendDay, 1..=31, "must be a day from 1 to 31")?;
    match (quiet_from, quiet_to) {
        (Some(_), None) => Err(Fault::malformed(
            Column::QuietTo,
            "is required with quiet_from",
        )),
        (None, Some(_)) => Err(Fault::malformed(
            Column::QuietFrom,
            "is required with quiet_to",
        )),
        _ => Ok(Windows {
            quiet_from,
            quiet_to,
            send_day,
        }),
    }
}

fn status(cells: &impl Cells) -> Result<SubscriberStatus, Fault> {
    match optional(Column::Status, cells.cell(Column::Status).text())? {
        None | Some("active") => Ok(SubscriberStatus::Active),
        Some("withdrawn") => Ok(SubscriberStatus::Withdrawn),
        Some(_) => Err(Fault::malformed(
            Column::Status,
            "must be active or withdrawn",
        )),
    }
}

fn locale(cells: &impl Cells) -> Result<Locale, Fault> {
    match optional(Column::Locale, cells.cell(Column::Locale).text())? {
        None | Some("ko") => Ok(Locale::Ko),
        Some("en") => Ok(Locale::En),
        Some(_) => Err(Fault::malformed(Column::Locale, "must be ko or en")),
    }
}

/// The contacts out of plaintext columns, sealed ones, or some of each.
fn contacts(
    cells: &impl Cells,
    header: &Header,
    ring: &KeyRing,
    subscriber: &Subscriber,
) -> Result<Contacts, Trouble> {
    let cell = |column: Column| {
        if header.reads(column) {
            cells.cell(column)
        } else {
            super::cell::Cell::Missing
        }
    };
    let (name, email) = (cell(Column::Name), cell(Column::Email));
    let (phone, push_token) = (cell(Column::Phone), cell(Column::PushToken));
    let name = optional(Column::Name, name.text())?;
    if header.reads(Column::Name) {
        let name = required(Column::Name, Ok(name))?;
        if name.len() > NAME_BYTES_MAX {
            return Err(Fault::malformed(Column::Name, "must have at most 1024 bytes").into());
        }
        if name.chars().any(char::is_control) {
            return Err(Fault::malformed(Column::Name, "must have no control characters").into());
        }
    }
    let push_token = optional(Column::PushToken, push_token.text())?;
    if push_token.is_some_and(|token| token.len() > PUSH_TOKEN_BYTES_MAX) {
        return Err(Fault::malformed(Column::PushToken, "must have at most 4096 bytes").into());
    }
    let plain = PlainContacts {
        name,
        email: optional(Column::Email, email.text())?,
        phone: optional(Column::Phone, phone.text())?,
        push_token,
    };
    let mut contacts = contacts::seal(ring, subscriber.user_id, &plain).map_err(|error| {
        let fault = |reason, column| Fault {
            reason,
            column: Some(column),
            rule: NOT_CANONICAL,
        };
        match error {
            ContactsError::Email => Trouble::Row(fault(Reason::BadEmail, Column::Email)),
            ContactsError::Phone => Trouble::Row(fault(Reason::BadPhone, Column::Phone)),
            ContactsError::Seal(error) => Trouble::Keys(error),
        }
    })?;
    if header.reads(Column::NameSealed) {
        contacts.name = Some(required(
            Column::NameSealed,
            Ok(sealed(cells, Column::NameSealed)?),
        )?);
    }
    if header.reads(Column::EmailSealed) {
        contacts.masked_email = sealed(cells, Column::MaskedEmailSealed)?;
        let columns = (Column::EmailSealed, Column::EmailDigest);
        contacts
            .destinations
            .extend(destination(cells, Channel::Email, columns)?);
    }
    if header.reads(Column::SmsSealed) {
        contacts.masked_phone = sealed(cells, Column::MaskedPhoneSealed)?;
        let columns = (Column::SmsSealed, Column::SmsDigest);
        contacts
            .destinations
            .extend(destination(cells, Channel::Sms, columns)?);
        let columns = (Column::KakaoSealed, Column::KakaoDigest);
        contacts
            .destinations
            .extend(destination(cells, Channel::Kakao, columns)?);
    }
    if header.reads(Column::PushSealed) {
        let columns = (Column::PushSealed, Column::PushDigest);
        contacts
            .destinations
            .extend(destination(cells, Channel::Push, columns)?);
    }
    contacts
        .destinations
        .sort_by_key(|destination| destination.channel);
    Ok(contacts)
}

const NOT_CANONICAL: Rule = "has no canonical form";

/// A sealed value. Its shape is looked at, so that plaintext in the wrong column does not slip in
/// unsealed; whether it opens shows where it is opened.
fn sealed(cells: &impl Cells, column: Column) -> Result<Option<Sealed>, Fault> {
    // format byte, key id, tag
    const SEALED_BYTES_MIN: usize = 1 + 4 + 16;
    let Some(bytes) = optional(column, cells.cell(column).bytes())? else {
        return Ok(None);
    };
    if bytes.first() != Some(&0x01) || bytes.len() < SEALED_BYTES_MIN {
        drop(Zeroizing::new(bytes));
        return Err(Fault::malformed(column, "must be a sealed value"));
    }
    if bytes.len() > SEALED_BYTES_MAX {
        return Err(Fault::malformed(column, "must have at most 8192 bytes"));
    }
    Ok(Some(Sealed::from_bytes(bytes)))
}

fn destination(
    cells: &impl Cells,
    channel: Channel,
    (address, token): (Column, Column),
) -> Result<Option<Destination>, Fault> {
    let Some(sealed) = sealed(cells, address)? else {
        return Ok(None);
    };
    let token = required(token, cells.cell(token).bytes())?;
    let token = <[u8; 32]>::try_from(token)
        .map_err(|_| Fault::malformed(address, "must come with a token of 32 bytes"))?;
    Ok(Some(Destination {
        channel,
        address: sealed,
        token: Digest(token),
    }))
}
