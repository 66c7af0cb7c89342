//! Bad input, bad keys, bad places: one clear line, the exit code of the contract, nothing lost,
//! and the rest of the work done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::plain::{PLAN, SUBSCRIBERS, USAGE, event, subscriber, subscribers};
use crate::site::{Site, free_port};
use crate::tell;
use crate::world::World;

const CONFIG: &str = "[windows]\nignore = true\n";

/// Dead letters by reason.
fn reasons(site: &Site) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for letter in site.json(["dead-letters", "list"]).as_array().unwrap() {
        *reasons
            .entry(letter["reason"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    reasons
}

fn only(reason: &str, count: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(reason.to_owned(), count)])
}

/// Closes the period and drains; the books.
fn billed(site: &Site) -> Value {
    site.ok(["close", "2026-01"]);
    site.drain();
    let world = World::read(&site.data());
    world.assert_nobody_twice();
    let books = site.books("2026-01");
    assert_eq!(
        world.users_accepted().len() as u64,
        books["sent"].as_u64().unwrap(),
        "{books}"
    );
    books
}

/// What is left for the folder of a site: nothing, if nothing was written.
fn has_log(site: &Site) -> bool {
    site.data().join("log").exists()
}

#[test]
fn a_truncated_parquet_file_is_refused_before_anything_is_written() {
    let site = Site::new(CONFIG);
    site.seed(50, &[]);
    let whole = site.path("inputs/usage.parquet");
    let bytes = fs::read(&whole).unwrap();
    for keep in [bytes.len() - 1, bytes.len() / 2, 10, 4] {
        let cut = site.file("cut.parquet", &bytes[..keep]);
        let refused = site
            .run([
                "ingest",
                "inputs/subscribers.parquet",
                cut.to_str().unwrap(),
            ])
            .expect(2);
        let line = refused.error_line();
        assert!(
            line.contains("cut.parquet")
                && line.contains("cut short")
                && line.contains("copy it again"),
            "{line}"
        );
        assert!(!has_log(&site), "something was written");
    }
    // the whole one goes in, and all is well
    site.ok(["ingest", "inputs"]);
    assert_eq!(billed(&site)["sent"], 50);
}

#[test]
fn a_parquet_file_that_is_damaged_inside_is_refused_and_can_be_read_again_whole() {
    let site = Site::new(CONFIG);
    site.seed(200, &[]);
    let mut bytes = fs::read(site.path("inputs/usage.parquet")).unwrap();
    let whole = bytes.clone();
    for at in (64..bytes.len() / 2).step_by(97) {
        bytes[at] ^= 0xff;
    }
    site.file("inputs/usage.parquet", &bytes);
    let refused = site.run(["ingest", "inputs"]).expect(2);
    let line = refused.error_line();
    assert!(
        line.contains("usage.parquet") && line.contains("damaged"),
        "{line}"
    );
    site.file("inputs/usage.parquet", &whole);
    site.ok(["ingest", "inputs"]);
    let books = billed(&site);
    assert_eq!(
        (&books["sent"], &books["dead_letters"]),
        (&Value::from(200), &Value::from(0))
    );
}

#[test]
fn a_csv_file_without_a_required_column_is_refused_before_anything_is_written() {
    let site = Site::new(CONFIG);
    site.file("good.csv", subscribers(3));
    site.file(
        "bad.csv",
        "event_id,user_id,occurred_at,kind\ne,1,2026-01-01T00:00:00Z,data\n",
    );
    let refused = site.run(["ingest", "good.csv", "bad.csv"]).expect(2);
    let line = refused.error_line();
    assert!(
        line.contains("bad.csv") && line.contains("quantity") && line.contains("add this column"),
        "{line}"
    );
    assert!(!has_log(&site), "something was written");
}

#[test]
fn unknown_columns_are_ignored_with_one_warning() {
    let site = Site::new(CONFIG);
    site.file("people.csv", "user_id,name,email,phone,plan,colour,shoe\n1,홍길동,a@example.com,010-0000-0001,PLN-043,red,42\n");
    let ended = site.ok(["ingest", "people.csv"]);
    let warnings: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(warnings.len(), 1, "{}", ended.stderr);
    assert!(
        warnings[0].contains("`colour`")
            && warnings[0].contains("`shoe`")
            && warnings[0].contains("people.csv")
    );
    assert_eq!(billed(&site)["sent"], 1);
}

#[test]
fn bad_quantities_are_dead_letters_and_the_good_rows_go_on() {
    let site = Site::new(CONFIG);
    site.file("people.csv", subscribers(3));
    let mut usage = USAGE.to_owned();
    for (id, user, quantity) in [
        ("negative", 1, "-1"),
        ("beyond", 1, "1000000000000001"),
        ("overflowing", 2, "9223372036854775808"),
        ("huge", 2, "100000000000000000000000000000000"),
        ("broken", 2, "1.5"),
        ("empty", 3, ""),
        ("largest", 3, "1000000000000000"),
        ("good", 1, "7"),
    ] {
        usage.push_str(&event(id, user, "content", quantity));
    }
    site.file("usage.csv", usage);
    let ingested = site.json(["ingest", "people.csv", "usage.csv"]);
    assert_eq!(
        ingested,
        serde_json::json!({ "subscribers": 3, "usage_events": 2, "dead_letters": 6 })
    );
    assert_eq!(reasons(&site), only("malformed", 6));
    let letters = site.json(["dead-letters", "list"]);
    let letters = letters.as_array().unwrap();
    let rows: BTreeSet<_> = letters
        .iter()
        .map(|letter| letter["position"].as_u64().unwrap())
        .collect();
    assert_eq!(rows, BTreeSet::from([1, 2, 3, 4, 5, 6]));
    for letter in letters {
        assert_eq!(
            (&letter["source"], &letter["stage"]),
            (&"usage.csv".into(), &"ingest".into())
        );
        assert!(
            letter["detail"].as_str().unwrap().starts_with("quantity: "),
            "{letter}"
        );
    }
    let books = billed(&site);
    assert_eq!(books["sent"], 3);
    assert_eq!(
        books["total_won"],
        3 * 33_000 + 7 + 1_000_000_000_000_000_i64
    );
    assert_eq!(books["dead_letters"], 6);
}

#[test]
fn a_sum_that_leaves_64_bits_is_a_dead_letter_and_the_bill_stands() {
    let site = Site::new(CONFIG);
    site.file("people.csv", subscribers(1));
    let mut usage = USAGE.to_owned();
    for nth in 0..9_300 {
        usage.push_str(&event(
            &format!("e{nth}"),
            1,
            "content",
            1_000_000_000_000_000_i64,
        ));
    }
    site.file("usage.csv", usage);
    site.ok(["ingest", "people.csv", "usage.csv"]);
    let books = billed(&site);
    // floor((2^63 − 1) / 10^15) = 9,223 of them fit
    assert_eq!(reasons(&site), only("overflow", 9_300 - 9_223));
    assert_eq!(
        (&books["sent"], &books["total_won"]),
        (
            &Value::from(1),
            &Value::from(9_223_000_000_000_000_000_i64 + 33_000)
        )
    );
}

#[test]
fn usage_of_a_user_who_does_not_exist_waits_for_the_close_and_is_then_a_dead_letter() {
    let site = Site::new(CONFIG);
    site.file("people.csv", subscribers(2));
    site.file(
        "usage.csv",
        format!(
            "{USAGE}{}{}",
            event("a", 1, "content", 500),
            event("b", 99, "content", 700)
        ),
    );
    site.ok(["ingest", "people.csv", "usage.csv"]);
    site.drain();
    assert_eq!(
        reasons(&site),
        BTreeMap::new(),
        "before the close they may still become known"
    );
    let books = billed(&site);
    assert_eq!(reasons(&site), only("unknown-subscriber", 1));
    assert_eq!(
        (&books["statements"], &books["sent"]),
        (&Value::from(2), &Value::from(2))
    );
}

#[test]
fn a_subscriber_with_an_unknown_plan_is_a_dead_letter_until_mended() {
    let site = Site::new(CONFIG);
    site.file(
        "people.csv",
        format!("{}{}", subscribers(2), subscriber(3, "PLN-999")),
    );
    site.ok(["ingest", "people.csv"]);
    let books = billed(&site);
    assert_eq!(reasons(&site), only("unknown-plan", 1));
    assert_eq!(
        (&books["subscribers"], &books["statements"], &books["sent"]),
        (&3.into(), &2.into(), &2.into())
    );
    let letter = &site.json(["dead-letters", "list"])[0];
    assert_eq!(
        (&letter["user_id"], &letter["stage"]),
        (&Value::from(3), &Value::from("settle"))
    );

    site.file(
        "mended.csv",
        format!("{SUBSCRIBERS}{}", subscriber(3, PLAN)),
    );
    site.ok(["ingest", "mended.csv"]);
    let books = billed(&site);
    assert_eq!(
        (&books["statements"], &books["sent"]),
        (&3.into(), &3.into())
    );
}

#[test]
fn malformed_addresses_are_dead_letters_that_show_no_address() {
    let site = Site::new(CONFIG);
    let rows = [
        "4,김하나,kim.at.example.com,010-0000-0004,PLN-043",
        "5,김두리,kim@,010-0000-0005,PLN-043",
        "6,김세찌,kim6@example.com,call me,PLN-043",
        "7,김네찌,kim7@example.com,010-12,PLN-043",
        "eight,김여덟,kim8@example.com,010-0000-0008,PLN-043",
        "-1,김아홉,kim9@example.com,010-0000-0009,PLN-043",
    ];
    site.file(
        "people.csv",
        format!("{}{}\n", subscribers(3), rows.join("\n")),
    );
    let ended = site.ok(["ingest", "people.csv"]);
    assert!(
        ended.stdout.contains("3 subscribers") && ended.stdout.contains("6 refused"),
        "{}",
        ended.stdout
    );
    assert_eq!(
        reasons(&site),
        BTreeMap::from([
            ("bad-email".to_owned(), 2),
            ("bad-phone".to_owned(), 2),
            ("malformed".to_owned(), 2)
        ])
    );
    let shown = site.ok(["dead-letters", "list"]).stdout + &ended.stdout + &ended.stderr;
    for personal in ["kim", "김", "call me", "010-12", "eight"] {
        assert!(!shown.contains(personal), "{personal} in {shown}");
    }
    assert_eq!(billed(&site)["sent"], 3);
}

#[test]
fn without_a_key_ring_it_says_how_to_make_one() {
    let site = Site::without_keys(CONFIG);
    site.file("people.csv", subscribers(1));
    for command in [
        &["ingest", "people.csv"][..],
        &["run", "--drain"],
        &["seed", "--users", "1", "--period", "2026-01", "--out", "x"],
    ] {
        let refused = site.run(command).expect(2);
        let line = refused.error_line();
        assert!(
            line.contains("keys.json") && line.contains("sealpost keys generate"),
            "{line}"
        );
    }
    assert!(!has_log(&site));
}

/// The key ring without the keys of some purposes.
fn ring_without(site: &Site, purposes: &[&str]) -> String {
    let mut ring: Value =
        serde_json::from_str(&fs::read_to_string(site.path("keys.json")).unwrap()).unwrap();
    ring["keys"]
        .as_array_mut()
        .unwrap()
        .retain(|key| !purposes.contains(&key["purpose"].as_str().unwrap()));
    ring.to_string()
}

#[test]
fn a_stage_whose_key_is_missing_is_refused_and_the_others_run() {
    let site = Site::new(CONFIG);
    site.file("people.csv", subscribers(3));
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", "2026-01"]);
    let whole = fs::read(site.path("keys.json")).unwrap();

    site.file("keys.json", ring_without(&site, &["destination"]));
    let refused = site.run(["run", "--drain"]).expect(2);
    let line = refused.error_line();
    assert!(
        line.contains("`destination`") && line.contains("keys rotate --purpose destination"),
        "{line}"
    );
    site.ok(["run", "--drain", "--stages", "settle,render"]);

    site.file("keys.json", r#"{"keys": []}"#);
    let refused = site.run(["run", "--drain", "--stages", "render"]).expect(2);
    assert!(refused.error_line().contains("`profile`"));
    site.ok(["run", "--drain", "--stages", "settle"]);
    assert_eq!(
        World::read(&site.data()).entries.len(),
        0,
        "nothing was sent"
    );

    site.file("keys.json", &whole);
    site.drain();
    assert_eq!(site.books("2026-01")["sent"], 3);
}

#[test]
fn a_wrong_key_ring_stops_the_run_sends_nothing_and_loses_nothing() {
    let site = Site::new(CONFIG);
    let other = Site::new(CONFIG);
    site.file("people.csv", subscribers(300));
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", "2026-01"]);
    let right = fs::read(site.path("keys.json")).unwrap();
    let wrong = fs::read(other.path("keys.json")).unwrap();

    // wrong from the begin: rendering cannot open a name
    site.file("keys.json", &wrong);
    let refused = site.run(["run", "--drain"]).expect(1);
    let line = refused.error_line();
    assert!(
        line.contains("use the key ring that the data was sealed with"),
        "{line}"
    );
    assert_eq!(
        World::read(&site.data()).entries.len(),
        0,
        "nothing was sent"
    );

    // wrong only where it is sent
    site.file("keys.json", &right);
    site.ok(["run", "--drain", "--stages", "settle,render"]);
    site.file("keys.json", &wrong);
    let refused = site.run(["run", "--drain"]).expect(1);
    let line = refused.error_line();
    assert!(
        line.contains("destination") && line.contains("key ring") && line.contains("keys.file"),
        "{line}"
    );
    assert_eq!(
        World::read(&site.data()).entries.len(),
        0,
        "nothing was sent"
    );

    site.file("keys.json", &right);
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(
        (&books["sent"], &books["failed"]),
        (&300.into(), &0.into()),
        "{books}"
    );
    let world = World::read(&site.data());
    assert!(
        world.of("accepted").all(|entry| entry.channel == "email"),
        "nobody moved on to another channel"
    );
}

#[test]
fn a_damaged_key_ring_is_told_without_its_keys() {
    let site = Site::new(CONFIG);
    let ring = fs::read_to_string(site.path("keys.json")).unwrap();
    site.file("people.csv", subscribers(1));
    for (damaged, told) in [
        (
            ring.replacen("\"primary\":true", "\"primary\":false", 1)
                .replacen("\"primary\": true", "\"primary\": false", 1),
            "primary",
        ),
        (ring[..ring.len() / 2].to_owned(), "key ring, line"),
        (
            ring.replacen("\"destination\"", "\"destinations\"", 1),
            "unknown purpose",
        ),
    ] {
        site.file("keys.json", &damaged);
        let refused = site.run(["ingest", "people.csv"]).expect(2);
        let line = refused.error_line();
        assert!(line.contains(told) && line.contains("keys.json"), "{line}");
        for key in ring.split('"').filter(|text| text.len() > 60) {
            assert!(!line.contains(&key[..20]), "a key is shown");
        }
    }
}

#[test]
fn two_runs_on_one_directory_are_refused_and_the_first_goes_on() {
    let port = free_port();
    let site = Site::new(&format!("{CONFIG}[http]\nlisten = \"127.0.0.1:{port}\"\n"));
    site.file("people.csv", subscribers(5));
    let mut first = site.spawn(["run"]);
    site.wait_until_ready(&mut first, port);
    let refused = site.run(["run", "--drain"]).expect(1);
    let line = refused.error_line();
    assert!(
        line.contains("data") && line.contains("in use by another") && line.contains("--data-dir"),
        "{line}"
    );
    // the commands reach the first one meanwhile
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", "2026-01"]);
    site.wait_until("the bills to be sent", || {
        site.books("2026-01")["sent"] == 5
    });
    first.terminate();
    first.ended().expect(0);
    World::read(&site.data()).assert_nobody_twice();
}

/// Makes a folder that even root cannot write in; `None` where that cannot be had.
fn read_only(folder: &Path) -> Option<ReadOnly> {
    fs::create_dir_all(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).unwrap();
    let way_out = ReadOnly(folder.to_path_buf());
    if fs::write(folder.join("probe"), "").is_err() {
        return Some(way_out);
    }
    let _ = fs::remove_file(folder.join("probe"));
    // root writes all the same, but not through an immutable flag
    let quiet = |arguments: &[&str]| {
        let status = Command::new("chattr")
            .args(arguments)
            .arg(folder)
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    (quiet(&["+i"]) && fs::write(folder.join("probe"), "").is_err()).then_some(way_out)
}

struct ReadOnly(std::path::PathBuf);

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("chattr")
            .arg("-i")
            .arg(&self.0)
            .stderr(Stdio::null())
            .status();
        let _ = fs::set_permissions(&self.0, fs::Permissions::from_mode(0o755));
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_told_by_name() {
    let site = Site::new(CONFIG);
    site.file("people.csv", subscribers(1));
    let Some(_locked) = read_only(&site.data()) else {
        tell(
            "NOT RUN: a read-only directory (this user writes everywhere, and chattr +i is not to be had)",
        );
        return;
    };
    for command in [
        &["ingest", "people.csv"][..],
        &["run", "--drain"],
        &["status"],
        &["close", "2026-01"],
    ] {
        let refused = site.run(command).expect(1);
        let line = refused.error_line();
        assert!(line.contains(site.data().to_str().unwrap()), "{line}");
        assert!(
            line.contains("--data-dir") || line.contains("permission") || line.contains("writable"),
            "no way out in: {line}"
        );
    }
}

#[test]
fn a_data_directory_that_cannot_be_made_is_told_by_name() {
    let site = Site::new(CONFIG);
    let file = site.file("taken", "a file");
    for place in [file.as_path(), Path::new("/proc/sealpost")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
        command
            .env_clear()
            .arg("--config")
            .arg(site.path("sealpost.toml"))
            .arg("--data-dir")
            .arg(place)
            .arg("status");
        let refused = site.start(&mut command).ended().expect(1);
        assert!(
            refused.error_line().contains(place.to_str().unwrap()),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn a_configuration_that_is_wrong_is_told_with_its_key() {
    for (config, told) in [
        ("[log]\npartitons = 4\n", "partitons"),
        ("[log]\npartitions = \"many\"\n", "partitions"),
        ("[log]\npartitions = 0\n", "log.partitions"),
        ("[policy]\nchannels = [\"fax\"]\n", "fax"),
        (
            "[policy]\nchannels = [\"email\", \"email\"]\n",
            "policy.channels",
        ),
        (
            "[channels.email]\nfailure_rate = 1.5\n",
            "channels.email.failure_rate",
        ),
        ("[channels.pigeon]\nlatency_ms = 1\n", "pigeon"),
        ("time_zone = \"Mars/Olympus\"\n", "time_zone"),
        ("[log\n", "sealpost.toml"),
    ] {
        let site = Site::without_keys(config);
        let refused = site.run(["status"]).expect(2);
        let line = refused.error_line();
        assert!(line.contains(told), "{told:?} is not in: {line}");
        assert!(
            line.contains("configuration")
                || line.contains("must")
                || line.contains("at most once")
                || line.contains("zone"),
            "{line}"
        );
        assert!(!site.data().exists(), "something was written");
    }
}

#[test]
fn a_setting_of_the_environment_goes_before_the_file() {
    let site = Site::new("[log]\npartitions = 3\n");
    let mut command = site.command(["status"]);
    command.env("SEALPOST__LOG__PARTITIONS", "0");
    let refused = site.start(&mut command).ended().expect(2);
    assert!(refused.error_line().contains("log.partitions"));
    let mut command = site.command(["policy", "show", "--json"]);
    command.env("SEALPOST__POLICY__CHANNELS", "[\"kakao\"]");
    let shown = site.start(&mut command).ended().expect(0);
    assert!(shown.stdout.contains("[\"kakao\"]"), "{}", shown.stdout);
}

#[test]
fn wrong_usage_ends_with_2() {
    let site = Site::new(CONFIG);
    for arguments in [
        &["fly"][..],
        &["close"],
        &["close", "2026-13"],
        &["run", "--stages", "fly"],
        &["ingest"],
        &["retry", "last month"],
        &["resolve", "2026-01", "--user", "-1", "--as", "sent"],
        &["policy", "set", "--channels", "fax"],
        &["policy", "set", "--channels", "email,email"],
    ] {
        let refused = site.run(arguments).expect(2);
        assert!(
            refused.stderr.starts_with("error: "),
            "{arguments:?}: {}",
            refused.stderr
        );
        assert_eq!(refused.stdout, "");
    }
    let refused = site.run(["ingest", "nowhere.csv"]).expect(2);
    assert!(
        refused.error_line().contains("nowhere.csv"),
        "{}",
        refused.stderr
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
    command
        .env_clear()
        .args(["--config", "nowhere.toml", "status"]);
    let refused = site.start(&mut command).ended().expect(2);
    assert!(
        refused.error_line().contains("nowhere.toml"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_log_of_other_partitions_is_told_with_the_way_out() {
    let site = Site::new("[log]\npartitions = 3\n");
    site.file("people.csv", subscribers(1));
    site.ok(["ingest", "people.csv"]);
    site.file("sealpost.toml", "[log]\npartitions = 4\n");
    let refused = site.run(["status"]);
    let line = refused.error_line();
    assert!(line.contains("log.partitions = 3"), "{line}");
    assert_ne!(refused.code(), 0);
}
