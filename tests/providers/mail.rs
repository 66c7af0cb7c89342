//! Mail over SMTP to a real server: what arrives, what each kind of failure comes to, and the
//! whole pipeline.

use std::collections::BTreeSet;

use sealpost::config::ProviderSmtpConfig;
#[cfg(feature = "https")]
use sealpost::config::SmtpTls;
use sealpost::provider::http::secret::Secret;
use sealpost_operators::gate::Answer;

use crate::desk::{BODY, Desk, HTML, SUBJECT, address, id};
use crate::kit::Kit;
use crate::mail_server::MailServer;
use crate::site::{Site, free_port};
#[cfg(feature = "https")]
use crate::tls::certificate;

fn accepted() -> Answer {
    Answer::Accepted {
        provider_message_id: Some("Q-17".to_owned()),
    }
}

fn not_accepted(reason: &'static str) -> Answer {
    Answer::NotAccepted {
        reason,
        retry_after_ms: None,
    }
}

/// One call of a server with whom one thing always goes wrong: what it came to, and how many
/// mails it has.
fn one_call(fault: &str) -> Option<(Answer, usize)> {
    let server = MailServer::with_fault(fault)?;
    let answer = Desk::mail(server.settings()).call(7);
    Some((answer, server.mails().len()))
}

#[test]
fn a_mail_arrives_once_and_is_readable_in_both_parts() {
    let Some(server) = MailServer::start(&[]) else {
        return;
    };
    let desk = Desk::mail(ProviderSmtpConfig {
        reply_to: Some("answers@mail.example".to_owned()),
        message_id_domain: Some("ids.example".to_owned()),
        ..server.settings()
    });
    assert_eq!(desk.call(7), accepted());
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!(mail["envelope_from"], "bills@mail.example");
    assert_eq!(mail["envelope_to"], serde_json::json!([address(7)]));
    let key = id(7).message_key().to_string();
    for (name, value) in [
        ("from", "요금 안내 <bills@mail.example>"),
        ("reply-to", "answers@mail.example"),
        ("to", &address(7)),
        ("subject", SUBJECT),
        ("message-id", &format!("<{key}@ids.example>")),
        ("x-sealpost-message-key", &key),
        ("auto-submitted", "auto-generated"),
        ("date", "Sat, 31 Jan 2026 17:00:00 +0000"),
    ] {
        assert_eq!(mail["headers"][name], value, "{name}");
    }
    assert_eq!(mail["type"], "multipart/alternative");
    for (part, text) in [("plain", BODY), ("html", HTML)] {
        let part = &mail["parts"][part];
        assert_eq!(part["charset"], "utf-8");
        let read = part["text"].as_str().unwrap().replace("\r\n", "\n");
        assert_eq!(read.trim_end(), text.trim_end());
    }
}

#[test]
fn a_repeat_is_the_same_mail_to_the_byte() {
    let Some(server) = MailServer::start(&[]) else {
        return;
    };
    for _ in 0..2 {
        assert_eq!(Desk::mail(server.settings()).call(7), accepted());
    }
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0]["raw"], mails[1]["raw"]);
}

#[test]
fn each_reply_means_what_is_documented() {
    for (fault, expected, mails) in [
        ("recipient-4xx", not_accepted("smtp-recipient-4xx"), 0),
        ("recipient-5xx", Answer::Refused("smtp-recipient-550"), 0),
        ("message-4xx", not_accepted("smtp-message-4xx"), 0),
        ("message-5xx", Answer::Refused("smtp-message-5xx"), 0),
        (
            "sender-5xx",
            Answer::Misconfigured("smtp-sender-refused"),
            0,
        ),
    ] {
        let Some(came_to) = one_call(fault) else {
            return;
        };
        assert_eq!(came_to, (expected, mails), "{fault}");
    }
}

#[test]
fn a_line_that_breaks_before_the_message_is_not_accepted() {
    let Some((answer, mails)) = one_call("drop-at-data") else {
        return;
    };
    assert!(matches!(answer, Answer::NotAccepted { .. }), "{answer:?}");
    assert_eq!(mails, 0);
}

#[test]
fn a_line_that_breaks_when_the_final_dot_may_have_left_is_in_doubt() {
    // the server that hung up in the message has none; nobody on this side can know
    for (fault, taken) in [("drop-after-dot", 1), ("drop-in-message", 0)] {
        let Some((answer, mails)) = one_call(fault) else {
            return;
        };
        assert!(matches!(answer, Answer::NoAnswer(_)), "{fault}: {answer:?}");
        assert_eq!(mails, taken, "{fault}");
    }
}

#[test]
fn a_time_out_before_the_message_is_not_accepted() {
    let Some(server) = MailServer::with_fault("silence-at-data") else {
        return;
    };
    let desk = Desk::mail(ProviderSmtpConfig {
        timeout_ms: 700,
        ..server.settings()
    });
    assert_eq!(desk.call(7), not_accepted("timeout"));
}

#[test]
fn nobody_who_listens_is_not_accepted() {
    let settings = ProviderSmtpConfig::at("127.0.0.1", free_port(), "bills@mail.example");
    let answer = Desk::mail(settings).call(7);
    assert_eq!(answer, not_accepted("connection-refused"));
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_costs_nothing() {
    let Some(server) = MailServer::with_fault("close-after-mail") else {
        return;
    };
    let desk = Desk::mail(ProviderSmtpConfig {
        connections: 1,
        ..server.settings()
    });
    for answer in desk.calls(0..20) {
        assert_eq!(answer, accepted());
    }
    assert_eq!(server.mails().len(), 20);
}

#[test]
fn a_recipient_that_is_refused_leaves_the_connection_to_the_next() {
    let Some(server) = MailServer::start(&["--fault", "recipient-5xx", "--first", "1"]) else {
        return;
    };
    let desk = Desk::mail(ProviderSmtpConfig {
        connections: 1,
        ..server.settings()
    });
    assert_eq!(desk.call(1), Answer::Refused("smtp-recipient-550"));
    assert_eq!(desk.call(2), accepted());
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0]["envelope_to"], serde_json::json!([address(2)]));
}

#[test]
fn a_password_lets_in_and_a_wrong_one_parks_the_channel() {
    let Some(server) = MailServer::start(&["--password", "hush"]) else {
        return;
    };
    let with = |password: &str| {
        Desk::mail(ProviderSmtpConfig {
            username: Some(Secret::new("bills")),
            password: Some(Secret::new(password)),
            ..server.settings()
        })
    };
    assert_eq!(with("hush").call(1), accepted());
    let wrong = with("shush");
    for user in 2..5 {
        assert_eq!(wrong.call(user), Answer::Misconfigured("smtp-535"));
    }
    assert_eq!(wrong.parked(), Some("smtp-535"));
    // nobody signs in where none is asked to
    let anonymous = Desk::mail(server.settings());
    assert_eq!(anonymous.call(5), Answer::Misconfigured("smtp-530"));
    assert_eq!(server.mails().len(), 1);
}

#[cfg(feature = "https")]
#[test]
fn without_an_offer_of_encryption_nothing_is_sent() {
    let Some(server) = MailServer::start(&[]) else {
        return;
    };
    let desk = Desk::mail(ProviderSmtpConfig {
        tls: SmtpTls::StartTls,
        ..server.settings()
    });
    assert_eq!(desk.call(1), Answer::Misconfigured("smtp-starttls-missing"));
    assert_eq!(server.mails().len(), 0);
}

#[cfg(feature = "https")]
#[test]
fn an_encrypted_line_is_used_if_its_certificate_is_trusted_and_else_told_nothing() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    if !certificate(folder.path()) || !certificate(other.path()) {
        return;
    }
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let both = folder.path().join("both.pem");
    std::fs::write(&both, read("certificate.pem") + &read("key.pem")).unwrap();
    let both = both.to_str().unwrap();
    for (tls, more) in [
        (SmtpTls::StartTls, None),
        (SmtpTls::Wrapper, Some("--wrapper")),
    ] {
        let mut arguments = vec!["--certificate", both];
        arguments.extend(more);
        let Some(server) = MailServer::start(&arguments) else {
            return;
        };
        let call = |host: &str, trusted: &tempfile::TempDir| {
            let desk = Desk::mail(ProviderSmtpConfig {
                host: host.to_owned(),
                tls,
                ca_file: Some(trusted.path().join("certificate.pem")),
                ..server.settings()
            });
            desk.call(1)
        };
        assert_eq!(call("localhost", &folder), accepted(), "{tls:?}");
        assert_eq!(server.mails()[0]["encrypted"], true);
        for (host, trusted) in [("localhost", &other), ("127.0.0.1", &folder)] {
            let answer = call(host, trusted);
            assert_eq!(
                answer,
                Answer::Misconfigured("tls-failed"),
                "{tls:?} {host}"
            );
        }
        assert_eq!(server.mails().len(), 1);
    }
}

fn config(server: &MailServer, sms: &Kit) -> String {
    format!(
        "[windows]\nignore = true\n[channels.email]\nprovider = \"smtp\"\nbackoff_ms = 10\n\
         [channels.email.smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         from = \"요금 안내 <bills@mail.example>\"\nconnections = 8\n\
         [channels.sms]\nprovider = \"http\"\n[channels.sms.http]\nurl = \"{}\"\n",
        server.port,
        sms.url("/send")
    )
}

/// Sends a period by mail, and hands back its books and what no program may have told.
fn sent_by_mail(server: &MailServer, sms: &Kit, users: u64) -> serde_json::Value {
    let site = Site::new(&config(server, sms));
    site.prepare(users);
    let mut command = site.command(["run", "--drain"]);
    command.env("SEALPOST_LOG", "trace");
    site.start(&mut command).ended().expect(0);
    for file in std::fs::read_dir(site.path("said")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let told = text.lines().find(|line| line.contains('@'));
        assert_eq!(told, None, "an address was told");
    }
    site.books("2026-01")
}

#[test]
fn a_period_by_mail_reaches_everybody_once_past_passing_failures() {
    const USERS: u64 = 200;
    let Some(server) = MailServer::start(&["--fault", "recipient-4xx", "--first", "60"]) else {
        return;
    };
    let sms = Kit::start(&[]);
    let books = sent_by_mail(&server, &sms, USERS);
    assert_eq!(books["by_channel"]["email"]["sent"], USERS, "{books}");
    assert_eq!(sms.bytes(), 0, "something moved on to another channel");
    let mails = server.mails();
    assert_eq!(mails.len() as u64, USERS);
    let distinct = |of: &dyn Fn(&serde_json::Value) -> String| {
        mails.iter().map(of).collect::<BTreeSet<_>>().len() as u64
    };
    assert_eq!(
        distinct(&|it| it["headers"]["message-id"].to_string()),
        USERS
    );
    assert_eq!(distinct(&|it| it["envelope_to"].to_string()), USERS);
    let mut in_korean = 0;
    for mail in &mails {
        let read = |part: &str| mail["parts"][part]["text"].as_str().unwrap().to_owned();
        let says = |word: &str| read("plain").contains(word) && read("html").contains(word);
        let is_korean = says("청구");
        assert!(is_korean || says("bill"), "{}", read("plain"));
        in_korean += u64::from(is_korean);
    }
    assert!(in_korean > USERS / 2, "{in_korean} are in Korean");
}

#[test]
fn what_mail_leaves_in_doubt_is_unknown_and_moves_on_to_no_other_channel() {
    let Some(server) = MailServer::with_fault("drop-after-dot") else {
        return;
    };
    let sms = Kit::start(&[]);
    let books = sent_by_mail(&server, &sms, 30);
    assert_eq!(books["unknown"], 30, "{books}");
    assert_eq!(sms.bytes(), 0, "something moved on to another channel");
    assert_eq!(server.mails().len(), 30, "each was called once");
}
