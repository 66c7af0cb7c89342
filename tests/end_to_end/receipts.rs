//! What a provider says later of messages that it took without an answer.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::client::{Answer, Request};
use crate::site::{Running, Site, free_port};

const USERS: u64 = 12;
const SECRET: &str = "receipts-of-email-0123456789";
const OTHER_SECRET: &str = "receipts-of-sms-0123456789";

/// A provider that takes every message and answers nobody. The keys that it has.
fn mute_provider() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let keys = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&keys);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            if length > 0 && reader.read_exact(&mut body).is_ok() {
                let message: Value = serde_json::from_slice(&body).unwrap();
                let key = message["message_key"].as_str().unwrap().to_owned();
                taken.lock().unwrap().push(key);
            }
        }
    });
    (port, keys)
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn signature(secret: &str, at_s: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at_s}.{body}").as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn signed(channel: &str, secret: &str, at_s: i64, body: &Value) -> Request {
    let signature = signature(secret, at_s, &body.to_string());
    Request::new("POST", &format!("/receipts/{channel}"))
        .header("Sealpost-Timestamp", &at_s.to_string())
        .header("Sealpost-Signature", &signature)
        .json(body)
}

fn receipt(port: u16, body: &Value) -> Answer {
    signed("email", SECRET, now_s(), body).send(port)
}

fn settles(port: u16, body: &Value) -> String {
    let answer = receipt(port, body).ok();
    answer["result"].as_str().unwrap().to_owned()
}

fn start(site: &Site, port: u16) -> Running {
    let mut command = site.command(["run"]);
    command.env("RECEIPTS_OF_EMAIL", SECRET);
    let mut run = site.start(&mut command);
    site.wait_until_ready(&mut run, port);
    run
}

#[test]
fn receipts_settle_what_is_unknown_and_what_is_wrong_with_one_is_said() {
    let (provider, taken) = mute_provider();
    let port = free_port();
    let site = Site::new(&format!(
        "[windows]\nignore = true\n[policy]\nchannels = [\"email\"]\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
         [channels.email]\nprovider = \"http\"\nprovider_grace_ms = 100\nstart_within_ms = 500\n\
         [channels.email.http]\nurl = \"http://127.0.0.1:{provider}/send\"\n\
         [channels.email.receipts]\nsecret = \"${{RECEIPTS_OF_EMAIL}}\"\n\
         [channels.sms.receipts]\nsecret = \"{OTHER_SECRET}\"\n"
    ));
    site.prepare(USERS);
    let run = start(&site, port);
    site.wait_until("everything to be unknown", || {
        site.books("2026-01")["unknown"] == USERS
    });
    let keys: Vec<_> = taken.lock().unwrap().clone();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len() as u64, USERS);

    // refused, with the reason
    let body = json!({ "message_key": keys[0], "status": "delivered", "id": "provider-7" });
    Request::new("POST", "/receipts/email")
        .json(&body)
        .send(port)
        .refused(401, "not signed");
    signed("email", OTHER_SECRET, now_s(), &body)
        .send(port)
        .refused(401, "signature");
    let forged = json!({ "message_key": keys[1], "status": "delivered" });
    Request::new("POST", "/receipts/email")
        .header("Sealpost-Timestamp", &now_s().to_string())
        .header(
            "Sealpost-Signature",
            &signature(SECRET, now_s(), &body.to_string()),
        )
        .json(&forged)
        .send(port)
        .refused(401, "signature");
    signed("email", SECRET, now_s() - 301, &body)
        .send(port)
        .refused(401, "too far from now");
    signed("kakao", SECRET, now_s(), &body)
        .send(port)
        .refused(404, "no receipts are taken");
    receipt(
        port,
        &json!({ "message_key": keys[0], "status": "sent", "to": "kim@example.com" }),
    )
    .refused(400, "unknown field `to`");
    receipt(
        port,
        &json!({ "message_key": "kim@example.com", "status": "sent" }),
    )
    .refused(400, "message_key");
    receipt(
        port,
        &json!({ "message_key": keys[0], "status": "sent", "id": "kim@example.com" }),
    )
    .refused(400, "id");
    receipt(port, &json!({ "message_key": keys[0], "status": "read" })).refused(400, "line 1");
    receipt(
        port,
        &json!({ "message_key": keys[0], "status": "sent", "id": "x".repeat(70_000) }),
    )
    .refused(413, "too large");
    assert_eq!(site.books("2026-01")["unknown"], USERS);

    // taken once
    let first = signed("email", SECRET, now_s(), &body);
    assert_eq!(first.send(port).ok()["result"], "settles");
    first.send(port).refused(409, "taken before");
    let failed = json!({ "message_key": keys[1], "status": "failed" });
    assert_eq!(settles(port, &failed), "settles");
    site.wait_until("both to be settled", || {
        let books = site.books("2026-01");
        books["sent"] == 1 && books["failed"] == 1 && books["unknown"] == USERS - 2
    });
    let again = json!({ "message_key": keys[0], "status": "sent" });
    assert_eq!(settles(port, &again), "nothing-to-settle");
    let other = json!({ "message_key": keys[1], "status": "sent" });
    assert_eq!(settles(port, &other), "contradicts");
    let nobodys = json!({ "message_key": "0".repeat(64), "status": "sent" });
    assert_eq!(settles(port, &nobodys), "nothing-to-settle");
    // a channel's secret speaks for no other channel
    let elsewhere = json!({ "message_key": keys[2], "status": "sent" });
    let elsewhere = signed("sms", OTHER_SECRET, now_s(), &elsewhere)
        .send(port)
        .ok();
    assert_eq!(elsewhere["result"], "nothing-to-settle");

    // a new process finds the rest
    run.terminate();
    run.ended().expect(0);
    let _run = start(&site, port);
    for key in &keys[2..] {
        let body = json!({ "message_key": key, "status": "sent" });
        assert_eq!(settles(port, &body), "settles");
    }
    site.wait_until("everything to be settled", || {
        site.books("2026-01")["unknown"] == 0
    });
    let books = site.books("2026-01");
    assert_eq!(
        (&books["sent"], &books["failed"]),
        (&json!(USERS - 1), &json!(1))
    );
    assert_eq!(
        taken.lock().unwrap().len() as u64,
        USERS,
        "a receipt sends nothing"
    );
}

#[test]
fn each_provider_of_a_channel_speaks_for_what_it_was_given() {
    const OF_FALLBACK: &str = "receipts-of-the-second-0123456789";
    let (provider, taken) = mute_provider();
    let (port, nobody) = (free_port(), free_port());
    let site = Site::new(&format!(
        "[windows]\nignore = true\n[policy]\nchannels = [\"email\"]\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
         [channels.email]\nprovider = \"http\"\nbreaker_failures = 1\n\
         [channels.email.http]\nurl = \"http://127.0.0.1:{nobody}/send\"\n\
         [channels.email.receipts]\nsecret = \"{SECRET}\"\n\
         [channels.email.fallback]\nprovider = \"http\"\nprovider_grace_ms = 100\nstart_within_ms = 500\n\
         [channels.email.fallback.http]\nurl = \"http://127.0.0.1:{provider}/send\"\n\
         [channels.email.fallback.receipts]\nsecret = \"{OF_FALLBACK}\"\n"
    ));
    site.prepare(USERS);
    let _run = start(&site, port);
    site.wait_until("everything to be unknown with the second", || {
        site.books("2026-01")["unknown"] == USERS
    });
    let keys: Vec<_> = taken.lock().unwrap().clone();
    let say = |section: &str, secret: &str, key: &str, status: &str| {
        let body = json!({ "message_key": key, "status": status });
        signed(section, secret, now_s(), &body).send(port)
    };
    let result = |answer: Answer| answer.ok()["result"].as_str().unwrap().to_owned();
    // one secret does not open the other's door
    say("email.fallback", SECRET, &keys[0], "sent").refused(401, "signature");
    say("email", OF_FALLBACK, &keys[0], "sent").refused(401, "signature");
    say("sms.fallback", OF_FALLBACK, &keys[0], "sent").refused(404, "no receipts are taken");
    // the first was never given it: that it failed there is no news
    let first = say("email", SECRET, &keys[0], "failed");
    assert_eq!(result(first), "nothing-to-settle");
    let second = say("email.fallback", OF_FALLBACK, &keys[0], "failed");
    assert_eq!(result(second), "settles");
    for key in &keys[1..] {
        let answer = say("email.fallback", OF_FALLBACK, key, "delivered");
        assert_eq!(result(answer), "settles");
    }
    site.wait_until("everything to be settled", || {
        let books = site.books("2026-01");
        (&books["sent"], &books["failed"]) == (&json!(USERS - 1), &json!(1))
    });
    assert_eq!(taken.lock().unwrap().len() as u64, USERS);
}
