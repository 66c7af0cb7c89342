//! Templates from a directory: checked before anything is written, tried before they are sent, and
//! sent as they were when the period was closed.

use std::fs;

use serde_json::Value;

use crate::plain::{SUBSCRIBERS, subscribers};
use crate::site::Site;
use crate::world::World;

const CONFIG: &str = "[windows]\nignore = true\n[templates]\ndirectory = \"notices\"\n";

/// A deployment whose templates are its own: the built-in ones, to begin with.
fn own(config: &str) -> Site {
    let site = Site::new(&format!("{CONFIG}{config}"));
    let out = site.path("notices");
    site.ok(["template", "export", out.to_str().unwrap()]);
    site
}

fn settled(site: &Site, users: u64) {
    site.file("people.csv", subscribers(users));
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", "2026-01"]);
    site.ok(["run", "--stages", "settle", "--drain"]);
}

#[test]
fn a_directory_with_each_kind_of_fault_is_refused_with_file_and_line_before_anything_is_written() {
    let site = own("");
    let path = |name: &str| site.path("notices").join(name);
    for (name, text, place, problem) in [
        (
            "sms.ko.txt",
            Some(&b"{{ total }}\n{% if total %}\n{{ total\n"[..]),
            ":3: ",
            "",
        ),
        (
            "kakao.en.txt",
            Some(b"\n{{ totl }}"),
            ":2: ",
            "there is no `totl`",
        ),
        (
            "email.ko.txt",
            Some(b"{{ name }}"),
            ":1: ",
            "there is no `name`; there are masked_name",
        ),
        ("push.ko.txt", None, ": ", "is missing"),
        ("emial.ko.txt", Some(b"x"), ": ", "is of no channel"),
        (
            "email.en.subject",
            Some(b"{{ period }}\n{{ total }}"),
            ":1: ",
            "must give one line",
        ),
        (
            "email.ko.html",
            Some(b"<p>\n{% autoescape false %}{{ plan }}{% endautoescape %}"),
            ":2: ",
            "without escaping",
        ),
        (
            "email.en.html",
            Some(b"<p>\n{{ plan|safe }}"),
            ":2: ",
            "there is no such filter",
        ),
        ("push.en.txt", Some(b" \n"), ":1: ", "empty text"),
        (
            "sms.en.txt",
            Some("KRW\n{{ total_number }} ✅".as_bytes()),
            ":2: ",
            "which text messages do not have",
        ),
        (
            "kakao.ko.txt",
            Some("가".repeat(1_001).as_bytes()),
            ":1: ",
            "1001 characters",
        ),
        (
            "email.en.txt",
            Some(b"\n\n{% include '_footer' %}"),
            ":3: ",
            "the included template is not there",
        ),
        ("sms.ko.txt", Some(b"\xb0\xa1"), ":1: ", "is not UTF-8"),
        (
            "push.ko.subject",
            Some(b"\n\xef\xbb\xbf \xff"),
            ":2: ",
            "is not UTF-8",
        ),
        (
            "push.ko.subject",
            Some(b"\xef\xbb\xbfx"),
            ":1: ",
            "byte order mark",
        ),
        ("_limits", Some(b"sms = 5"), ": ", "this name is taken"),
        (
            "_long",
            Some(&[b'x'; 300_000]),
            "",
            "more than 262144 bytes together",
        ),
    ] {
        let before = fs::read(path(name)).ok();
        match text {
            Some(text) => fs::write(path(name), text).unwrap(),
            None => fs::remove_file(path(name)).unwrap(),
        }
        for command in [
            &["template", "check"][..],
            &["close", "2026-01"],
            &["run", "--drain"],
            &["template", "preview", "--sample"],
        ] {
            let refused = site.run(command).expect(2);
            let line = refused.error_line();
            let at = if place.is_empty() {
                "notices:".to_owned()
            } else {
                format!("notices/{name}{place}")
            };
            assert!(
                line.contains(&at) && line.contains(problem),
                "{at}{problem} is not in {line}"
            );
        }
        assert!(!site.data().exists(), "{name}");
        match before {
            Some(before) => fs::write(path(name), before).unwrap(),
            None => fs::remove_file(path(name)).unwrap(),
        }
    }
    site.ok(["template", "check"]);
    fs::remove_dir_all(site.path("notices")).unwrap();
    let refused = site.run(["template", "check"]).expect(2);
    assert!(
        refused.error_line().contains("notices cannot be read"),
        "{}",
        refused.stderr
    );
}

#[test]
fn an_exported_set_is_the_built_in_one_and_is_not_overwritten() {
    let site = own("");
    let built_in = Site::without_keys("").json(["template", "show"]);
    let shown = site.json(["template", "show"]);
    assert_eq!(shown["digest"], built_in["digest"]);
    assert_eq!(shown["files"], built_in["files"]);
    assert_eq!(
        shown["limits"]["sms"],
        serde_json::json!({ "size_max": 2_000, "unit": "bytes of EUC-KR" })
    );
    assert!(site.path("notices/README.md").exists());
    fs::write(site.path("notices/sms.ko.txt"), "{{ total }}").unwrap();
    let out = site.path("notices");
    site.run(["template", "export", out.to_str().unwrap()])
        .expect(2);
    assert_eq!(
        fs::read_to_string(site.path("notices/sms.ko.txt")).unwrap(),
        "{{ total }}"
    );
    assert_ne!(
        site.json(["template", "show"])["digest"],
        built_in["digest"]
    );
}

/// The digest of the message that a user was sent.
fn digest_sent(site: &Site, user: &str) -> Value {
    let status = site.json(["status", "2026-01", "--user", user]);
    status["kinds"][0]["calls"][0]["body_digest"].clone()
}

#[test]
fn what_is_sent_is_what_was_previewed_when_the_period_was_closed() {
    let site = own("[policy]\nchannels = [\"email\"]\n");
    fs::write(
        site.path("notices/email.ko.txt"),
        "{{ masked_name }} {{ total }}\n",
    )
    .unwrap();
    settled(&site, 3);
    let preview = |site: &Site| {
        site.json([
            "template",
            "preview",
            "2026-01",
            "--user",
            "2",
            "--channel",
            "email",
        ])
    };
    let first = preview(&site);
    let message = &first["messages"][0];
    assert_eq!(message["body"], "홍*2 33,000원", "{message}");
    assert!(
        message["html"]
            .as_str()
            .unwrap()
            .contains("pe*****@example.com"),
        "{message}"
    );
    assert_eq!(first["messages"].as_array().unwrap().len(), 1);

    // what is changed afterwards is previewed, and sent from the next close on
    fs::write(site.path("notices/email.ko.txt"), "{{ total }} !\n").unwrap();
    let second = preview(&site);
    assert_eq!(second["messages"][0]["body"], "33,000원 !");
    site.drain();
    assert_eq!(digest_sent(&site, "2"), message["body_digest"]);
    let status = site.json(["status", "2026-01", "--user", "2"]);
    assert_eq!(
        status["statement"]["template_digest"],
        first["template_digest"]
    );

    // sent again by what it was closed with, wherever it is read again
    site.ok(["replay"]);
    site.drain();
    World::read(&site.data()).assert_nobody_twice();
}

#[test]
fn a_preview_is_masked_and_needs_the_profile_keys_and_a_statement() {
    let site = Site::new("[windows]\nignore = true\n");
    settled(&site, 1);
    let shown = site
        .ok(["template", "preview", "2026-01", "--user", "1"])
        .stdout;
    for part in [
        "--- email ko",
        "--- sms ko",
        "--- kakao ko",
        "--- push ko",
        "subject: ",
        "html:",
        "홍*1",
        "010-****-0001",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(
        !shown.contains("홍길1") && !shown.contains("person1") && !shown.contains("0000-0001"),
        "{shown}"
    );
    let unknown = site
        .run(["template", "preview", "2026-01", "--user", "9"])
        .expect(1);
    assert!(
        unknown.error_line().contains("no statement"),
        "{}",
        unknown.stderr
    );
    let ring: Value = serde_json::from_slice(&fs::read(site.path("keys.json")).unwrap()).unwrap();
    let without: Vec<_> = ring["keys"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["purpose"] != "profile")
        .collect();
    site.file(
        "keys.json",
        serde_json::json!({ "keys": without }).to_string(),
    );
    let refused = site
        .run(["template", "preview", "2026-01", "--user", "1"])
        .expect(2);
    assert!(
        refused.error_line().contains("profile"),
        "{}",
        refused.stderr
    );
    // what is made up needs neither keys nor data
    let bare = Site::without_keys("");
    let sample = bare.json(["template", "preview", "--sample", "--locale", "en"]);
    assert_eq!(sample["messages"].as_array().unwrap().len(), 4);
    let text = bare
        .ok(["template", "preview", "--sample", "--channel", "sms"])
        .stdout;
    assert!(
        text.contains("--- sms ko, ") && text.contains("--- sms en, "),
        "{text}"
    );
    assert!(!bare.data().exists());
    bare.run(["template", "preview"]).expect(2);
    bare.run(["template", "preview", "--sample", "2026-01", "--user", "1"])
        .expect(2);
}

/// One of an ordinary name, and one whose masked name alone is most of a short message.
fn long_name() -> String {
    format!(
        "{SUBSCRIBERS}1,홍길동,a@example.com,010-0000-0001,PLN-043\n2,{},b@example.com,010-0000-0002,PLN-043\n",
        "홍".repeat(60)
    )
}

#[test]
fn a_message_that_is_too_long_for_a_channel_goes_by_the_next_and_is_never_cut() {
    let site = Site::new(
        "[windows]\nignore = true\n[policy]\nchannels = [\"sms\", \"kakao\"]\n[channels.sms]\nkind = \"sms\"\n",
    );
    site.file("people.csv", long_name());
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", "2026-01"]);
    site.drain();
    let world = World::read(&site.data());
    let mut called: Vec<_> = world
        .of("call")
        .map(|call| (call.user, call.channel.as_str()))
        .collect();
    called.sort_unstable();
    assert_eq!(called, [(1, "sms"), (2, "kakao")]);
    assert_eq!(site.books("2026-01")["sent"], 2);
    let preview = site.json(["template", "preview", "2026-01", "--user", "2"]);
    assert_eq!(preview["messages"][1]["reason"], "too-long", "{preview}");
    let refused = site
        .run([
            "template",
            "preview",
            "2026-01",
            "--user",
            "2",
            "--channel",
            "sms",
        ])
        .expect(1);
    assert!(
        refused.error_line().contains("the channel takes 90"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_message_that_no_channel_can_take_is_failed_and_a_limit_is_that_of_the_close() {
    let site = Site::new(
        "[windows]\nignore = true\n[policy]\nchannels = [\"sms\"]\n[channels.sms]\nsize_max = 90\n",
    );
    site.file("people.csv", long_name());
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", "2026-01"]);
    // another limit from here on is for what is closed from here on
    site.file(
        "sealpost.toml",
        "[windows]\nignore = true\n[policy]\nchannels = [\"sms\"]\n",
    );
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(
        (&books["sent"], &books["failed"]),
        (&1.into(), &1.into()),
        "{books}"
    );
    let status = site.json(["status", "2026-01", "--user", "2"]);
    assert_eq!(status["kinds"][0]["reason"], "too-long");
    assert!(
        site.ok(["status", "2026-01", "--user", "2"])
            .stdout
            .contains("is failed, version 0 (too-long)")
    );
    assert_eq!(World::read(&site.data()).count("call"), 1);
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    for (config, told) in [
        (
            "[channels.email]\nkind = \"sms\"\n",
            "kind is for sms alone",
        ),
        (
            "[channels.sms]\nkind = \"lms\"\nsize_max = 90\n",
            "leave one out",
        ),
        ("[channels.kakao]\nsize_max = 0\n", "from 1 to 100000"),
        ("[channels.sms]\nsize_max = 20\n", "bytes of EUC-KR"),
    ] {
        let refused = Site::without_keys(config)
            .run(["template", "check"])
            .expect(2);
        assert!(refused.error_line().contains(told), "{}", refused.stderr);
    }
}
