//! One shard of settle: its three inputs as logs, read as the runtime reads them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]
#![allow(dead_code, reason = "each test file uses some of it")]

use sealpost_operators::settle::{Output, Scope, Settle};
use sealpost_operators::table::{OperatorError, Source};
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::record::{Action, Close, Command, Reason, Statement, Subscriber, Usage};
use sealpost_schemas::{Period, codec};

use crate::common::{MapHistory, MapTable, close_of, command};

/// What a commit keeps and a crash puts back.
#[derive(Clone, Default)]
struct Committed {
    table: MapTable,
    usage_next: u64,
    subscribers_next: u64,
    commands_next: usize,
    statements: Vec<Statement>,
    refused: Vec<(Source, u64, Reason)>,
}

pub(crate) struct Shard {
    pub(crate) usage: Vec<Usage>,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) commands: Vec<Command>,
    history: MapHistory,
    now: Committed,
    committed: Committed,
    pub(crate) settle: Settle,
    portion: usize,
}

impl Shard {
    pub(crate) fn new() -> Self {
        Self::with_portion(1_000)
    }

    /// A shard whose closes settle so many users in one step.
    pub(crate) fn with_portion(portion: usize) -> Self {
        Self {
            usage: Vec::new(),
            subscribers: Vec::new(),
            commands: Vec::new(),
            history: MapHistory::default(),
            now: Committed::default(),
            committed: Committed::default(),
            settle: Settle::new("Asia/Seoul").unwrap().with_portion(portion),
            portion,
        }
    }

    pub(crate) fn uses(&mut self, usage: Usage) -> &mut Self {
        let offset = self.usage.len() as u64;
        self.history
            .0
            .insert((Source::Usage, offset), codec::encode(&usage).unwrap());
        self.usage.push(usage);
        self
    }

    pub(crate) fn subscribes(&mut self, subscriber: Subscriber) -> &mut Self {
        let offset = self.subscribers.len() as u64;
        self.history.0.insert(
            (Source::Subscribers, offset),
            codec::encode(&subscriber).unwrap(),
        );
        self.subscribers.push(subscriber);
        self
    }

    /// Writes a close whose cut is the end of both inputs as they stand.
    pub(crate) fn closes(&mut self, period: Period) -> &mut Self {
        self.closes_by(period, Catalog::built_in().text())
    }

    pub(crate) fn closes_by(&mut self, period: Period, catalog: &str) -> &mut Self {
        let close = close_of(
            period,
            self.usage.len() as u64,
            self.subscribers.len() as u64,
            catalog,
        );
        self.commands.push(command(
            &format!("close-{}", self.commands.len()),
            Action::Close(close),
        ));
        self
    }

    /// Reads everything there is and settles everything that is due.
    pub(crate) fn run(&mut self) -> &mut Self {
        loop {
            self.read_commands(usize::MAX);
            let read = self.read_subscriber() | self.read_usage();
            let more = self.advance();
            if !read && !more && self.settle.unfinished() == 0 {
                self.commit();
                return self;
            }
        }
    }

    pub(crate) fn read_commands(&mut self, count: usize) {
        for _ in 0..count {
            let Some(command) = self.commands.get(self.now.commands_next).cloned() else {
                return;
            };
            self.try_command(command).unwrap();
            self.now.commands_next += 1;
        }
    }

    pub(crate) fn try_command(&mut self, command: Command) -> Result<(), OperatorError> {
        self.act(|settle, scope| settle.on_command(command, scope))
    }

    /// Commands that were there before a record at this place could be written come first.
    fn read_commands_before(&mut self, next: u64, end: impl Fn(&Close) -> i64) {
        let due = self
            .commands
            .iter()
            .rposition(|command| match &command.action {
                Action::Close(close) => end(close).cast_unsigned() <= next,
                _ => false,
            });
        let count = due.map_or(0, |due| (due + 1).saturating_sub(self.now.commands_next));
        self.read_commands(count);
    }

    /// Takes one event in, if there is one and it is wanted.
    pub(crate) fn read_usage(&mut self) -> bool {
        let next = self.now.usage_next;
        self.read_commands_before(next, |close| close.usage_end);
        let Some(usage) = self.usage.get(next as usize).cloned() else {
            return false;
        };
        if self
            .settle
            .limit(Source::Usage)
            .is_some_and(|limit| next >= limit)
        {
            return false;
        }
        let raw = codec::encode(&usage).unwrap();
        self.act(|settle, scope| settle.on_usage(next, &usage, &raw, scope))
            .unwrap();
        self.now.usage_next += 1;
        self.settle.positioned(Source::Usage, self.now.usage_next);
        true
    }

    /// Takes one row in, if there is one and it is wanted.
    pub(crate) fn read_subscriber(&mut self) -> bool {
        let next = self.now.subscribers_next;
        self.read_commands_before(next, |close| close.subscribers_end);
        let Some(row) = self.subscribers.get(next as usize).cloned() else {
            return false;
        };
        if self
            .settle
            .limit(Source::Subscribers)
            .is_some_and(|limit| next >= limit)
        {
            return false;
        }
        self.act(|settle, scope| settle.on_subscriber(next, &row, scope))
            .unwrap();
        self.now.subscribers_next += 1;
        self.settle
            .positioned(Source::Subscribers, self.now.subscribers_next);
        true
    }

    pub(crate) fn advance(&mut self) -> bool {
        self.act(|settle, scope| settle.advance(scope)).unwrap()
    }

    pub(crate) fn commit(&mut self) {
        self.committed = self.now.clone();
    }

    /// Back to the last commit, with a new operator.
    pub(crate) fn crash(&mut self) {
        self.now = self.committed.clone();
        self.restart();
    }

    /// Reads everything again from the beginning, with the state as it is.
    pub(crate) fn replay(&mut self) {
        (
            self.now.usage_next,
            self.now.subscribers_next,
            self.now.commands_next,
        ) = (0, 0, 0);
        self.restart();
    }

    fn restart(&mut self) {
        self.settle = Settle::new("Asia/Seoul")
            .unwrap()
            .with_portion(self.portion);
        self.settle.positioned(Source::Usage, self.now.usage_next);
        self.settle
            .positioned(Source::Subscribers, self.now.subscribers_next);
        self.settle.restored(&self.now.table).unwrap();
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut Settle, &mut Scope<'_>) -> T) -> T {
        let mut out = Vec::new();
        let mut scope = Scope {
            table: &mut self.now.table,
            history: &mut self.history,
            out: &mut out,
        };
        let result = act(&mut self.settle, &mut scope);
        for output in out {
            match output {
                Output::Statement(statement) => self.now.statements.push(*statement),
                Output::Refused {
                    source,
                    offset,
                    reason,
                    raw,
                    ..
                } => {
                    assert_eq!(
                        Some(&raw),
                        self.history.0.get(&(source, offset)),
                        "a dead letter is the original"
                    );
                    self.now.refused.push((source, offset, reason));
                }
            }
        }
        result
    }

    pub(crate) fn table(&mut self) -> &mut MapTable {
        &mut self.now.table
    }

    /// Every statement emitted so far, in that order.
    pub(crate) fn statements(&self) -> &[Statement] {
        &self.now.statements
    }

    /// Everything refused so far, in that order.
    pub(crate) fn refused(&self) -> &[(Source, u64, Reason)] {
        &self.now.refused
    }

    pub(crate) fn totals(&self) -> Vec<(u64, String, i64)> {
        let of = |statement: &Statement| {
            (
                statement.user_id.get(),
                statement.period.to_string(),
                statement.total_won.0,
            )
        };
        self.now.statements.iter().map(of).collect()
    }
}
