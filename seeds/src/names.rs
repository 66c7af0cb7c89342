//! Names, Korean ones by their real shares, with the Latin spelling that addresses are made of.

use crate::draw::Draw;

/// A name as it is written and as addresses spell it.
pub(crate) struct Name {
    /// As on the bill.
    pub(crate) full: String,
    /// The given name in lower-case Latin letters.
    pub(crate) given_latin: String,
    /// The family name in lower-case Latin letters.
    pub(crate) family_latin: String,
}

/// Family name, Latin spelling, people in ten thousand (census of 2015, rounded; the rest of the
/// population is spread over the last ones).
const FAMILIES: &[(&str, &str, u32)] = &[
    ("김", "kim", 2150),
    ("이", "lee", 1470),
    ("박", "park", 840),
    ("최", "choi", 470),
    ("정", "jung", 440),
    ("강", "kang", 240),
    ("조", "cho", 220),
    ("윤", "yoon", 210),
    ("장", "jang", 200),
    ("임", "lim", 170),
    ("한", "han", 160),
    ("오", "oh", 150),
    ("서", "seo", 150),
    ("신", "shin", 150),
    ("권", "kwon", 140),
    ("황", "hwang", 140),
    ("안", "ahn", 140),
    ("송", "song", 140),
    ("전", "jeon", 110),
    ("홍", "hong", 110),
    ("유", "yoo", 110),
    ("고", "ko", 95),
    ("문", "moon", 93),
    ("양", "yang", 92),
    ("손", "son", 91),
    ("배", "bae", 81),
    ("백", "baek", 77),
    ("허", "heo", 65),
    ("남", "nam", 56),
    ("심", "shim", 55),
    ("노", "noh", 51),
    ("하", "ha", 46),
    ("곽", "kwak", 41),
    ("성", "sung", 40),
    ("차", "cha", 39),
    ("주", "joo", 39),
    ("우", "woo", 39),
    ("구", "koo", 39),
    ("민", "min", 34),
    ("류", "ryu", 33),
    ("나", "na", 32),
    ("진", "jin", 32),
    ("지", "ji", 31),
    ("엄", "eom", 29),
    ("채", "chae", 26),
    ("원", "won", 26),
    ("천", "cheon", 24),
    ("방", "bang", 19),
    ("공", "gong", 18),
    ("현", "hyun", 18),
    ("함", "ham", 16),
    ("변", "byun", 16),
    ("염", "yeom", 14),
    ("여", "yeo", 13),
    ("추", "choo", 12),
    ("도", "do", 12),
    ("석", "seok", 11),
    ("선", "sun", 8),
    ("설", "seol", 8),
    ("마", "ma", 8),
    ("길", "gil", 7),
    ("표", "pyo", 6),
    ("남궁", "namgung", 4),
    ("제갈", "jegal", 2),
    ("황보", "hwangbo", 2),
    ("선우", "sunwoo", 2),
    ("독고", "dokgo", 1),
];

/// A syllable of a given name.
type Syllable = (&'static str, &'static str);

const MALE_FIRST: &[Syllable] = &[
    ("민", "min"),
    ("서", "seo"),
    ("도", "do"),
    ("준", "jun"),
    ("지", "ji"),
    ("현", "hyeon"),
    ("건", "geon"),
    ("우", "woo"),
    ("성", "seong"),
    ("승", "seung"),
    ("정", "jeong"),
    ("재", "jae"),
    ("동", "dong"),
    ("영", "yeong"),
    ("상", "sang"),
    ("종", "jong"),
    ("태", "tae"),
    ("병", "byeong"),
];
const MALE_SECOND: &[Syllable] = &[
    ("준", "jun"),
    ("호", "ho"),
    ("우", "woo"),
    ("현", "hyeon"),
    ("훈", "hun"),
    ("석", "seok"),
    ("수", "su"),
    ("혁", "hyeok"),
    ("진", "jin"),
    ("환", "hwan"),
    ("민", "min"),
    ("철", "cheol"),
    ("식", "sik"),
    ("규", "gyu"),
    ("윤", "yun"),
    ("빈", "bin"),
    ("원", "won"),
    ("용", "yong"),
];
const FEMALE_FIRST: &[Syllable] = &[
    ("서", "seo"),
    ("지", "ji"),
    ("수", "su"),
    ("민", "min"),
    ("하", "ha"),
    ("은", "eun"),
    ("예", "ye"),
    ("유", "yu"),
    ("미", "mi"),
    ("혜", "hye"),
    ("정", "jeong"),
    ("현", "hyeon"),
    ("소", "so"),
    ("윤", "yun"),
    ("채", "chae"),
    ("경", "gyeong"),
    ("영", "yeong"),
    ("순", "sun"),
];
const FEMALE_SECOND: &[Syllable] = &[
    ("연", "yeon"),
    ("은", "eun"),
    ("아", "a"),
    ("영", "yeong"),
    ("희", "hee"),
    ("진", "jin"),
    ("서", "seo"),
    ("윤", "yun"),
    ("정", "jeong"),
    ("주", "ju"),
    ("경", "gyeong"),
    ("미", "mi"),
    ("숙", "suk"),
    ("나", "na"),
    ("린", "rin"),
    ("원", "won"),
    ("빈", "bin"),
    ("인", "in"),
];
/// Given names that are one syllable.
const SHORT: &[Syllable] = &[
    ("준", "jun"),
    ("현", "hyeon"),
    ("훈", "hun"),
    ("민", "min"),
    ("솔", "sol"),
    ("별", "byeol"),
    ("율", "yul"),
    ("진", "jin"),
    ("건", "geon"),
    ("찬", "chan"),
    ("결", "gyeol"),
    ("봄", "bom"),
];
/// Given names that are a word.
const WORDS: &[Syllable] = &[
    ("하늘", "haneul"),
    ("이슬", "iseul"),
    ("보람", "boram"),
    ("나래", "narae"),
    ("한결", "hangyeol"),
    ("슬기", "seulgi"),
    ("아름", "areum"),
    ("다솜", "dasom"),
    ("빛나라", "bitnara"),
    ("푸른솔", "pureunsol"),
];

const FOREIGN_GIVEN: &[&str] = &[
    "Anh", "Linh", "Minh", "Wei", "Ming", "Xiuying", "John", "Emma", "David", "Priya", "Arjun",
    "Somchai", "Olga", "Ivan", "Fatima", "Rahim", "Sophie", "Carlos", "Yuki", "Maria", "Aigerim",
    "José", "Zoë", "Tuya",
];
const FOREIGN_FAMILY: &[&str] = &[
    "Nguyen",
    "Tran",
    "Pham",
    "Wang",
    "Li",
    "Zhang",
    "Smith",
    "Johnson",
    "Santos",
    "Reyes",
    "Garcia",
    "Petrov",
    "Sato",
    "Tanaka",
    "Khan",
    "Rahman",
    "Sharma",
    "Bauer",
    "O'Brien",
    "Müller",
    "Bat-Erdene",
    "Karimov",
];

/// The name of somebody from Korea.
pub(crate) fn korean(draw: &mut Draw) -> Name {
    let (family, family_latin) = draw
        .pick_weighted(FAMILIES, |family| family.2)
        .map_or(("김", "kim"), |family| (family.0, family.1));
    let (first, second) = match draw.below(100) {
        0..=2 => (draw.pick(SHORT), None),
        3..=4 => (draw.pick(WORDS), None),
        5..=52 => (draw.pick(MALE_FIRST), draw.pick(MALE_SECOND)),
        _ => (draw.pick(FEMALE_FIRST), draw.pick(FEMALE_SECOND)),
    };
    let first = first.copied().unwrap_or(("민", "min"));
    // nobody is called 민민: such a pair becomes one syllable
    let second = second
        .copied()
        .filter(|second| second.0 != first.0)
        .unwrap_or_default();
    Name {
        full: [family, first.0, second.0].concat(),
        given_latin: [first.1, second.1].concat(),
        family_latin: family_latin.to_owned(),
    }
}

/// The name of a resident from abroad.
pub(crate) fn foreign(draw: &mut Draw) -> Name {
    let given = draw.pick(FOREIGN_GIVEN).copied().unwrap_or("Anh");
    let family = draw.pick(FOREIGN_FAMILY).copied().unwrap_or("Nguyen");
    Name {
        full: [given, " ", family].concat(),
        given_latin: latin(given),
        family_latin: latin(family),
    }
}

/// What of a name may stand in an address without quoting.
fn latin(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;
    use crate::Seed;
    use crate::draw::Stream;

    #[test]
    fn families_come_by_their_share_and_most_names_have_three_syllables() {
        let mut draw = Draw::new(Seed(3), Stream::Person(0));
        let names: Vec<Name> = (0..20_000).map(|_| korean(&mut draw)).collect();
        let share = |family: &str| {
            names
                .iter()
                .filter(|name| name.family_latin == family)
                .count()
                * 100
                / names.len()
        };
        assert!((21..=26).contains(&share("kim")), "{}", share("kim"));
        assert!((14..=18).contains(&share("lee")), "{}", share("lee"));
        let length = |wanted: usize| {
            names
                .iter()
                .filter(|name| name.full.chars().count() == wanted)
                .count()
                * 100
                / names.len()
        };
        assert!(length(3) > 85, "{}", length(3));
        assert!(names.iter().any(|name| name.full.chars().count() == 2));
        assert!(names.iter().any(|name| name.full.chars().count() == 4));
    }

    #[test]
    fn every_spelling_can_stand_in_an_address() {
        let mut draw = Draw::new(Seed(4), Stream::Person(0));
        for round in 0..2_000 {
            let name = if round % 2 == 0 {
                korean(&mut draw)
            } else {
                foreign(&mut draw)
            };
            for part in [&name.given_latin, &name.family_latin] {
                assert!(!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase()));
            }
        }
    }
}
