//! Canonical addresses: what they become, what is refused, and that they stay.

use proptest::prelude::*;
use sealpost_schemas::canonical::CanonicalError::{
    self, EmailDomain, EmailLength, EmailLocal, EmailShape, PhoneCharacter, PhoneLength,
    PhonePrefix,
};
use sealpost_schemas::canonical::{canonical_email, canonical_phone, display_phone};

fn emails_are_refused(texts: &[&str], error: CanonicalError) {
    for text in texts {
        assert_eq!(canonical_email(text), Err(error), "{text:?}");
    }
}

fn phones_are_refused(texts: &[&str], error: CanonicalError) {
    for text in texts {
        assert_eq!(canonical_phone(text), Err(error), "{text:?}");
    }
}

#[test]
fn an_email_is_trimmed_and_its_domain_in_lower_case() {
    for (text, canonical) in [
        ("kim@example.com", "kim@example.com"),
        (
            " Kim.Minji+bill@Mail.EXAMPLE.co.kr\r\n",
            "Kim.Minji+bill@mail.example.co.kr",
        ),
        ("o'neil_{x}=y/z@a-b.io", "o'neil_{x}=y/z@a-b.io"),
        ("x@XN--3E0B707E.kr", "x@xn--3e0b707e.kr"),
    ] {
        assert_eq!(canonical_email(text).as_deref(), Ok(canonical));
    }
}

#[test]
fn an_email_without_one_at_is_refused() {
    emails_are_refused(
        &["", "   ", "kim", "a@b@example.com", "kim@example.com@"],
        EmailShape,
    );
}

#[test]
fn an_email_with_a_bad_local_part_is_refused() {
    let long = format!("{}@example.com", "a".repeat(65));
    emails_are_refused(
        &[
            "@example.com",
            "a b@example.com",
            "a\t@example.com",
            "<a@example.com",
            "a,b@example.com",
            "\"a\"@example.com",
            "a\r\nBcc:x@example.com",
            "a:b@example.com",
            "a;b@example.com",
            ".a@example.com",
            "a.@example.com",
            "a..b@example.com",
            "김@example.com",
            "a\u{200b}@example.com",
            &long,
        ],
        EmailLocal,
    );
    assert!(canonical_email(&long[1..]).is_ok());
}

#[test]
fn an_email_with_a_bad_domain_is_refused() {
    let long_label = format!("a@{}.com", "b".repeat(64));
    emails_are_refused(
        &[
            "a@",
            "a@localhost",
            "a@example.com.",
            "a@.com",
            "a@b..com",
            "a@-b.com",
            "a@b-.com",
            "a@b_c.com",
            "a@b c.com",
            "a@example.com>",
            "a@예시.kr",
            "a@10.0.0.1",
            "a@[10.0.0.1]",
            "a@example.com,b",
            &long_label,
        ],
        EmailDomain,
    );
    assert!(canonical_email(&long_label.replacen('b', "", 1)).is_ok());
}

#[test]
fn an_email_longer_than_smtp_carries_is_refused() {
    let domain = [
        "d".repeat(63),
        "d".repeat(63),
        "d".repeat(61),
        "d".repeat(50),
    ]
    .join(".");
    assert!(canonical_email(&format!("{}@{domain}", "a".repeat(13))).is_ok());
    emails_are_refused(&[&format!("{}@{domain}", "a".repeat(14))], EmailLength);
}

#[test]
fn a_korean_phone_becomes_e164_however_it_is_written() {
    for text in [
        "010-1234-5678",
        "01012345678",
        "010 1234 5678",
        "010.1234.5678",
        "(010) 1234-5678",
        " 010-1234-5678\n",
        "+82 10-1234-5678",
        "+821012345678",
        "+82 (0)10-1234-5678",
        "+82-010-1234-5678",
        "0082 10 1234 5678",
        "００８２－１０－１２３４－５６７８",
        "０１０－１２３４－５６７８",
        "＋８２ １０ １２３４ ５６７８",
        "010\u{2013}1234\u{2013}5678",
        "010\u{3000}1234\u{a0}5678",
    ] {
        assert_eq!(
            canonical_phone(text).as_deref(),
            Ok("+821012345678"),
            "{text:?}"
        );
    }
}

#[test]
fn landlines_and_foreign_numbers_have_a_canonical_form_too() {
    for (text, canonical) in [
        ("02-123-4567", "+8221234567"),
        ("02-1234-5678", "+82212345678"),
        ("031-123-4567", "+82311234567"),
        ("0503-1234-5678", "+8250312345678"),
        ("+1 (212) 555-0100", "+12125550100"),
        ("0044 20 7946 0018", "+442079460018"),
        ("+49 030 123456", "+49030123456"),
    ] {
        assert_eq!(canonical_phone(text).as_deref(), Ok(canonical));
    }
}

#[test]
fn a_phone_with_something_else_in_it_is_refused() {
    phones_are_refused(
        &[
            "010-1234-567a",
            "010/1234/5678",
            "010-1234-5678 ext 3",
            "1+821012345678",
            "++821012345678",
            "010,1234,5678",
            "٠١٠١٢٣٤٥٦٧٨",
            "010-1234-5678\r\nx",
            "0101234😀5678",
        ],
        PhoneCharacter,
    );
}

#[test]
fn a_phone_whose_country_would_be_a_guess_is_refused() {
    phones_are_refused(
        &[
            "",
            "   ",
            "-",
            "1012345678",
            "821012345678",
            "1588-1234",
            "+0101234567",
            "00-0101234567",
            "+82 0010 1234 5678",
        ],
        PhonePrefix,
    );
}

#[test]
fn a_phone_of_a_length_that_does_not_exist_is_refused() {
    phones_are_refused(
        &[
            "0",
            "+",
            "00",
            "02-123-456",
            "010-12345-67890",
            "+821",
            "+1234567",
            "+1234567890123456",
            "+82 110",
        ],
        PhoneLength,
    );
    assert!(canonical_phone("+12345678").is_ok());
    assert!(canonical_phone("+123456789012345").is_ok());
}

#[test]
fn a_korean_phone_is_shown_in_its_national_form() {
    for (e164, shown) in [
        ("+821012345678", "010-1234-5678"),
        ("+82111234567", "011-123-4567"),
        ("+8221234567", "02-123-4567"),
        ("+82212345678", "02-1234-5678"),
        ("+82311234567", "031-123-4567"),
        ("+827012345678", "070-1234-5678"),
        ("+82801234567", "080-123-4567"),
        ("+825051234567", "0505-123-4567"),
        ("+8250312345678", "0503-1234-5678"),
    ] {
        assert_eq!(display_phone(e164), shown);
    }
}

#[test]
fn any_other_phone_is_shown_as_it_is() {
    for text in [
        "+12125550100",
        "+82",
        "+82123",
        "+82101234567890",
        "+82홍길동홍길동",
        "010-1234-5678",
        "",
        "+",
    ] {
        assert_eq!(display_phone(text), text);
    }
}

#[test]
fn no_error_repeats_the_address() {
    let error = canonical_email("hong.gildong example.com")
        .unwrap_err()
        .to_string();
    assert!(!error.contains("gildong"));
    let error = canonical_phone("tel 010-9876-5432")
        .unwrap_err()
        .to_string();
    assert!(!error.contains("9876"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_what_comes_out_is_plain(text in "\\PC{0,40}|[-+0-9 ().@a-zA-Z\u{ff10}-\u{ff19}]{0,30}") {
        if let Ok(email) = canonical_email(&text) {
            prop_assert!(email.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(canonical_email(&email), Ok(email.clone()));
        }
        if let Ok(phone) = canonical_phone(&text) {
            prop_assert!(phone.bytes().skip(1).all(|byte| byte.is_ascii_digit()));
            prop_assert_eq!(canonical_phone(&phone), Ok(phone.clone()));
        }
        let _ = display_phone(&text);
    }

    #[test]
    fn a_canonical_email_stays_as_it_is(text in "[a-zA-Z0-9!#$%&'*+/=?^_{|}~-]{1,20}@([a-zA-Z0-9]{1,10}\\.){1,3}[a-zA-Z]{2,6}") {
        let canonical = canonical_email(&text).unwrap();
        prop_assert_eq!(canonical_email(&canonical), Ok(canonical.clone()));
        prop_assert!(canonical.eq_ignore_ascii_case(&text));
    }

    #[test]
    fn what_is_shown_of_a_korean_phone_reads_back_the_same(national in "[1-9][0-9]{7,10}") {
        let e164 = format!("+82{national}");
        prop_assert_eq!(canonical_phone(&e164), Ok(e164.clone()));
        prop_assert_eq!(canonical_phone(&display_phone(&e164)), Ok(e164));
    }
}
