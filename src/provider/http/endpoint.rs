//! Where a provider is: an address, taken apart.
//!
//! Invariant: no error shows any of it, since an address may hold a token.

use hyper::Uri;

/// What stands for the message key in an address.
const KEY: &str = "{key}";

/// Whether the line is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `http`
    Plain,
    /// `https`
    Tls,
}

/// Why an address cannot be used; follows its key in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum EndpointError {
    /// Not an absolute address of either kind.
    #[error("must be an address such as https://HOST:PORT/PATH")]
    Form,
    /// `user:password@`.
    #[error("must not hold a user or password before the @: put them into a header")]
    UserInfo,
    /// `{key}` where it may not be.
    #[error("may have {{key}} in its path or query only")]
    KeyPlace,
}

/// Where to connect to, and what to ask for there.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Whether the line is encrypted.
    pub(super) scheme: Scheme,
    /// Name or address, without the brackets of the latter.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// What goes into the `Host` header.
    pub(super) authority: String,
    /// Path and query, `{key}` not filled in.
    path: String,
}

impl Endpoint {
    /// Takes an address apart.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub(super) fn parse(text: &str) -> Result<Self, EndpointError> {
        let filled = text.replace(KEY, "0");
        let uri: Uri = filled.parse().map_err(|_| EndpointError::Form)?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Plain,
            Some("https") => Scheme::Tls,
            _ => return Err(EndpointError::Form),
        };
        let authority = uri.authority().ok_or(EndpointError::Form)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::UserInfo);
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(EndpointError::Form);
        }
        // what comes before the path must stand there as it is
        let (_, rest) = text.split_once("://").ok_or(EndpointError::Form)?;
        let path = rest
            .strip_prefix(authority.as_str())
            .ok_or(EndpointError::KeyPlace)?;
        let path = path.split('#').next().unwrap_or_default();
        let path = match path.chars().next() {
            None => "/".to_owned(),
            Some('?') => format!("/{path}"),
            Some(_) => path.to_owned(),
        };
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => match scheme {
                Scheme::Plain => 80,
                Scheme::Tls => 443,
            },
            _ => authority.port_u16().ok_or(EndpointError::Form)?,
        };
        let endpoint = Self {
            scheme,
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path,
        };
        match endpoint.target("0") {
            Some(_) => Ok(endpoint),
            None => Err(EndpointError::Form),
        }
    }

    /// What is asked for, the key filled in; `None` if that is no address, which is found out
    /// when the address is taken apart.
    pub(super) fn target(&self, key: &str) -> Option<Uri> {
        self.path.replace(KEY, key).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let cases = [
            (
                "http://127.0.0.1:9900/send",
                Scheme::Plain,
                "127.0.0.1",
                9900,
                "/send",
            ),
            (
                "https://mail.example/v1?token=t",
                Scheme::Tls,
                "mail.example",
                443,
                "/v1?token=t",
            ),
            ("http://[::1]:81", Scheme::Plain, "::1", 81, "/"),
            ("http://a?b=c#d", Scheme::Plain, "a", 80, "/?b=c"),
        ];
        for (text, scheme, host, port, target) in cases {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(
                (endpoint.scheme, endpoint.host.as_str(), endpoint.port),
                (scheme, host, port)
            );
            assert_eq!(endpoint.target("k").unwrap().to_string(), target);
        }
    }

    #[test]
    fn the_key_goes_into_path_or_query() {
        for (text, target) in [
            ("http://a/status/{key}", "/status/abc"),
            ("http://a/s?key={key}&again={key}", "/s?key=abc&again=abc"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.target("abc").unwrap().to_string(), target);
        }
        assert_eq!(
            Endpoint::parse("http://{key}.a/").err(),
            Some(EndpointError::KeyPlace)
        );
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_shown() {
        for text in [
            "",
            "hush",
            "/hush",
            "ftp://hush/",
            "http://",
            "http:///hush",
            "http://hu sh/",
            "http://hush:99999/",
        ] {
            let refusal = Endpoint::parse(text)
                .err()
                .unwrap_or_else(|| panic!("{text}"));
            assert!(!refusal.to_string().contains("hush"));
        }
        assert_eq!(
            Endpoint::parse("http://user:hush@a/").err(),
            Some(EndpointError::UserInfo)
        );
    }
}
