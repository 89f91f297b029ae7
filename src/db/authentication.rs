//! Passwords: what `_user` keeps of one, and whether a client knows it.
//!
//! With `chap-sha1` the server keeps `SHA1(SHA1(password))` in base64. A client of the binary
//! protocol proves that it knows `SHA1(password)` without sending it: its scramble is that hash
//! xor-ed with `SHA1(salt, SHA1(SHA1(password)))`, where the salt came with the greeting.
//!
//! With `pap-sha256` the server keeps a salt of the password's own and `SHA256(salt, password)`,
//! both in base64. A client sends the password as it is, so it does over encrypted connections
//! only.
//!
//! # Invariants
//! - An unknown user and a wrong password are the same error, so that names cannot be guessed.
//! - Secrets are compared in a time that does not depend on where they differ.
//!
//! # Yields
//! never

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::base::error::{Error, Result};
use crate::client_error;
use crate::value::mp::{Kind, Reader};

use super::access::denied;
use super::database::Database;
use super::security;
use super::user::{GUEST, ObjectKind, User, privilege};

/// Bytes of the salt that a scramble is made with, and of the one that is kept with a password.
pub const SALT_SIZE: usize = 20;
/// Bytes of a scramble.
const SCRAMBLE_SIZE: usize = 20;
/// Bytes of a hash of `pap-sha256`.
const HASH_SIZE: usize = 32;

/// How a password is kept and proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Challenge and response.
    #[default]
    ChapSha1,
    /// The password itself.
    PapSha256,
}

impl Method {
    /// Its name in `_user`, in requests and in `box.cfg.auth_type`.
    pub fn name(self) -> &'static str {
        match self {
            Method::ChapSha1 => "chap-sha1",
            Method::PapSha256 => "pap-sha256",
        }
    }

    /// The method of this name, if there is one.
    pub fn find(name: &[u8]) -> Option<Method> {
        [Method::ChapSha1, Method::PapSha256].into_iter().find(|it| it.name().as_bytes() == name)
    }

    /// The method of this name, or `ER_UNKNOWN_AUTH_METHOD`.
    pub fn by_name(name: &[u8]) -> Result<Method> {
        Method::find(name).ok_or_else(|| {
            client_error!(ER_UNKNOWN_AUTH_METHOD, String::from_utf8_lossy(name).into_owned())
        })
    }

    /// Whether its proofs may be sent over encrypted connections only.
    pub fn requires_encryption(self) -> bool {
        self == Method::PapSha256
    }
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// The password itself.
    Password(&'a [u8]),
    /// The body of an `AUTH` request (an array of method and proof), and the salt.
    Request(&'a [u8], &'a [u8; SALT_SIZE]),
}

/// What `_user` keeps of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The hash of the hash.
    ChapSha1([u8; SCRAMBLE_SIZE]),
    /// The salt and the salted hash.
    PapSha256([u8; SALT_SIZE], [u8; HASH_SIZE]),
}

/// A proof as a request has it.
enum Given<'a> {
    Scramble([u8; SCRAMBLE_SIZE]),
    Password(&'a [u8]),
}

fn sha1(parts: &[&[u8]]) -> [u8; SCRAMBLE_SIZE] {
    let mut hash = Sha1::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

fn sha256(parts: &[&[u8]]) -> [u8; HASH_SIZE] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// The scramble by which a client proves that it knows the password.
pub fn scramble(password: &[u8], salt: &[u8; SALT_SIZE]) -> [u8; SCRAMBLE_SIZE] {
    let hash = sha1(&[password]);
    xor(hash, sha1(&[salt, &sha1(&[&hash])]))
}

fn xor(mut left: [u8; SCRAMBLE_SIZE], right: [u8; SCRAMBLE_SIZE]) -> [u8; SCRAMBLE_SIZE] {
    left.iter_mut().zip(right).for_each(|(left, right)| *left ^= right);
    left
}

fn is_same<const SIZE: usize>(left: &[u8; SIZE], right: &[u8; SIZE]) -> bool {
    left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right)) == 0
}

impl Kept {
    /// What is kept of a password by a method; `salt` is a new one for each.
    pub fn new(method: Method, password: &[u8], salt: [u8; SALT_SIZE]) -> Kept {
        match method {
            Method::ChapSha1 => Kept::ChapSha1(sha1(&[&sha1(&[password])])),
            Method::PapSha256 => Kept::PapSha256(salt, sha256(&[&salt, password])),
        }
    }

    /// Its texts as they stand in `_user`: the hash, or the salt and the hash.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Kept::ChapSha1(hash) => vec![STANDARD.encode(hash)],
            Kept::PapSha256(salt, hash) => vec![STANDARD.encode(salt), STANDARD.encode(hash)],
        }
    }

    /// Reads the `auth` field of a row of `_user`, a map of method to data; `None` without a
    /// password.
    pub fn read(auth: &[u8]) -> Result<Option<Kept>> {
        let mut reader = Reader::new(auth);
        for _ in 0..reader.read_map_len().unwrap_or(0) {
            let Some(name) = reader.read_str() else { break };
            let Some(method) = Method::find(name) else {
                if reader.skip().is_none() {
                    break;
                }
                continue;
            };
            let refuse =
                |details: &str| client_error!(ER_INVALID_AUTH_DATA, method.name(), details);
            return Ok(Some(match method {
                Method::ChapSha1 => {
                    let text = reader.read_str();
                    let text = text.ok_or_else(|| refuse("scramble must be string"))?;
                    let size = || refuse("invalid scramble size");
                    Kept::ChapSha1(decode(text).ok_or_else(size)?)
                }
                Method::PapSha256 => {
                    if reader.read_array_len() != Some(2) {
                        return Err(refuse("expected array with password salt and hash"));
                    }
                    let salt = reader.read_str();
                    let salt = salt.ok_or_else(|| refuse("password salt must be string"))?;
                    let salt = decode(salt).ok_or_else(|| refuse("invalid password salt size"))?;
                    let hash = reader.read_str();
                    let hash = hash.ok_or_else(|| refuse("password hash must be string"))?;
                    let hash = decode(hash).ok_or_else(|| refuse("invalid password hash size"))?;
                    Kept::PapSha256(salt, hash)
                }
            }));
        }
        Ok(None)
    }

    /// Whether this is the password.
    pub fn is_password(&self, password: &[u8]) -> bool {
        match self {
            Kept::ChapSha1(hash) => is_same(&sha1(&[&sha1(&[password])]), hash),
            Kept::PapSha256(salt, hash) => is_same(&sha256(&[salt, password]), hash),
        }
    }

    /// Whether a client has proved that it knows the password, in the way that it is kept for.
    fn is_proved(&self, given: &Given<'_>, salt: &[u8; SALT_SIZE]) -> bool {
        match (self, given) {
            (Kept::ChapSha1(hash), Given::Scramble(scramble)) => {
                is_same(&sha1(&[&xor(sha1(&[salt, hash]), *scramble)]), hash)
            }
            (Kept::PapSha256(..), Given::Password(password)) => self.is_password(password),
            _ => false,
        }
    }
}

fn decode<const SIZE: usize>(text: &[u8]) -> Option<[u8; SIZE]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// The user, if the proof is right and the user may open sessions. An error of the code
/// `ER_CREDS_MISMATCH` says that it is not; other errors say what is wrong with the request.
pub fn authenticate(db: &Database, name: &str, proof: Proof<'_>) -> Result<Rc<User>> {
    let user = db.users().find_by_name(name).ok();
    let user = user.filter(|user| !user.definition().is_role);
    let is_guest = user.as_ref().is_some_and(|user| user.definition().uid == GUEST);
    let given = match proof {
        // Back to guest, who has no password: pools of connections do that.
        Proof::Request(request, _) if is_guest && is_empty_array(request) => {
            return user.ok_or_else(mismatch);
        }
        Proof::Request(request, salt) => Some((read_proof(request)?, salt)),
        Proof::Password(_) => None,
    };
    security::check_attempt(name)?;
    let kept = user.as_ref().map(|user| Kept::read(&user.definition().auth));
    let is_right = kept.and_then(Result::ok).flatten().is_some_and(|kept| match (proof, given) {
        (Proof::Password(password), _) => kept.is_password(password),
        (Proof::Request(..), Some((given, salt))) => kept.is_proved(&given, salt),
        (Proof::Request(..), None) => false,
    });
    security::note_attempt(name, is_right);
    let user = user.filter(|_| is_right).ok_or_else(mismatch)?;
    security::check_age(&user)?;
    check_session(&user)?;
    Ok(user)
}

/// Whether the user may open sessions.
pub fn check_session(user: &User) -> Result<()> {
    if user.universal_access() & privilege::SESSION != 0 {
        return Ok(());
    }
    let access = privilege::name(privilege::SESSION);
    Err(denied(access, ObjectKind::Universe.name(), "", &user.name()))
}

fn mismatch() -> Error {
    client_error!(ER_CREDS_MISMATCH)
}

fn is_empty_array(bytes: &[u8]) -> bool {
    Reader::new(bytes).read_array_len() == Some(0)
}

/// The proof of a request, an array of the method and what it needs.
fn read_proof(request: &[u8]) -> Result<Given<'_>> {
    let bad = || client_error!(ER_INVALID_MSGPACK, "authentication request body");
    let mut reader = Reader::new(request);
    if reader.read_array_len().is_none_or(|count| count < 2) {
        return Err(bad());
    }
    let method = Method::by_name(reader.read_str().ok_or_else(bad)?)?;
    let refuse = |details: &str| client_error!(ER_INVALID_AUTH_REQUEST, method.name(), details);
    match method {
        Method::ChapSha1 => {
            let bytes = match reader.kind() {
                Some(Kind::Str) => reader.read_str(),
                // Some clients send strings that are no text as binary data.
                Some(Kind::Bin) => reader.read_bin(),
                _ => None,
            };
            let bytes = bytes.ok_or_else(|| refuse("scramble must be string"))?;
            let scramble = bytes.try_into().map_err(|_| refuse("invalid scramble size"))?;
            Ok(Given::Scramble(scramble))
        }
        Method::PapSha256 => {
            let password = reader.read_str();
            Ok(Given::Password(password.ok_or_else(|| refuse("expected password string"))?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::mp;

    fn auth(method: Method, texts: &[String]) -> Vec<u8> {
        let mut out = vec![0x81];
        mp::write_str(&mut out, method.name().as_bytes());
        if texts.len() > 1 {
            mp::write_array_len(&mut out, texts.len() as u32);
        }
        texts.iter().for_each(|text| mp::write_str(&mut out, text.as_bytes()));
        out
    }

    #[test]
    fn hash_of_a_password_is_tarantools() {
        let kept = Kept::new(Method::ChapSha1, b"", [0; SALT_SIZE]);
        assert_eq!(kept.texts(), ["vhvewKp0tNyweZQ+cFKAlsyphfg="]);
        let error = Method::by_name(b"md5").unwrap_err();
        assert_eq!(error.message(), "Unknown authentication method 'md5'");
    }

    #[test]
    fn what_is_kept_is_read_back_and_knows_its_password() {
        for method in [Method::ChapSha1, Method::PapSha256] {
            let kept = Kept::new(method, b"secret", [7; SALT_SIZE]);
            let read = Kept::read(&auth(method, &kept.texts())).unwrap().unwrap();
            assert_eq!(read, kept);
            assert!(read.is_password(b"secret") && !read.is_password(b"Secret"));
        }
        assert_eq!(Kept::read(&[0x80]).unwrap(), None);
        let error = Kept::read(&auth(Method::PapSha256, &["x".to_owned()])).unwrap_err();
        let expected = "Invalid 'pap-sha256' data: expected array with password salt and hash";
        assert_eq!(error.message(), expected);
    }

    #[test]
    fn scramble_proves_the_password_for_its_salt_only() {
        let (salt, other) = ([7; SALT_SIZE], [8; SALT_SIZE]);
        let kept = Kept::new(Method::ChapSha1, b"secret", salt);
        let given = Given::Scramble(scramble(b"secret", &salt));
        assert!(kept.is_proved(&given, &salt));
        assert!(!kept.is_proved(&given, &other));
        // Nor is the password a proof where a scramble is expected.
        assert!(!kept.is_proved(&Given::Password(b"secret"), &salt));
    }

    #[test]
    fn request_without_a_proof_is_refused() {
        let message = |request: &[u8]| read_proof(request).err().unwrap().message().to_owned();
        assert_eq!(message(&[0x91, 0xa0]), "Invalid MsgPack - authentication request body");
        for (method, end) in [
            (Method::ChapSha1, "scramble must be string"),
            (Method::PapSha256, "expected password string"),
        ] {
            let mut request = vec![0x92];
            mp::write_str(&mut request, method.name().as_bytes());
            request.push(5);
            assert!(message(&request).ends_with(end), "{}", message(&request));
        }
    }
}
