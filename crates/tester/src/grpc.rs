//! The health of a gRPC service, by the protocol `grpc.health.v1.Health/Check`.
//!
//! Two messages with one field each: written and read by hand, not by a compiler of protobuf and a gRPC stack.
//!
//! **Source**: <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>, the wire format of protobuf, gRPC over HTTP/2.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};

use crate::text::bounded;
use crate::wire::Answer;

/// Where the check of every server is.
pub(crate) const PATH: &str = "/grpc.health.v1.Health/Check";

/// The health of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nobody knows.
    Unknown,
    /// It serves.
    Serving,
    /// It does not serve.
    NotServing,
    /// Nobody has heard of it.
    ServiceUnknown,
}

impl Health {
    /// All, in the order of their numbers.
    const ALL: [Self; 4] = [
        Self::Unknown,
        Self::Serving,
        Self::NotServing,
        Self::ServiceUnknown,
    ];

    /// The word of the protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }

    /// The health of that word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// The headers of a call.
pub(crate) fn headers() -> HeaderMap {
    let pairs = [
        (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
        (TE, HeaderValue::from_static("trailers")),
    ];
    pairs.into_iter().collect()
}

/// The body that asks for a service; empty means the whole server.
pub(crate) fn body(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a); // field 1, length-delimited
        varint(service.len(), &mut message);
        message.extend(service.as_bytes());
    }
    let mut framed = BytesMut::from(&[0][..]); // not compressed
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    framed.extend(length.to_be_bytes());
    framed.extend(message);
    framed.freeze()
}

fn varint(mut number: usize, to: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            to.push(low);
            return;
        }
        to.push(low | 0x80);
    }
}

/// The health that an answer tells, or what it tells instead.
pub(crate) fn health(answer: &Answer) -> Result<Health, String> {
    let code = header(answer, "grpc-status");
    match code.as_deref() {
        // NOT_FOUND is how a server says that it does not know the service.
        Some("5") => return Ok(Health::ServiceUnknown),
        Some("0") | None if answer.status == 200 => {}
        Some(code) => {
            let message = header(answer, "grpc-message").unwrap_or_default();
            return Err(format!("gRPC status {code} {:?}", bounded(&message, 200)));
        }
        None => return Err(format!("HTTP status {}, which is no gRPC", answer.status)),
    }
    message(&answer.body).ok_or_else(|| "a message that is no HealthCheckResponse".to_owned())
}

fn header(answer: &Answer, name: &'static str) -> Option<String> {
    let value = answer.headers.get(HeaderName::from_static(name))?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// One uncompressed message whose field 1 is the health; without that field it is 0.
fn message(framed: &[u8]) -> Option<Health> {
    let (head, message) = framed.split_at_checked(5)?;
    let (compressed, length) = head.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let message = message.get(..usize::try_from(length).ok()?)?;
    if *compressed != 0 {
        return None;
    }
    let number = match message {
        [] => 0,
        [0x08, number] => usize::from(*number),
        _ => return None,
    };
    Health::ALL.get(number).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        assert_eq!(&body("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&body("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = "x".repeat(300);
        assert_eq!(&body(&long)[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn an_answer_is_a_health_or_says_what_it_is() {
        let answer = |status, code: &str, body: &'static [u8]| {
            let mut headers = HeaderMap::new();
            if !code.is_empty() {
                headers.insert("grpc-status", code.parse().unwrap());
            }
            health(&Answer {
                status,
                headers,
                body: Bytes::from_static(body),
                ..Answer::default()
            })
        };
        assert_eq!(
            answer(200, "0", &[0, 0, 0, 0, 2, 8, 1]),
            Ok(Health::Serving)
        );
        assert_eq!(
            answer(200, "", &[0, 0, 0, 0, 2, 8, 2]),
            Ok(Health::NotServing)
        );
        assert_eq!(answer(200, "0", &[0, 0, 0, 0, 0]), Ok(Health::Unknown));
        assert_eq!(answer(200, "5", b""), Ok(Health::ServiceUnknown));
        assert_eq!(
            answer(200, "12", b""),
            Err("gRPC status 12 \"\"".to_owned())
        );
        assert!(answer(404, "", b"").unwrap_err().contains("404"));
        for broken in [
            &b""[..],
            &[0, 0, 0, 0, 2, 8],
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8, 9],
        ] {
            assert!(answer(200, "0", broken).is_err(), "{broken:?}");
        }
    }
}
