//! What holds of every message that is rendered.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod render_support;

use proptest::prelude::*;
use render_support::{
    LOCALES, NOBODY, PROFILE, body, line, messages, of_lines, parts, rich, with_templates,
};
use sealpost_operators::render::{LIMITS_NAME, Limits, Profile, RenderError, TemplateSet};
use sealpost_schemas::record::{LineKind, Locale};
use sealpost_schemas::{Channel, Period};

#[test]
fn no_message_shows_a_whole_name_number_or_address() {
    let set = TemplateSet::built_in();
    let unmasked = Profile {
        name: "남궁민수",
        masked_email: "minsu.namgung@example.com",
        masked_phone: "+821098765432",
    };
    for (channel, locale) in messages() {
        let rendered = set.render(&rich(locale), &unmasked, channel).unwrap();
        for (part, text) in parts(&rendered) {
            for secret in [
                "남궁민수",
                "궁",
                "민수",
                "insu",
                "nsu.",
                "9876",
                "8765",
                "+82",
            ] {
                assert!(
                    !text.contains(secret),
                    "{secret} in {channel} {part}: {text}"
                );
            }
        }
    }
}

#[test]
fn a_message_addresses_its_reader_by_the_masked_name() {
    let set = TemplateSet::built_in();
    for (channel, locale) in messages() {
        assert!(
            body(&set, &rich(locale), channel)
                .unwrap()
                .contains("홍*동"),
            "{channel}"
        );
    }
}

#[test]
fn markup_in_names_is_text_on_a_page() {
    let set = TemplateSet::built_in();
    let profile = Profile {
        name: "<script>alert(1)</script>",
        ..PROFILE
    };
    // even one masked down to its ends
    let ends = Profile {
        name: "<b>",
        ..PROFILE
    };
    for locale in LOCALES {
        let mut statement = rich(locale);
        statement.plan_name = "<script>\"'&</script>".to_owned();
        statement.lines[0].name = Some("<img src=x onerror=alert(1)>".to_owned());
        for profile in [profile, ends] {
            let html = set
                .render(&statement, &profile, Channel::Email)
                .unwrap()
                .html
                .unwrap();
            assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<*>"));
            assert!(html.contains("&lt;script&gt;&quot;&#x27;&amp;"), "{html}");
            assert!(
                html.contains("&lt;img src=x onerror=alert(1)&gt;"),
                "{html}"
            );
        }
    }
}

#[test]
fn a_text_is_not_escaped() {
    let mut statement = rich(Locale::Ko);
    statement.plan_name = "5G <심플> & \"더\"".to_owned();
    let set = TemplateSet::built_in();
    for channel in [Channel::Email, Channel::Kakao, Channel::Push] {
        assert!(
            body(&set, &statement, channel)
                .unwrap()
                .contains("5G <심플> & \"더\"")
        );
    }
}

#[test]
fn a_value_can_neither_begin_a_line_nor_a_header() {
    let set = with_templates(&[
        (
            "email.ko.subject",
            "{{ plan }} {{ masked_name }} {{ period }}",
        ),
        (
            "email.ko.txt",
            "{{ plan }}{% for line in lines %}{{ line.detail }}{% endfor %}",
        ),
    ]);
    let mut statement = rich(Locale::Ko);
    statement.plan_name = "LTE\r\nBcc: all@example.com\u{85}\u{2028}\u{0}".to_owned();
    statement.lines[0].name = Some("가\n나".to_owned());
    let profile = Profile {
        name: "\n홍길\r",
        ..PROFILE
    };
    let rendered = set.render(&statement, &profile, Channel::Email).unwrap();
    let subject = rendered.subject.unwrap();
    assert!(
        subject.starts_with("LTE  Bcc: all@example.com"),
        "{subject}"
    );
    for text in [subject, rendered.body] {
        assert!(
            !text
                .chars()
                .any(|character| character.is_control() || character == '\u{2028}')
        );
    }
}

#[test]
fn what_lowers_a_bill_is_marked_as_a_discount() {
    let set = TemplateSet::built_in();
    for locale in LOCALES {
        let rendered = set.render(&rich(locale), &PROFILE, Channel::Email).unwrap();
        let html = rendered.html.unwrap();
        let marked = html
            .lines()
            .filter(|line| line.contains("color:#0a7d4f"))
            .count();
        let lines = rich(locale).lines;
        assert_eq!(
            marked,
            lines.iter().filter(|line| line.amount_won.0 < 0).count()
        );
        let amount = if locale == Locale::Ko {
            ": -8,250원"
        } else {
            ": -₩8,250"
        };
        assert!(rendered.body.contains(amount), "{}", rendered.body);
    }
}

#[test]
fn what_is_missing_of_a_profile_leaves_no_trace() {
    let set = TemplateSet::built_in();
    for (channel, locale) in messages() {
        let statement = rich(locale);
        let rendered = set.render(&statement, &NOBODY, channel).unwrap();
        for (part, text) in parts(&rendered) {
            assert!(!text.contains('*'), "{channel} {part}: {text}");
            for word in ["받는 주소", "Sent to", "None", "none", "undefined"] {
                assert!(!text.contains(word), "{channel} {part}: {text}");
            }
        }
        let present = set.render(&statement, &PROFILE, channel).unwrap();
        assert!(parts(&present).iter().any(|(_, text)| text.contains('*')));
    }
}

#[test]
fn only_the_channels_that_have_them_have_a_subject_and_a_page() {
    let set = TemplateSet::built_in();
    for (channel, locale) in messages() {
        let rendered = set.render(&rich(locale), &PROFILE, channel).unwrap();
        let subject = matches!(channel, Channel::Email | Channel::Push);
        assert_eq!(rendered.subject.is_some(), subject, "{channel}");
        assert_eq!(
            rendered.html.is_some(),
            channel == Channel::Email,
            "{channel}"
        );
    }
}

#[test]
fn the_text_message_of_an_ordinary_name_is_a_short_one() {
    let set = TemplateSet::built_in();
    for locale in LOCALES {
        let mut statement = rich(locale);
        statement.period = Period::new(2026, 9).unwrap();
        statement.total_won.0 = 9_999_999;
        let text = body(&set, &statement, Channel::Sms).unwrap();
        let bytes: usize = text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
        assert!(bytes <= 90, "{bytes} bytes: {text}");
    }
}

#[test]
fn the_longest_names_still_fit_every_channel() {
    let set = TemplateSet::built_in();
    let long = "힣".repeat(10_000);
    let phone = "1".repeat(10_000);
    let profile = Profile {
        name: &long,
        masked_email: &long,
        masked_phone: &phone,
    };
    for (channel, locale) in messages() {
        let mut statement = rich(locale);
        statement.plan_name.clone_from(&long);
        for line in &mut statement.lines {
            line.name = Some(long.clone());
        }
        assert!(
            set.render(&statement, &profile, channel).is_ok(),
            "{channel}"
        );
    }
}

#[test]
fn a_message_that_its_channel_would_not_take_is_refused() {
    let listing =
        "{% for line in lines %}{{ line.label }} {{ line.detail }} {{ line.amount }}\n{% endfor %}";
    let set = with_templates(&[
        ("sms.ko.txt", listing),
        ("kakao.ko.txt", listing),
        ("push.ko.txt", listing),
    ]);
    let many = vec![line(LineKind::Option, Some("GS칼텍스 주유세차권"), 5_900); 60];
    let statement = of_lines(Locale::Ko, many);
    for (channel, unit, size_max) in [
        (Channel::Sms, "bytes of EUC-KR", 2_000),
        (Channel::Kakao, "characters", 1_000),
        (Channel::Push, "bytes", 2_048),
    ] {
        match body(&set, &statement, channel) {
            Err(RenderError::TooLong {
                unit: unit_given,
                size,
                size_max: max,
                ..
            }) => {
                assert_eq!((unit_given, max), (unit, size_max));
                assert!(size > size_max);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_text_message_of_exactly_what_its_channel_takes_goes_and_one_byte_more_does_not() {
    for (tail, fits) in [("가", true), ("가a", false)] {
        // 44 syllables, two bytes each, one of them only in the extension of EUC-KR
        let text = format!("{{{{ plan }}}}{}{tail}", "똠".repeat(43));
        let set = with_templates(&[(LIMITS_NAME, "sms = 130\n"), ("sms.ko.txt", &text)]);
        let mut statement = rich(Locale::Ko);
        // 42 bytes: a character that there is not takes as many as what stands for it
        statement.plan_name = format!("힣㈜ 1é😀₩{}", "x".repeat(33));
        match body(&set, &statement, Channel::Sms) {
            Ok(text) => {
                assert!(fits && text.starts_with("힣㈜ 1???x"), "{text}");
                assert_eq!(Limits::size(Channel::Sms, &text), 130);
            }
            Err(RenderError::TooLong { size, size_max, .. }) => {
                assert!(!fits);
                assert_eq!((size, size_max), (131, 130));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn the_largest_amounts_are_shown_in_full() {
    let statement = of_lines(
        Locale::Ko,
        vec![
            line(LineKind::Plan, None, i64::MAX),
            line(LineKind::BroughtForward, None, -1),
            line(LineKind::CarriedForward, None, 1),
        ],
    );
    let text = body(&TemplateSet::built_in(), &statement, Channel::Email).unwrap();
    // the charges pass 64 bits, and are right all the same
    assert!(
        text.contains("요금 합계 9,223,372,036,854,775,808원"),
        "{text}"
    );
    assert!(
        text.contains("청구 금액: 9,223,372,036,854,775,807원"),
        "{text}"
    );
}

#[test]
fn a_set_can_be_handed_to_another_thread() {
    let set = TemplateSet::built_in();
    let here = body(&set, &rich(Locale::Ko), Channel::Email).unwrap();
    let there = std::thread::scope(|scope| {
        let render = || body(&set, &rich(Locale::Ko), Channel::Email).unwrap();
        scope.spawn(render).join().unwrap()
    });
    assert_eq!(here, there);
}

#[test]
fn the_same_bill_gives_the_same_bytes_from_another_set() {
    let sets = [
        TemplateSet::built_in(),
        TemplateSet::built_in(),
        TemplateSet::built_in().clone(),
    ];
    for (channel, locale) in messages() {
        let rendered = sets
            .each_ref()
            .map(|set| set.render(&rich(locale), &PROFILE, channel).unwrap());
        assert!(rendered.iter().all(|other| *other == rendered[0]));
    }
}

proptest! {
    #[test]
    fn no_text_from_outside_makes_a_message_fail(
        name in any::<String>(), email in any::<String>(), phone in any::<String>(),
        plan in any::<String>(),
    ) {
        let set = BUILT_IN.with(Clone::clone);
        let profile = Profile { name: &name, masked_email: &email, masked_phone: &phone };
        for (channel, locale) in messages() {
            let mut statement = rich(locale);
            statement.plan_name.clone_from(&plan);
            let rendered = set.render(&statement, &profile, channel);
            prop_assert!(rendered.is_ok(), "{:?}", rendered);
            if let Some(subject) = rendered.unwrap().subject {
                prop_assert!(!subject.is_empty() && !subject.chars().any(char::is_control));
            }
        }
    }
}

thread_local! {
    static BUILT_IN: TemplateSet = TemplateSet::built_in();
}
