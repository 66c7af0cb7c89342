//! The operator's API of a running pipeline: the commands of the command line, who gave them, and
//! what is refused.

use serde_json::{Value, json};

use crate::client::{Request, get, post};
use crate::plain::subscribers;
use crate::site::{Running, Site, free_port};

const ALICE: &str = "alice-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";

/// A deployment with a `run` that listens, and tokens for two.
fn running(more: &str) -> (Site, Running, u16) {
    let port = free_port();
    let site = Site::new(&format!(
        "operator = \"desk\"\n[windows]\nignore = true\n[http]\nlisten = \"127.0.0.1:{port}\"\ntoken_file = \"tokens\"\n{more}"
    ));
    site.file("tokens", format!("alice {ALICE}\nbob {BOB}\n"));
    let mut run = site.spawn(["run"]);
    site.wait_until_ready(&mut run, port);
    (site, run, port)
}

/// Waits until nothing of a period is on its way.
fn settle_down(site: &Site, port: u16, statements: u64) -> Value {
    let mut books = Value::Null;
    site.wait_until("the period to come to rest", || {
        books = get("/api/v1/status/2026-01").token(ALICE).send(port).ok();
        books["statements"] == statements && books["pending"] == 0 && books["sending"] == 0
    });
    books
}

#[test]
fn a_month_is_run_over_http_and_the_trail_says_who_did_what() {
    let users = 300;
    let (site, run, port) = running(
        "[channels.email]\nfailure_rate = 0.3\n[channels.sms]\nfailure_rate = 0.3\n[channels.kakao]\nfailure_rate = 0.3\n",
    );
    site.seed(users, &[]);
    site.ok(["ingest", "inputs"]);
    let alice = |request: Request| request.token(ALICE).send(port);

    alice(post("/api/v1/retry", &json!({ "period": "2026-01" }))).refused(409, "no statements");
    let policy = json!({ "channels": ["email", "sms"], "attempts": 2 });
    let set = alice(post("/api/v1/policy", &policy)).ok();
    let shown = alice(get("/api/v1/policy")).ok();
    assert_eq!(shown["channels"], json!(["email", "sms"]));
    assert_eq!(shown["attempts_per_channel"], 2);
    let closed = alice(post("/api/v1/close", &json!({ "period": "2026-01" }))).ok();

    let books = settle_down(&site, port, users);
    assert_eq!(
        books,
        site.json(["status", "2026-01"]),
        "one truth, two ways to it"
    );
    let failed = books["failed"].as_u64().unwrap();
    assert!(failed > 0, "{books}");
    let all = alice(get("/api/v1/status")).ok();
    assert_eq!(all, json!([books]));

    let retried = post("/api/v1/retry", &json!({ "period": "2026-01" }))
        .token(BOB)
        .send(port)
        .ok();
    assert_eq!(retried["failed"], failed);
    settle_down(&site, port, users);
    alice(post(
        "/api/v1/resolve",
        &json!({ "period": "2026-01", "user": 99_999_999, "as": "sent" }),
    ))
    .refused(409, "no send state");
    let requeued = alice(post("/api/v1/dead-letters/requeue", &json!({}))).ok();
    assert_eq!(requeued["requeued"], 0);
    assert_eq!(alice(get("/api/v1/dead-letters")).ok(), json!([]));
    site.ok(["policy", "set", "--channels", "email"]);

    let trail = alice(get("/api/v1/audit")).ok();
    let told: Vec<_> = trail
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert!(entry["at"].as_str().unwrap().starts_with("20"), "{entry}");
            (
                entry["by"].as_str().unwrap(),
                entry["command"].as_str().unwrap(),
                entry["command_id"].as_str().unwrap(),
            )
        })
        .collect();
    let id = |answer: &Value| answer["command_id"].as_str().unwrap().to_owned();
    assert_eq!(
        told.iter()
            .map(|(by, what, _)| (*by, *what))
            .collect::<Vec<_>>(),
        [
            ("alice", "policy set"),
            ("alice", "close"),
            ("bob", "retry"),
            ("alice", "dead-letters requeue"),
            ("desk", "policy set"),
        ]
    );
    assert_eq!(told[0].2, id(&set));
    assert_eq!(told[1].2, id(&closed));
    assert_eq!(told[2].2, id(&retried));
    assert_eq!(trail, site.json(["audit", "list"]));
    assert_eq!(
        trail[2]["details"],
        json!({ "period": "2026-01", "version": 1 })
    );

    // replayed, they are the same commands, and the trail has grown by the replay alone
    run.terminate();
    run.ended().expect(0);
    site.ok(["replay"]);
    site.drain();
    let again = site.json(["audit", "list"]);
    assert_eq!(again.as_array().unwrap().len(), told.len() + 1);
    assert_eq!(again[told.len()]["command"], "replay");
    assert_eq!(site.books("2026-01")["version"], 1);
}

#[test]
fn what_is_wrong_with_a_request_is_refused_with_the_reason() {
    let (_site, _run, port) = running("");
    let close = || post("/api/v1/close", &json!({ "period": "2026-01" }));
    let none = close().send(port);
    none.refused(401, "no token was sent");
    assert!(none.head.contains("www-authenticate: bearer"), "{none:?}");
    let wrong = close().token("alice-0123456789abcdeX").send(port);
    wrong.refused(401, "not known");
    close()
        .header("Authorization", &format!("Basic {ALICE}"))
        .send(port)
        .refused(401, "no bearer token");
    // who may not ask is not told what there is
    get("/api/v1/nothing").send(port).refused(401, "no token");

    let alice = |request: Request| request.token(ALICE).send(port);
    alice(get("/api/v1/nothing")).refused(404, "nothing at this path");
    get("/nothing")
        .send(port)
        .refused(404, "nothing at this path");
    let wrong_method = alice(get("/api/v1/close"));
    wrong_method.refused(405, "method");
    assert!(
        wrong_method.head.contains("allow: post"),
        "{wrong_method:?}"
    );
    alice(Request::new("DELETE", "/api/v1/policy")).refused(405, "method");
    alice(Request::new("POST", "/api/v1/close").body("{}")).refused(415, "JSON");
    alice(
        Request::new("POST", "/api/v1/close")
            .header("Content-Type", "text/plain")
            .body("{\"period\": \"2026-01\"}"),
    )
    .refused(415, "JSON");
    alice(post(
        "/api/v1/close",
        &json!({ "period": "2026-01", "note": "x".repeat(64 * 1024) }),
    ))
    .refused(413, "too large");
    // a length that is not told beforehand
    let chunk = format!("{{\"period\": \"{}\"}}", "x".repeat(70_000));
    alice(
        Request::new("POST", "/api/v1/close")
            .header("Content-Type", "application/json")
            .header("Transfer-Encoding", "chunked")
            .body(format!("{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len())),
    )
    .refused(413, "too large");
    alice(post(
        "/api/v1/close",
        &json!({ "period": "2026-01", "force": true }),
    ))
    .refused(400, "unknown field `force`");
    alice(post("/api/v1/close", &json!({}))).refused(400, "missing field `period`");
    alice(post("/api/v1/close", &json!({ "period": "January" }))).refused(400, "line 1");
    alice(post(
        "/api/v1/resolve",
        &json!({ "period": "2026-01", "user": 1, "as": "lost" }),
    ))
    .refused(400, "line 1");
    alice(post(
        "/api/v1/policy",
        &json!({ "channels": ["sms", "sms"] }),
    ))
    .refused(400, "at most once");
    alice(post("/api/v1/policy", &json!({ "channels": [] }))).refused(400, "at least one");
    alice(post(
        "/api/v1/dead-letters/requeue",
        &json!({ "reason": "nothing" }),
    ))
    .refused(400, "no such reason");
    alice(get("/api/v1/status/January")).refused(400, "period");
    alice(get("/api/v1/status/2026-01/users/kim")).refused(400, "user");
    alice(get("/api/v1/status?user=1")).refused(400, "unknown parameters");
    // none of it was done
    assert_eq!(alice(get("/api/v1/audit")).ok(), json!([]));
}

#[test]
fn on_loopback_without_a_token_this_machine_may_and_other_sites_may_not() {
    let port = free_port();
    let site = Site::new(&format!("[http]\nlisten = \"127.0.0.1:{port}\"\n"));
    let mut run = site.spawn(["run"]);
    site.wait_until_ready(&mut run, port);
    let policy = json!({ "channels": ["sms"] });
    post("/api/v1/policy", &policy).send(port).ok();
    post("/api/v1/policy", &policy)
        .header("Origin", "https://elsewhere.example")
        .send(port)
        .refused(403, "no other site");
    get("/api/v1/audit")
        .header("Host", "rebound.example")
        .send(port)
        .refused(403, "loopback host");
    let trail = get("/api/v1/audit").send(port).ok();
    assert_eq!(trail.as_array().unwrap().len(), 1);
    assert_eq!(trail[0]["by"], "loopback");
}

#[test]
fn for_others_without_a_token_it_is_off_and_the_rest_is_there() {
    let port = free_port();
    let site = Site::new(&format!("[http]\nlisten = \"0.0.0.0:{port}\"\n"));
    let mut run = site.spawn(["run"]);
    site.wait_until_ready(&mut run, port);
    get("/api/v1/status")
        .send(port)
        .refused(403, "the API is off");
    assert_eq!(get("/metrics").send(port).status, 200);
    assert_eq!(get("/healthz").send(port).status, 200);
}

#[test]
fn tokens_that_cannot_be_used_stop_the_run_before_it_listens() {
    let site = Site::new("[http]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"tokens\"\n");
    let refused = site.run(["run"]).expect(2);
    assert!(
        refused.error_line().contains("http.token_file"),
        "{}",
        refused.stderr
    );
    site.file("tokens", "alice short\n");
    let refused = site.run(["run"]).expect(2);
    assert!(
        refused.error_line().contains("at least 16"),
        "{}",
        refused.stderr
    );
}

#[test]
fn the_page_is_served_to_anybody_and_brings_nothing_from_elsewhere() {
    let (_site, run, port) = running("");
    let page = get("/").send(port);
    assert_eq!(page.status, 200);
    assert!(
        page.head.contains("content-type: text/html"),
        "{}",
        page.head
    );
    assert!(page.head.contains("default-src 'none'"), "{}", page.head);
    // every file that it names is there, of a type that the browser takes
    for (path, content_type) in [("page.js", "text/javascript"), ("page.css", "text/css")] {
        assert!(page.body.contains(path));
        let file = get(&format!("/{path}")).send(port);
        assert_eq!(file.status, 200);
        assert!(file.head.contains(content_type), "{}", file.head);
        assert!(!file.body.contains("://"), "{path} names another place");
    }
    assert!(!page.body.contains("://"));
    // and what it asks for is there
    for path in ["status", "dead-letters", "audit"] {
        get(&format!("/api/v1/{path}")).token(ALICE).send(port).ok();
        get(&format!("/api/v1/{path}"))
            .send(port)
            .refused(401, "no token");
    }
    run.terminate();
    run.ended().expect(0);
}

#[test]
fn addresses_are_suppressed_over_http_and_told_nowhere() {
    let users = 10;
    let (site, run, port) = running("[policy]\nchannels = [\"email\", \"sms\"]\n");
    site.file("people.csv", subscribers(users));
    site.ok(["ingest", "people.csv"]);
    let alice = |request: Request| request.token(ALICE).send(port);
    let add = |body: &Value| alice(post("/api/v1/suppressions/add", body));

    let addresses = json!([" person1@EXAMPLE.com", "person2@example.com"]);
    let done =
        add(&json!({ "channel": "email", "addresses": addresses, "reason": "opted-out" })).ok();
    assert_eq!(
        (&done["suppressed"], &done["already"]),
        (&json!(2), &json!(0))
    );
    let listed = alice(get("/api/v1/suppressions")).ok();
    assert_eq!(listed, site.json(["suppress", "list"]));
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["reason"], "opted-out");
    assert!(!listed.to_string().contains("person"), "{listed}");

    // a token is as good as its address
    let of_one = json!({ "channel": "email", "tokens": [listed[0]["token"]] });
    let remove = |body: &Value| alice(post("/api/v1/suppressions/remove", body));
    let mut with_reason = of_one.clone();
    with_reason["reason"] = json!("opted-out");
    remove(&with_reason).refused(400, "reason");
    assert_eq!(remove(&of_one).ok()["removed"], 1);

    for (wrong, why) in [
        (
            json!({ "channel": "email", "addresses": ["a@b.kr", "kim at home"] }),
            "address 2",
        ),
        (json!({ "channel": "email", "tokens": ["kim"] }), "token 1"),
        (json!({ "channel": "email" }), "neither"),
        (
            json!({ "channel": "email", "addresses": ["a@b.kr"], "reason": "kim" }),
            "not what is asked for",
        ),
    ] {
        let answer = add(&wrong);
        answer.refused(400, why);
        assert!(!answer.body.contains("kim"), "{answer:?}");
    }
    assert_eq!(
        alice(get("/api/v1/suppressions"))
            .ok()
            .as_array()
            .unwrap()
            .len(),
        1
    );

    alice(post("/api/v1/close", &json!({ "period": "2026-01" }))).ok();
    let books = settle_down(&site, port, users);
    assert_eq!(books["by_channel"]["email"]["sent"], users - 1, "{books}");
    assert_eq!(books["by_channel"]["sms"]["sent"], 1, "{books}");
    run.terminate();
    let ended = run.ended().expect(0);
    assert!(!ended.stderr.contains("person"), "{}", ended.stderr);
}
