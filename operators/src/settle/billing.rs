//! What comes out: the users of a close, one by one.

use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::record::{LineKind, Reason, Statement, UsageTotals};
use sealpost_schemas::{Period, UserId};

use super::account::{self, Account, Frozen, ProfileAt, account_user};
use super::{Output, PendingClose, Scope, Settle};
use crate::rating::{RatingError, RatingInput, finish, rate};
use crate::table::{OperatorError, Source, Table};

impl Settle {
    pub(super) fn settle_user(
        &mut self,
        user: UserId,
        pending: &mut PendingClose,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let period = pending.close.period;
        if self.too_old(period) || pending.refused.contains(&user) {
            return Ok(());
        }
        let Some(mut account) = Account::load(scope.table, user)? else {
            return Ok(());
        };
        if scope
            .table
            .get(&account::frozen_key(user, period))
            .is_some()
        {
            return Ok(());
        }
        match account.profile {
            // came after the cut: the next close settles them
            Some(profile) if profile.offset >= pending.close.subscribers_end.cast_unsigned() => {
                Ok(())
            }
            Some(profile) if profile.active => {
                self.settle_active(user, profile, account, pending, scope)
            }
            Some(_) => self.refuse_open(user, &mut account, period, Reason::Withdrawn, scope),
            None => self.refuse_open(user, &mut account, period, Reason::UnknownSubscriber, scope),
        }
    }

    pub(super) fn settle_active(
        &mut self,
        user: UserId,
        profile: ProfileAt,
        mut account: Account,
        pending: &mut PendingClose,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let period = pending.close.period;
        let Some(row) = scope.history.value(
            Source::Subscribers,
            user.to_string().as_bytes(),
            profile.offset,
        )?
        else {
            return Err(OperatorError::Stop(format!(
                "the row of a subscriber at offset {} of `subscribers` is gone although it is the newest: the topic must be compacted, never cut",
                profile.offset
            )));
        };
        let subscriber = self
            .subscribers
            .decode(&row)
            .map_err(|error| OperatorError::Stop(error.to_string()))?;
        let mut frozen = Frozen {
            catalog: pending.close.catalog_digest,
            plan: subscriber.plan.clone(),
            options: subscriber.options.clone(),
            welfare: subscriber.welfare.clone(),
            contract: subscriber.contract.overlaps(period),
            soldier: subscriber.soldier.overlaps(period),
            usage: UsageTotals::default(),
            billed: sealpost_schemas::Won::ZERO,
        };
        frozen.usage = account.take_open(period);
        let mut lines = Vec::with_capacity(8);
        // what earlier periods come to now is written down only once the whole statement stands
        let mut earlier = Vec::with_capacity(account.late.len());
        for source in &account.late {
            if let Some(frozen) = Frozen::load(scope.table, user, *source)? {
                let Some(catalog) = self.catalogs.get(&frozen.catalog).cloned() else {
                    return Err(OperatorError::Stop(format!(
                        "the catalogue {} that {source} was settled by was never seen: read `control` from its begin",
                        frozen.catalog
                    )));
                };
                earlier.push((*source, frozen, catalog));
            }
        }
        let settled = rate_frozen(&pending.catalog, &frozen, &mut lines).and_then(|own| {
            let mut adjustments = Vec::with_capacity(earlier.len());
            for (source, frozen, catalog) in &mut earlier {
                let again = rate_frozen(catalog, frozen, &mut Vec::new())?;
                adjustments.push((*source, again.sub(frozen.billed)?));
                frozen.billed = again;
            }
            Ok((own, finish(own, &adjustments, account.credit, &mut lines)?))
        });
        let (own, finished) = match settled {
            Ok(settled) => settled,
            Err(error) => {
                // nothing of the account changes: once the cause is mended, a close settles it
                self.counts.refused += 1;
                pending.refused.insert(user);
                scope.out.push(Output::Refused {
                    user_id: user,
                    source: Source::Subscribers,
                    offset: profile.offset,
                    reason: error.reason(),
                    detail: "the user was not settled; mend it and close the period again",
                    raw: row,
                });
                return Ok(());
            }
        };
        for (source, frozen, _) in &earlier {
            frozen.store(scope.table, user, *source, &mut self.packer);
        }
        frozen.billed = own;
        frozen.store(scope.table, user, period, &mut self.packer);
        account.credit = finished.credit_won;
        account.late.clear();
        self.forget_old(user, &mut account, scope.table);
        account.store(scope.table, user, &mut self.packer);
        let plan_name = lines
            .iter()
            .find(|line| line.kind == LineKind::Plan)
            .and_then(|line| line.name.clone())
            .unwrap_or_default();
        self.counts.statements += 1;
        scope.out.push(Output::Statement(Box::new(Statement {
            user_id: user,
            period,
            plan: subscriber.plan,
            plan_name,
            lines,
            total_won: finished.total_won,
            usage: frozen.usage,
            catalog_digest: pending.close.catalog_digest,
            template_digest: pending.close.template_digest,
            locale: subscriber.locale,
            windows: subscriber.windows,
            contacts: subscriber.contacts,
        })));
        Ok(())
    }

    /// Usage of a period that closed without a bill goes to the dead letters, and its event ids
    /// are free again, so that it can be requeued.
    pub(super) fn refuse_open(
        &mut self,
        user: UserId,
        account: &mut Account,
        period: Period,
        reason: Reason,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        if account.open.iter().all(|(open, _)| *open != period) {
            return Ok(());
        }
        let detail = if reason == Reason::Withdrawn {
            "the user had withdrawn when the period closed"
        } else {
            "the period closed before the user became known"
        };
        for seen in account.all_seen(scope.table, user) {
            if seen.period == period {
                let raw = scope
                    .history
                    .value(Source::Usage, user.to_string().as_bytes(), seen.offset)?
                    .unwrap_or_default();
                self.counts.refused += 1;
                scope.out.push(Output::Refused {
                    user_id: user,
                    source: Source::Usage,
                    offset: seen.offset,
                    reason,
                    detail,
                    raw,
                });
            }
        }
        self.do_not_read_again(self.usage_next, scope.table);
        account.retain_seen(scope.table, user, |seen| seen.period != period);
        account.take_open(period);
        account.store(scope.table, user, &mut self.packer);
        Ok(())
    }

    /// Event ids and frozen inputs are kept as long as usage may still come.
    pub(super) fn forget_old(
        &mut self,
        user: UserId,
        account: &mut Account,
        table: &mut dyn Table,
    ) {
        let mut forgot = false;
        for old in self
            .closed
            .iter()
            .take_while(|period| self.too_old(**period))
        {
            let key = account::frozen_key(user, *old);
            if table.get(&key).is_some() {
                table.delete(&key);
                forgot = true;
            }
        }
        if forgot {
            self.do_not_read_again(self.usage_next, table);
            account.retain_seen(table, user, |seen| !self.too_old(seen.period));
        }
    }

    /// Every user with an account, in the order in which the subscribers' rows lie in their topic
    /// (they are then read in one pass), last one first.
    pub(super) fn users_to_settle(&self, period: Period, table: &dyn Table) -> Vec<UserId> {
        if self.too_old(period) {
            return Vec::new();
        }
        let mut users = Vec::new();
        table.for_each(&mut |key, _| users.extend(account_user(key)));
        users.sort_by_cached_key(|user| {
            // one that cannot be read stops its own settling, not this
            let row = Account::load(table, *user)
                .ok()
                .flatten()
                .and_then(|account| account.profile);
            (
                std::cmp::Reverse(row.map_or(u64::MAX, |profile| profile.offset)),
                std::cmp::Reverse(*user),
            )
        });
        users
    }
}

fn rate_frozen(
    catalog: &Catalog,
    frozen: &Frozen,
    lines: &mut Vec<sealpost_schemas::record::Line>,
) -> Result<sealpost_schemas::Won, RatingError> {
    let input = RatingInput {
        plan: &frozen.plan,
        options: &frozen.options,
        contract: frozen.contract,
        soldier: frozen.soldier,
        welfare: frozen.welfare.as_deref(),
        usage: frozen.usage,
    };
    rate(catalog, &input, lines)
}
