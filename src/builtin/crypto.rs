//! The native half of `crypto`: digests, keyed digests and block ciphers, piece by piece.
//!
//! Modes are written here over the block ciphers, because what is given comes in pieces of any
//! size. Whole blocks end with padding (PKCS #7) in the modes ECB and CBC; CFB and OFB are streams.
//!
//! # Yields
//! never

use std::cell::RefCell;

use aes::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use hmac::{Mac, SimpleHmac};
use sha2::Digest;
use sha2::digest::common::BlockSizeUser as DigestBlockSize;

use crate::base::error::{Error, Result, Type};
use crate::lua::{Context, Module, userdata};

/// Pushes the functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    cx.new_table(0, 1);
    userdata::set_metatable::<RunningHandle>(cx);
    cx.new_table(0, 1);
    userdata::set_metatable::<CipherHandle>(cx);
    Module::new(cx)
        .function("digest", lua_crypto_digest)
        .function("hmac", lua_crypto_hmac)
        .function("update", lua_crypto_update)
        .function("result", lua_crypto_result)
        .function("cipher", lua_crypto_cipher)
        .function("cipher_update", lua_crypto_cipher_update)
        .function("cipher_result", lua_crypto_cipher_result);
    Ok(())
}

/// A digest that has not seen all yet.
trait Running {
    fn update(&mut self, data: &[u8]);
    fn finish(self: Box<Self>) -> Vec<u8>;
}

struct Plain<D>(D);

impl<D: Digest> Running for Plain<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

struct Keyed<D: Digest + DigestBlockSize>(SimpleHmac<D>);

impl<D: Digest + DigestBlockSize> Running for Keyed<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().into_bytes().to_vec()
    }
}

struct RunningHandle(RefCell<Option<Box<dyn Running>>>);

fn start<D: Digest + DigestBlockSize + 'static>(key: Option<&[u8]>) -> Box<dyn Running> {
    match key {
        None => Box::new(Plain(D::new())),
        Some(key) => {
            let keyed = SimpleHmac::<D>::new_from_slice(key).expect("keys of any size are taken");
            Box::new(Keyed(keyed))
        }
    }
}

fn push_running(cx: Context<'_>, key: Option<&[u8]>) -> Result<usize> {
    let name = cx.check_text(1)?;
    let running = match name {
        "md4" => start::<md4::Md4>(key),
        "md5" => start::<md5::Md5>(key),
        "sha1" => start::<sha1::Sha1>(key),
        "sha224" => start::<sha2::Sha224>(key),
        "sha256" => start::<sha2::Sha256>(key),
        "sha384" => start::<sha2::Sha384>(key),
        "sha512" => start::<sha2::Sha512>(key),
        "ripemd160" => start::<ripemd::Ripemd160>(key),
        _ => return Err(Error::illegal_params("unknown digest")),
    };
    userdata::push(cx, RunningHandle(RefCell::new(Some(running))));
    Ok(1)
}

/// `digest(name)`
fn lua_crypto_digest(cx: Context<'_>) -> Result<usize> {
    push_running(cx, None)
}

/// `hmac(name, key)`
fn lua_crypto_hmac(cx: Context<'_>) -> Result<usize> {
    let key = cx.check_bytes(2)?;
    push_running(cx, Some(key))
}

fn running(cx: Context<'_>) -> Result<&RunningHandle> {
    userdata::check(cx, 1, || cx.bad_argument(1, "a digest expected"))
}

/// `update(digest, data)`
fn lua_crypto_update(cx: Context<'_>) -> Result<usize> {
    let data = cx.check_bytes(2)?;
    if let Some(running) = &mut *running(cx)?.0.borrow_mut() {
        running.update(data);
    }
    Ok(0)
}

/// `result(digest)`: the digest of all that was given; once.
fn lua_crypto_result(cx: Context<'_>) -> Result<usize> {
    let running = running(cx)?.0.take();
    cx.push_bytes(running.map(Running::finish).unwrap_or_default());
    Ok(1)
}

/// A block cipher with its key.
trait Blocks {
    fn size(&self) -> usize;
    fn encrypt(&self, block: &mut [u8]);
    fn decrypt(&self, block: &mut [u8]);
}

impl<C: BlockSizeUser + BlockCipherEncrypt + BlockCipherDecrypt> Blocks for C {
    fn size(&self) -> usize {
        C::block_size()
    }

    fn encrypt(&self, block: &mut [u8]) {
        let block: &mut Block<C> = block.try_into().expect("a whole block");
        self.encrypt_block(block);
    }

    fn decrypt(&self, block: &mut [u8]) {
        let block: &mut Block<C> = block.try_into().expect("a whole block");
        self.decrypt_block(block);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Ecb,
    Cbc,
    Cfb,
    Ofb,
}

/// A cipher at work.
struct Cipher {
    /// Without one everything passes as it is.
    blocks: Option<Box<dyn Blocks>>,
    mode: Mode,
    is_encryption: bool,
    /// What the next block is combined with.
    vector: Vec<u8>,
    /// In ECB and CBC what is no whole block yet; when decrypting also the last block, which may
    /// be padding.
    rest: Vec<u8>,
    /// In CFB and OFB how much of `vector` was used up.
    used: usize,
}

struct CipherHandle(RefCell<Cipher>);

fn crypto_error(message: impl Into<String>) -> Error {
    Error::new(Type::Other("CryptoError"), message)
}

fn check_size(what: &str, expected: usize, data: &[u8]) -> Result<()> {
    if data.len() == expected {
        return Ok(());
    }
    Err(crypto_error(format!("{what} size expected {expected}, got {}", data.len())))
}

fn with_key<C>(key: &[u8]) -> Result<Option<Box<dyn Blocks>>>
where
    C: KeyInit + BlockSizeUser + BlockCipherEncrypt + BlockCipherDecrypt + 'static,
{
    check_size("key", C::key_size(), key)?;
    let cipher = C::new_from_slice(key).map_err(|_| crypto_error("the key cannot be used"))?;
    Ok(Some(Box::new(cipher)))
}

/// `cipher(algorithm, mode, direction, key, initial vector)`
fn lua_crypto_cipher(cx: Context<'_>) -> Result<usize> {
    let (key, vector) = (cx.check_bytes(4)?, cx.check_bytes(5)?);
    let mode = match cx.check_text(2)? {
        "ecb" => Mode::Ecb,
        "cbc" => Mode::Cbc,
        "cfb" => Mode::Cfb,
        _ => Mode::Ofb,
    };
    let blocks = match cx.check_text(1)? {
        "aes128" => with_key::<aes::Aes128>(key)?,
        "aes192" => with_key::<aes::Aes192>(key)?,
        "aes256" => with_key::<aes::Aes256>(key)?,
        "des" => with_key::<des::Des>(key)?,
        _ => {
            check_size("key", 0, key)?;
            None
        }
    };
    // ECB has no use for an initial vector.
    let vector_size = blocks.as_ref().filter(|_| mode != Mode::Ecb).map_or(0, |one| one.size());
    check_size("IV", vector_size, vector)?;
    let is_encryption = cx.check_text(3)? == "encrypt";
    let (vector, rest) = (vector.to_vec(), Vec::new());
    let used = vector.len();
    let cipher = Cipher { blocks, mode, is_encryption, vector, rest, used };
    userdata::push(cx, CipherHandle(RefCell::new(cipher)));
    Ok(1)
}

fn cipher(cx: Context<'_>) -> Result<&CipherHandle> {
    userdata::check(cx, 1, || cx.bad_argument(1, "a cipher expected"))
}

/// `cipher_update(cipher, data)`: what can be given out already.
fn lua_crypto_cipher_update(cx: Context<'_>) -> Result<usize> {
    let data = cx.check_bytes(2)?;
    let output = cipher(cx)?.0.borrow_mut().update(data);
    cx.push_bytes(output);
    Ok(1)
}

/// `cipher_result(cipher)`: what is left.
fn lua_crypto_cipher_result(cx: Context<'_>) -> Result<usize> {
    let output = cipher(cx)?.0.borrow_mut().finish()?;
    cx.push_bytes(output);
    Ok(1)
}

impl Cipher {
    fn update(&mut self, data: &[u8]) -> Vec<u8> {
        let Some(blocks) = &self.blocks else { return data.to_vec() };
        if matches!(self.mode, Mode::Cfb | Mode::Ofb) {
            return self.stream(data);
        }
        let size = blocks.size();
        self.rest.extend_from_slice(data);
        let mut whole = self.rest.len() / size;
        if !self.is_encryption && self.rest.len().is_multiple_of(size) {
            whole = whole.saturating_sub(1);
        }
        let rest = self.rest.split_off(whole * size);
        let mut output = std::mem::replace(&mut self.rest, rest);
        for block in output.chunks_exact_mut(size) {
            self.block(block);
        }
        output
    }

    fn block(&mut self, block: &mut [u8]) {
        let Some(blocks) = &self.blocks else { return };
        match (self.mode, self.is_encryption) {
            (Mode::Ecb, true) => blocks.encrypt(block),
            (Mode::Ecb, false) => blocks.decrypt(block),
            (_, true) => {
                combine(block, &self.vector);
                blocks.encrypt(block);
                self.vector.copy_from_slice(block);
            }
            (_, false) => {
                let next = block.to_vec();
                blocks.decrypt(block);
                combine(block, &self.vector);
                self.vector = next;
            }
        }
    }

    fn stream(&mut self, data: &[u8]) -> Vec<u8> {
        let mut output = Vec::with_capacity(data.len());
        for byte in data {
            if self.used == self.vector.len()
                && let Some(blocks) = &self.blocks
            {
                blocks.encrypt(&mut self.vector);
                self.used = 0;
            }
            let key = self.vector[self.used];
            let result = byte ^ key;
            if self.mode == Mode::Cfb {
                // The next block is made of what was encrypted.
                self.vector[self.used] = if self.is_encryption { result } else { *byte };
            }
            self.used += 1;
            output.push(result);
        }
        output
    }

    fn finish(&mut self) -> Result<Vec<u8>> {
        let Some(blocks) = &self.blocks else { return Ok(Vec::new()) };
        if matches!(self.mode, Mode::Cfb | Mode::Ofb) {
            return Ok(Vec::new());
        }
        let size = blocks.size();
        let mut block = std::mem::take(&mut self.rest);
        if self.is_encryption {
            let padding = size - block.len();
            block.resize(size, padding as u8);
            self.block(&mut block);
            return Ok(block);
        }
        if block.len() != size {
            return Err(crypto_error("OpenSSL error: wrong final block length"));
        }
        self.block(&mut block);
        let padding = usize::from(block.last().copied().unwrap_or(0));
        let is_valid = (1..=size).contains(&padding)
            && block[size - padding..].iter().all(|byte| usize::from(*byte) == padding);
        if !is_valid {
            return Err(crypto_error("OpenSSL error: bad decrypt"));
        }
        block.truncate(size - padding);
        Ok(block)
    }
}

fn combine(block: &mut [u8], with: &[u8]) {
    for (byte, other) in block.iter_mut().zip(with) {
        *byte ^= other;
    }
}
