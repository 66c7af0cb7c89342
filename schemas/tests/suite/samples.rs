//! One full record of each type, with every optional field there, and every enum's every word.

use std::collections::BTreeMap;

use sealpost_schemas::record::*;
use sealpost_schemas::{
    Channel, Digest, Kind, MessageKey, Period, Sealed, Timestamp, UserId, Version, Won,
};

pub(crate) fn user() -> UserId {
    UserId::new(1_000_007).unwrap()
}

pub(crate) fn period() -> Period {
    Period::new(2026, 1).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(1_767_225_600_000_000 + seconds * 1_000_000 + 123_456)
}

fn sealed(byte: u8) -> Sealed {
    Sealed::from_bytes([1, 0, 0, 0, 1, byte, byte, byte])
}

fn key(version: u16, channel: Channel) -> MessageKey {
    MessageKey::new(period(), user(), Kind::Bill, Version(version), channel)
}

fn contacts() -> Contacts {
    let destination = |channel: Channel| Destination {
        channel,
        address: sealed(0x10 + channel as u8),
        token: Digest::of(channel.name().as_bytes()),
    };
    Contacts {
        name: Some(sealed(0x01)),
        masked_email: Some(sealed(0x02)),
        masked_phone: Some(sealed(0x03)),
        destinations: Channel::ALL.into_iter().map(destination).collect(),
    }
}

const WINDOWS: Windows = Windows {
    quiet_from: Some(21),
    quiet_to: Some(8),
    send_day: Some(31),
};

pub(crate) fn usage() -> Usage {
    Usage {
        user_id: user(),
        event_id: "evt-2026-01-000001".to_owned(),
        occurred_at: at(0),
        kind: UsageKind::Content,
        quantity: Usage::QUANTITY_MAX,
    }
}

pub(crate) fn subscriber() -> Subscriber {
    Subscriber {
        user_id: user(),
        status: SubscriberStatus::Withdrawn,
        plan: "PLN-043".to_owned(),
        options: vec!["OPT-01".to_owned(), "OPT-07".to_owned()],
        contract: Interval {
            start: Some(Day(20_454)),
            end: Some(Day(21_184)),
        },
        welfare: Some("WLF-03".to_owned()),
        soldier: Interval {
            start: Some(Day(-1)),
            end: None,
        },
        windows: WINDOWS,
        locale: Locale::En,
        contacts: contacts(),
    }
}

pub(crate) const LINE_KINDS: [LineKind; 10] = [
    LineKind::Plan,
    LineKind::DataOverage,
    LineKind::Option,
    LineKind::Content,
    LineKind::ContractDiscount,
    LineKind::SoldierDiscount,
    LineKind::WelfareDiscount,
    LineKind::Adjustment,
    LineKind::BroughtForward,
    LineKind::CarriedForward,
];

pub(crate) fn statement() -> Statement {
    let line = |kind: LineKind| Line {
        kind,
        code: Some(format!("C-{}", kind as u8)),
        name: Some("5G 슬림+".to_owned()),
        source_period: Some(Period::new(2025, 12).unwrap()),
        amount_won: Won(i64::from(kind as u8) * -1_000),
    };
    Statement {
        user_id: user(),
        period: period(),
        plan: "PLN-043".to_owned(),
        plan_name: "5G 슬림+".to_owned(),
        lines: LINE_KINDS.into_iter().map(line).collect(),
        total_won: Won(13_013),
        usage: UsageTotals {
            data_bytes: 2_300_000_000,
            voice_seconds: 61,
            sms_messages: 2,
            content_won: 4_900,
        },
        catalog_digest: Digest::of(b"catalogue"),
        template_digest: Digest::of(b"templates"),
        locale: Locale::Ko,
        windows: WINDOWS,
        contacts: contacts(),
    }
}

pub(crate) fn dispatch() -> Dispatch {
    let (subject, body, html) = (
        "1월 요금 안내",
        "홍*동 님, 13,013원입니다.",
        "<p>13,013원</p>",
    );
    Dispatch {
        user_id: user(),
        period: period(),
        kind: Kind::Correction(2),
        version: Version(1),
        channel: Channel::Email,
        message_key: key(1, Channel::Email),
        attempts_max: 3,
        destination: sealed(0x10),
        subject: Some(subject.to_owned()),
        body: body.to_owned(),
        html: Some(html.to_owned()),
        body_digest: Dispatch::digest_of(Some(subject), body, Some(html)),
    }
}

pub(crate) fn route_notice() -> RouteNotice {
    RouteNotice {
        user_id: user(),
        period: period(),
        kind: Kind::Bill,
        version: Version(0),
        standing: Standing::Suppressed,
        held_until: Some(at(3_600)),
        reason: Some("quiet-hours".to_owned()),
    }
}

pub(crate) fn delivery() -> Delivery {
    Delivery {
        user_id: user(),
        period: period(),
        kind: Kind::Bill,
        version: Version(u16::MAX),
        channel: Channel::Push,
        message_key: key(u16::MAX, Channel::Push),
        outcome: Outcome::Unknown,
        reason: Some("timeout".to_owned()),
        attempts: 3,
        provider_message_id: Some("m-1".to_owned()),
        updated_at: at(2),
    }
}

pub(crate) fn send_state() -> SendState {
    let call = |version: u16, channel: Channel, outcome: Option<Outcome>| Call {
        version: Version(version),
        channel,
        first_intent_at: at(1),
        deadline_at: at(31),
        outcome,
        reason: Some("timeout".to_owned()),
        attempts: 2,
        provider_message_id: Some("m-1".to_owned()),
        body_digest: Digest::of(b"body"),
        updated_at: at(3),
        provider: Rank::Primary,
    };
    let calls = vec![
        call(0, Channel::Email, Some(Outcome::Failed)),
        Call {
            provider: Rank::Fallback,
            ..call(0, Channel::Sms, Some(Outcome::Unknown))
        },
        call(1, Channel::Kakao, Some(Outcome::Sent)),
    ];
    let kind_state = |kind: Kind, state: State| KindState {
        kind,
        state,
        version: Version(1),
        held_until: Some(at(60)),
        reason: Some("quiet-hours".to_owned()),
        updated_at: at(4),
        calls: calls.clone(),
    };
    SendState {
        user_id: user(),
        period: period(),
        kinds: vec![
            kind_state(Kind::Bill, State::Sent),
            kind_state(Kind::Correction(u16::MAX), State::Unknown),
        ],
    }
}

pub(crate) fn returned() -> Returned {
    Returned {
        user_id: user(),
        period: period(),
        kind: Kind::Correction(3),
        version: Version(2),
        channel: Channel::Kakao,
    }
}

fn policy() -> Policy {
    Policy {
        channels: vec![Channel::Kakao, Channel::Email],
        attempts_per_channel: 3,
    }
}

fn addresses() -> Vec<AddressToken> {
    let token = |channel, text: &str| AddressToken {
        channel,
        token: Digest::of(text.as_bytes()),
    };
    vec![token(Channel::Sms, "one"), token(Channel::Email, "two")]
}

/// Every action of a command.
pub(crate) fn actions() -> [Action; 11] {
    let text = |text: &str| text.to_owned();
    [
        Action::Close(Close {
            period: period(),
            usage_end: 123,
            subscribers_end: 45,
            catalog_digest: Digest::of(b"catalogue"),
            catalog: text("[[plan]]\ncode = \"PLN-043\"\n"),
            template_digest: Digest::of(b"templates"),
            templates: BTreeMap::from([(text("ko/email.html"), text("{{ name }} 님"))]),
            policy: policy(),
            time_zone: text("Asia/Seoul"),
            not_before: Some(at(3_600)),
        }),
        Action::PolicySet(PolicySet {
            policy: policy(),
            apply: Apply::Unsent,
        }),
        Action::Retry(Retry {
            period: period(),
            version: Version(1),
            policy: policy(),
        }),
        Action::Resolve(Resolve {
            period: period(),
            user_id: user(),
            kind: Kind::Bill,
            resolution: Resolution::Failed,
        }),
        Action::Suppress(Suppress {
            reason: SuppressionReason::OptedOut,
            addresses: addresses(),
        }),
        Action::Unsuppress(Unsuppress {
            addresses: addresses(),
        }),
        Action::Requeue(Requeue {
            reason: Some(text("unknown-plan")),
        }),
        Action::Replay(Replay {
            stages: vec![text("render"), text("send")],
        }),
        Action::Hold(Hold {
            period: period(),
            channel: Some(Channel::Sms),
        }),
        Action::Release(Release {
            period: period(),
            channel: Some(Channel::Kakao),
        }),
        Action::Correct(Correct {
            period: period(),
            kind: Kind::Correction(2),
            version: Version(1),
            template_digest: Digest::of(b"other templates"),
            templates: BTreeMap::from([(text("sms.ko.txt"), text("{{ name }} 님, 정정"))]),
            policy: policy(),
        }),
    ]
}

pub(crate) fn command_of(action: Action) -> Command {
    Command {
        command_id: "cmd-0001".to_owned(),
        issued_at: at(9),
        action,
        by: Some("operator@billing-1".to_owned()),
    }
}

pub(crate) fn command() -> Command {
    let [close, ..] = actions();
    command_of(close)
}

pub(crate) fn dead_letter() -> DeadLetter {
    DeadLetter {
        user_id: UserId::UNREADABLE,
        stage: "ingest".to_owned(),
        source: "usage.csv".to_owned(),
        partition: 0,
        position: 17,
        reason: Reason::BadEmail,
        detail: "email: must have exactly one @".to_owned(),
        raw: Some(sealed(0x20)),
        raw_form: "row".to_owned(),
    }
}

pub(crate) fn requeued() -> Requeued {
    Requeued {
        stage: "ingest".to_owned(),
        source: "usage.csv".to_owned(),
        partition: 0,
        position: 17,
        command_id: "cmd-0002".to_owned(),
    }
}
