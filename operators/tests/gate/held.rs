//! What an operator holds does not begin, and goes back to its route; what has begun ends.

use super::*;

impl Bench {
    fn holds_channel(&mut self, channel: Option<Channel>) -> &mut Self {
        let period = period("2026-01");
        let command = command("hold", Action::Hold(Hold { period, channel }));
        self.act(|gate, scope| gate.on_command(&command, scope).unwrap())
    }

    fn releases_channel(&mut self, channel: Option<Channel>) -> &mut Self {
        let period = period("2026-01");
        let command = command("release", Action::Release(Release { period, channel }));
        self.act(|gate, scope| gate.on_command(&command, scope).unwrap())
    }
}

#[test]
fn what_stands_in_line_goes_back_in_its_order_and_leaves_room_for_others() {
    let mut bench = Bench::new(Doubt::Nothing);
    for number in [3, 1, 2] {
        bench.reads(id(number));
    }
    let other = CallId {
        period: period("2026-02"),
        ..id(1)
    };
    bench.reads(other).passes(0).holds_channel(None);
    assert_eq!(bench.given_back, [3, 1, 2]);
    assert_eq!(bench.gate.unfinished(), 1);
    assert_eq!(bench.gate.low_watermark(), Some(3));
    assert_eq!(bench.gate.counts.returned, 3);
    // the permits that were asked for them are given back, but for the other period's
    bench.permits(4);
    assert_eq!((bench.calls, bench.returned), (1, 3));
}

#[test]
fn what_comes_while_it_is_held_goes_back_at_once_also_after_a_restart() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench.holds_channel(Some(Channel::Email)).reads(id(1));
    bench.restart().reads(id(2));
    let by_sms = CallId {
        channel: Channel::Sms,
        ..id(3)
    };
    bench.reads(by_sms);
    assert_eq!(bench.given_back, [1, 2]);
    assert_eq!(bench.gate.unfinished(), 1, "another channel goes on");
    bench.releases_channel(None).reads(id(1)).permits(1);
    bench.answers(id(1), ACCEPTED);
    assert_eq!(
        (bench.calls, &bench.outcomes[..]),
        (1, &[Outcome::Sent][..])
    );
}

#[test]
fn a_call_that_has_an_intent_is_carried_to_its_end() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench.reads(id(1)).reads(id(2)).permits(2);
    bench.answers(id(2), BUSY).holds_channel(None);
    assert!(bench.given_back.is_empty());
    bench.answers(id(1), ACCEPTED);
    // the other one was not accepted: its repeat is the same call
    bench.passes(10_000).permits(1).answers(id(2), ACCEPTED);
    assert_eq!(bench.calls, 3);
    assert_eq!(bench.outcomes, [Outcome::Sent, Outcome::Sent]);
}

#[test]
fn a_call_in_doubt_is_settled_although_it_is_held() {
    let mut bench = Bench::new(Doubt::Ask);
    bench.reads(id(1)).permits(1).holds_channel(None).restart();
    bench.next = 0;
    bench.reads(id(1)).passes(10_000);
    assert_eq!((bench.given_back.len(), bench.questions), (0, 1));
    bench.is_told_by_key(
        id(1),
        Word::Taken {
            provider_message_id: None,
        },
    );
    assert_eq!(bench.outcomes, [Outcome::Sent]);
}

#[test]
fn what_is_held_and_released_goes_once_however_often_it_is_read() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench.reads(id(1)).holds_channel(None);
    bench.is_told(id(1), Standing::Held);
    assert_eq!(bench.state(id(1)), State::Held);
    bench.releases_channel(None).reads(id(1)).permits(1);
    bench.answers(id(1), ACCEPTED);
    // read again from the begin, hold and all
    bench.restart();
    bench.next = 0;
    bench.holds_channel(None).reads(id(1));
    bench.is_told(id(1), Standing::Held);
    bench.releases_channel(None).reads(id(1)).permits(1);
    assert_eq!(bench.calls, 1);
    assert_eq!(bench.state(id(1)), State::Sent);
    assert!(
        bench
            .outcomes
            .iter()
            .all(|outcome| *outcome == Outcome::Sent)
    );
}
