//! A row as an address that is to be used no more, or again.

use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{AddressToken, Reason};
use sealpost_schemas::{Channel, Digest};

use super::column::Column;
use super::contacts::{self, ContactsError};
use super::header::Header;
use super::row::{Cells, Fault, required};
use super::subscriber::Trouble;

/// Reads which channel and which address; the address becomes its token here.
pub(super) fn read(
    cells: &impl Cells,
    header: &Header,
    ring: &KeyRing,
) -> Result<AddressToken, Trouble> {
    let channel = required(
        Column::Channel,
        cells
            .cell(Column::Channel)
            .text()
            .map(|text| text.map(str::parse::<Channel>)),
    )?
    .map_err(|_| Fault::malformed(Column::Channel, "must be one of email, sms, kakao, push"))?;
    let token = if header.reads(Column::Address) {
        let cell = cells.cell(Column::Address);
        let address = required(Column::Address, cell.text())?;
        contacts::token(ring, channel, address).map_err(explain)?
    } else {
        let token = required(Column::Digest, cells.cell(Column::Digest).bytes())?;
        let token = <[u8; 32]>::try_from(token)
            .map_err(|_| Fault::malformed(Column::Digest, "must have 32 bytes"))?;
        Digest(token)
    };
    Ok(AddressToken { channel, token })
}

fn explain(error: ContactsError) -> Trouble {
    let fault = |reason| {
        Trouble::Row(Fault {
            reason,
            column: Some(Column::Address),
            rule: "has no canonical form",
        })
    };
    match error {
        ContactsError::Email => fault(Reason::BadEmail),
        ContactsError::Phone => fault(Reason::BadPhone),
        ContactsError::Seal(error) => Trouble::Keys(error),
    }
}
