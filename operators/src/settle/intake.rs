//! What comes in: rows of subscribers, and usage.

use sealpost_schemas::record::{Reason, Subscriber, SubscriberStatus, Usage};
use sealpost_schemas::{Period, Timestamp, UserId};

use super::account::{Account, Frozen, ProfileAt, Seen};
use super::{Output, Scope, Settle};
use crate::table::{OperatorError, Source};

impl Settle {
    /// One row of a subscriber; a later one replaces an earlier one.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn on_subscriber(
        &mut self,
        offset: u64,
        subscriber: &Subscriber,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let user = subscriber.user_id;
        self.settle_before_touch(user, scope)?;
        let mut account = Account::load(scope.table, user)?.unwrap_or_default();
        let active = subscriber.status == SubscriberStatus::Active;
        account.profile = Some(ProfileAt { offset, active });
        account.store(scope.table, user, &mut self.packer);
        Ok(())
    }

    /// One usage event; `raw` is the record as it stands in the topic.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn on_usage(
        &mut self,
        offset: u64,
        usage: &Usage,
        raw: &[u8],
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        if offset < self.usage_done {
            self.counts.duplicates += 1;
            return Ok(());
        }
        let user = usage.user_id;
        let refused = |reason, detail| Output::Refused {
            user_id: user,
            source: Source::Usage,
            offset,
            reason,
            detail,
            raw: raw.to_vec(),
        };
        if usage.event_id.is_empty() || usage.event_id.len() > Usage::EVENT_ID_BYTES_MAX {
            self.refuse(
                refused(Reason::Malformed, "event_id must have 1 to 64 bytes"),
                scope,
            );
            return Ok(());
        }
        if !(0..=Usage::QUANTITY_MAX).contains(&usage.quantity) {
            self.refuse(
                refused(Reason::Malformed, "quantity must be from 0 to 10^15"),
                scope,
            );
            return Ok(());
        }
        let Some(period) = self.period_of(usage.occurred_at) else {
            self.refuse(
                refused(
                    Reason::Malformed,
                    "occurred_at must lie between 1970 and 9999",
                ),
                scope,
            );
            return Ok(());
        };
        if self.too_old(period) {
            self.refuse(
                refused(
                    Reason::TooLate,
                    "occurred more than 13 months before the newest closed period",
                ),
                scope,
            );
            return Ok(());
        }
        self.settle_before_touch(user, scope)?;
        let mut account = Account::load(scope.table, user)?.unwrap_or_default();
        let seen = Seen::new(usage, period, offset);
        if let Some(before) = account.find_seen(scope.table, user, seen.id) {
            if before.content == seen.content {
                self.counts.duplicates += 1;
            } else {
                self.refuse(
                    refused(
                        Reason::ConflictingEvent,
                        "event_id was seen with other content; the first stands",
                    ),
                    scope,
                );
            }
            return Ok(());
        }
        let overflow = "the total of the period would leave 64 bits";
        let frozen = if self.closed.contains(&period) {
            Frozen::load(scope.table, user, period)?
        } else {
            None
        };
        if let Some(mut frozen) = frozen {
            let Some(totals) = frozen.usage.plus(usage.kind, usage.quantity) else {
                self.refuse(refused(Reason::Overflow, overflow), scope);
                self.do_not_read_again(offset + 1, scope.table);
                return Ok(());
            };
            frozen.usage = totals;
            frozen.store(scope.table, user, period, &mut self.packer);
            account.mark_late(period);
            self.counts.late += 1;
        } else {
            match account.profile {
                None if self.closed.contains(&period) => {
                    self.refuse(
                        refused(
                            Reason::UnknownSubscriber,
                            "the period closed before the user became known",
                        ),
                        scope,
                    );
                    self.do_not_read_again(offset + 1, scope.table);
                    return Ok(());
                }
                Some(ProfileAt { active: false, .. }) if self.closed.contains(&period) => {
                    self.refuse(
                        refused(
                            Reason::Withdrawn,
                            "the user had withdrawn when the period closed",
                        ),
                        scope,
                    );
                    self.do_not_read_again(offset + 1, scope.table);
                    return Ok(());
                }
                _ => {}
            }
            let open = account.open_period(period);
            let Some(totals) = open.plus(usage.kind, usage.quantity) else {
                self.refuse(refused(Reason::Overflow, overflow), scope);
                self.do_not_read_again(offset + 1, scope.table);
                return Ok(());
            };
            *open = totals;
        }
        account.remember(scope.table, user, seen, &mut self.scratch);
        account.store(scope.table, user, &mut self.packer);
        self.counts.events += 1;
        Ok(())
    }

    fn refuse(&mut self, refused: Output, scope: &mut Scope<'_>) {
        self.counts.refused += 1;
        scope.out.push(refused);
    }

    /// Whoever is changed while a close works its way through the users is settled first.
    fn settle_before_touch(
        &mut self,
        user: UserId,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        if self
            .closes
            .front()
            .is_none_or(|pending| pending.work.is_none())
        {
            return Ok(());
        }
        let Some(mut pending) = self.closes.pop_front() else {
            return Ok(());
        };
        let settled = self.settle_user(user, &mut pending, scope);
        self.closes.push_front(pending);
        settled
    }

    /// The month of a time in the configured zone. Times of one month come together: the last
    /// month's bounds are kept.
    fn period_of(&mut self, at: Timestamp) -> Option<Period> {
        if let Some((from, to, period)) = self.month
            && (from..to).contains(&at.0)
        {
            return Some(period);
        }
        let local = jiff::Timestamp::from_microsecond(at.0)
            .ok()?
            .to_zoned(self.time_zone.clone());
        let period = Period::new(local.year(), local.month()).ok()?;
        let first = local.first_of_month().ok()?.start_of_day().ok()?;
        let next = local
            .last_of_month()
            .ok()?
            .tomorrow()
            .ok()?
            .start_of_day()
            .ok()?;
        self.month = Some((
            first.timestamp().as_microsecond(),
            next.timestamp().as_microsecond(),
            period,
        ));
        Some(period)
    }
}
