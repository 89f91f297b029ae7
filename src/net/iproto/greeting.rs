//! The first 128 bytes that a client is sent: version, instance, and the salt for passwords.
//!
//! # Layout
//! Two lines of 64 bytes, filled up with spaces: `Tarantool 3.8.0 (Binary) <uuid>` and the salt of
//! 32 bytes in base64, of which authentication uses the first 20.
//!
//! # Yields
//! never

/// Bytes of a greeting.
pub const SIZE: usize = 128;
/// Bytes of its salt.
pub const SALT_SIZE: usize = 32;

const LINE_SIZE: usize = SIZE / 2;

/// What a greeting says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// `3.8.0`
    pub version: String,
    /// `Binary`, or another protocol.
    pub protocol: String,
    /// The instance's UUID as text; empty in greetings of old servers.
    pub uuid: String,
    /// The salt.
    pub salt: Vec<u8>,
}

/// Writes a greeting. `salt` is in base64.
pub fn encode(version: &str, uuid: &str, salt: &str) -> [u8; SIZE] {
    let mut greeting = [b' '; SIZE];
    let text = format!("Tarantool {version} (Binary) {uuid}");
    for (line, text) in [(0, text.as_str()), (LINE_SIZE, salt)] {
        let size = text.len().min(LINE_SIZE - 1);
        greeting[line..line + size].copy_from_slice(&text.as_bytes()[..size]);
        greeting[line + LINE_SIZE - 1] = b'\n';
    }
    greeting
}

/// Reads a greeting; the salt stays in base64. `None` when it is not one.
pub fn decode(greeting: &[u8; SIZE]) -> Option<Greeting> {
    if greeting[LINE_SIZE - 1] != b'\n' || greeting[SIZE - 1] != b'\n' {
        return None;
    }
    let first = std::str::from_utf8(&greeting[..LINE_SIZE - 1]).ok()?;
    let (version, rest) = first.strip_prefix("Tarantool ")?.trim_end().split_once(' ')?;
    let (protocol, uuid) = rest.strip_prefix('(')?.split_once(')')?;
    let second = std::str::from_utf8(&greeting[LINE_SIZE..SIZE - 1]).ok()?;
    Some(Greeting {
        version: version.to_owned(),
        protocol: protocol.to_owned(),
        uuid: uuid.trim().to_owned(),
        salt: second.trim_end().as_bytes().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greeting_is_read_back() {
        let uuid = "2ab6a4f3-a1a1-4a63-8bc5-a9b4f0c2e6d1";
        let greeting = encode("3.8.0", uuid, "c2FsdA==");
        assert!(greeting.starts_with(b"Tarantool 3.8.0 (Binary) 2ab6a4f3-"));
        let read = decode(&greeting).unwrap();
        assert_eq!((read.version.as_str(), read.protocol.as_str()), ("3.8.0", "Binary"));
        assert_eq!((read.uuid.as_str(), read.salt.as_slice()), (uuid, &b"c2FsdA=="[..]));
        assert_eq!(decode(&[b' '; SIZE]), None);
    }
}
