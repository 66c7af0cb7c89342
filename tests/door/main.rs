//! The door, with real files in every format.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod files;
mod formats;
mod lists;
mod people;
mod rows;
mod sealed;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array,
    Int64Array, LargeStringArray, ListBuilder, RecordBatch, StringArray, StringBuilder,
    StringViewArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use jiff::tz::TimeZone;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::data_type::{Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use sealpost::door::{Door, DoorError, Format, InputKind, ReadSummary, Refused, Row, inspect};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{
    Day, Interval, Locale, Reason, Subscriber, SubscriberStatus, Usage, UsageKind, Windows,
};
use sealpost_schemas::sealed::{KeyPurpose, Purpose};
use sealpost_schemas::{Channel, Sealed, Timestamp, UserId};

fn ring() -> KeyRing {
    let mut next = 0_u8;
    KeyRing::generate(&mut |bytes| {
        for byte in bytes {
            next = next.wrapping_mul(31).wrapping_add(7);
            *byte = next;
        }
    })
}

fn seoul() -> TimeZone {
    TimeZone::get("Asia/Seoul").unwrap()
}

/// A folder to put files in.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn parquet(&self, name: &str, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
        let path = self.path().join(name);
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let file = fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        path
    }
}

/// All rows of a file, with their numbers.
fn read(path: &Path) -> (Vec<(u64, Row)>, ReadSummary) {
    let inputs = inspect(&[path.to_path_buf()]).unwrap();
    let ring = ring();
    let mut rows = Vec::new();
    let summary = Door::new(&ring, seoul())
        .read(&inputs[0], &mut |number, row| {
            rows.push((number, row));
            Ok(())
        })
        .unwrap();
    (rows, summary)
}

fn usage(path: &Path) -> Vec<Usage> {
    read(path)
        .0
        .into_iter()
        .map(|(_, row)| match row {
            Row::Usage(usage) => usage,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn subscribers(path: &Path) -> Vec<Subscriber> {
    read(path)
        .0
        .into_iter()
        .map(|(_, row)| match row {
            Row::Subscriber(subscriber) => subscriber,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn refused(path: &Path) -> Vec<Refused> {
    read(path)
        .0
        .into_iter()
        .filter_map(|(_, row)| match row {
            Row::Refused(refused) => Some(refused),
            _ => None,
        })
        .collect()
}

fn refusal(path: &Path) -> DoorError {
    inspect(&[path.to_path_buf()]).unwrap_err()
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn integers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn event(user: u64, event_id: &str, kind: UsageKind, quantity: i64) -> Usage {
    Usage {
        user_id: UserId::new(user).unwrap(),
        event_id: event_id.to_owned(),
        // 2026-01-01T00:00:00 in Seoul
        occurred_at: Timestamp(1_767_193_200_000_000),
        kind,
        quantity,
    }
}

fn two_events() -> Vec<Usage> {
    vec![
        event(7, "e1", UsageKind::Data, 1_500),
        event(8, "e2", UsageKind::Content, 0),
    ]
}

const USAGE_CSV: &str = "event_id,user_id,occurred_at,kind,quantity\n\
    e1,7,2026-01-01T00:00:00+09:00,data,1500\n\
    e2,8,2025-12-31T15:00:00Z,content,0\n";

fn usage_parquet(occurred_at: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("event_id", text(&["e1", "e2"])),
        ("user_id", integers(&[7, 8])),
        ("occurred_at", occurred_at),
        ("kind", text(&["data", "content"])),
        ("quantity", integers(&[1_500, 0])),
    ]
}

fn seconds_utc() -> ArrayRef {
    Arc::new(TimestampSecondArray::from(vec![1_767_193_200; 2]).with_timezone("UTC"))
}

const PEOPLE_CSV: &str = "user_id,name,email,phone,plan,options,contract_start,contract_end,welfare,soldier_start,soldier_end,quiet_from,quiet_to,send_day,status,locale,push_token\n\
    7,홍길동, Gil.Dong@Example.COM ,010-1234-5678,PLN-043,OPT-2;OPT-1;OPT-2;,2025-01-01,2026-12-31,WLF-03,2025-06-01,,22,7,31,active,en,push-abc\n\
    8,김별,byeol@example.net,+82 10 9876 5432,PLN-001,,,,,,,,,,,,\n";

fn open(purpose: Purpose, user: u64, sealed: &Sealed) -> String {
    let user = UserId::new(user).unwrap();
    ring()
        .open(purpose, user, sealed)
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

/// The columns of somebody whose contacts are sealed, as `seed` writes them.
fn sealed_parquet(name_sealed: &[u8]) -> Vec<(&'static str, ArrayRef)> {
    let (ring, user) = (ring(), UserId::new(7).unwrap());
    let bytes = |bytes: &[u8]| Arc::new(BinaryArray::from(vec![bytes])) as ArrayRef;
    let sealed = |purpose, text: &str| {
        bytes(
            ring.seal(purpose, user, text.as_bytes())
                .unwrap()
                .as_bytes(),
        )
    };
    let token = |channel, text: &str| bytes(&ring.token(channel, text).unwrap().0);
    vec![
        ("user_id", integers(&[7])),
        ("plan", text(&["P"])),
        ("name_sealed", bytes(name_sealed)),
        (
            "email_masked_sealed",
            sealed(Purpose::ProfileEmail, "Gi******@example.com"),
        ),
        (
            "phone_masked_sealed",
            sealed(Purpose::ProfilePhone, "010-****-5678"),
        ),
        (
            "email_sealed",
            sealed(Purpose::DestinationEmail, "Gil.Dong@example.com"),
        ),
        (
            "sms_sealed",
            sealed(Purpose::DestinationSms, "+821012345678"),
        ),
        (
            "kakao_sealed",
            sealed(Purpose::DestinationKakao, "+821012345678"),
        ),
        ("push_sealed", sealed(Purpose::DestinationPush, "push-abc")),
        ("email_token", token(Channel::Email, "Gil.Dong@example.com")),
        ("sms_token", token(Channel::Sms, "+821012345678")),
        ("kakao_token", token(Channel::Kakao, "+821012345678")),
        ("push_token", token(Channel::Push, "push-abc")),
    ]
}

fn sealed_name() -> Vec<u8> {
    let sealed = ring().seal(
        Purpose::ProfileName,
        UserId::new(7).unwrap(),
        "홍길동".as_bytes(),
    );
    sealed.unwrap().as_bytes().to_vec()
}
