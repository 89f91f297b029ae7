//! Passwords: what `_user` keeps of one, and whether a client knows it.
//!
//! With `chap-sha1` the server keeps `SHA1(SHA1(password))` in base64. A client of the binary
//! protocol proves that it knows `SHA1(password)` without sending it: its scramble is that hash
//! xor-ed with `SHA1(salt, SHA1(SHA1(password)))`, where the salt came with the greeting.
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

use crate::base::error::{Error, Result};
use crate::client_error;
use crate::value::mp::{Kind, Reader};

use super::access::denied;
use super::database::Database;
use super::user::{GUEST, ObjectKind, User, privilege};

/// The method's name in `_user`, in requests and in `box.cfg.auth_type`.
pub const CHAP_SHA1: &str = "chap-sha1";
/// Bytes of the salt that a scramble is made with.
pub const SALT_SIZE: usize = 20;
/// Bytes of a scramble.
const SCRAMBLE_SIZE: usize = 20;

/// How a client proves who it is.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// The password itself.
    Password(&'a [u8]),
    /// The body of an `AUTH` request (an array of method and scramble), and the salt.
    Request(&'a [u8], &'a [u8; SALT_SIZE]),
}

fn sha1(parts: &[&[u8]]) -> [u8; SCRAMBLE_SIZE] {
    let mut hash = Sha1::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// What `_user` keeps of a password.
pub fn prepare(method: &str, password: &[u8]) -> Result<String> {
    if method != CHAP_SHA1 {
        return Err(client_error!(ER_UNKNOWN_AUTH_METHOD, method));
    }
    Ok(STANDARD.encode(sha1(&[&sha1(&[password])])))
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

fn is_same(left: &[u8; SCRAMBLE_SIZE], right: &[u8; SCRAMBLE_SIZE]) -> bool {
    left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right)) == 0
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
        Proof::Request(request, _) => Some(read_scramble(request)?),
        Proof::Password(_) => None,
    };
    let kept = user.as_ref().and_then(|user| kept_hash(&user.definition().auth));
    let (Some(user), Some(kept)) = (user, kept) else { return Err(mismatch()) };
    let hash = match (proof, given) {
        (Proof::Password(password), _) => sha1(&[&sha1(&[password])]),
        (Proof::Request(_, salt), Some(given)) => sha1(&[&xor(sha1(&[salt, &kept]), given)]),
        (Proof::Request(..), None) => return Err(mismatch()),
    };
    if !is_same(&hash, &kept) {
        return Err(mismatch());
    }
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

/// The hash of the `auth` field of a row of `_user`.
fn kept_hash(auth: &[u8]) -> Option<[u8; SCRAMBLE_SIZE]> {
    let mut reader = Reader::new(auth);
    for _ in 0..reader.read_map_len()? {
        if reader.read_str() == Some(CHAP_SHA1.as_bytes()) {
            return STANDARD.decode(reader.read_str()?).ok()?.try_into().ok();
        }
        reader.skip()?;
    }
    None
}

/// The scramble of a request, an array of the method and the scramble.
fn read_scramble(request: &[u8]) -> Result<[u8; SCRAMBLE_SIZE]> {
    let bad = || client_error!(ER_INVALID_MSGPACK, "authentication request body");
    let refuse = |details: &str| client_error!(ER_INVALID_AUTH_REQUEST, CHAP_SHA1, details);
    let mut reader = Reader::new(request);
    if reader.read_array_len().is_none_or(|count| count < 2) {
        return Err(bad());
    }
    let method = reader.read_str().ok_or_else(bad)?;
    if method != CHAP_SHA1.as_bytes() {
        let method = String::from_utf8_lossy(method).into_owned();
        return Err(client_error!(ER_UNKNOWN_AUTH_METHOD, method));
    }
    let bytes = match reader.kind() {
        Some(Kind::Str) => reader.read_str(),
        // Some clients send strings that are no text as binary data.
        Some(Kind::Bin) => reader.read_bin(),
        _ => None,
    };
    let bytes = bytes.ok_or_else(|| refuse("scramble must be string"))?;
    bytes.try_into().map_err(|_| refuse("invalid scramble size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_of_a_password_is_tarantools() {
        assert_eq!(prepare(CHAP_SHA1, b"").unwrap(), "vhvewKp0tNyweZQ+cFKAlsyphfg=");
        let error = prepare("md5", b"").unwrap_err();
        assert_eq!(error.message(), "Unknown authentication method 'md5'");
    }

    #[test]
    fn scramble_proves_the_password_for_its_salt_only() {
        let (salt, other) = ([7; SALT_SIZE], [8; SALT_SIZE]);
        let kept = sha1(&[&sha1(&[b"secret"])]);
        let given = scramble(b"secret", &salt);
        let proves = |salt: &[u8]| sha1(&[&xor(sha1(&[salt, &kept]), given)]) == kept;
        assert!(proves(&salt));
        assert!(!proves(&other));
    }

    #[test]
    fn request_without_a_scramble_is_refused() {
        let error = read_scramble(&[0x91, 0xa0]).unwrap_err();
        assert_eq!(error.message(), "Invalid MsgPack - authentication request body");
        let mut request = vec![0x92, 0xa9];
        request.extend_from_slice(b"chap-sha1");
        request.push(5);
        let error = read_scramble(&request).unwrap_err();
        assert!(error.message().ends_with("scramble must be string"), "{}", error.message());
    }
}
