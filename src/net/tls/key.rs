//! Private keys, which may be encrypted: in the way of PKCS #8, or in that of OpenSSL before it.
//!
//! # Yields
//! never

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::pem::{self, Block};

/// OpenSSL's words.
const BAD_DECRYPT: &str = "bad decrypt";

/// Reads the first key of a file; passwords are tried in their order.
pub(super) fn read(
    text: &[u8],
    passwords: &[Vec<u8>],
) -> Result<PrivateKeyDer<'static>, &'static str> {
    let blocks = pem::blocks(text);
    let block = blocks.into_iter().find(|block| block.label.ends_with("PRIVATE KEY"));
    let block = block.ok_or("no private key in it")?;
    if block.label == "ENCRYPTED PRIVATE KEY" {
        let info = EncryptedPrivateKeyInfoRef::try_from(block.content.as_slice());
        let info = info.map_err(|_| "not a private key")?;
        let key = passwords.iter().find_map(|password| info.decrypt(password).ok());
        let key = key.ok_or(BAD_DECRYPT)?;
        return Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into());
    }
    let content = match block.headers.iter().find(|(name, _)| name == "DEK-Info") {
        None => block.content,
        Some((_, how)) => decrypt(&block, how, passwords)?,
    };
    match block.label.as_str() {
        "RSA PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs1(content.into())),
        "EC PRIVATE KEY" => Ok(PrivateKeyDer::Sec1(content.into())),
        "PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs8(content.into())),
        _ => Err("a private key of an unknown kind"),
    }
}

/// Decrypts what OpenSSL encrypted: `how` is the cipher and the initial vector.
fn decrypt(block: &Block, how: &str, passwords: &[Vec<u8>]) -> Result<Vec<u8>, &'static str> {
    let (cipher, vector) = how.split_once(',').ok_or("DEK-Info without a vector")?;
    let vector = bytes_of_hex(vector).ok_or("DEK-Info with a bad vector")?;
    let size = match cipher {
        "AES-128-CBC" => 16,
        "AES-192-CBC" => 24,
        "AES-256-CBC" => 32,
        _ => return Err("encrypted by an unsupported cipher"),
    };
    let open = |password: &Vec<u8>| {
        let key = stretch(password, vector.get(..8)?, size);
        let data = &block.content;
        match size {
            16 => open::<cbc::Decryptor<aes::Aes128>>(&key, &vector, data),
            24 => open::<cbc::Decryptor<aes::Aes192>>(&key, &vector, data),
            _ => open::<cbc::Decryptor<aes::Aes256>>(&key, &vector, data),
        }
    };
    passwords.iter().find_map(open).ok_or(BAD_DECRYPT)
}

fn open<D: BlockModeDecrypt + KeyIvInit>(
    key: &[u8],
    vector: &[u8],
    data: &[u8],
) -> Option<Vec<u8>> {
    let plain = D::new_from_slices(key, vector).ok()?.decrypt_padded_vec::<Pkcs7>(data).ok()?;
    // A wrong password may leave padding that looks right; a key is a sequence.
    (plain.first() == Some(&0x30)).then_some(plain)
}

/// The key that OpenSSL makes of a password.
fn stretch(password: &[u8], salt: &[u8], size: usize) -> Vec<u8> {
    let mut key: Vec<u8> = Vec::new();
    while key.len() < size {
        let last = &key[key.len().saturating_sub(16)..];
        let next = Md5::new().chain_update(last).chain_update(password).chain_update(salt);
        let next = next.finalize();
        key.extend_from_slice(&next);
    }
    key.truncate(size);
    key
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.len() % 2 == 1 || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
