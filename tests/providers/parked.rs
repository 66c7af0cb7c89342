//! A channel that is set up wrongly: nothing is lost, nothing moves on to another, and once it is
//! set right everything goes.

use sealpost_providerkit::check::{Totals, twice};

use crate::kit::Kit;
use crate::site::{Site, free_port, http_get};

const USERS: u64 = 200;

fn config(email: &Kit, sms: &Kit, port: u16) -> String {
    let mut text = format!("[windows]\nignore = true\n[http]\nlisten = \"127.0.0.1:{port}\"\n");
    for (channel, kit) in [("email", email), ("sms", sms)] {
        let url = kit.url("/send");
        text.push_str(&format!(
            "[channels.{channel}]\nprovider = \"http\"\n[channels.{channel}.http]\nurl = \"{url}\"\n"
        ));
    }
    text
}

#[test]
fn a_channel_that_is_set_up_wrongly_is_parked_until_it_is_set_right() {
    let (wrong, right) = (Kit::with_faults("misconfigured=1"), Kit::start(&[]));
    let sms = Kit::start(&[]);
    let port = free_port();
    let site = Site::new(&config(&wrong, &sms, port));
    site.prepare(USERS);

    let mut run = site.spawn(["run"]);
    site.wait_until("readiness to fail because of the channel", || {
        assert!(!run.has_ended(), "it has ended: {}", run.said());
        run.said().contains("set up wrongly")
            && http_get(port, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 503"))
    });
    run.terminate();
    run.ended().expect(0);
    let books = site.books("2026-01");
    assert_eq!(books["pending"], USERS, "{books}");
    assert_eq!(sms.bytes(), 0, "something moved on to another channel");

    site.file("sealpost.toml", config(&right, &sms, port));
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(books["sent"], USERS, "{books}");
    assert_eq!(sms.bytes(), 0);
    let lines = right.lines();
    assert_eq!(Totals::of(&lines).accepted, USERS);
    assert!(twice(&lines, str::to_owned).is_empty());
}
