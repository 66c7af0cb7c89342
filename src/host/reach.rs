//! Getting at the log: taking the lock, asking its holder, or waiting for either.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use sealpost_topology::log::LogError;

use super::Place;
use super::client::{Client, NoConnection};
use super::holder::{Holder, Role};
use super::hosted::{HostedLog, NotHosted};
use super::lock::{Attempt, LockFile};
use super::remote::Via;
use super::wire::Deadline;

/// How long a command tries to get at the log.
const REACH_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a `run` waits for commands to finish.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// How long the holder may take to say who it is.
const GREETING_TIME_MAX: Duration = Duration::from_secs(5);

/// For how long the lock's file must name the same holder to be believed, where the socket says
/// nothing: a dead holder's name stays until the next one writes its own.
const NAME_BELIEVED_AFTER: Duration = Duration::from_secs(1);

/// Time between attempts: short at first, because most waits are for a process that begins or
/// ends.
struct Pauses(Duration);

impl Pauses {
    const fn new() -> Self {
        Self(Duration::from_millis(5))
    }

    fn pause(&mut self) {
        std::thread::sleep(self.0);
        self.0 = (self.0 * 2).min(Duration::from_millis(200));
    }
}

/// For a command: has the log open here, or a connection to whoever has.
pub(super) fn reach(place: &Place) -> Result<Via> {
    let data_dir = &place.data_dir;
    let deadline = Deadline::after(REACH_TIME_MAX);
    let mut pauses = Pauses::new();
    loop {
        let (mut holder, mut why) = (None, String::new());
        match LockFile::attempt(data_dir, Role::Command)? {
            Attempt::Taken(lock) => {
                match HostedLog::open(place, Holder::this_process(Role::Command), lock) {
                    Ok(log) => return Ok(Via::Hosted(log)),
                    Err(NotHosted::NotYet) => {}
                    Err(NotHosted::Never(error)) => return Err(error),
                }
            }
            Attempt::Held(named) => {
                let patience = deadline.left().unwrap_or_default().min(GREETING_TIME_MAX);
                match Client::connect(data_dir, patience) {
                    Ok(client) => return checked(place, client).map(Via::Client),
                    Err(NoConnection::Never(why)) => bail!(why),
                    Err(NoConnection::Full(there)) => {
                        holder = Some(there);
                        why = " (it serves as many others as it can)".to_owned();
                    }
                    Err(NoConnection::Absent(error)) => {
                        holder = named;
                        why = format!(" ({error})");
                    }
                }
            }
        }
        if deadline.left().is_none() {
            bail!(
                "the data directory {} is in use by {}, which did not answer within {} s{why}: wait for it to finish, or stop it, then try again",
                data_dir.display(),
                name(holder.as_ref()),
                REACH_TIME_MAX.as_secs()
            );
        }
        pauses.pause();
    }
}

/// The host's log must be the one that is configured here.
fn checked(place: &Place, client: Client) -> Result<Client> {
    let (there, here) = (client.partitions(), place.partitions);
    if there == here {
        return Ok(client);
    }
    Err(LogError::Mismatch(format!(
        "the log in {} has {there} partitions, but {here} are configured: set log.partitions = {there}",
        place.data_dir.join("log").display()
    ))
    .into())
}

/// For a `run`: has the log open here.
pub(super) fn take(place: &Place) -> Result<HostedLog> {
    let data_dir = &place.data_dir;
    let deadline = Deadline::after(COMMAND_TIME_MAX);
    let mut pauses = Pauses::new();
    let mut engine: Option<Deadline> = None;
    let mut named: Option<(Holder, Deadline)> = None;
    let mut told: Option<Holder> = None;
    loop {
        match LockFile::attempt(data_dir, Role::Run)? {
            Attempt::Taken(lock) => {
                match HostedLog::open(place, Holder::this_process(Role::Run), lock) {
                    Ok(log) => return Ok(log),
                    Err(NotHosted::Never(error)) => return Err(error),
                    Err(NotHosted::NotYet) => {
                        let until = engine.get_or_insert_with(|| Deadline::after(REACH_TIME_MAX));
                        if until.left().is_none() {
                            let path = data_dir.join("log").display().to_string();
                            return Err(LogError::InUse { path }.into());
                        }
                    }
                }
            }
            Attempt::Held(name) => {
                let asked = Client::ask_holder(data_dir, NAME_BELIEVED_AFTER);
                match asked.or_else(|| believed(&mut named, name)) {
                    Some(holder) if holder.role == Role::Run => {
                        return Err(refused(place, &holder));
                    }
                    Some(holder) if told.is_none() => {
                        // a wait is no reason to fail, whether it can be told or not
                        let _ = writeln!(
                            std::io::stderr(),
                            "waiting for {holder} to finish with {}",
                            data_dir.display()
                        );
                        told = Some(holder);
                    }
                    Some(_) | None => {}
                }
            }
        }
        if deadline.left().is_none() {
            bail!(
                "the data directory {} has been in use by {} for {} minutes: wait for it to finish, or stop it, then start again",
                data_dir.display(),
                name(told.as_ref()),
                COMMAND_TIME_MAX.as_secs() / 60
            );
        }
        pauses.pause();
    }
}

/// What the lock's file says, once it has said it for long enough.
fn believed(named: &mut Option<(Holder, Deadline)>, name: Option<Holder>) -> Option<Holder> {
    let name = name?;
    match named {
        Some((before, since)) if *before == name => since.left().is_none().then_some(name),
        _ => {
            *named = Some((name, Deadline::after(NAME_BELIEVED_AFTER)));
            None
        }
    }
}

fn refused(place: &Place, holder: &Holder) -> anyhow::Error {
    anyhow!(
        "the data directory {} is in use by another {holder}: stop that one first, or choose another with --data-dir",
        place.data_dir.display()
    )
}

fn name(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another process".to_owned(), Holder::to_string)
}
