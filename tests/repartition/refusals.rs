//! What must be so before a move, and the line that says so when it is not.

use crate::deployment::Deployment;
use crate::site::Site;

#[track_caller]
fn refused(site: &Site, arguments: &[&str], word: &str) {
    let ended = site.run(arguments).expect(2);
    let line = ended.error_line();
    assert!(line.contains(word), "{line}");
}

const MOVE: [&str; 3] = ["repartition", "--partitions", "3"];

#[test]
fn the_embedded_log_keeps_its_partitions_and_says_what_to_do_instead() {
    let site = Site::without_keys("");
    refused(&site, &MOVE, "ingest into a new --data-dir");
}

#[test]
fn topics_that_are_not_there_cannot_move() {
    let Some(kafka) = Deployment::new("nothing", 2) else {
        return;
    };
    refused(&kafka.site, &MOVE, "check log.topic_prefix");
    refused(
        &kafka.site,
        &["repartition", "--finish"],
        "were not repartitioned",
    );
    refused(
        &kafka.site,
        &["repartition", "--resume"],
        "were not repartitioned",
    );
}

#[test]
fn what_is_not_settled_must_be_drained_first() {
    let Some(kafka) = Deployment::new("undrained", 2) else {
        return;
    };
    kafka.site.prepare(20);
    refused(&kafka.site, &MOVE, "run --stages settle,render --drain");
    kafka.drain_settle_and_render();
    kafka.site.ok(MOVE);
}

#[test]
fn nothing_moves_while_a_stage_runs() {
    let Some(kafka) = Deployment::new("running", 2) else {
        return;
    };
    let port = crate::site::free_port();
    kafka.site.prepare(20);
    kafka.drain_settle_and_render();
    let mut command = kafka.site.command(["run"]);
    command.env("SEALPOST__HTTP__LISTEN", format!("127.0.0.1:{port}"));
    let mut run = kafka.site.start(&mut command);
    kafka.site.wait_until_ready(&mut run, port);
    refused(&kafka.site, &MOVE, "stop every `sealpost run`");
    run.terminate();
    run.ended().expect(0);
}

#[test]
fn a_prefix_that_is_taken_is_refused() {
    let Some(kafka) = Deployment::new("taken", 2) else {
        return;
    };
    kafka.site.prepare(20);
    kafka.drain_settle_and_render();
    let own = kafka.prefix.clone();
    refused(
        &kafka.site,
        &["repartition", "--partitions", "3", "--to-prefix", &own],
        "another prefix",
    );
    let other = Deployment::new("other", 2).unwrap();
    other.site.prepare(1);
    refused(
        &kafka.site,
        &[
            "repartition",
            "--partitions",
            "3",
            "--to-prefix",
            &other.prefix,
        ],
        "name another --to-prefix",
    );
}

#[test]
fn topics_that_have_moved_are_used_by_no_command() {
    let Some(kafka) = Deployment::new("left", 2) else {
        return;
    };
    kafka.site.prepare(20);
    kafka.drain_settle_and_render();
    kafka.site.ok(MOVE);
    let word = format!(
        "log.topic_prefix = \"{}g1.\" and log.partitions = 3",
        kafka.prefix
    );
    for arguments in [
        &["run", "--drain"][..],
        &["status"],
        &["close", "2026-02"],
        &["retry", "2026-01"],
        &["ingest", "inputs"],
        &["repartition", "--partitions", "5"],
    ] {
        refused(&kafka.site, arguments, &word);
    }
    // and are not made anew once they are gone
    kafka.site.ok(["repartition", "--finish"]);
    refused(&kafka.site, &["status"], &word);
}
