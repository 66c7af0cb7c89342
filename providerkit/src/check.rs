//! What a ledger says: how much of what, and whether anybody got something twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::ledger::{Event, Line};

/// Calls, questions and acceptances of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls.
    pub calls: u64,
    /// Messages taken.
    pub accepted: u64,
    /// Repeats that were collapsed.
    pub collapsed: u64,
    /// Questions by key.
    pub asked: u64,
    /// Calls by what was answered.
    pub by_answer: BTreeMap<String, u64>,
}

impl Totals {
    /// Counts.
    #[must_use]
    pub fn of(lines: &[Line]) -> Self {
        let mut totals = Self::default();
        for line in lines {
            match line.event {
                Event::Call => {
                    totals.calls += 1;
                    *totals.by_answer.entry(line.answer.clone()).or_default() += 1;
                }
                Event::Accepted => totals.accepted += 1,
                Event::Collapsed => totals.collapsed += 1,
                Event::Asked => totals.asked += 1,
            }
        }
        totals
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calls,
            accepted,
            collapsed,
            asked,
            by_answer,
        } = self;
        write!(
            f,
            "{calls} calls, {accepted} accepted, {collapsed} collapsed, {asked} asked"
        )?;
        for (answer, count) in by_answer {
            write!(f, "; {answer}: {count}")?;
        }
        Ok(())
    }
}

/// Who has been sent more than one message, with their keys. `who` says whose a key is; a key
/// that it does not know stands for itself. What was collapsed was not sent.
#[must_use]
pub fn twice<W: Ord>(lines: &[Line], who: impl Fn(&str) -> W) -> BTreeMap<W, Vec<String>> {
    let mut sent: BTreeMap<W, Vec<String>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.event == Event::Accepted) {
        sent.entry(who(&line.key))
            .or_default()
            .push(line.key.clone());
    }
    sent.retain(|_, keys| keys.len() > 1);
    sent
}

/// What is known of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfKey {
    /// What its calls were answered, in their order.
    pub answers: Vec<String>,
    /// How often it was taken.
    pub accepted: usize,
    /// How often a repeat was collapsed.
    pub collapsed: usize,
}

impl OfKey {
    /// Whether some call of it ended without an answer that says whether it was taken: a caller
    /// that cannot ask cannot know.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.answers.iter().any(|answer| {
            let clear = [
                "200", "409", "429", "503", "400", "401", "402", "403", "404", "410", "422",
            ];
            let status = answer.rsplit(' ').next().unwrap_or_default();
            let slow = ["delay", "late"]
                .iter()
                .any(|slow| answer.starts_with(slow));
            slow || !clear.contains(&status)
        })
    }
}

/// Everything by key.
#[must_use]
pub fn by_key(lines: &[Line]) -> HashMap<&str, OfKey> {
    let mut keys: HashMap<&str, OfKey> = HashMap::new();
    for line in lines.iter().filter(|line| line.event != Event::Asked) {
        let key = keys.entry(line.key.as_str()).or_default();
        match line.event {
            Event::Call => key.answers.push(line.answer.clone()),
            Event::Accepted => key.accepted += 1,
            Event::Collapsed => key.collapsed += 1,
            Event::Asked => {}
        }
    }
    keys
}

/// Whose keys are whose: lines of `KEY USER PERIOD`.
///
/// # Errors
/// The number of the first line that is not so.
pub fn owners(text: &str) -> Result<HashMap<String, String>, usize> {
    let mut owners = HashMap::new();
    let lines = text.lines().enumerate();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let words: Vec<&str> = line
            .split([' ', ',', '\t'])
            .filter(|it| !it.is_empty())
            .collect();
        let [key, user, period] = words.as_slice() else {
            return Err(number + 1);
        };
        owners.insert((*key).to_owned(), format!("{user} {period}"));
    }
    Ok(owners)
}

/// Addresses that were sent more than one message on a channel: a hint only, since people share
/// addresses and there are many periods.
#[must_use]
pub fn addresses_twice(lines: &[Line]) -> usize {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for line in lines.iter().filter(|line| line.event == Event::Accepted) {
        let address = (&line.channel, &line.address);
        if !seen.insert(address) {
            twice.insert(address);
        }
    }
    twice.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    fn line(event: Event, key: &str, answer: &str) -> Line {
        Line::now(event, key, "email", "a", answer)
    }

    #[test]
    fn who_was_sent_something_on_two_channels_has_it_twice() {
        let lines = [
            line(Event::Accepted, "1-email", ""),
            line(Event::Accepted, "1-sms", ""),
            line(Event::Accepted, "2-email", ""),
            line(Event::Collapsed, "2-email", ""),
        ];
        let user = |key: &str| key.split('-').next().unwrap().to_owned();
        let found = twice(&lines, user);
        assert_eq!(found.len(), 1);
        assert_eq!(found["1"], ["1-email", "1-sms"]);
        assert!(twice(&lines, str::to_owned).is_empty());
    }

    #[test]
    fn only_a_call_without_a_clear_answer_is_ambiguous() {
        let lines = |answer| {
            [
                line(Event::Call, "k", "200"),
                line(Event::Call, "k", answer),
            ]
        };
        for (answer, ambiguous) in [
            ("200", false),
            ("garbage 200", false),
            ("drip-body 200", false),
            ("too-many 429", false),
            ("refuse 422", false),
            ("swallow none", true),
            ("error 500", true),
            ("delay 200", true),
            ("late 200", true),
            ("drip-head none", true),
        ] {
            let lines = lines(answer);
            assert_eq!(by_key(&lines)["k"].is_ambiguous(), ambiguous, "{answer}");
        }
    }

    #[test]
    fn owners_are_read_line_by_line() {
        let read = owners("k1 7 2026-01\n\nk2,8,2026-01\n").unwrap();
        assert_eq!(
            (read["k1"].as_str(), read["k2"].as_str()),
            ("7 2026-01", "8 2026-01")
        );
        assert_eq!(owners("k1 7 2026-01\nk2 8\n"), Err(2));
    }
}
