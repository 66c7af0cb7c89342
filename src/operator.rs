//! Who gives the commands of a command line: what the trail of commands says of them.

use std::fs;

use crate::config::Config;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The configured name, or `user@host` as the operating system has them. Nothing of the
/// environment is asked, which whoever gives a command could set as they like; where an account
/// has no entry in `/etc/passwd`, its number stands for it.
pub(crate) fn name(config: &Config) -> String {
    config
        .operator
        .clone()
        .unwrap_or_else(|| format!("{}@{}", user(), host()))
}

/// Whether text can be the name of an operator or a token: it goes onto the log and into
/// answers, so it is one word.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text
            .chars()
            .all(|letter| letter.is_alphanumeric() || "._-@:/+".contains(letter))
}

fn user() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // real, effective, saved, of the file system
    let id = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next());
    let Some(id) = id else {
        return "unknown".to_owned();
    };
    fs::read_to_string("/etc/passwd")
        .ok()
        .and_then(|accounts| account(&accounts, id))
        .unwrap_or_else(|| format!("uid-{id}"))
}

/// The name of an account by its number.
fn account(accounts: &str, id: &str) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, _, number) = (parts.next()?, parts.next()?, parts.next()?);
        (number == id && is_name(name)).then(|| name.to_owned())
    })
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| is_name(name))
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_number_alone() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbilling:x:1000:0::/:\nodd name:x:7::\n";
        assert_eq!(account(accounts, "1000").as_deref(), Some("billing"));
        assert_eq!(account(accounts, "x"), None);
        assert_eq!(account(accounts, "7"), None);
    }

    #[test]
    fn a_name_is_one_word_and_not_too_long() {
        assert!(is_name("alice@desk-1") && is_name("운영자"));
        assert!(!is_name("") && !is_name("a b") && !is_name("a\nb") && !is_name("<b>"));
        assert!(!is_name(&"a".repeat(129)));
    }
}
