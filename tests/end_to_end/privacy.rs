//! Tokens of personal data, hunted through everything that a deployment leaves or says: none is
//! found outside ciphertext, and masked forms only in bodies.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::DataType;
use serde_json::Value;

use crate::plain::{SUBSCRIBERS, USAGE, event};
use crate::records::{Records, TOPICS};
use crate::site::{Ended, Site, free_port, http_get};
use crate::table::batches;

const USERS: u64 = 400;
const EVERY: &str = "20";

/// Looks for tokens in every form in which they could be written.
struct Hunter {
    needles: Vec<(String, Vec<u8>)>,
    /// By their first two bytes, where a needle may begin.
    begins: Vec<Vec<usize>>,
    hunted_bytes: usize,
}

fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let mut text = Vec::new();
    // only whole groups: what surrounds a value changes the rest
    for group in bytes.chunks_exact(3) {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        text.extend([18, 12, 6, 0].map(|shift| alphabet[(bits >> shift & 63) as usize]));
    }
    text
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A token in every form.
fn forms(token: &str) -> Vec<Vec<u8>> {
    let bytes = token.as_bytes();
    let mut forms = vec![bytes.to_vec()];
    forms.push(token.encode_utf16().flat_map(u16::to_le_bytes).collect());
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    forms.push(hex.to_uppercase().into_bytes());
    forms.push(hex.into_bytes());
    forms.push(token.to_uppercase().into_bytes());
    // wherever in a longer value it begins
    for skip in 0..3_usize.min(bytes.len()) {
        for alphabet in [STANDARD, URL_SAFE] {
            forms.push(base64(&bytes[skip..], alphabet));
        }
    }
    // as JSON and as a URL would escape it
    forms.push(
        token
            .chars()
            .map(|letter| {
                if letter.is_ascii() {
                    letter.to_string()
                } else {
                    format!("\\u{:04x}", u32::from(letter))
                }
            })
            .collect::<String>()
            .into_bytes(),
    );
    forms.push(
        bytes
            .iter()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
                    char::from(*byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect::<String>()
            .into_bytes(),
    );
    forms.retain(|form| form.len() >= 8);
    forms.sort();
    forms.dedup();
    forms
}

impl Hunter {
    fn new(tokens: impl IntoIterator<Item = String>) -> Self {
        let tokens: BTreeSet<String> = tokens.into_iter().collect();
        assert!(!tokens.is_empty());
        let mut needles = Vec::new();
        for token in tokens {
            needles.extend(forms(&token).into_iter().map(|form| (token.clone(), form)));
        }
        let mut begins = vec![Vec::new(); 1 << 16];
        for (place, (_, needle)) in needles.iter().enumerate() {
            begins[usize::from(needle[0]) << 8 | usize::from(needle[1])].push(place);
        }
        Self {
            needles,
            begins,
            hunted_bytes: 0,
        }
    }

    /// What is found in some bytes.
    fn find(&mut self, bytes: &[u8]) -> Option<&str> {
        self.hunted_bytes += bytes.len();
        for at in 0..bytes.len().saturating_sub(1) {
            for place in &self.begins[usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])] {
                let (token, needle) = &self.needles[*place];
                if bytes[at..].starts_with(needle) {
                    return Some(token);
                }
            }
        }
        None
    }

    #[track_caller]
    fn none_in(&mut self, place: &str, bytes: &[u8]) {
        if let Some(token) = self.find(bytes) {
            panic!("{token:?} was found in {place}");
        }
    }

    /// Every file below a folder, by name and content.
    fn none_below(&mut self, folder: &Path, but: &[&str]) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_str().unwrap().to_owned();
            self.none_in(&format!("the name {name}"), name.as_bytes());
            if but.iter().any(|but| path.file_name().unwrap() == *but) {
                continue;
            }
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                self.none_below(&path, but);
            } else if kind.is_file() {
                let content = fs::read(&path).unwrap();
                self.none_in(&name, &content);
            }
        }
    }

    /// Every column of a table, decompressed.
    fn none_in_table(&mut self, path: &Path) {
        for batch in batches(path) {
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                let place = format!("column {} of {}", field.name(), path.display());
                for row in (0..batch.num_rows()).filter(|row| !column.is_null(*row)) {
                    match column.data_type() {
                        DataType::Utf8 => {
                            self.none_in(&place, column.as_string::<i32>().value(row).as_bytes())
                        }
                        DataType::Binary => {
                            self.none_in(&place, column.as_binary::<i32>().value(row))
                        }
                        DataType::FixedSizeBinary(_) => {
                            self.none_in(&place, column.as_fixed_size_binary().value(row))
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

/// A subscriber in the clear, whose values are tokens.
struct Watched {
    user: u64,
    name: &'static str,
    email: &'static str,
    phone: &'static str,
}

const WATCHED: [Watched; 3] = [
    Watched {
        user: 7_001,
        name: "감시대상인하나둘셋",
        email: "wiretap-aa01@example.com",
        phone: "010-0731-5519",
    },
    Watched {
        user: 7_002,
        name: "감시대상인넷다섯여섯",
        email: "Wiretap-bb02@Example.COM",
        phone: "+82 10 0742 6628",
    },
    Watched {
        user: 7_003,
        name: "Surveilled Onetwo",
        email: "wiretap-cc03@mail.example.com",
        phone: "01007537739",
    },
];

impl Watched {
    /// More than masking leaves visible: that is the first two letters and the domain, the ends of
    /// a name, and a number's prefix and last four digits.
    fn tokens(&self) -> Vec<String> {
        let digits: String = self.phone.chars().filter(char::is_ascii_digit).collect();
        let middle_and_last = &digits[digits.len() - 8..];
        let local = self.email.split('@').next().unwrap();
        vec![
            self.name.to_owned(),
            self.name.chars().skip(1).collect(),
            local.to_owned(),
            local[1..].to_owned(),
            middle_and_last.to_owned(),
            format!("{}-{}", &middle_and_last[..4], &middle_and_last[4..]),
            self.phone.to_owned(),
        ]
    }

    fn csv(&self) -> String {
        format!(
            "{},{},{},{},PLN-043\n",
            self.user, self.name, self.email, self.phone
        )
    }
}

/// Rows that cannot be taken, each with something personal in it.
const BAD: [(&str, &str); 6] = [
    (
        "8001,감시나쁜줄하나,wiretap-bad1.example.com,010-0000-0001,PLN-043\n",
        "wiretap-bad1",
    ),
    (
        "8002,감시나쁜줄둘이,ok2@example.com,wiretap-bad2,PLN-043\n",
        "wiretap-bad2",
    ),
    (
        "wiretap-bad3,감시나쁜줄셋이,ok3@example.com,010-0000-0003,PLN-043\n",
        "wiretap-bad3",
    ),
    (
        "8004,감시나쁜줄넷이,ok4@example.com,010-0000-0004\n",
        "감시나쁜줄넷이",
    ),
    (
        "8005,감시나쁜줄다섯,ok5@example.com,010-0000-0005,PLN-043,wiretap-bad5\n",
        "wiretap-bad5",
    ),
    (
        "8006,감시나쁜줄여섯,wiretap-bad6@example.com,010-0000-0006,\n",
        "wiretap-bad6",
    ),
];

/// Everything that can be done with a deployment, errors included, as loud as it can be.
fn lively() -> (Site, Vec<String>) {
    let port = free_port();
    let site = Site::new(&format!(
        "[windows]\nignore = true\n[http]\nlisten = \"127.0.0.1:{port}\"\n[channels.email]\nfailure_rate = 0.3\n\
         [channels.sms]\nfailure_rate = 0.3\n[channels.kakao]\nfailure_rate = 0.3\n"
    ));
    let loud = |arguments: &[&str], code: i32| {
        let mut command = site.command(arguments);
        command
            .env("SEALPOST_LOG", "trace")
            .env("RUST_BACKTRACE", "full");
        site.start(&mut command).ended().expect(code)
    };
    let seeded = site.seed(USERS, &["--tripwire-every", EVERY]);
    let mut tokens: Vec<String> = seeded["tripwires"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token.as_str().unwrap().to_owned())
        .collect();
    assert!(tokens.len() as u64 >= USERS / 20);
    // what `seed` said is the one place where the tokens are told
    fs::remove_dir_all(site.path("said")).unwrap();
    fs::create_dir(site.path("said")).unwrap();
    tokens.extend(WATCHED.iter().flat_map(Watched::tokens));
    tokens.extend(BAD.iter().map(|(_, token)| (*token).to_owned()));
    tokens.push("watched-push-address-0042".to_owned());

    let mut people = SUBSCRIBERS.to_owned();
    people.extend(WATCHED.iter().map(Watched::csv));
    people.extend(BAD.iter().map(|(row, _)| *row));
    fs::create_dir(site.path("plain")).unwrap();
    site.file("plain/people.csv", people);
    let mut usage = USAGE.to_owned();
    for Watched { user, .. } in &WATCHED {
        usage.push_str(&event("a", *user, "content", 500));
    }
    // somebody's data where an event should be
    usage.push_str("wiretap-bad1 is no event,7001,wiretap-bad2,data,wiretap-bad3\n");
    site.file("plain/usage.csv", usage);
    let lines = WATCHED.iter().map(|watched| {
        format!(
            "{{\"user_id\": {}, \"name\": \"{}\", \"email\": \"{}\", \"phone\": {}}}\n",
            watched.user, watched.name, watched.email, "12"
        )
    });
    site.file(
        "plain/broken.ndjson",
        lines.collect::<String>() + "{\"user_id\": 7001, \"name\": \"감시나쁜줄넷이\", \"email\"\n",
    );
    // a file whose first line is a person
    site.file("plain/headless.csv", WATCHED[0].csv());

    loud(&["ingest", "inputs"], 0);
    loud(&["ingest", "plain/people.csv", "plain/usage.csv"], 0);
    loud(&["ingest", "plain/broken.ndjson"], 2);
    loud(&["ingest", "plain/headless.csv"], 2);
    suppresses(&site, &loud);
    loud(&["close", "2026-01"], 0);
    let right = fs::read(site.path("keys.json")).unwrap();
    let other = Site::new("");
    fs::copy(other.path("keys.json"), site.path("keys.json")).unwrap();
    loud(&["run", "--drain"], 1);
    loud(&["dead-letters", "requeue"], 1);
    site.file("keys.json", right);
    loud(&["run", "--drain"], 0);
    loud(&["retry", "2026-01"], 0);
    let mut command = site.command(["run"]);
    command.env("SEALPOST_LOG", "trace");
    let mut run = site.start(&mut command);
    site.wait_until_ready(&mut run, port);
    site.wait_until("the retry to end", || site.books("2026-01")["pending"] == 0);
    let metrics = http_get(port, "/metrics").unwrap();
    assert!(metrics.contains("sealpost_calls_total"), "{metrics}");
    site.file("said/metrics", metrics);
    run.terminate();
    run.ended().expect(0);
    for arguments in [
        &["status", "2026-01"][..],
        &["status", "2026-01", "--json"],
        &["status", "2026-01", "--user", "7001"],
        &["status", "2026-01", "--user", "7001", "--json"],
        &["dead-letters", "list"],
        &["dead-letters", "list", "--json"],
        &["dead-letters", "requeue"],
        &["policy", "show"],
        &["suppress", "list"],
        &["suppress", "list", "--json"],
        &["template", "preview", "2026-01", "--user", "7001"],
        &["template", "preview", "2026-01", "--user", "7001", "--json"],
        &["topology"],
        &["replay"],
        &["run", "--drain"],
        &["export", "2026-01", "--out", "result.parquet"],
    ] {
        loud(arguments, 0);
    }
    (site, tokens)
}

/// Addresses are suppressed and used again, by file and from stdin, good ones and bad ones.
fn suppresses(site: &Site, loud: &dyn Fn(&[&str], i32) -> Ended) {
    let mut list = "channel,address\n".to_owned();
    list.push_str(&format!(
        "email,{}\nsms,{}\n",
        WATCHED[2].email, WATCHED[2].phone
    ));
    list.push_str("email,wiretap-bad1\nsms,wiretap-bad2\nwiretap-bad3,wiretap-bad6@example.com\n");
    list.push_str(&format!(
        "kakao,{},{}\n",
        WATCHED[0].phone, WATCHED[0].email
    ));
    site.file("plain/suppress.csv", list);
    let import = [
        "suppress",
        "import",
        "plain/suppress.csv",
        "--reason",
        "bounced",
    ];
    let ended = loud(&import, 0);
    assert!(ended.stdout.starts_with("2 addresses"), "{}", ended.stdout);
    // a list whose header is missing
    site.file(
        "plain/suppress-headless.csv",
        format!("email,{}\n", WATCHED[0].email),
    );
    loud(
        &[
            "suppress",
            "import",
            "plain/suppress-headless.csv",
            "--reason",
            "blocked",
        ],
        2,
    );
    loud(&["ingest", "plain/suppress.csv"], 2);
    let told = |arguments: &[&str], input: &str, code: i32| {
        let mut command = site.command(arguments);
        command
            .env("SEALPOST_LOG", "trace")
            .env("RUST_BACKTRACE", "full");
        site.told(&mut command, input).expect(code);
    };
    let push = ["suppress", "add", "--channel", "push", "--address-stdin"];
    told(&push, "watched-push-address-0042", 0);
    let email = ["suppress", "add", "--channel", "email", "--address-stdin"];
    told(&email, WATCHED[1].email, 0);
    told(&email, "wiretap-bad1", 2);
    told(
        &[
            "suppress",
            "remove",
            "--channel",
            "email",
            "--address-stdin",
        ],
        WATCHED[1].email,
        0,
    );
}

#[test]
fn no_token_of_personal_data_is_found_anywhere() {
    let (site, tokens) = lively();
    let mut hunter = Hunter::new(tokens);

    // as it lies there, and everything that was said; what we wrote in the clear ourselves aside
    hunter.none_below(site.root(), &["plain"]);
    for table in [
        "result.parquet",
        "inputs/subscribers.parquet",
        "inputs/usage.parquet",
    ] {
        hunter.none_in_table(&site.path(table));
    }

    // as the log's readers see it: batches are compressed on disk
    let records = Records::open(&site.data());
    let (mut seen, mut masked) = (0, BTreeSet::new());
    let forms = masked_forms();
    for topic in TOPICS {
        records.each(topic, |shard, offset, key, value| {
            seen += 1;
            let place = format!("{topic} {shard}@{offset}");
            hunter.none_in(&format!("the key of {place}"), key);
            let value = value.unwrap_or_default();
            hunter.none_in(&place, value);
            for form in &forms {
                if value
                    .windows(form.len())
                    .any(|window| window == form.as_bytes())
                {
                    masked.insert((topic, form.clone()));
                }
            }
        });
    }
    assert!(seen > USERS * 10, "{seen} records");
    assert!(
        hunter.hunted_bytes > 1_000_000,
        "{} bytes hunted",
        hunter.hunted_bytes
    );
    let topics: BTreeSet<_> = masked.iter().map(|(topic, _)| *topic).collect();
    assert_eq!(
        topics,
        BTreeSet::from(["dispatches"]),
        "masked forms are in bodies and nowhere else: {masked:?}"
    );
    let found: BTreeSet<_> = masked.into_iter().map(|(_, form)| form).collect();
    assert!(found.len() >= 4, "bodies show masked forms: {found:?}");
}

/// What the watched people look like on their bills.
fn masked_forms() -> Vec<String> {
    [
        "감*******셋",
        "감********섯",
        "S***************o",
        "wi**********@example.com",
        "010-****-5519",
        "010-****-6628",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn the_hunter_finds_a_token_in_every_form_and_place() {
    let token = "watched-0123456789ab";
    for form in forms(token) {
        let mut hunter = Hunter::new([token.to_owned()]);
        let hidden = [&b"before"[..], &form, b"after"].concat();
        assert_eq!(hunter.find(&hidden), Some(token), "{form:?}");
    }
    let mut hunter = Hunter::new([token.to_owned()]);
    assert_eq!(hunter.find(b"watched-0123456789ac watched-"), None);
    for skip in 0..3 {
        let text = base64(
            &[&b"xyz"[..skip], token.as_bytes(), b"!!"].concat(),
            STANDARD,
        );
        assert_eq!(hunter.find(&text), Some(token), "{skip} bytes before it");
    }
}

/// The control: what is in the clear in a record that lies compressed on disk is found in the
/// decoded record.
#[test]
fn the_hunter_finds_a_token_that_lies_in_a_compressed_batch() {
    let token = "watched-0123456789ab";
    let site = Site::new("[windows]\nignore = true\n");
    let mut usage = USAGE.to_owned();
    // an event id is no personal column: what somebody puts there in the clear stays in the clear
    for nth in 0..200 {
        usage.push_str(&event(&format!("{token}-{nth}"), 1, "sms", 1));
    }
    site.file("usage.csv", usage);
    site.ok(["ingest", "usage.csv"]);
    let mut hunter = Hunter::new([token.to_owned()]);
    let mut found = 0;
    Records::open(&site.data()).each("usage", |_, _, _, value| {
        found += usize::from(hunter.find(value.unwrap_or_default()).is_some());
    });
    assert_eq!(found, 200);
    let shown = site.json(["dead-letters", "list"]);
    assert_eq!(shown, Value::Array(Vec::new()));
}
