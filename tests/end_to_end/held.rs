//! What an operator holds, and what a close puts off: nothing of it begins, whatever runs, and
//! once it may go everybody gets one.

use serde_json::{Value, json};

use crate::client::post;
use crate::plain::{SUBSCRIBERS, subscribers};
use crate::site::{Site, free_port};
use crate::world::World;

/// In each of two shards more than its window of unfinished dispatches, which is 1,024.
const MANY: u64 = 6_000;

fn calls(site: &Site, period: &str) -> usize {
    let world = World::read(&site.data());
    world
        .of("call")
        .filter(|call| call.period == period)
        .count()
}

#[test]
fn a_hold_in_mid_send_stops_it_and_a_release_sends_everybody_once() {
    let port = free_port();
    let in_flight = 40;
    let site = Site::new(&format!(
        "[windows]\nignore = true\n[policy]\nchannels = [\"email\"]\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
         [channels.email]\nlatency_ms = 50\nrate_per_second = 500\nmax_in_flight = {in_flight}\n"
    ));
    let users = 1_500;
    site.file("people.csv", subscribers(users));
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", "2026-01"]);
    let mut run = site.spawn(["run"]);
    site.wait_until_ready(&mut run, port);
    site.wait_until("calls to be made", || calls(&site, "2026-01") > 100);
    // said again, it is the same: on a machine that is busy the first answer may not wait for it
    site.wait_until("the hold to be in force", || {
        let hold = post("/api/v1/hold", &json!({ "period": "2026-01" }));
        hold.send(port).ok()["in_force"] == true
    });
    let answered = calls(&site, "2026-01");

    // what has an intent ends, and that is all
    let mut books = Value::Null;
    site.wait_until("the period to come to rest", || {
        books = site.books("2026-01");
        books["statements"] == users && books["pending"] == 0 && books["sending"] == 0
    });
    let stopped = calls(&site, "2026-01");
    assert!(
        stopped <= answered + in_flight,
        "{answered} calls when it was answered, and {stopped} in the end"
    );
    assert_eq!(books["sent"], stopped, "{books}");
    assert_eq!(books["held"], users - stopped as u64, "{books}");
    assert_eq!(books["holds"], json!(["email", "sms", "kakao", "push"]));
    assert_eq!(books["held_until"], Value::Null);

    // another period goes by the same channel, through the same shards
    site.ok(["close", "2026-02"]);
    site.wait_until("the other period to be sent", || {
        site.books("2026-02")["sent"] == users
    });
    assert_eq!(calls(&site, "2026-01"), stopped, "it has not moved");
    assert_eq!(site.books("2026-01"), books);

    let answer = site.json(["release", "2026-01"]);
    assert_eq!(answer["holds"], json!([]));
    site.wait_until("everybody to be sent", || {
        site.books("2026-01")["sent"] == users
    });
    let world = World::read(&site.data());
    world.assert_nobody_twice();
    assert_eq!(world.count("call") as u64, 2 * users);
    run.terminate();
    run.ended().expect(0);
}

/// A deployment where most have an address of e-mail, and the last have only a phone; all that was
/// rendered, and nothing sent.
fn rendered(by_phone: u64) -> Site {
    let site = Site::new(
        "[windows]\nignore = true\n[policy]\nchannels = [\"email\", \"sms\"]\n[log]\npartitions = 2\n",
    );
    let mut people = subscribers(MANY);
    for user in MANY + 1..=MANY + by_phone {
        people.push_str(&format!(
            "{user},홍길동,,010-0001-{:04},PLN-043\n",
            user - MANY
        ));
    }
    assert!(people.starts_with(SUBSCRIBERS));
    site.file("people.csv", people);
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", "2026-01"]);
    site.ok(["run", "--drain", "--stages", "settle,render"]);
    site
}

#[test]
fn a_held_channel_leaves_others_their_way_and_a_drain_its_end_also_after_a_restart() {
    let by_phone = 50;
    let site = rendered(by_phone);
    let answer = site.json(["hold", "2026-01", "--channel", "email"]);
    assert_eq!(answer["in_force"], false, "nobody runs: {answer}");
    assert_eq!(answer["holds"], json!(["email"]));
    // everything was rendered before: send gives back more than it may have unfinished
    for _ in 0..2 {
        site.drain();
        let books = site.books("2026-01");
        assert_eq!(
            (&books["held"], &books["sent"]),
            (&MANY.into(), &by_phone.into()),
            "{books}"
        );
    }
    assert!(
        World::read(&site.data())
            .of("call")
            .all(|call| call.channel == "sms")
    );
    let text = site.ok(["status", "2026-01"]).stdout;
    assert!(text.contains("on hold until `release`: email"), "{text}");
    let one = site.json(["status", "2026-01", "--user", "1"]);
    assert_eq!(one["kinds"][0]["state"], "held", "{one}");
    assert_eq!(one["kinds"][0]["reason"], "hold", "{one}");

    // a release of another channel is none; read again from the begin, it is held all the same
    site.ok(["release", "2026-01", "--channel", "sms"]);
    site.ok(["replay"]);
    site.drain();
    assert_eq!(site.books("2026-01")["held"], MANY);
    site.ok(["release", "2026-01"]);
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(books["sent"], MANY + by_phone, "{books}");
    let world = World::read(&site.data());
    world.assert_nobody_twice();
    let by_mail = world.of("call").filter(|call| call.channel == "email");
    assert_eq!(by_mail.count() as u64, MANY, "nobody went another way");
    let trail = site.json(["audit", "list"]);
    assert_eq!(trail[1]["command"], "hold");
    assert_eq!(
        trail[1]["details"],
        json!({ "period": "2026-01", "channel": "email" })
    );
}

#[test]
fn nothing_goes_before_the_time_that_a_close_names_and_a_later_close_moves_it() {
    let users = 40;
    let site = Site::new("[windows]\nignore = true\n");
    site.file("people.csv", subscribers(users));
    site.ok(["ingest", "people.csv"]);
    for wrong in ["tomorrow", "2026-13-01"] {
        let refused = site
            .run(["close", "2026-01", "--not-before", wrong])
            .expect(2);
        assert!(refused.error_line().contains("2026-02-10T09:00"));
    }
    let answer = site.json(["close", "2026-01", "--not-before", "2199-03-01T09:30"]);
    assert_eq!(answer["not_before"], "2199-03-01T00:30:00Z");
    for _ in 0..2 {
        site.drain();
        let books = site.books("2026-01");
        assert_eq!(books["held"], users, "{books}");
        assert_eq!(books["held_until"], "2199-03-01T00:30:00Z");
        assert_eq!(
            books["held_by_hour"],
            json!({ "2199-03-01T09:00+09:00": users })
        );
    }
    let text = site.ok(["status", "2026-01"]).stdout;
    assert!(text.contains("from 2199-03-01T09:00+09:00"), "{text}");
    assert_eq!(calls(&site, "2026-01"), 0);
    site.ok(["close", "2026-01"]);
    site.drain();
    assert_eq!(calls(&site, "2026-01"), 0, "a close that names none");
    site.ok(["close", "2026-01", "--not-before", "2020-01-01"]);
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(books["sent"], users, "{books}");
    assert_eq!(books["held_by_hour"], json!({}));
    World::read(&site.data()).assert_nobody_twice();
}

#[test]
fn quiet_hours_of_the_system_that_cannot_be_kept_are_refused() {
    for (windows, why) in [
        (
            "quiet_from = 8\nquiet_to = 8",
            "a whole day cannot be quiet",
        ),
        ("quiet_from = 8", "go together"),
        ("quiet_from = 8\nquiet_to = 24", "from 0 to 23"),
    ] {
        let site = Site::without_keys(&format!("[windows]\n{windows}\n"));
        let refused = site.run(["topology"]).expect(2);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    let site = Site::without_keys("[windows]\nquiet_from = 21\nquiet_to = 8\n");
    site.ok(["topology"]);
}

#[test]
fn what_is_held_over_http_is_checked_as_on_the_command_line() {
    let port = free_port();
    let site = Site::new(&format!("[http]\nlisten = \"127.0.0.1:{port}\"\n"));
    let mut run = site.spawn(["run"]);
    site.wait_until_ready(&mut run, port);
    let said = |path: &str, body: &Value| post(path, body).send(port);
    let held = said(
        "/api/v1/hold",
        &json!({ "period": "2026-01", "channel": "kakao" }),
    )
    .ok();
    assert_eq!(held["holds"], json!(["kakao"]));
    let released = said("/api/v1/release", &json!({ "period": "2026-01" })).ok();
    assert_eq!(released["holds"], json!([]));
    said(
        "/api/v1/hold",
        &json!({ "period": "2026-01", "chanel": "sms" }),
    )
    .refused(400, "unknown field");
    said(
        "/api/v1/hold",
        &json!({ "period": "2026-01", "channel": "fax" }),
    )
    .refused(400, "body");
    let close = json!({ "period": "2026-01", "not_before": "soon" });
    said("/api/v1/close", &close).refused(400, "not_before");
    let close = json!({ "period": "2026-01", "not_before": "2199-02-10" });
    let closed = said("/api/v1/close", &close).ok();
    assert_eq!(closed["not_before"], "2199-02-09T15:00:00Z");
    let trail = site.json(["audit", "list"]);
    let told: Vec<_> = trail.as_array().unwrap().iter().collect();
    let what: Vec<_> = told.iter().map(|entry| &entry["command"]).collect();
    assert_eq!(what, ["hold", "release", "close"]);
    assert_eq!(told[2]["details"]["not_before"], "2199-02-09T15:00:00Z");
    run.terminate();
    run.ended().expect(0);
}
