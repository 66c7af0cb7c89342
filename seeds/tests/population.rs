//! What a population promises, through its public seams.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::{HashMap, HashSet};

use jiff::tz::{Offset, TimeZone};
use sealpost_schemas::record::{Day, Interval, Locale, SubscriberStatus, Usage, UsageKind};
use sealpost_schemas::{Period, Timestamp};
use sealpost_seeds::{
    Audience, Entitles, Offer, PlainSubscriber, PlanShare, Population, PopulationError, Seed,
    Settings, WelfareShare,
};

fn offer() -> Offer {
    let plan = |code: &str, audience, median_bytes| PlanShare {
        code: code.to_owned(),
        weight: 10,
        audience,
        median_bytes,
    };
    Offer {
        plans: vec![
            plan("BIG", Audience::Everybody, 12_000_000_000),
            plan("SMALL", Audience::Everybody, 1_500_000_000),
            plan("YOUNG", Audience::Young, 20_000_000_000),
            plan("SOLDIER", Audience::Soldier, 5_000_000_000),
            plan("SENIOR", Audience::Senior, 800_000_000),
            plan("GLOBAL", Audience::Foreigner, 9_000_000_000),
        ],
        options: ["O1", "O2", "O3", "O4", "O5", "O6"]
            .map(str::to_owned)
            .to_vec(),
        welfare: vec![
            WelfareShare {
                code: "W1".to_owned(),
                per_mille: 250,
                entitles: Entitles::Nothing,
            },
            WelfareShare {
                code: "W2".to_owned(),
                per_mille: 40,
                entitles: Entitles::WelfarePlans,
            },
        ],
    }
}

fn january() -> Period {
    Period::new(2026, 1).unwrap()
}

fn population(users: u64) -> Population {
    Population::new(Seed(42), users, january(), Settings::new(offer())).unwrap()
}

/// How many of a thousand.
fn per_mille(people: &[PlainSubscriber], holds: impl Fn(&PlainSubscriber) -> bool) -> usize {
    people.iter().filter(|person| holds(person)).count() * 1000 / people.len()
}

#[test]
fn a_population_is_the_beginning_of_any_larger_one() {
    let (small, large) = (population(100), population(1_000));
    let beginning: Vec<_> = large.subscribers().take(100).collect();
    assert!(small.subscribers().eq(beginning));
    for index in 0..100 {
        assert!(small.usage(index).eq(large.usage(index)), "{index}");
    }
}

#[test]
fn a_user_can_be_made_without_those_before() {
    let people = population(500);
    assert_eq!(
        people.subscribers().nth(321).unwrap(),
        people.subscriber(321)
    );
    assert_eq!(people.subscriber(321).user_id, people.user_id(321));
}

#[test]
fn another_seed_makes_other_people() {
    let other = Population::new(Seed(43), 100, january(), Settings::new(offer())).unwrap();
    let same = population(100)
        .subscribers()
        .zip(other.subscribers())
        .filter(|(one, two)| one.name == two.name || one.phone == two.phone)
        .count();
    assert!(same < 20, "{same}");
}

#[test]
fn nobody_shares_an_address() {
    let people = population(50_000);
    let mut seen = HashSet::new();
    for person in people.subscribers() {
        assert!(seen.insert(person.email), "{}", person.user_id);
        assert!(seen.insert(person.phone), "{}", person.user_id);
        assert!(
            person.push_token.is_none_or(|token| seen.insert(token)),
            "{}",
            person.user_id
        );
    }
}

#[test]
fn nobody_can_be_reached_by_accident() {
    for person in population(20_000).subscribers() {
        let domain = person.email.split_once('@').unwrap().1;
        assert!(
            ["example.com", "example.net", "example.org"]
                .iter()
                .any(|reserved| domain == *reserved || domain.ends_with(&format!(".{reserved}"))),
            "{domain}"
        );
        let parts: Vec<&str> = person.phone.split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [3, 4, 4]
        );
        assert_eq!(parts[0], "010");
        assert!(parts[1] < "2000", "an assigned number");
        assert!(parts.concat().bytes().all(|byte| byte.is_ascii_digit()));
    }
}

#[test]
fn people_are_spread_as_they_are_in_life() {
    let people: Vec<_> = population(20_000).subscribers().collect();
    let (first, last) = Day::of_period(january());
    let given = |interval: &Interval| interval.start.is_some() || interval.end.is_some();
    let covers = |interval: &Interval| {
        given(interval)
            && interval.start.is_none_or(|start| start <= first)
            && interval.end.is_none_or(|end| end >= last)
    };
    let begins = |interval: &Interval| interval.start.is_some_and(|day| first < day && day <= last);
    let ends = |interval: &Interval| interval.end.is_some_and(|day| first <= day && day < last);
    let shares = [
        (
            "contract over the period",
            per_mille(&people, |one| covers(&one.contract)),
            570..630,
        ),
        (
            "contract begins inside",
            per_mille(&people, |one| begins(&one.contract)),
            40..60,
        ),
        (
            "contract ends inside",
            per_mille(&people, |one| ends(&one.contract)),
            40..60,
        ),
        (
            "contract over",
            per_mille(&people, |one| {
                one.contract.end.is_some_and(|end| end < first)
            }),
            115..145,
        ),
        (
            "open contract",
            per_mille(&people, |one| {
                given(&one.contract) && one.contract.end.is_none()
            }),
            125..155,
        ),
        (
            "soldiers",
            per_mille(&people, |one| one.soldier.overlaps(january())),
            20..40,
        ),
        (
            "past soldiers",
            per_mille(&people, |one| {
                one.soldier.end.is_some_and(|end| end < first)
            }),
            8..30,
        ),
        (
            "ordinary class",
            per_mille(&people, |one| one.welfare.as_deref() == Some("W1")),
            230..270,
        ),
        (
            "welfare",
            per_mille(&people, |one| one.welfare.as_deref() == Some("W2")),
            30..50,
        ),
        (
            "quiet hours",
            per_mille(&people, |one| one.windows.quiet_from.is_some()),
            180..220,
        ),
        (
            "quiet across midnight",
            per_mille(&people, |one| one.windows.quiet_from > one.windows.quiet_to),
            80..160,
        ),
        (
            "send day",
            per_mille(&people, |one| one.windows.send_day.is_some()),
            280..320,
        ),
        (
            "send day 29 to 31",
            per_mille(&people, |one| one.windows.send_day >= Some(29)),
            30..80,
        ),
        (
            "English",
            per_mille(&people, |one| one.locale == Locale::En),
            12..28,
        ),
        (
            "no options",
            per_mille(&people, |one| one.options.is_empty()),
            400..600,
        ),
        (
            "four options",
            per_mille(&people, |one| one.options.len() == 4),
            5..60,
        ),
        (
            "application",
            per_mille(&people, |one| one.push_token.is_some()),
            230..270,
        ),
        (
            "withdrawn",
            per_mille(&people, |one| one.status == SubscriberStatus::Withdrawn),
            0..1,
        ),
    ];
    for (what, share, expected) in shares {
        assert!(expected.contains(&share), "{what}: {share} per mille");
    }
}

#[test]
fn soldiers_mostly_have_plans_for_the_young() {
    let people: Vec<_> = population(50_000).subscribers().collect();
    let soldiers: Vec<_> = people
        .into_iter()
        .filter(|one| one.soldier.overlaps(january()))
        .collect();
    assert!(
        per_mille(&soldiers, |one| one.plan == "YOUNG"
            || one.plan == "SOLDIER")
            > 600
    );
}

#[test]
fn windows_intervals_and_options_are_in_their_ranges() {
    for person in population(20_000).subscribers() {
        let windows = person.windows;
        assert_eq!(windows.quiet_from.is_some(), windows.quiet_to.is_some());
        assert!(windows.quiet_from.is_none_or(|hour| hour < 24));
        assert!(windows.quiet_to.is_none_or(|hour| hour < 24));
        assert!(windows.send_day.is_none_or(|day| (1..=31).contains(&day)));
        for interval in [person.contract, person.soldier] {
            assert!(
                interval
                    .end
                    .is_none_or(|end| interval.start.is_some_and(|start| start <= end))
            );
        }
        assert!(person.options.len() <= 4);
        assert!(person.options.is_sorted_by(|one, two| one < two));
    }
}

#[test]
fn as_many_have_withdrawn_as_were_asked_for() {
    let settings = Settings {
        withdrawn_per_mille: 100,
        ..Settings::new(offer())
    };
    let people = Population::new(Seed(1), 10_000, january(), settings).unwrap();
    let people: Vec<_> = people.subscribers().collect();
    let share = per_mille(&people, |one| one.status == SubscriberStatus::Withdrawn);
    assert!((80..120).contains(&share), "{share}");
}

#[test]
fn an_even_number_of_users_has_exactly_the_average_of_events() {
    for events_per_user in [0, 1, 10, 33] {
        let settings = Settings {
            events_per_user,
            ..Settings::new(offer())
        };
        let people = Population::new(Seed(5), 1_000, january(), settings).unwrap();
        let counts: Vec<usize> = (0..1_000).map(|index| people.usage(index).len()).collect();
        assert_eq!(
            counts.iter().sum::<usize>(),
            1_000 * usize::from(events_per_user)
        );
        if events_per_user == 10 {
            assert!(counts.contains(&0) && counts.contains(&20) && counts.contains(&9));
        }
        assert_eq!(people.usage(0).count(), counts[0]);
    }
}

#[test]
fn usage_lies_in_the_period_of_the_zone() {
    let zones = [
        TimeZone::fixed(Offset::constant(9)),
        TimeZone::UTC,
        TimeZone::fixed(Offset::constant(-8)),
    ];
    for time_zone in zones {
        let settings = Settings {
            time_zone: time_zone.clone(),
            ..Settings::new(offer())
        };
        let people = Population::new(Seed(6), 2_000, january(), settings).unwrap();
        let mut days = HashSet::new();
        for event in (0..2_000).flat_map(|index| people.usage(index)) {
            let instant = jiff::Timestamp::from_microsecond(event.occurred_at.0).unwrap();
            let local = time_zone.to_datetime(instant);
            assert_eq!((local.year(), local.month()), (2026, 1));
            days.insert(local.day());
        }
        assert_eq!(days.len(), 31);
    }
}

#[test]
fn events_have_their_own_ids_and_quantities_in_range() {
    let people = population(5_000);
    let mut ids = HashSet::new();
    let mut kinds: HashMap<UsageKind, usize> = HashMap::new();
    for event in (0..5_000).flat_map(|index| people.usage(index)) {
        assert!((1..=Usage::EVENT_ID_BYTES_MAX).contains(&event.event_id.len()));
        assert!((0..=Usage::QUANTITY_MAX).contains(&event.quantity));
        if event.kind == UsageKind::Content {
            assert!((1..=20_000).contains(&event.quantity));
        }
        *kinds.entry(event.kind).or_default() += 1;
        assert!(ids.insert(event.event_id));
    }
    assert_eq!(ids.len(), 50_000);
    assert_eq!(kinds.len(), UsageKind::ALL.len());
    assert!(kinds[&UsageKind::Data] > 28_000);
    assert!((1_000..4_000).contains(&kinds[&UsageKind::Content]));
}

#[test]
fn who_has_a_small_plan_uses_less_data_and_a_few_use_very_much() {
    let people = population(10_000);
    let mut bytes: HashMap<String, Vec<i64>> = HashMap::new();
    for index in 0..10_000 {
        let used = people
            .usage(index)
            .filter(|event| event.kind == UsageKind::Data)
            .map(|event| event.quantity)
            .sum();
        bytes
            .entry(people.subscriber(index).plan)
            .or_default()
            .push(used);
    }
    let mut median = |plan: &str| {
        let used = bytes.get_mut(plan).unwrap();
        used.sort_unstable();
        (used[used.len() / 2], used[used.len() * 99 / 100])
    };
    let (small, small_tail) = median("SMALL");
    let (big, _) = median("BIG");
    assert!((750_000_000..3_000_000_000).contains(&small), "{small}");
    assert!((6_000_000_000..24_000_000_000).contains(&big), "{big}");
    assert!(small_tail > 4 * small, "{small_tail}");
}

#[test]
fn tripwire_users_carry_tokens_that_nobody_else_has() {
    let settings = Settings {
        tripwires: vec![900, 3],
        ..Settings::new(offer())
    };
    let people = Population::new(Seed(42), 1_000, january(), settings).unwrap();
    let tokens = people.tripwire_tokens();
    for index in [3, 900] {
        let person = people.subscriber(index);
        for value in [
            &person.name,
            &person.email,
            &person.phone,
            person.push_token.as_ref().unwrap(),
        ] {
            assert!(tokens.iter().any(|token| value.contains(token)), "{index}");
        }
        let canonical = format!(
            "+82{}",
            person.phone.replace('-', "").trim_start_matches('0')
        );
        assert!(tokens.iter().any(|token| canonical.contains(token)));
        assert!(person.name.starts_with("감시"));
    }
    let plain = population(1_000);
    for index in (0..1_000).filter(|index| ![3, 900].contains(index)) {
        let person = people.subscriber(index);
        assert_eq!(person, plain.subscriber(index), "others stay who they are");
        let all = [
            person.name,
            person.email,
            person.phone,
            person.user_id.to_string(),
        ]
        .concat();
        assert!(!tokens.iter().any(|token| all.contains(token)));
    }
}

#[test]
fn a_masked_form_trips_no_wire() {
    let settings = Settings {
        tripwires: vec![3],
        ..Settings::new(offer())
    };
    let people = Population::new(Seed(42), 10, january(), settings).unwrap();
    let person = people.subscriber(3);
    let ends = |text: &str| {
        let letters: Vec<char> = text.chars().collect();
        format!(
            "{}{}{}",
            letters[0],
            "*".repeat(letters.len() - 2),
            letters[letters.len() - 1]
        )
    };
    let (local, domain) = person.email.split_once('@').unwrap();
    let masked = [
        ends(&person.name),
        format!("{}{}@{domain}", &local[..2], "*".repeat(local.len() - 2)),
        format!("010-****-{}", &person.phone[9..]),
    ];
    for token in people.tripwire_tokens() {
        assert!(!masked.iter().any(|form| form.contains(&token)), "{token}");
    }
}

#[test]
fn debug_shows_nobody() {
    let person = population(10).subscriber(4);
    let shown = format!("{person:?}");
    assert!(shown.contains(&person.user_id.to_string()));
    for value in [&person.name, &person.email, &person.phone] {
        assert!(!shown.contains(value.as_str()));
    }
}

#[test]
fn what_is_out_of_range_is_refused() {
    let new = |users, settings| Population::new(Seed(0), users, january(), settings).map(|_| ());
    assert_eq!(
        new(Population::USERS_MAX + 1, Settings::new(offer())),
        Err(PopulationError::TooManyUsers)
    );
    assert_eq!(new(Population::USERS_MAX, Settings::new(offer())), Ok(()));
    assert_eq!(
        new(1, Settings::new(Offer::default())),
        Err(PopulationError::NoPlans)
    );
    assert_eq!(
        new(
            1,
            Settings {
                push_per_mille: 1001,
                ..Settings::new(offer())
            }
        ),
        Err(PopulationError::Setting("push_per_mille"))
    );
    let mut crowded = offer();
    crowded.welfare[0].per_mille = 990;
    assert_eq!(
        new(1, Settings::new(crowded)),
        Err(PopulationError::Setting("offer.welfare.per_mille"))
    );
    let far = Period::new(9999, 12).unwrap();
    assert_eq!(
        Population::new(Seed(0), 1, far, Settings::new(offer())).map(|_| ()),
        Err(PopulationError::Period)
    );
}

#[test]
fn the_people_of_a_seed_never_change() {
    // written down once: a population that was handed out must be made again years later
    let people = population(2);
    let person = people.subscriber(1);
    let event = people.usage(1).next().unwrap();
    assert_eq!(person.name, "박재윤");
    assert_eq!(person.email, "parkjaeyun.cykdp@example.net");
    assert_eq!(person.phone, "010-0714-8623");
    assert_eq!(
        person.contract,
        Interval {
            start: Some(Day(19_733)),
            end: Some(Day(20_462))
        }
    );
    let expected = Usage {
        user_id: person.user_id,
        event_id: "2026-01-2000000001-1".to_owned(),
        occurred_at: Timestamp(1_767_346_701_000_000),
        kind: UsageKind::Voice,
        quantity: 267,
    };
    assert_eq!(event, expected);
}
