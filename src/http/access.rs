//! Who may use the API: by token, or, on loopback and without one configured, whoever is on this
//! machine.
//!
//! # Invariants
//! - Tokens are kept and compared as digests, in constant time, each against all.
//! - Without a token nothing that a browser brings from another site is done: the request must
//!   name this machine as its host, and come from no other origin.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use axum::http::{HeaderMap, StatusCode, header};
use zeroize::Zeroizing;

use super::problem::Problem;
use crate::config::HttpConfig;
use crate::operator::is_name;

/// The shortest token, in bytes: what is shorter can be tried out.
const TOKEN_BYTES_MIN: usize = 16;
/// Who gives a command where no token is configured.
const NOBODY_IN_PARTICULAR: &str = "loopback";

/// See the module.
#[derive(Debug)]
pub(crate) enum Access {
    /// By token.
    Tokens(Vec<Token>),
    /// Whoever is on this machine.
    Loopback,
    /// Nobody: it listens for others and has no token.
    Off,
}

/// A token's name and the digest of its text.
#[derive(Debug)]
pub(crate) struct Token {
    name: String,
    digest: blake3::Hash,
}

impl Access {
    /// Reads the tokens.
    ///
    /// # Errors
    /// When a file cannot be read, a variable is not set, or a token is too short or named twice.
    pub(crate) fn of(config: &HttpConfig) -> Result<Self> {
        let mut tokens = Vec::new();
        if let Some(token) = &config.token {
            #[allow(clippy::disallowed_methods, reason = "`${NAME}` in a setting")]
            let text = token
                .resolved(|name| std::env::var(name).ok())
                .context("http.token")?;
            tokens.push(Token::new("token", text.trim()).context("http.token")?);
        }
        if let Some(file) = &config.token_file {
            read_tokens(file, &mut tokens)
                .with_context(|| format!("http.token_file {}", file.display()))?;
        }
        Ok(if !tokens.is_empty() {
            Self::Tokens(tokens)
        } else if is_loopback(config.listen) {
            Self::Loopback
        } else {
            Self::Off
        })
    }

    /// Who makes a request.
    ///
    /// # Errors
    /// A [`Problem`] where nobody does who may.
    pub(crate) fn who(&self, headers: &HeaderMap) -> Result<&str, Problem> {
        match self {
            Self::Off => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "the API is off: this address is not loopback and no token is configured",
                "set http.token_file, or listen on 127.0.0.1",
            )),
            Self::Loopback if is_from_this_machine(headers) => Ok(NOBODY_IN_PARTICULAR),
            Self::Loopback => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "without a token the API answers only requests to a loopback host that come from no other site",
                "use http://127.0.0.1, or set http.token_file",
            )),
            Self::Tokens(tokens) => {
                let refused = |why| {
                    Problem::new(
                        StatusCode::UNAUTHORIZED,
                        why,
                        "send the header `Authorization: Bearer TOKEN`",
                    )
                };
                let given = headers
                    .get(header::AUTHORIZATION)
                    .ok_or_else(|| refused("no token was sent"))?;
                let given = given
                    .to_str()
                    .ok()
                    .and_then(|given| given.split_once(' '))
                    .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                    .ok_or_else(|| refused("what was sent is no bearer token"))?;
                let digest = blake3::hash(given.1.trim().as_bytes());
                // each is compared, and each in constant time
                let known = tokens.iter().fold(None, |known, token| {
                    if token.digest == digest {
                        Some(token.name.as_str())
                    } else {
                        known
                    }
                });
                known.ok_or_else(|| refused("the token is not known"))
            }
        }
    }
}

impl Token {
    fn new(name: &str, text: &str) -> Result<Self> {
        if text.len() < TOKEN_BYTES_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!(
                "the token {name} must be at least {TOKEN_BYTES_MIN} printable characters without spaces: make one with `openssl rand -hex 32`"
            );
        }
        Ok(Self {
            name: name.to_owned(),
            digest: blake3::hash(text.as_bytes()),
        })
    }
}

/// A token alone, or `NAME TOKEN` on each line; lines that are empty or begin with `#` are passed
/// over.
fn read_tokens(file: &Path, tokens: &mut Vec<Token>) -> Result<()> {
    let text = std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .context("cannot be read")?;
    let before = tokens.len();
    for (number, line) in text.lines().enumerate() {
        let words: Vec<_> = line.split_whitespace().collect();
        let (name, token) = match words.as_slice() {
            [] => continue,
            [first, ..] if first.starts_with('#') => continue,
            [token] => ("token", *token),
            [name, token] if is_name(name) => (*name, *token),
            _ => bail!("line {} is not `NAME TOKEN`", number + 1),
        };
        if tokens.iter().any(|known| known.name == name) {
            bail!("line {}: there is another token named {name}", number + 1);
        }
        tokens.push(Token::new(name, token).with_context(|| format!("line {}", number + 1))?);
    }
    if tokens.len() == before {
        bail!("holds no token: write one line `NAME TOKEN` for each operator");
    }
    Ok(())
}

/// Whether only this machine reaches an address.
fn is_loopback(listen: SocketAddr) -> bool {
    listen.ip().to_canonical().is_loopback()
}

fn is_from_this_machine(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("-"));
    let host = text(header::HOST);
    let origin = text(header::ORIGIN);
    host.is_some_and(is_this_machine)
        && origin.is_none_or(|origin| {
            origin
                .strip_prefix("http://")
                .is_some_and(|origin| Some(origin) == host)
        })
}

/// Whether a `Host` names loopback: a name from elsewhere that was bent to it does not.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::provider::http::secret::Secret;

    fn config(listen: &str) -> HttpConfig {
        HttpConfig {
            listen: listen.parse().unwrap(),
            token: None,
            token_file: None,
        }
    }

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn without_a_token_it_is_off_but_on_loopback() {
        for (listen, is_open) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("10.0.0.1:1", false),
            ("[::]:1", false),
        ] {
            let access = Access::of(&config(listen)).unwrap();
            let who = access.who(&headers(&[(header::HOST, "localhost:1")]));
            assert_eq!(who.is_ok(), is_open, "{listen}");
        }
    }

    #[test]
    fn on_loopback_a_browser_brings_nothing_from_another_site() {
        let access = Access::of(&config("127.0.0.1:1")).unwrap();
        let may = |pairs: &[_]| access.who(&headers(pairs)).is_ok();
        assert!(may(&[(header::HOST, "127.0.0.1:7070")]));
        assert!(may(&[(header::HOST, "[::1]:7070")]));
        assert!(may(&[
            (header::HOST, "localhost:7070"),
            (header::ORIGIN, "http://localhost:7070")
        ]));
        assert!(!may(&[]));
        assert!(!may(&[(header::HOST, "rebound.example:7070")]));
        assert!(!may(&[(header::HOST, "127.0.0.1.example")]));
        assert!(!may(&[
            (header::HOST, "localhost:7070"),
            (header::ORIGIN, "https://elsewhere.example")
        ]));
        assert!(!may(&[
            (header::HOST, "localhost:7070"),
            (header::ORIGIN, "null")
        ]));
    }

    #[test]
    fn a_token_says_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        std::fs::write(
            &file,
            "# operators\n\nalice aaaaaaaaaaaaaaaa\nbob bbbbbbbbbbbbbbbb\n",
        )
        .unwrap();
        let mut config = config("0.0.0.0:1");
        config.token_file = Some(file.clone());
        config.token = Some(Secret::new("cccccccccccccccc"));
        let access = Access::of(&config).unwrap();
        let who = |value| {
            access
                .who(&headers(&[(header::AUTHORIZATION, value)]))
                .map(str::to_owned)
                .ok()
        };
        assert_eq!(who("Bearer aaaaaaaaaaaaaaaa").as_deref(), Some("alice"));
        assert_eq!(who("bearer bbbbbbbbbbbbbbbb").as_deref(), Some("bob"));
        assert_eq!(who("Bearer cccccccccccccccc").as_deref(), Some("token"));
        assert_eq!(who("Bearer aaaaaaaaaaaaaaab"), None);
        assert_eq!(who("Basic aaaaaaaaaaaaaaaa"), None);
        assert_eq!(who("aaaaaaaaaaaaaaaa"), None);

        for broken in [
            "",
            "alice short",
            "a b c",
            "alice aaaaaaaaaaaaaaaa\nalice bbbbbbbbbbbbbbbb",
        ] {
            std::fs::write(&file, broken).unwrap();
            let refusal = format!("{:#}", Access::of(&config).unwrap_err());
            assert!(refusal.starts_with("http.token_file"), "{refusal}");
            assert!(!refusal.contains("aaaa"), "{refusal}");
        }
    }
}
