//! What the provider says it was asked and took: its ledger, read here on its own, without the
//! program's code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) file: String,
    pub(crate) event: String,
    pub(crate) key: String,
    pub(crate) channel: String,
    pub(crate) user: u64,
    pub(crate) period: String,
    pub(crate) kind: String,
}

/// Every line of every file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) entries: Vec<Entry>,
}

impl World {
    /// Reads `DATA/provider-ledger`. A line without its end is torn by a kill, and only the last
    /// one of a file may be.
    pub(crate) fn read(data: &Path) -> Self {
        let mut world = Self::default();
        let Ok(folder) = fs::read_dir(data.join("provider-ledger")) else {
            return world;
        };
        for file in folder {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            for line in text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'))
            {
                let line: Value = serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
                let text = |field: &str| {
                    line[field]
                        .as_str()
                        .unwrap_or_else(|| panic!("{field} in {line}"))
                        .to_owned()
                };
                world.entries.push(Entry {
                    file: name.clone(),
                    event: text("event"),
                    key: text("message_key"),
                    channel: text("channel"),
                    user: line["user_id"].as_u64().unwrap(),
                    period: text("period"),
                    kind: text("kind"),
                });
            }
        }
        world
    }

    /// How long the ledger is: it grows with every call.
    pub(crate) fn bytes(data: &Path) -> u64 {
        let Ok(folder) = fs::read_dir(data.join("provider-ledger")) else {
            return 0;
        };
        folder
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    }

    pub(crate) fn of(&self, event: &str) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.event == event)
    }

    pub(crate) fn count(&self, event: &str) -> usize {
        self.of(event).count()
    }

    /// How many messages were taken of each (user, period, kind), whatever the channel.
    pub(crate) fn acceptances(&self) -> BTreeMap<(u64, &str, &str), usize> {
        let mut taken = BTreeMap::new();
        for entry in self.of("accepted") {
            *taken
                .entry((entry.user, entry.period.as_str(), entry.kind.as_str()))
                .or_default() += 1;
        }
        taken
    }

    /// Nobody has the same message twice.
    #[track_caller]
    pub(crate) fn assert_nobody_twice(&self) {
        let twice: Vec<_> = self
            .acceptances()
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .collect();
        assert!(
            twice.is_empty(),
            "{} of {} have it more than once: {:?}",
            twice.len(),
            self.acceptances().len(),
            &twice[..twice.len().min(5)]
        );
    }

    /// Users of whom a message was taken.
    pub(crate) fn users_accepted(&self) -> BTreeSet<u64> {
        self.of("accepted").map(|entry| entry.user).collect()
    }

    /// Keys whose call is in a file that has no decision on it: its process died before.
    pub(crate) fn open_calls(&self) -> BTreeSet<u64> {
        let decided: BTreeSet<_> = self
            .entries
            .iter()
            .filter(|entry| entry.event != "call")
            .map(|entry| (&entry.file, &entry.key))
            .collect();
        self.of("call")
            .filter(|call| !decided.contains(&(&call.file, &call.key)))
            .map(|call| call.user)
            .collect()
    }
}
