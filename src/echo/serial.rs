//! How payloads and kinds of errors stand in JSON.

/// A payload as text where it is one, otherwise as its bytes.
pub(super) mod payload {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form<T, B> {
        Text(T),
        Bytes(B),
    }

    pub(crate) fn serialize<S: Serializer>(payload: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(payload) {
            Ok(text) => Form::<_, &[u8]>::Text(text).serialize(serializer),
            Err(_) => Form::<&str, _>::Bytes(&payload[..]).serialize(serializer),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        Ok(match Form::<String, Vec<u8>>::deserialize(deserializer)? {
            Form::Text(text) => text.into(),
            Form::Bytes(bytes) => bytes.into(),
        })
    }
}

/// A kind of error in words, as it is shown.
pub(super) mod kind {
    use std::io::ErrorKind;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Those that sockets have.
    const KNOWN: [ErrorKind; 18] = [
        ErrorKind::AddrInUse,
        ErrorKind::AddrNotAvailable,
        ErrorKind::BrokenPipe,
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
        ErrorKind::HostUnreachable,
        ErrorKind::Interrupted,
        ErrorKind::InvalidData,
        ErrorKind::InvalidInput,
        ErrorKind::NetworkDown,
        ErrorKind::NetworkUnreachable,
        ErrorKind::NotConnected,
        ErrorKind::NotFound,
        ErrorKind::PermissionDenied,
        ErrorKind::TimedOut,
        ErrorKind::UnexpectedEof,
        ErrorKind::WriteZero,
    ];

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
    pub(crate) fn serialize<S: Serializer>(kind: &ErrorKind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(kind)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ErrorKind, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(KNOWN.into_iter().find(|kind| kind.to_string() == text).unwrap_or(ErrorKind::Other))
    }
}
