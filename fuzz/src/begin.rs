//! The inputs that a corpus is begun with: one of each kind, right in every way.

use sealpost_operators::render::TemplateSet;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{
    Action, Apply, Call, Command, Delivery, KindState, Outcome, Policy, PolicySet, Reason,
    Requeued, Resolution, Resolve, Retry, RouteNotice, SendState, Standing, State, Usage,
    UsageKind,
};
use sealpost_schemas::sealed::Purpose;
use sealpost_schemas::{
    Channel, Digest, Kind, MessageKey, Period, Timestamp, UserId, Version, codec,
};
use sealpost_simulator::tariff::Edition;
use sealpost_topology::batch::Batch;
use sealpost_topology::types::TimeMs;

/// The first inputs of a reader; none of one whose inputs are files of other programs.
#[must_use]
pub fn inputs(target: &str, ring: &KeyRing) -> Vec<Vec<u8>> {
    match target {
        "batch" => batches(),
        "canonical" => texts(&[
            "Kim.Chulsoo+a@Example.CO.KR",
            "010-1234-5678",
            "+82 10 1234 5678",
            "\"a b\"@x.org",
            "2026-01",
            "홍길동",
        ]),
        "catalog" => vec![
            Edition(0).text().into_bytes(),
            Edition(3).text().into_bytes(),
        ],
        "codec" => records(ring),
        "csv" => texts(&[
            "user_id,name,email,phone,plan,options,contract_start,contract_end,welfare,soldier_start,soldier_end,quiet_from,quiet_to,send_day,status\n7,김철수,kim@example.com,010-1234-5678,PLN-001,OPT-1;OPT-2,2025-01-01,,WLF-1,,,21,8,25,active\n8,\"Park, \"\"J\"\"\",,,PLN-002,,,,,,,,,,withdrawn\n",
            "event_id,user_id,occurred_at,kind,quantity\ne1,7,2026-01-05T12:00:00+09:00,data,1000\ne2,7,2026-01-05 12:00,voice,-5\ne3,x,,sms,\n",
            "channel,address\nemail,kim@example.com\nsms,010-1234-5678\nfax,\n",
        ]),
        "ndjson" => texts(&[
            "{\"user_id\": 7, \"name\": \"김철수\", \"email\": \"kim@example.com\", \"phone\": \"010-1234-5678\", \"plan\": \"PLN-001\"}\n{\"user_id\": \"8\", \"plan\": null}\n",
            "{\"event_id\": \"e1\", \"user_id\": 7, \"occurred_at\": \"2026-01-05T12:00:00Z\", \"kind\": \"data\", \"quantity\": 1000}\n{\"event_id\": 1, \"user_id\": -7, \"occurred_at\": 5, \"kind\": [], \"quantity\": 1e30}\n",
            "{\"channel\": \"push\", \"address\": \"a token\"}\n{\"channel\": \"kakao\", \"address\": 5}\n",
        ]),
        "http" => [200_u16, 409, 429, 503, 404, 500]
            .into_iter()
            .map(|status| {
                let mut input = status.to_le_bytes().to_vec();
                input.extend_from_slice(
                    b"Wed, 21 Oct 2026 07:28:00 GMT\n{\"id\": \"m-1\", \"more\": [1, {}]}",
                );
                input
            })
            .collect(),
        "key-ring" => vec![ring.to_json().as_bytes().to_vec()],
        "sealed" => Purpose::ALL
            .into_iter()
            .filter_map(|purpose| {
                let user = UserId::new(7).ok()?;
                let sealed = ring.seal(purpose, user, b"kim@example.com").ok()?;
                Some(sealed.as_bytes().to_vec())
            })
            .collect(),
        "templates" => (0_u8..)
            .zip(TemplateSet::built_in_sources().into_values())
            .map(|(which, text)| [&[which], text.as_bytes()].concat())
            .collect(),
        _ => Vec::new(),
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn batches() -> Vec<Vec<u8>> {
    let mut small = Batch::default();
    small.push(b"7", Some(b"value"));
    small.push(b"8", None);
    let mut large = Batch::default();
    for key in 0_u16..200 {
        large.push(&key.to_be_bytes(), Some(&[b'x'; 40]));
    }
    [small, large]
        .iter()
        .map(|batch| batch.encode(TimeMs(1_700_000_000_000)))
        .collect()
}

fn records(ring: &KeyRing) -> Vec<Vec<u8>> {
    let (Ok(user_id), Ok(period)) = (UserId::new(7), Period::new(2026, 1)) else {
        return Vec::new();
    };
    let at = Timestamp(1_769_904_000_000_000);
    let (version, channel, kind) = (Version(1), Channel::Sms, Kind::Bill);
    let message_key = MessageKey::new(period, user_id, kind, version, channel);
    let policy = Policy {
        channels: vec![Channel::Email, Channel::Sms],
        attempts_per_channel: 3,
    };
    let command = |action| Command {
        by: None,
        command_id: "c".to_owned(),
        issued_at: at,
        action,
    };
    let usage = Usage {
        user_id,
        event_id: "e1".to_owned(),
        occurred_at: at,
        kind: UsageKind::Data,
        quantity: 1_000,
    };
    let delivery = Delivery {
        user_id,
        period,
        kind,
        version,
        channel,
        message_key,
        outcome: Outcome::Unknown,
        reason: Some("timeout".to_owned()),
        attempts: 2,
        provider_message_id: None,
        updated_at: at,
    };
    let notice = RouteNotice {
        user_id,
        period,
        kind: Kind::Correction(2),
        version,
        standing: Standing::Held,
        held_until: Some(at),
        reason: None,
    };
    let call = Call {
        version,
        channel,
        first_intent_at: at,
        deadline_at: at,
        outcome: None,
        reason: None,
        attempts: 0,
        provider_message_id: None,
        body_digest: Digest::of(b"body"),
        updated_at: at,
        provider: sealpost_schemas::record::Rank::Fallback,
    };
    let state = SendState {
        user_id,
        period,
        kinds: vec![KindState {
            kind,
            state: State::Sending,
            version,
            held_until: None,
            reason: None,
            updated_at: at,
            calls: vec![call],
        }],
    };
    let letter = sealpost_schemas::record::DeadLetter {
        user_id,
        stage: "settle".to_owned(),
        source: "usage".to_owned(),
        partition: 0,
        position: 5,
        reason: Reason::Malformed,
        detail: "what".to_owned(),
        raw: ring.seal(Purpose::DeadLetterRaw, user_id, b"raw").ok(),
        raw_form: "row".to_owned(),
    };
    let requeued = Requeued {
        stage: "settle".to_owned(),
        source: "usage".to_owned(),
        partition: 0,
        position: 5,
        command_id: "c".to_owned(),
    };
    let set = PolicySet {
        policy: policy.clone(),
        apply: Apply::Unsent,
    };
    let resolve = Resolve {
        period,
        user_id,
        kind,
        resolution: Resolution::Sent,
    };
    let retry = Retry {
        period,
        version,
        policy,
    };
    [
        codec::encode(&usage),
        codec::encode(&delivery),
        codec::encode(&notice),
        codec::encode(&state),
        codec::encode(&letter),
        codec::encode(&requeued),
        codec::encode(&command(Action::PolicySet(set))),
        codec::encode(&command(Action::Resolve(resolve))),
        codec::encode(&command(Action::Retry(retry))),
    ]
    .into_iter()
    .flatten()
    .collect()
}
