//! A row as a usage event.

use jiff::tz::TimeZone;
use sealpost_schemas::record::{Usage, UsageKind};

use super::column::Column;
use super::row::{Cells, Fault, required, user_id};

/// Reads a usage event by the rules of the contract.
pub(super) fn read(cells: &impl Cells, zone: &TimeZone) -> Result<Usage, Fault> {
    let event_id = required(Column::EventId, cells.cell(Column::EventId).identifier())?;
    if event_id.len() > Usage::EVENT_ID_BYTES_MAX {
        return Err(Fault::malformed(
            Column::EventId,
            "must have at most 64 bytes",
        ));
    }
    let kind = required(
        Column::Kind,
        cells.cell(Column::Kind).text().map(|text| text.map(kind)),
    )?
    .ok_or(Fault::malformed(
        Column::Kind,
        "must be one of data, voice, sms, content",
    ))?;
    let quantity = required(Column::Quantity, cells.cell(Column::Quantity).integer())?;
    if !(0..=Usage::QUANTITY_MAX).contains(&quantity) {
        return Err(Fault::malformed(
            Column::Quantity,
            "must be from 0 to 1000000000000000",
        ));
    }
    Ok(Usage {
        user_id: user_id(cells)?,
        event_id,
        occurred_at: required(
            Column::OccurredAt,
            cells.cell(Column::OccurredAt).time(zone),
        )?,
        kind,
        quantity,
    })
}

fn kind(text: &str) -> Option<UsageKind> {
    UsageKind::ALL.into_iter().find(|kind| kind.name() == text)
}
