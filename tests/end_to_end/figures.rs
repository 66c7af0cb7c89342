//! What a running pipeline shows of itself: figures that agree with the provider's ledger and with
//! the books, in the form that Prometheus wants; and readiness that tells the truth.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::client::get;
use crate::site::{Site, free_port};
use crate::tell;
use crate::world::World;

/// The text that Prometheus reads.
fn exposition(port: u16) -> String {
    let answer = get("/metrics").send(port);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Each series with its value.
fn series(text: &str) -> BTreeMap<String, f64> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// The sum of all series that begin so.
fn sum(series: &BTreeMap<String, f64>, begin: &str) -> u64 {
    let those = series.iter().filter(|(name, _)| name.starts_with(begin));
    those.map(|(_, value)| *value as u64).sum()
}

/// Prometheus' own opinion.
fn promtool(text: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert!(
            std::env::var_os("SEALPOST_REQUIRE_PROMTOOL").is_none(),
            "there is no promtool"
        );
        tell("NOT RUN: promtool check metrics (no promtool here)");
        return;
    };
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let said = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && words.is_empty(), "{words}");
}

#[test]
fn figures_agree_with_the_ledger_and_the_books() {
    let (port, users) = (free_port(), 400);
    let site = Site::new(&format!(
        "[windows]\nignore = true\n[http]\nlisten = \"127.0.0.1:{port}\"\n[channels.email]\nfailure_rate = 0.3\n\
         [channels.sms]\nfailure_rate = 0.3\n[channels.kakao]\nfailure_rate = 0.3\n"
    ));
    site.prepare(users);
    let mut run = site.spawn(["run"]);
    site.wait_until_ready(&mut run, port);
    let mut text = String::new();
    site.wait_until("every stage to have caught up", || {
        text = exposition(port);
        let now = series(&text);
        let at_rest = sum(&now, "sealpost_messages{state=\"sent\"}")
            + sum(&now, "sealpost_messages{state=\"failed\"}");
        let lags = now
            .keys()
            .any(|name| name.starts_with("sealpost_lag_records"));
        at_rest == users && lags && sum(&now, "sealpost_lag_records") == 0
    });
    let now = series(&text);
    let books = site.books("2026-01");
    let world = World::read(&site.data());
    let accepted = world.count("accepted") as u64;
    let called = world.count("call") as u64;
    assert!(books["failed"].as_u64().unwrap() > 0, "{books}");

    for state in [
        "pending",
        "held",
        "sending",
        "sent",
        "failed",
        "unknown",
        "suppressed",
    ] {
        let level = sum(&now, &format!("sealpost_messages{{state=\"{state}\"}}"));
        assert_eq!(books[state], level, "{state}: {books}");
    }
    assert_eq!(books["statements"], sum(&now, "sealpost_statements_total"));
    assert_eq!(
        sum(&now, "sealpost_calls_total{outcome=\"sent\"}"),
        accepted
    );
    assert_eq!(books["sent"], accepted);
    assert_eq!(
        sum(&now, "sealpost_calls_total{outcome=\"intent\"}"),
        called
    );
    assert_eq!(sum(&now, "sealpost_call_duration_seconds_count"), called);
    for (channel, of_channel) in books["by_channel"].as_object().unwrap() {
        let answers = |kind: &str| {
            let name = format!(
                "sealpost_call_answers_total{{channel=\"{channel}\",provider=\"primary\",answer=\"{kind}\"}}"
            );
            sum(&now, &name)
        };
        assert_eq!(of_channel["sent"], answers("accepted"), "{channel}");
        assert_eq!(of_channel["failed"], answers("refused"), "{channel}");
    }
    let opened = |stage: &str| {
        sum(
            &now,
            &format!("sealpost_decryptions_total{{stage=\"{stage}\""),
        )
    };
    assert_eq!(opened("settle"), 0);
    assert!(opened("render") > 0);
    assert_eq!(
        opened("send"),
        sum(
            &now,
            "sealpost_decryptions_total{stage=\"send\",purpose=\"destination/"
        ),
    );
    assert_eq!(opened("send"), called);
    for stage in ["settle", "render", "send"] {
        assert_eq!(
            sum(&now, &format!("sealpost_shards{{stage=\"{stage}\"}}")),
            8
        );
        let commits = format!("sealpost_commit_duration_seconds_count{{stage=\"{stage}\"}}");
        assert!(sum(&now, &commits) > 0, "{stage}");
    }
    assert_eq!(sum(&now, "sealpost_in_flight"), 0);
    promtool(&text);
}

#[test]
fn a_stop_under_load_is_told_at_once_and_ends_drained_or_cleanly_in_doubt() {
    let users = 120;
    // the calls on the line end within the grace; or they do not
    for (latency_ms, grace_ms) in [(2_500, 20_000), (2_500, 100)] {
        let port = free_port();
        let site = Site::new(&format!(
            "[windows]\nignore = true\n[run]\ngrace_ms = {grace_ms}\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
             [channels.email]\nlatency_ms = {latency_ms}\nmax_in_flight = 40\n"
        ));
        site.prepare(users);
        let mut run = site.spawn(["run"]);
        site.wait_until_ready(&mut run, port);
        site.wait_until("calls to be on the line", || World::bytes(&site.data()) > 0);
        run.terminate();
        if grace_ms > latency_ms {
            // a signal takes a moment to arrive
            site.wait_until("the stop to be told", || {
                get("/readyz").send(port).status == 503
            });
            let told = get("/readyz").send(port);
            assert_eq!(
                (told.status, told.body.trim()),
                (503, "not ready: it is stopping")
            );
            assert_eq!(get("/healthz").send(port).status, 200);
        }
        run.ended().expect(0);
        let books = site.books("2026-01");
        if grace_ms > latency_ms {
            assert_eq!(books["sending"], 0, "{books}");
            assert!(books["sent"].as_u64().unwrap() > 0, "{books}");
        } else {
            assert!(books["sending"].as_u64().unwrap() > 0, "{books}");
        }
        assert!(
            books["pending"].as_u64().unwrap() > 0,
            "it ran on to its end: {books}"
        );
        site.drain();
        let world = World::read(&site.data());
        assert!(world.acceptances().values().all(|times| *times == 1));
        assert_eq!(site.books("2026-01")["sent"], users);
    }
}

#[test]
fn logs_are_json_on_demand() {
    let site = Site::new("");
    let mut command = site.command(["retry", "2026-01"]);
    command
        .env("SEALPOST_LOG_FORMAT", "json")
        .env("SEALPOST_LOG", "trace");
    let ended = site.start(&mut command).ended().expect(1);
    let lines: Vec<serde_json::Value> = ended
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = lines.last().unwrap();
    assert_eq!(last["level"], "ERROR");
    assert!(
        last["message"].as_str().unwrap().contains("no statements"),
        "{last}"
    );
}
