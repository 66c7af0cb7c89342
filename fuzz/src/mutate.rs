//! New inputs out of old ones.

use sealpost_simulator::draw::Draw;

/// Longest input.
const BYTES_MAX: usize = 64 * 1024;

/// Numbers at which readers tend to go wrong.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1000000000000001",
    "0.0000001",
    "1e400",
    "NaN",
    "99999999999999999999999999999999999999999",
];

/// Bytes at which readers tend to go wrong.
const BYTES: &[u8] = &[
    0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'\r', b',', b'{', b'}', b'[', b'*', b'@',
];

/// Texts at which readers tend to go wrong.
const TEXTS: &[&str] = &[
    "\u{feff}",
    "\u{0}",
    "\u{200d}",
    "e\u{301}",
    "\u{1f468}\u{200d}\u{1f469}",
    "\r\n",
    "\"\"",
    "null",
    "{{",
    "}}",
    "{%",
    "%}",
    "{% for i in range(9999999) %}",
    "{{ x|safe }}",
    "\\u0000",
    "[[plan]]",
    "=",
    "2026-02-30",
    "2026-13",
    "+82",
    "010-1234-5678",
    "a@b",
    "Infinity",
];

/// One input out of a corpus.
pub fn next(corpus: &[Vec<u8>], draw: &mut Draw) -> Vec<u8> {
    if corpus.is_empty() {
        let mut bytes = vec![0; draw.place(64)];
        draw.fill(&mut bytes);
        return bytes;
    }
    let mut input = draw.pick(corpus).clone();
    for _ in 0..=draw.below(6) {
        change(&mut input, corpus, draw);
    }
    input.truncate(BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], draw: &mut Draw) {
    let at = draw.place(input.len() + 1).min(input.len());
    let length = 1 + draw.place(input.len().clamp(1, 32));
    let end = (at + length).min(input.len());
    match draw.below(11) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << draw.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = *draw.pick(BYTES);
            }
        }
        2 => input.insert(at, *draw.pick(BYTES)),
        3 => drop(input.drain(at..end)),
        4 => {
            let part: Vec<u8> = input.get(at..end).unwrap_or_default().to_vec();
            let to = draw.place(input.len() + 1).min(input.len());
            input.splice(to..to, part);
        }
        5 => {
            let other = draw.pick(corpus);
            let from = draw.place(other.len() + 1).min(other.len());
            let to = (from + 1 + draw.place(64)).min(other.len());
            let part = other.get(from..to).unwrap_or_default().to_vec();
            input.splice(at..end, part);
        }
        6 => number(input, at, draw),
        7 => {
            let text = draw.pick(TEXTS).as_bytes().to_vec();
            input.splice(at..at, text);
        }
        8 => input.truncate(at),
        9 => {
            let mut bytes = vec![0; end - at];
            draw.fill(&mut bytes);
            input.splice(at..end, bytes);
        }
        _ => {
            // much of one thing
            let part: Vec<u8> = input.get(at..end).unwrap_or_default().to_vec();
            let times = 1 + draw.place(200);
            let many: Vec<u8> = part
                .iter()
                .copied()
                .cycle()
                .take(part.len() * times)
                .collect();
            input.splice(at..at, many);
        }
    }
}

/// Replaces the number at or after a place.
fn number(input: &mut Vec<u8>, at: usize, draw: &mut Draw) {
    let digit = |byte: &u8| byte.is_ascii_digit();
    let Some(from) = input.iter().skip(at).position(digit).map(|from| from + at) else {
        return;
    };
    let length = input
        .iter()
        .skip(from)
        .take_while(|byte| digit(byte))
        .count();
    let number = draw.pick(NUMBERS).as_bytes().to_vec();
    input.splice(from..from + length, number);
}
