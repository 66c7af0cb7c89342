//! What the provider says later of its messages, by webhook: true to its ledger, and delayed,
//! repeated, out of order, or lost on the way. Whatever is not answered, or put off, comes again.
//!
//! A receipt that says *failed* is the provider's last word: it takes that key no more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealpost::receipts::Status;
use sealpost_operators::gate::CallId;
use sealpost_schemas::record::Outcome;

use crate::draw::Draw;
use crate::plan::Fault;
use crate::scene::{Event, Scene};

/// One receipt, as it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Receipt {
    /// Of which call.
    pub id: CallId,
    /// What it says.
    pub status: Status,
}

/// A receipt that was answered for good.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// Which.
    pub receipt: Receipt,
    /// What it was said to settle; `None`: there is nothing to settle.
    pub settles: Option<Outcome>,
}

struct Book {
    draw: Draw,
    number: u64,
    /// Not answered yet.
    open: BTreeMap<u64, Receipt>,
    told: Vec<Told>,
}

/// See the module.
pub struct Webhook {
    scene: Arc<Scene>,
    book: Mutex<Book>,
}

impl Webhook {
    /// A provider's webhook that has said nothing yet.
    #[must_use]
    pub fn new(scene: Arc<Scene>) -> Self {
        let book = Mutex::new(Book {
            draw: Draw::of(scene.plan.seed, "receipts"),
            number: 0,
            open: BTreeMap::new(),
            told: Vec::new(),
        });
        Self { scene, book }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The provider has taken a message.
    pub fn taken(&self, id: CallId) {
        if !self.scene.has(Fault::Receipts) {
            return;
        }
        let status = *self
            .book()
            .draw
            .pick(&[Status::Sent, Status::Sent, Status::Delivered]);
        self.send(Receipt { id, status });
    }

    /// The provider has not taken a message and could say so for good. Returns whether it does.
    pub fn refuses(&self, id: CallId) -> bool {
        if !self.scene.has(Fault::Receipts) || self.book().draw.one_in(2) {
            return false;
        }
        let status = Status::Failed;
        self.send(Receipt { id, status });
        true
    }

    fn send(&self, receipt: Receipt) {
        let mut book = self.book();
        // now and then none comes at all
        for _ in 0..book.draw.below(4) {
            let late_ms = *book.draw.pick(&[500, 5_000, 60_000]);
            let ms = book.draw.within(0, late_ms);
            book.number += 1;
            let number = book.number;
            book.open.insert(number, receipt);
            let at = self.scene.now().plus_ms(ms);
            self.scene.schedule(at, Event::Receipt(number));
        }
    }

    /// A receipt arrives somewhere: unless somebody answers it, it comes again, or in bad weather
    /// never. Returns it if it is still on its way.
    pub fn arrives(&self, number: u64) -> Option<Receipt> {
        let mut book = self.book();
        let receipt = *book.open.get(&number)?;
        if self.scene.has(Fault::Receipts) && book.draw.one_in(8) {
            book.open.remove(&number);
        } else {
            let ms = book.draw.within(3_000, 30_000);
            let at = self.scene.now().plus_ms(ms);
            self.scene.schedule(at, Event::Receipt(number));
        }
        Some(receipt)
    }

    /// Which of so many processes it arrives at.
    pub fn place(&self, processes: usize) -> usize {
        self.book().draw.place(processes)
    }

    /// How long the process that takes one needs before it writes it down.
    pub fn stall_ms(&self) -> Option<i64> {
        let mut book = self.book();
        let stalls = self.scene.has(Fault::Receipts) && book.draw.one_in(3);
        stalls.then(|| book.draw.within(1, 4_000))
    }

    /// The provider is told that it need not come again.
    pub fn told(&self, number: u64, receipt: Receipt, settles: Option<Outcome>) {
        let mut book = self.book();
        book.open.remove(&number);
        book.told.push(Told { receipt, settles });
    }

    /// What was answered.
    #[must_use]
    pub fn answered(&self) -> Vec<Told> {
        self.book().told.clone()
    }

    /// Whether no receipt is on its way.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.book().open.is_empty()
    }
}
