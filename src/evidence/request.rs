//! An agent's right to read: a JWS by its key, for one request to one collector, good for a minute.

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::evidence::json;
use crate::evidence::jws::{self, Typ};
use crate::evidence::key::{Kid, PublicKey, SecretKey};

/// The longest time from `iat` to `exp`, in seconds.
pub const LONGEST: i64 = 60;
/// How far an agent's clock may be ahead of the collector's, in seconds.
const AHEAD: i64 = 30;

/// What such a request says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The version of the format.
    pub v: u64,
    /// Who asks.
    pub agent: Kid,
    /// The collector that is asked: its key's identifier.
    pub aud: Kid,
    /// The HTTP method.
    pub method: String,
    /// The path, without host and query.
    pub path: String,
    /// When it was made, in seconds since the epoch.
    pub iat: i64,
    /// Until when it is good.
    pub exp: i64,
    /// A text that is never used again.
    pub jti: String,
}

/// What is asked of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRequest<'a> {
    /// The collector.
    pub collector: Kid,
    /// The HTTP method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
}

/// Why a request is not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotGranted {
    /// It is not a strict JWS of a request.
    #[error("it is no JWS of a request: {0}")]
    Jws(#[from] jws::NotAJws),
    /// The signature is wrong.
    #[error("{0}")]
    Signature(#[from] jws::BadSignature),
    /// It is not of the page.
    #[error("it is not of the wire format: {0}")]
    Form(String),
    /// It is for another collector, method or path.
    #[error("it is for another collector, method or path")]
    Other,
    /// It is not good now, or too long.
    #[error(
        "it is good from its iat to its exp, at most {LONGEST} s; by the collector's clock that \
            is not now"
    )]
    Time,
}

/// Signs a request that is good for a minute from now.
#[must_use]
pub fn sign(agent: Kid, asked: ReadRequest<'_>, now: Wall, jti: &str, key: &SecretKey) -> String {
    let request = Request {
        v: 1,
        agent,
        aud: asked.collector,
        method: asked.method.to_owned(),
        path: asked.path.to_owned(),
        iat: now.secs(),
        exp: now.secs().saturating_add(LONGEST),
        jti: jti.to_owned(),
    };
    jws::sign(Typ::Request, &serde_json::to_vec(&request).expect("a request can be written"), key)
}

/// Which key a request says that it was signed with.
///
/// # Errors
/// When it is not a strict JWS of a request.
pub fn signer(request: &[u8]) -> Result<Kid, NotGranted> {
    Ok(jws::parse(request, Typ::Request)?.kid())
}

/// Verifies a request by the key of its `kid`. Whose key that is, and whether the `jti` was used
/// before, is for the caller.
///
/// # Errors
/// When it is no strict JWS by this key, for something else, or not good now.
pub fn verify(
    request: &[u8],
    key: &PublicKey,
    asked: ReadRequest<'_>,
    now: Wall,
) -> Result<Request, NotGranted> {
    let payload = jws::parse(request, Typ::Request)?.verify(key)?;
    let said: Request =
        json::read(&payload).map_err(|fault| NotGranted::Form(fault.to_string()))?;
    if said.v != 1 || said.jti.is_empty() || said.jti.len() > 256 {
        return Err(NotGranted::Form("v is 1 and jti a text of 1 to 256 bytes".to_owned()));
    }
    if (said.aud, said.method.as_str(), said.path.as_str())
        != (asked.collector, asked.method, asked.path)
    {
        return Err(NotGranted::Other);
    }
    let now = now.secs();
    let length = said.exp.saturating_sub(said.iat);
    if !(0..=LONGEST).contains(&length) || said.iat > now.saturating_add(AHEAD) || said.exp <= now {
        return Err(NotGranted::Time);
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_granted_once_here_and_now() {
        let (key, collector) =
            (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]).kid());
        let asked = ReadRequest { collector, method: "GET", path: "/v1/contracts" };
        let now = Wall::from_secs(1_000_000);
        let jws = sign(key.kid(), asked, now, "x", &key);
        let granted = |asked, now| verify(jws.as_bytes(), key.public(), asked, now);
        assert!(granted(asked, now).is_ok());
        assert!(granted(asked, Wall::from_secs(1_000_059)).is_ok());
        assert!(granted(asked, Wall::from_secs(999_970)).is_ok());
        assert_eq!(granted(asked, Wall::from_secs(1_000_060)), Err(NotGranted::Time));
        assert_eq!(granted(asked, Wall::from_secs(999_969)), Err(NotGranted::Time));
        for other in [
            ReadRequest { collector: key.kid(), ..asked },
            ReadRequest { method: "POST", ..asked },
            ReadRequest { path: "/v1/keys", ..asked },
        ] {
            assert_eq!(granted(other, now), Err(NotGranted::Other));
        }
    }

    #[test]
    fn a_request_that_is_good_for_longer_is_refused() {
        let (key, collector) =
            (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]).kid());
        let asked = ReadRequest { collector, method: "GET", path: "/v1/contracts" };
        let now = Wall::from_secs(1_000_000);
        for (iat, exp) in
            [(1_000_000, 1_000_061), (1_000_000, 999_999), (i64::MIN, i64::MAX), (0, i64::MAX)]
        {
            let request = Request {
                v: 1,
                agent: key.kid(),
                aud: collector,
                method: "GET".into(),
                path: "/v1/contracts".into(),
                iat,
                exp,
                jti: "x".into(),
            };
            let jws = jws::sign(Typ::Request, &serde_json::to_vec(&request).unwrap(), &key);
            assert_eq!(
                verify(jws.as_bytes(), key.public(), asked, now),
                Err(NotGranted::Time),
                "{iat} {exp}"
            );
        }
    }
}
