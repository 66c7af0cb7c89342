//! The readers. Each must neither panic nor hang, whatever it is given, and what it accepts must
//! hold what the reader promises: what was written reads the same, what is canonical stays so.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use sealpost::door::{Door, Row, inspect};
use sealpost::provider::http::meaning_of;
use sealpost_operators::gate::Answer;
use sealpost_operators::mask::{mask_email, mask_name, mask_phone};
use sealpost_operators::rating::{RatingInput, rate};
use sealpost_operators::render::{Profile, TemplateSet};
use sealpost_schemas::canonical::{canonical_email, canonical_phone};
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::codec::{self, Record};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{
    Command, DeadLetter, Delivery, Dispatch, Line, LineKind, Locale, Requeued, Returned,
    RouteNotice, SendState, Statement, Subscriber, Usage, UsageTotals, Windows,
};
use sealpost_schemas::sealed::Purpose;
use sealpost_schemas::{Channel, Digest, Period, Sealed, UserId, Won};
use sealpost_simulator::draw::Draw;
use sealpost_topology::batch::RecordBatch;
use sealpost_topology::types::Offset;

/// A reader: given bytes, tells the shape of what it made of them.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// Reads.
    pub read: fn(&[u8]) -> u64,
}

const fn target(name: &'static str, read: fn(&[u8]) -> u64) -> Target {
    Target { name, read }
}

/// All of them.
pub const ALL: &[Target] = &[
    target("batch", batch),
    target("canonical", canonical),
    target("catalog", catalog),
    target("codec", records),
    target("csv", csv),
    target("http", http),
    target("key-ring", key_ring),
    target("ndjson", ndjson),
    target("parquet", parquet),
    target("sealed", sealed),
    target("templates", templates),
];

/// A shape: the words of what came out, without its numbers.
fn shape(of: &dyn Debug) -> u64 {
    let words: String = format!("{of:?}")
        .chars()
        .filter(|character| !character.is_ascii_digit())
        .take(120)
        .collect();
    blake3::hash(words.as_bytes())
        .as_bytes()
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The ring that the corpus was sealed with.
pub fn ring() -> &'static KeyRing {
    static RING: OnceLock<KeyRing> = OnceLock::new();
    RING.get_or_init(|| {
        let mut draw = Draw::of(1, "keys");
        KeyRing::generate(&mut |bytes| draw.fill(bytes))
    })
}

fn user() -> UserId {
    UserId::new(7).unwrap_or(UserId::UNREADABLE)
}

fn batch(bytes: &[u8]) -> u64 {
    match RecordBatch::decode(Offset(0), bytes) {
        Ok(batch) => {
            let records = batch.iter().count();
            let again = RecordBatch::decode(Offset(0), &batch.encode());
            assert!(
                again.is_ok_and(|again| again.iter().count() == records),
                "a batch reads as it was written"
            );
            shape(&records.min(8))
        }
        Err(damage) => shape(&damage),
    }
}

fn canonical(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let email = canonical_email(&text);
    if let Ok(email) = &email {
        assert_eq!(
            canonical_email(email).as_deref(),
            Ok(email.as_str()),
            "a canonical address is its own canonical form"
        );
    }
    let phone = canonical_phone(&text);
    if let Ok(phone) = &phone {
        assert_eq!(
            canonical_phone(phone).as_deref(),
            Ok(phone.as_str()),
            "a canonical number is its own canonical form"
        );
    }
    let parts = |part: char| part.is_whitespace() || part.is_control() || ",;<>".contains(part);
    assert!(
        [&email, &phone]
            .into_iter()
            .flatten()
            .all(|address| !address.contains(parts)),
        "what is canonical can stand in a header"
    );
    let masks = [mask_email, mask_name, mask_phone];
    let masked = masks.map(|mask| mask(&text));
    assert!(
        masks
            .iter()
            .zip(&masked)
            .all(|(mask, masked)| mask(masked) == *masked),
        "masking again changes nothing"
    );
    let inner = text.trim();
    assert!(
        inner.chars().count() < 3
            || inner.contains('*')
            || masked.iter().all(|masked| !masked.contains(inner)),
        "a mask hides something"
    );
    shape(&(email.err(), phone.err(), text.parse::<Period>().err()))
}

fn catalog(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let catalog = match Catalog::from_toml(&text) {
        Ok(catalog) => catalog,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error says something");
            return shape(&error);
        }
    };
    let mut lines = Vec::new();
    let mut rated = Vec::new();
    // whatever a catalogue says, a bill is lines that sum to it, or a refusal
    for code in text.split('"').filter(|code| catalog.plan(code).is_some()) {
        for data_bytes in [0, 1, 2_300_000_000, i64::MAX] {
            let usage = UsageTotals {
                data_bytes,
                content_won: data_bytes,
                ..UsageTotals::default()
            };
            lines.clear();
            let input = RatingInput {
                plan: code,
                options: &[],
                contract: true,
                soldier: true,
                welfare: None,
                usage,
            };
            let bill = rate(&catalog, &input, &mut lines);
            if let Ok(won) = bill {
                let sum: i128 = lines
                    .iter()
                    .map(|line: &Line| i128::from(line.amount_won.0))
                    .sum();
                assert_eq!(sum, i128::from(won.0), "lines sum to the bill");
            }
            rated.push(bill.err());
        }
        if rated.len() > 40 {
            break;
        }
    }
    shape(&rated)
}

fn record<R: Record + Debug + PartialEq>(bytes: &[u8]) -> Option<u64> {
    let read = codec::decode::<R>(bytes).ok()?;
    // written again it may be other bytes (an older schema's), but never another record
    let again = codec::encode(&read).map(|bytes| codec::decode::<R>(&bytes));
    assert!(
        matches!(again, Ok(Ok(again)) if again == read),
        "a record reads as it was written"
    );
    Some(shape(&(
        std::any::type_name::<R>(),
        "x".repeat(bytes.len().ilog2() as usize),
    )))
}

fn records(bytes: &[u8]) -> u64 {
    record::<Usage>(bytes)
        .or_else(|| record::<Subscriber>(bytes))
        .or_else(|| record::<Statement>(bytes))
        .or_else(|| record::<Dispatch>(bytes))
        .or_else(|| record::<RouteNotice>(bytes))
        .or_else(|| record::<Delivery>(bytes))
        .or_else(|| record::<SendState>(bytes))
        .or_else(|| record::<Command>(bytes))
        .or_else(|| record::<DeadLetter>(bytes))
        .or_else(|| record::<Requeued>(bytes))
        .or_else(|| record::<Returned>(bytes))
        .unwrap_or_else(|| {
            let refusal = codec::decode::<Usage>(bytes).err();
            // the rest names the schema that was met, of which there are as many as inputs
            shape(&refusal.map(|refusal| refusal.to_string().chars().take(24).collect::<String>()))
        })
}

fn http(bytes: &[u8]) -> u64 {
    let Some((head, rest)) = bytes.split_first_chunk::<2>() else {
        return 0;
    };
    let status = u16::from_le_bytes(*head) % 1_000;
    let (retry_after, body) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => rest.split_at(end),
        None => (&[][..], rest),
    };
    let retry_after = std::str::from_utf8(retry_after).ok();
    let (mut call, word) = meaning_of(status, retry_after, body);
    if let Answer::Accepted {
        provider_message_id: Some(id),
    } = &mut call
    {
        assert!(!id.chars().any(char::is_control), "an id is one word");
        id.clear();
    }
    shape(&(call, std::mem::discriminant(&word)))
}

fn key_ring(bytes: &[u8]) -> u64 {
    match KeyRing::from_json(&String::from_utf8_lossy(bytes)) {
        Ok(ring) => {
            let text = ring.to_json();
            let again = KeyRing::from_json(&text).map(|ring| ring.to_json());
            assert!(
                again.is_ok_and(|again| *again == *text),
                "a ring reads as it was written"
            );
            1
        }
        Err(error) => shape(&error),
    }
}

fn sealed(bytes: &[u8]) -> u64 {
    let value = Sealed::from_bytes(bytes);
    let opened: Vec<_> = Purpose::ALL
        .into_iter()
        .map(|purpose| match ring().open(purpose, user(), &value) {
            Ok(plaintext) => {
                let again = ring().seal(purpose, user(), plaintext.as_bytes());
                assert!(
                    again.is_ok_and(|again| again == value),
                    "what opens is what was sealed"
                );
                None
            }
            Err(error) => Some(error),
        })
        .collect();
    shape(&opened)
}

/// Reads a file at the door. Rows that come in must go out again as they are.
fn door(bytes: &[u8], extension: &str) -> u64 {
    thread_local! {
        static FOLDER: Option<tempfile::TempDir> = tempfile::tempdir().ok();
    }
    FOLDER.with(|folder| {
        let Some(folder) = folder else { return 0 };
        let path: PathBuf = folder.path().join(format!("rows.{extension}"));
        if fs::write(&path, bytes).is_err() {
            return 0;
        }
        let inputs = match inspect(&[path]) {
            Ok(inputs) => inputs,
            Err(error) => {
                let line = error.to_string();
                assert!(!line.contains('\n'), "an error is one line");
                return shape(&line.replace(&*folder.path().to_string_lossy(), ""));
            }
        };
        let door = Door::new(ring(), jiff::tz::TimeZone::UTC);
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for input in &inputs {
            let read = door.read(input, &mut |_, row| {
                let kind = match row {
                    Row::Subscriber(subscriber) => {
                        assert!(codec::encode(&subscriber).is_ok(), "a row can be written");
                        "subscriber".to_owned()
                    }
                    Row::Usage(usage) => {
                        assert!(
                            (0..=Usage::QUANTITY_MAX).contains(&usage.quantity)
                                && (1..=Usage::EVENT_ID_BYTES_MAX).contains(&usage.event_id.len()),
                            "what is out of range stays outside"
                        );
                        assert!(codec::encode(&usage).is_ok(), "an event can be written");
                        "usage".to_owned()
                    }
                    Row::Suppression(_) => "suppression".to_owned(),
                    Row::Refused(refused) => {
                        // put back as it is, it is refused again or taken in, and nothing else
                        assert!(
                            door.read_again(&refused.raw_json, 1).is_ok(),
                            "a refused row can be read again"
                        );
                        format!("{:?} {}", refused.reason, refused.detail)
                    }
                };
                *kinds.entry(kind).or_default() += 1;
                Ok(())
            });
            if read.is_err() {
                *kinds.entry("damaged".to_owned()).or_default() += 1;
            }
        }
        shape(&kinds.keys().collect::<Vec<_>>())
    })
}

fn csv(bytes: &[u8]) -> u64 {
    door(bytes, "csv")
}

fn ndjson(bytes: &[u8]) -> u64 {
    door(bytes, "ndjson")
}

fn parquet(bytes: &[u8]) -> u64 {
    door(bytes, "parquet")
}

/// The first byte says which of the built-in templates is replaced by the rest.
fn templates(bytes: &[u8]) -> u64 {
    let Some((which, text)) = bytes.split_first() else {
        return 0;
    };
    let mut sources = TemplateSet::built_in_sources();
    let count = sources.len().max(1);
    let Some((_, source)) = sources.iter_mut().nth(usize::from(*which) % count) else {
        return 0;
    };
    *source = String::from_utf8_lossy(text).into_owned();
    let set = match TemplateSet::from_sources(&sources) {
        Ok(set) => set,
        Err(error) => return shape(&error.to_string()),
    };
    let Ok(period) = Period::new(2026, 1) else {
        return 0;
    };
    let statement = Statement {
        user_id: user(),
        period,
        plan: "PLN-001".to_owned(),
        plan_name: "<plan>".to_owned(),
        lines: vec![Line {
            kind: LineKind::Plan,
            code: None,
            name: Some("<plan> & more".to_owned()),
            source_period: None,
            amount_won: Won(13_013),
        }],
        total_won: Won(13_013),
        usage: UsageTotals::default(),
        catalog_digest: Digest::of(b"catalog"),
        template_digest: set.digest(),
        locale: Locale::Ko,
        windows: Windows::default(),
        contacts: sealpost_schemas::record::Contacts::default(),
    };
    let profile = Profile {
        name: "김철수",
        masked_email: "ki***@example.com",
        masked_phone: "010-****-5678",
    };
    let rendered: Vec<_> = Channel::ALL
        .into_iter()
        .map(|channel| {
            set.render(&statement, &profile, channel)
                .err()
                .map(|e| e.to_string())
        })
        .collect();
    shape(&rendered)
}
