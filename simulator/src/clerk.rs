//! Whoever takes receipts in a process: what `POST /receipts/CHANNEL` does, without the HTTP.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use sealpost::deployment::Deployment;
use sealpost::receipts::{Index, Standing, Verdict, judge, record};
use sealpost::registry::ValueCodec;
use sealpost::stages::user_period_key;
use sealpost_operators::gate::CallId;
use sealpost_schemas::record::{Outcome, Rank};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{Durability, Write};

use crate::canary::Canary;
use crate::marks::Mark;
use crate::process::Site;
use crate::provider::{Desk, show};
use crate::scene::{Event, Scene};
use crate::vitals::Vitals;
use crate::webhook::Receipt;

/// See the module.
pub struct Clerk {
    deployment: Deployment,
    /// The index, and whether it has read anything.
    book: Mutex<(Index, bool)>,
    desk: Arc<Desk>,
    scene: Arc<Scene>,
    vitals: Arc<Vitals>,
}

impl Clerk {
    /// A clerk of a process that reaches the log through `deployment`.
    #[must_use]
    pub fn new(site: &Site, deployment: Deployment, vitals: &Arc<Vitals>) -> Self {
        Self {
            book: Mutex::new((Index::new(deployment.clone()), false)),
            deployment,
            desk: Arc::clone(&site.desk),
            scene: Arc::clone(&site.scene),
            vitals: Arc::clone(vitals),
        }
    }

    /// A receipt arrives.
    ///
    /// # Errors
    /// When the log failed.
    pub fn take(&self, number: u64, receipt: Receipt) -> Result<()> {
        let Receipt { id, status } = receipt;
        let scene = &self.scene;
        scene.say(format_args!(
            "p{} is told that {} is {status:?}",
            self.vitals.number,
            show(&id)
        ));
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let (index, has_read) = &mut *book;
        if !*has_read || !scene.is_sabotaged(Canary::ReceiptByOldIndex) {
            index.read_on()?;
            *has_read = true;
        }
        let found = index.get(id.message_key());
        drop(book);
        let standing = found.map(|call| call.standing);
        match judge(found, id.channel.into(), status) {
            Verdict::Settles(call, outcome) => {
                scene.reach(match (standing, outcome) {
                    (Some(Standing::Unknown), Outcome::Failed) => Mark::ReceiptFailed,
                    (Some(Standing::Unknown), _) => Mark::ReceiptSent,
                    _ => Mark::ReceiptOfOpen,
                });
                self.settle(number, receipt, call, outcome);
            }
            Verdict::NothingToSettle => {
                scene.reach(Mark::ReceiptAgain);
                self.desk.webhook.told(number, receipt, None);
            }
            Verdict::Contradicts => scene.violate(format_args!(
                "the provider has taken {}, and it counts as failed",
                show(&id)
            )),
            Verdict::Undecided => scene.reach(Mark::ReceiptEarly),
        }
        Ok(())
    }

    /// Writes it down and says so, now or some time later, if the process lives so long.
    fn settle(&self, number: u64, receipt: Receipt, call: CallId, outcome: Outcome) {
        let (scene, vitals) = (Arc::clone(&self.scene), Arc::clone(&self.vitals));
        let (desk, deployment) = (Arc::clone(&self.desk), self.deployment.clone());
        let act = move || {
            let mut value = Vec::new();
            let delivery = record(call, Rank::Primary, outcome, None, vitals.now(&scene));
            let mut encoder = ValueCodec::single_object().receipt_encoder();
            if encoder.encode(&delivery, &mut value).is_err() {
                return;
            }
            let mut batch = Batch::default();
            let key = user_period_key(call.user_id, call.period);
            batch.push(key.as_bytes(), Some(&value));
            let write = Write {
                topic: deployment.topics().receipts.clone(),
                shard: deployment.shard_of(call.user_id),
                batch,
            };
            let is_written = scene.is_sabotaged(Canary::ReceiptNotWritten)
                || deployment
                    .log
                    .append(vec![write], Durability::Machine)
                    .is_ok();
            if is_written {
                desk.webhook.told(number, receipt, Some(outcome));
            }
        };
        match self.desk.webhook.stall_ms() {
            Some(ms) => {
                let at = self.scene.now().plus_ms(ms);
                let event = Event::Timer(Arc::clone(&self.vitals), Box::new(act));
                self.scene.schedule(at, event);
            }
            None => act(),
        }
    }
}
