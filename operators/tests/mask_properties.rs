//! What holds of masking for every text there is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use proptest::prelude::*;
use sealpost_operators::mask::{mask_email, mask_name, mask_phone};

/// How many characters are not hidden.
fn shown(masked: &str) -> usize {
    masked.chars().filter(|character| *character != '*').count()
}

/// Texts of every kind: anything, and what looks almost like the real thing.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "\\PC{0,40}",
        "[+]?[0-9 .()*-]{0,24}",
        "[+](82|1|44|353|7)[0-9]{0,14}",
        "0[0-9]{0,3}[- ]?[0-9]{3,4}[- ]?[0-9]{4}",
        "[a-z가-힣.@ *]{0,12}@?[a-z가-힣.-]{0,12}",
    ]
}

proptest! {
    #[test]
    fn a_name_shows_its_ends_at_most_and_keeps_its_length(name in text()) {
        let masked = mask_name(&name);
        let (given, got): (Vec<_>, Vec<_>) = (name.chars().collect(), masked.chars().collect());
        prop_assert_eq!(given.len(), got.len());
        for (position, character) in got.iter().enumerate() {
            let end = position == 0 && given.len() >= 2
                || position + 1 == given.len() && given.len() >= 3;
            prop_assert_eq!(*character, if end { given[position] } else { '*' });
        }
    }

    #[test]
    fn a_phone_number_shows_its_prefix_and_four_digits_at_most(phone in text()) {
        let masked = mask_phone(&phone);
        let groups: Vec<&str> = masked.split('-').collect();
        if shown(&masked) == 0 {
            prop_assert_eq!(masked.chars().count(), phone.chars().count());
        } else {
            prop_assert_eq!(groups.len(), 3);
            let (prefix, hidden, last) = (groups[0], groups[1], groups[2]);
            prop_assert!(prefix.len() <= 4, "{}", masked);
            prop_assert!(hidden.len() >= 3 && shown(hidden) == 0, "{}", masked);
            prop_assert!(last.len() == 4 && phone.replace([' ', '-', '.', '(', ')'], "").ends_with(last));
        }
    }

    #[test]
    fn an_address_shows_two_characters_before_its_domain_at_most(email in text()) {
        let masked = mask_email(&email);
        match masked.split_once('@') {
            None => prop_assert_eq!(shown(&masked), 0),
            Some((local, domain)) => {
                let (given_local, given_domain) = email.trim().split_once('@').unwrap();
                prop_assert_eq!(domain, given_domain);
                prop_assert_eq!(local.chars().count(), given_local.chars().count());
                prop_assert!(local.chars().skip(2).all(|character| character == '*'));
                prop_assert!(local.chars().any(|character| character == '*'));
                for (got, given) in local.chars().zip(given_local.chars()) {
                    prop_assert!(got == '*' || got == given);
                }
            }
        }
    }

    #[test]
    fn masking_again_changes_nothing(text in text()) {
        for mask in [mask_name, mask_phone, mask_email] {
            let once = mask(&text);
            prop_assert_eq!(mask(&once), once);
        }
    }

    #[test]
    fn the_middle_of_a_real_number_is_never_seen(
        prefix in "010|011|02|031|070", middle in "[1-9][0-9]{3}", last in "[0-9]{4}",
    ) {
        let masked = mask_phone(&format!("{prefix}-{middle}-{last}"));
        prop_assert_eq!(&masked, &format!("{prefix}-****-{last}"));
        let abroad = format!("+82{}{middle}{last}", prefix.strip_prefix('0').unwrap());
        prop_assert_eq!(mask_phone(&abroad), masked);
    }
}
