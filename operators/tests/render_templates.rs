//! Which templates are taken, which are refused, and what is said about them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod render_support;

use render_support::{body, rich, sources_with, with_templates};
use sealpost_operators::render::{LIMITS_NAME, Limits, TemplateError, TemplateSet};
use sealpost_schemas::Channel;
use sealpost_schemas::record::Locale;

/// Why the built-in templates with these changes are refused.
fn refusal(changes: &[(&str, &str)]) -> TemplateError {
    TemplateSet::from_sources(&sources_with(changes)).unwrap_err()
}

#[test]
fn the_built_in_templates_are_taken() {
    let sources = TemplateSet::built_in_sources();
    let set = TemplateSet::from_sources(&sources).unwrap();
    assert_eq!(set.sources(), &sources);
    assert_eq!(set.digest(), TemplateSet::built_in().digest());
}

#[test]
fn a_missing_template_is_named() {
    for name in TemplateSet::built_in_sources().keys() {
        let mut sources = TemplateSet::built_in_sources();
        sources.remove(name);
        let refusal = TemplateSet::from_sources(&sources).unwrap_err();
        assert_eq!(refusal, TemplateError::Missing { name: name.clone() });
        assert!(refusal.to_string().contains(name));
    }
}

#[test]
fn a_template_of_no_channel_is_refused() {
    match refusal(&[("emial.ko.txt", "x")]) {
        TemplateError::Unexpected { name, .. } => assert_eq!(name, "emial.ko.txt"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_syntax_error_comes_with_its_line() {
    match refusal(&[("sms.ko.txt", "one\ntwo {% if total %}\nthree {{ total\n")]) {
        TemplateError::Syntax { name, line, .. } => {
            assert_eq!((name.as_str(), line), ("sms.ko.txt", 3));
        }
        other => panic!("{other}"),
    }
    let refusal = refusal(&[("push.en.subject", "{% iff total %}")]);
    assert!(
        refusal
            .to_string()
            .starts_with("template `push.en.subject`, line 1: "),
        "{refusal}"
    );
}

#[test]
fn an_unknown_variable_comes_with_its_line() {
    for (text, line_expected, variable_expected) in [
        ("one\n{{ totl }}", 2, "totl"),
        // also where no sample bill comes by
        ("one\ntwo\n{% if false %}{{ name }}{% endif %}", 3, "name"),
        (
            "{% for line in lines %}\n\n{{ line.lable }}{% endfor %}",
            3,
            "{{ line.lable }}{% endfor %}",
        ),
        ("{{ total.won }}", 1, "{{ total.won }}"),
        (
            "{% for line in lines %}{% if line.discounted %}x{% endif %}{% endfor %}",
            1,
            "line.discounted",
        ),
    ] {
        match refusal(&[("kakao.en.txt", text)]) {
            TemplateError::UnknownVariable {
                name,
                line,
                variable,
                known,
            } => {
                assert_eq!((name.as_str(), line), ("kakao.en.txt", line_expected));
                assert!(variable.contains(variable_expected), "{variable}");
                assert!(known.contains("masked_name, masked_email"), "{known}");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn no_template_can_ask_for_what_is_not_masked() {
    for variable in [
        "name",
        "email",
        "phone",
        "destination",
        "contacts",
        "user_id",
        "statement",
    ] {
        let refusal = refusal(&[("email.ko.txt", &format!("{{{{ {variable} }}}}"))]);
        assert!(
            matches!(refusal, TemplateError::UnknownVariable { .. }),
            "{refusal}"
        );
    }
}

#[test]
fn a_page_that_does_not_escape_is_refused() {
    let (name, line) = ("email.en.html".to_owned(), 1);
    let refusal_of = |text| refusal(&[("email.en.html", text)]);
    assert_eq!(
        refusal_of("{% autoescape false %}{{ plan }}{% endautoescape %}"),
        TemplateError::Unescaped { name, line }
    );
    assert!(matches!(
        refusal_of("{{ plan|safe }}"),
        TemplateError::Fails { line: 1, .. }
    ));
}

#[test]
fn a_template_that_never_ends_is_refused() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    match refusal(&[("sms.ko.txt", endless)]) {
        TemplateError::Fails { problem, .. } => assert_eq!(problem, "it takes too many steps"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_subject_of_two_lines_or_of_none_is_refused() {
    for text in [
        "{{ period }}\n{{ total }}",
        "",
        "{{ masked_email }}",
        "a\tb",
    ] {
        match refusal(&[("email.ko.subject", text)]) {
            TemplateError::Fails { name, .. } => assert_eq!(name, "email.ko.subject"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_empty_text_is_refused() {
    let refusal = refusal(&[("sms.en.txt", "{{ masked_name }}\n")]);
    assert!(matches!(refusal, TemplateError::Fails { .. }), "{refusal}");
}

#[test]
fn a_text_that_is_too_long_for_its_channel_is_refused() {
    let refusal = refusal(&[("kakao.ko.txt", &"가".repeat(1_001))]);
    assert!(refusal.to_string().contains("1001 characters"), "{refusal}");
}

#[test]
fn a_shared_piece_is_included() {
    let set = with_templates(&[
        ("_footer.txt", "{{ invoice_number }}"),
        ("sms.ko.txt", "{{ total }} {% include '_footer.txt' %}"),
    ]);
    let text = body(&set, &rich(Locale::Ko), Channel::Sms).unwrap();
    assert_eq!(
        text.split_once(' ').map(|(_, number)| number.len()),
        Some(19),
        "{text}"
    );
}

#[test]
fn a_shared_piece_that_is_not_there_is_refused() {
    match refusal(&[("sms.ko.txt", "x\n{% include '_nothing.txt' %}")]) {
        TemplateError::Fails {
            name,
            line,
            problem,
        } => {
            assert_eq!((name.as_str(), line), ("sms.ko.txt", 2));
            assert_eq!(problem, "the included template is not there");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn an_error_in_a_shared_piece_names_the_piece() {
    let piece = "x\n{{ nothing }}";
    match refusal(&[
        ("_piece.txt", piece),
        ("sms.ko.txt", "{% include '_piece.txt' %}"),
    ]) {
        TemplateError::UnknownVariable {
            name,
            line,
            variable,
            ..
        } => {
            assert_eq!((name.as_str(), line), ("_piece.txt", 2));
            assert_eq!(variable, "{{ nothing }}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_variable_that_is_set_anew_from_itself_is_known() {
    let text = "{% set plan = plan or 'x' %}{{ plan }}";
    let set = with_templates(&[("push.ko.txt", text)]);
    assert_eq!(
        body(&set, &rich(Locale::Ko), Channel::Push).unwrap(),
        "LTE 데이터 33"
    );
}

#[test]
fn the_digest_tells_sets_apart_and_nothing_else() {
    let digest = TemplateSet::built_in().digest();
    assert_eq!(
        TemplateSet::digest_of(&TemplateSet::built_in_sources()),
        digest
    );
    assert_eq!(with_templates(&[]).digest(), digest);
    assert_ne!(
        with_templates(&[("sms.ko.txt", "{{ total }}")]).digest(),
        digest
    );
    assert_ne!(with_templates(&[("_a", "")]).digest(), digest);
    // what stands in a name is not what stands in a text
    assert_ne!(
        with_templates(&[("_a", "b")]).digest(),
        with_templates(&[("_ab", "")]).digest()
    );
}

#[test]
fn the_digest_is_blake3_over_lengths_names_and_texts() {
    let sources = [("a", "가"), ("b", "")].map(|(name, text)| (name.to_owned(), text.to_owned()));
    let mut bytes = Vec::new();
    for part in ["a", "가", "b", ""] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    let digest = sealpost_schemas::Digest::of(&bytes);
    assert_eq!(TemplateSet::digest_of(&sources.into()), digest);
}

#[test]
fn a_character_that_text_messages_do_not_have_is_refused_with_its_line() {
    for (text, line_expected) in [
        ("one\n{{ total }} ✅", Some(2)),
        ("{# ₩ #}{{ total }}", Some(1)),
        // also where no sample bill comes by
        ("x\n\n{% if false %}é{% endif %}", Some(3)),
        // it comes with the piece, or with the amount
        ("{{ total_number }}{% include '_won' %}", None),
        ("{{ total }}", None),
    ] {
        let refusal = refusal(&[("sms.en.txt", text), ("_won", "₩")]);
        assert_eq!(
            (refusal.name(), refusal.line()),
            ("sms.en.txt", line_expected)
        );
        assert!(
            matches!(refusal, TemplateError::NotInEucKr { .. }),
            "{refusal}"
        );
    }
    // other channels have every character
    with_templates(&[("kakao.en.txt", "✅ {{ total }}")]);
}

#[test]
fn a_limit_is_part_of_the_set_and_of_its_digest() {
    let limits = Limits::default().with(Channel::Sms, 90);
    let source = limits.source().unwrap();
    let set = with_templates(&[(LIMITS_NAME, &source)]);
    assert_eq!(set.limits(), &limits);
    assert_eq!(TemplateSet::built_in().limits(), &Limits::default());
    assert_ne!(set.digest(), TemplateSet::built_in().digest());
    let changes = [(LIMITS_NAME, "sms = 90\nfax = 3\n")];
    assert_eq!(refusal(&changes).line(), Some(2));
    let refusal = refusal(&[(LIMITS_NAME, "sms = 20\n")]);
    assert!(refusal.to_string().contains("bytes of EUC-KR"), "{refusal}");
}
