//! What a registry can do wrong, and what is wrong about how it is reached: one clear line, the
//! exit code of the contract, no record refused for it.

use std::net::TcpListener;

use crate::foreign::{VARIANT, variant};
use crate::site::{Ended, Site};
use crate::stub::{Mood, Stub};
use crate::{billed, config, dead_letters, log, peopled, plain, without_registry};

const PASSWORD: &str = "SEALPOST__SCHEMA_REGISTRY__PASSWORD";
const TIMEOUT: &str = "SEALPOST__SCHEMA_REGISTRY__TIMEOUT_MS";

/// Ingests one subscriber with settings from the environment.
fn ingest(site: &Site, settings: &[(&str, &str)]) -> Ended {
    site.file("people.csv", plain::subscribers(1));
    let mut command = site.command(["ingest", "people.csv"]);
    command.envs(settings.iter().copied());
    site.start(&mut command).ended()
}

/// Whether anything was written.
fn has_log(site: &Site) -> bool {
    site.data().join("log").exists()
}

#[test]
fn a_registry_that_is_not_there_is_a_failure_that_names_it() {
    // taken and let go: nobody listens
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let site = Site::new(&config(&url, "a.", ""));
    let failed = ingest(&site, &[(TIMEOUT, "200")]).expect(1);
    let line = failed.stderr.lines().last().unwrap();
    assert!(
        line.starts_with("error: ") && line.contains(&url) && line.contains("is it running"),
        "{line}"
    );
    assert!(!has_log(&site));
}

#[test]
fn a_registry_that_never_answers_does_not_hang_us() {
    // connections are taken by the kernel and never read
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let site = Site::new(&config(&url, "a.", ""));
    let failed = ingest(&site, &[(TIMEOUT, "300")]).expect(1);
    assert!(
        failed.stderr.contains("has not answered"),
        "{}",
        failed.stderr
    );
}

#[test]
fn failures_that_pass_are_waited_out() {
    for status in [500, 503, 429] {
        let stub = Stub::start(Mood::Fails { status, times: 3 });
        let site = Site::new(&config(&stub.url(), "a.", ""));
        ingest(&site, &[]).expect(0);
        assert!(has_log(&site));
    }
}

#[test]
fn a_failure_that_does_not_pass_ends_it_in_one_line() {
    let (status, times) = (503, usize::MAX);
    let stub = Stub::start(Mood::Fails { status, times });
    let site = Site::new(&config(&stub.url(), "a.", ""));
    let failed = ingest(&site, &[(TIMEOUT, "200"), ("SEALPOST_LOG", "error")]).expect(1);
    let line = failed.error_line();
    assert!(
        line.contains("503") && line.contains("try again later"),
        "{line}"
    );
}

#[test]
fn wrong_credentials_are_a_matter_of_configuration_and_are_not_repeated() {
    let stub = Stub::start(Mood::Wants("Basic bobody".to_owned()));
    let site = Site::new(&config(&stub.url(), "a.", "username = \"alice\"\n"));
    let refused = ingest(&site, &[(PASSWORD, "correct-horse")]).expect(2);
    let line = refused.error_line();
    assert!(
        line.contains("does not let us") && line.contains("schema_registry.username"),
        "{line}"
    );
    for secret in ["correct-horse", "YWxpY2U6"] {
        assert!(!refused.stderr.contains(secret), "{}", refused.stderr);
    }
    // asked once: the same password is not tried again and again
    assert_eq!(stub.questions().len(), 1);
}

#[test]
fn a_password_from_the_environment_is_taken_as_it_is_written() {
    // alice:007, and not alice:7
    let stub = Stub::start(Mood::Wants("Basic YWxpY2U6MDA3".to_owned()));
    let site = Site::new(&config(&stub.url(), "a.", "username = \"alice\"\n"));
    ingest(&site, &[(PASSWORD, "007")]).expect(0);
    let site = Site::new(&config(
        &stub.url(),
        "b.",
        "username = \"alice\"\npassword = \"007\"\n",
    ));
    ingest(&site, &[]).expect(0);
}

#[test]
fn no_error_about_the_configuration_repeats_a_password() {
    for setting in [
        "username = \"a\"\npassword = 8675309\n",
        "username = \"a\"\npassword = 86753.09\n",
        "username = \"a\"\npassword = [\"8675309\"]\n",
        "password = \"8675309\"\n",
        "username = \"a\"\npassword = \"8675309\"\nnonsense = 1\n",
    ] {
        let site = Site::without_keys(&config("http://127.0.0.1:1", "a.", setting));
        let refused = site.run(["status"]).expect(2);
        assert!(!refused.stderr.contains("86753"), "{}", refused.stderr);
    }
    let site = Site::without_keys(&config("http://alice:8675309@127.0.0.1:1", "a.", ""));
    let refused = site.run(["status"]).expect(2);
    let line = refused.error_line();
    assert!(
        !line.contains("8675309") && line.contains(PASSWORD),
        "{line}"
    );
}

#[test]
fn an_address_that_cannot_be_one_is_refused() {
    for url in [
        "",
        "registry:8081",
        "ftp://registry",
        "http://",
        "http://a b",
    ] {
        let site = Site::without_keys(&config(url, "a.", ""));
        let refused = site.run(["status"]).expect(2);
        let line = refused.error_line();
        assert!(line.contains("schema_registry.url"), "{url}: {line}");
    }
}

#[test]
fn another_server_at_the_address_is_told_as_such() {
    let stub = Stub::start(Mood::Stranger);
    let site = Site::new(&config(&stub.url(), "a.", ""));
    let refused = ingest(&site, &[]).expect(2);
    let line = refused.error_line();
    assert!(
        line.contains("does not answer as a schema registry does") && line.contains(&stub.url()),
        "{line}"
    );
    assert!(!has_log(&site));
}

#[test]
fn a_registry_that_is_down_when_a_schema_is_needed_stops_the_stage_and_refuses_nothing() {
    for status in [503, 403, 404] {
        let stub = Stub::start(Mood::Fine);
        stub.put(7, VARIANT);
        let site = peopled(&config(&stub.url(), "a.", ""), 3);
        log::append(&site.data(), "a.usage", "1", &variant(7));

        // the 404 is a proxy's, not the registry's own: it has another code
        stub.be(Mood::HidesForeign { status });
        let mut command = site.command(["run", "--drain"]);
        command.env(TIMEOUT, "200").env("SEALPOST_LOG", "error");
        let stopped = site.start(&mut command).ended().expect(1);
        let line = stopped.error_line();
        assert!(line.contains("id 7 could not be had"), "{line}");

        stub.be(Mood::Fine);
        let books = billed(&site, 3);
        assert_eq!(books["total_won"], 3 * 33_000 + 500);
        assert_eq!(books["dead_letters"], 0);
    }
}

#[test]
fn noise_does_not_become_a_question_for_every_record() {
    let stub = Stub::start(Mood::Fine);
    let site = peopled(&config(&stub.url(), "a.", ""), 1);
    for _ in 0..20 {
        log::append(&site.data(), "a.usage", "1", &variant(7));
    }
    site.drain();
    assert_eq!(dead_letters(&site).len(), 20);
    let asked = |question: &&String| *question == "GET /schemas/ids/7";
    assert_eq!(stub.questions().iter().filter(asked).count(), 1);
}

#[test]
fn without_the_section_nothing_is_asked_and_values_are_in_single_object_encoding() {
    let site = peopled(&without_registry("a."), 2);
    billed(&site, 2);
    for topic in ["subscribers", "control", "statements", "send-state"] {
        for value in log::values(&site.data(), &format!("a.{topic}")) {
            assert_eq!(value[..2], [0xC3, 0x01], "{topic}");
        }
    }
}
