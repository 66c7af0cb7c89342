//! The way back from a provider: exactly one answer for each call, and one word for each question.
//!
//! Invariants:
//! - A second answer to the same id, or one to an id that was not asked, goes nowhere.
//! - When the last handle is dropped, whatever has no answer yet gets the fallback. So a provider
//!   that panics or is torn down leaves a doubt behind and not a call that is awaited forever.

use std::sync::{Mutex, PoisonError};

use sealpost_operators::gate::CallId;

type Deliver<A> = Box<dyn Fn(Vec<(CallId, A)>) + Send + Sync>;

/// The open ids of one batch, and where their answers go.
pub struct Reply<A: Clone> {
    open: Mutex<Vec<CallId>>,
    fallback: A,
    deliver: Deliver<A>,
}

impl<A: Clone> Reply<A> {
    /// Awaits one answer for each of `ids`, which differ from each other; `fallback` stands for
    /// those that never come.
    pub fn new(
        ids: Vec<CallId>,
        fallback: A,
        deliver: impl Fn(Vec<(CallId, A)>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            open: Mutex::new(ids),
            fallback,
            deliver: Box::new(deliver),
        }
    }

    /// Hands in answers. Those that nobody waits for are dropped.
    pub fn answer(&self, mut answers: Vec<(CallId, A)>) {
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            // the whole batch in its order is the common case, and needs no search
            if open.len() == answers.len()
                && open
                    .iter()
                    .zip(&answers)
                    .all(|(id, (answered, _))| id == answered)
            {
                open.clear();
            } else {
                answers.retain(
                    |(id, _)| match open.iter().position(|waiting| waiting == id) {
                        Some(place) => {
                            open.swap_remove(place);
                            true
                        }
                        None => false,
                    },
                );
            }
        }
        if !answers.is_empty() {
            (self.deliver)(answers);
        }
    }
}

impl<A: Clone> Drop for Reply<A> {
    fn drop(&mut self) {
        let open = std::mem::take(self.open.get_mut().unwrap_or_else(PoisonError::into_inner));
        if !open.is_empty() {
            (self.deliver)(
                open.into_iter()
                    .map(|id| (id, self.fallback.clone()))
                    .collect(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]

    use std::sync::Arc;

    use sealpost_operators::gate::Word;
    use sealpost_schemas::{Channel, Kind, Period, UserId, Version};

    use super::*;

    fn id(user: u64) -> CallId {
        CallId {
            user_id: UserId::new(user).unwrap(),
            period: Period::new(2026, 1).unwrap(),
            kind: Kind::Bill,
            version: Version(0),
            channel: Channel::Email,
        }
    }

    type Heard = Arc<Mutex<Vec<(CallId, Word)>>>;

    fn reply(users: std::ops::Range<u64>) -> (Reply<Word>, Heard) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = Arc::clone(&heard);
        let reply = Reply::new(users.map(id).collect(), Word::Unclear, move |words| {
            hearing.lock().unwrap().extend(words);
        });
        (reply, heard)
    }

    #[test]
    fn a_second_answer_and_a_strangers_answer_go_nowhere() {
        let (reply, heard) = reply(0..3);
        reply.answer(vec![(id(1), Word::NotTaken)]);
        reply.answer(vec![
            (id(1), Word::Unclear),
            (id(9), Word::NotTaken),
            (id(2), Word::NotTaken),
        ]);
        assert_eq!(
            *heard.lock().unwrap(),
            vec![(id(1), Word::NotTaken), (id(2), Word::NotTaken)]
        );
    }

    #[test]
    fn what_a_provider_forgets_ends_in_the_fallback() {
        let (reply, heard) = reply(0..3);
        reply.answer(vec![(id(0), Word::NotTaken)]);
        drop(reply);
        let mut heard = heard.lock().unwrap().clone();
        heard.sort_by_key(|(id, _)| *id);
        assert_eq!(
            heard,
            vec![
                (id(0), Word::NotTaken),
                (id(1), Word::Unclear),
                (id(2), Word::Unclear)
            ]
        );
    }

    #[test]
    fn a_whole_batch_is_answered_once() {
        let (reply, heard) = reply(0..3);
        let all: Vec<_> = (0..3).map(|user| (id(user), Word::NotTaken)).collect();
        reply.answer(all.clone());
        reply.answer(all.clone());
        drop(reply);
        assert_eq!(*heard.lock().unwrap(), all);
    }
}
