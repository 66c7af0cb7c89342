//! The character set of Korean text messages: EUC-KR with its extension to all 11,172 syllables
//! (CP949), which is what gateways and handsets take under that name. ASCII is one byte, everything
//! else that there is two.

use encoding_rs::EUC_KR;

/// What stands for a character that there is not.
const SUBSTITUTE: char = '?';

/// The bytes that a text takes; a character that there is not counts as its substitute.
pub(super) fn bytes(text: &str) -> usize {
    let (encoded, _, lacks) = EUC_KR.encode(text);
    if lacks {
        text.chars()
            .map(|character| if is_wide(character) { 2 } else { 1 })
            .sum()
    } else {
        encoded.len()
    }
}

/// The first character that there is not.
pub(super) fn lacking(text: &str) -> Option<char> {
    let (_, _, lacks) = EUC_KR.encode(text);
    text.chars().find(|character| lacks && !has(*character))
}

/// A text with a substitute for each character that there is not: a gateway would put one there
/// too, each its own, and count it as it likes.
pub(super) fn with_substitutes(text: String) -> String {
    if lacking(&text).is_none() {
        return text;
    }
    text.chars()
        .map(|character| {
            if has(character) {
                character
            } else {
                SUBSTITUTE
            }
        })
        .collect()
}

fn has(character: char) -> bool {
    let (_, _, lacks) = EUC_KR.encode(character.encode_utf8(&mut [0; 4]));
    !lacks
}

fn is_wide(character: char) -> bool {
    !character.is_ascii() && has(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syllable_takes_two_bytes_also_one_of_the_extension() {
        assert_eq!(bytes("홍*동 1원"), 9);
        assert_eq!(bytes("똠방각하 펲"), 11);
        assert_eq!(bytes("…·─€①㈜漢字かなカナЯΩ"), 28);
    }

    #[test]
    fn every_syllable_is_there() {
        for syllable in '가'..='힣' {
            assert_eq!(bytes(syllable.encode_utf8(&mut [0; 4])), 2, "{syllable}");
        }
    }

    #[test]
    fn what_is_not_there_is_found_and_counts_as_what_stands_for_it() {
        for (character, text) in [('₩', "₩1,000"), ('é', "Élodie é"), ('😀', "가😀")] {
            let first = if character == 'é' { 'É' } else { character };
            assert_eq!(lacking(text), Some(first), "{text}");
        }
        assert_eq!(lacking("가나 abc"), None);
        assert_eq!(with_substitutes("가😀é1".to_owned()), "가??1");
        assert_eq!(bytes("가😀é1"), 5);
        assert_eq!(with_substitutes("가1".to_owned()), "가1");
    }
}
