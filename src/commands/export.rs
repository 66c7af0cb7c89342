//! `export`: the result table, one row for each user and version; of the bills, or of a correction.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sealpost_schemas::record::{Call, KindState, Outcome, State, Statement};
use sealpost_schemas::result_table::{ResultBatch, ResultRow, arrow_schema};
use sealpost_schemas::{Kind, MessageKey, Period, UserId, Version};

use super::Scene;
use crate::books::{corrections, send_states};
use crate::deployment::Deployment;
use crate::host::Role;
use crate::progress::bar;
use crate::stages::user_period_key;
use crate::usage_error::UsageError;

/// Rows that are encoded together.
const ROWS: usize = 64 * 1024;

pub(super) fn execute(scene: &Scene, period: Period, kind: Kind, out: &Path) -> Result<()> {
    let deployment = Deployment::open(scene.config.clone(), &scene.data_dir, Role::Command)?;
    let rows = export(&deployment, period, kind, out)?;
    let json = serde_json::json!({ "period": period, "kind": kind, "rows": rows, "file": out });
    scene.answer(&json, &format!("{rows} rows in {}", out.display()))
}

/// Writes the table: by shard, in the order of the users; beside it first, then moved.
pub(super) fn export(deployment: &Deployment, period: Period, of: Kind, out: &Path) -> Result<u64> {
    let follows = match of {
        Kind::Bill => None,
        Kind::Correction(_) => {
            let commands = deployment.commands()?;
            let known = corrections(&commands, period).find(|(_, correct)| correct.kind == of);
            let (_, correct) = known.ok_or_else(|| {
                UsageError(format!(
                    "{period} has no {of}: `status {period}` lists its corrections"
                ))
            })?;
            Some(correct.version)
        }
    };
    let unfinished = out.with_extension("parquet.part");
    let file = File::create(&unfinished)
        .with_context(|| format!("cannot write {}", unfinished.display()))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by("sealpost".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(file, arrow_schema(), Some(properties))?;
    let mut batch = ResultBatch::with_capacity(ROWS);
    let mut rows = 0;
    let mut decoder = deployment.values.decoder::<Statement>();
    let bar = bar("export", u64::from(deployment.log.partitions()));
    for shard in deployment.shards() {
        let suffix = format!("/{period}");
        let mut statements: BTreeMap<UserId, Statement> = BTreeMap::new();
        deployment.scan(&deployment.topics().statements, shard, |_, key, value| {
            if key.ends_with(suffix.as_bytes()) {
                let mut statement = decoder.decode(value)?;
                // the table needs no more than total and destinations
                statement.lines = Vec::new();
                statements.insert(statement.user_id, statement);
            }
            Ok(())
        })?;
        let mut states = send_states(deployment, shard, period)?;
        for statement in statements.values() {
            let key = user_period_key(statement.user_id, period);
            let state = states.remove(key.as_bytes());
            let kinds = state.iter().flat_map(|state| &state.kinds);
            let find = |of| kinds.clone().find(|kind| kind.kind == of);
            // a correction is due to whoever received what it follows
            if let Some(version) = follows
                && find(Kind::Bill)
                    .is_none_or(|bill| (bill.state, bill.version) != (State::Sent, version))
            {
                continue;
            }
            let kind = find(of);
            let newest = kind.map_or(Version(0), |kind| kind.version);
            for version in (0..=newest.0).map(Version) {
                let call = kind
                    .and_then(|kind| kind.calls.iter().rev().find(|call| call.version == version));
                batch.push(&row(statement, of, kind, call, version, newest));
                rows += 1;
                if batch.len() >= ROWS {
                    writer.write(&batch.finish()?)?;
                }
            }
        }
        bar.inc(1);
    }
    if !batch.is_empty() {
        writer.write(&batch.finish()?)?;
    }
    writer.close()?;
    std::fs::rename(&unfinished, out).with_context(|| format!("cannot write {}", out.display()))?;
    bar.finish_and_clear();
    Ok(rows)
}

fn row<'a>(
    statement: &'a Statement,
    of: Kind,
    kind: Option<&'a KindState>,
    call: Option<&'a Call>,
    version: Version,
    newest: Version,
) -> ResultRow<'a> {
    let (user_id, period) = (statement.user_id, statement.period);
    // an earlier round is over: what did not come through there failed
    let status = match kind {
        None => State::Pending,
        Some(kind) if version == newest => kind.state,
        Some(_) => match call.and_then(|call| call.outcome) {
            Some(Outcome::Sent) => State::Sent,
            Some(Outcome::Unknown) => State::Unknown,
            Some(Outcome::Failed) | None => State::Failed,
        },
    };
    let attempts = kind.map_or(0, |kind| {
        kind.calls
            .iter()
            .filter(|call| call.version == version)
            .map(|call| u32::from(call.attempts))
            .sum()
    });
    ResultRow {
        user_id,
        period,
        version,
        channel: call.map(|call| call.channel),
        destination: call
            .and_then(|call| statement.contacts.destination(call.channel))
            .map(|destination| &destination.address),
        invoice_key: Statement::invoice_key(period, user_id),
        body_digest: call.map(|call| call.body_digest),
        total_won: statement.total_won,
        status,
        attempts,
        message_key: call.map(|call| MessageKey::new(period, user_id, of, version, call.channel)),
        provider_message_id: call.and_then(|call| call.provider_message_id.as_deref()),
        updated_at: call
            .map(|call| call.updated_at)
            .or(kind.map(|kind| kind.updated_at)),
    }
}
