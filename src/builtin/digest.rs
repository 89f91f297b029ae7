//! The native half of `digest`: message digests, checksums, hashes, base64, key derivation, AES.
//!
//! # Yields
//! `pbkdf2`

use std::ffi::c_void;
use std::mem::needs_drop;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sha2::Digest;
use xxhash_rust::xxh32::Xxh32;
use xxhash_rust::xxh64::Xxh64;

use crate::base::error::{Error, Result};
use crate::fiber;
use crate::lua::{Context, Module};

/// Characters of a base64 line.
const BASE64_LINE: usize = 72;
const AES_KEY_SIZE: usize = 32;
const AES_IV_SIZE: usize = 16;

/// Pushes the functions; the streaming hashes are addresses for FFI.
pub fn open(cx: Context<'_>) -> Result<()> {
    const {
        assert!(!needs_drop::<Xxh32>() && !needs_drop::<Xxh64>(), "states are plain memory");
    }
    Module::new(cx)
        .function("md4", |cx| digest::<md4::Md4>(cx, "md4"))
        .function("md5", |cx| digest::<md5::Md5>(cx, "md5"))
        .function("sha1", |cx| digest::<sha1::Sha1>(cx, "sha1"))
        .function("sha224", |cx| digest::<sha2::Sha224>(cx, "sha224"))
        .function("sha256", |cx| digest::<sha2::Sha256>(cx, "sha256"))
        .function("sha384", |cx| digest::<sha2::Sha384>(cx, "sha384"))
        .function("sha512", |cx| digest::<sha2::Sha512>(cx, "sha512"))
        .function("base64_encode", lua_digest_base64_encode)
        .function("base64_decode", lua_digest_base64_decode)
        .function("pbkdf2", lua_digest_pbkdf2)
        .function("aes_encrypt", lua_digest_aes_encrypt)
        .function("aes_decrypt", lua_digest_aes_decrypt)
        .function("urandom", lua_digest_urandom)
        .pointer("crc32_update", crc32_update as *const c_void)
        .pointer("guava", guava as *const c_void)
        .pointer("murmur_process", murmur_process as *const c_void)
        .pointer("murmur_result", murmur_result as *const c_void)
        .pointer("xxh32_reset", xxh32_reset as *const c_void)
        .pointer("xxh32_update", xxh32_update as *const c_void)
        .pointer("xxh32_digest", xxh32_digest as *const c_void)
        .pointer("xxh64_reset", xxh64_reset as *const c_void)
        .pointer("xxh64_update", xxh64_update as *const c_void)
        .pointer("xxh64_digest", xxh64_digest as *const c_void)
        .number("xxh32_size", size_of::<Xxh32>() as f64)
        .number("xxh64_size", size_of::<Xxh64>() as f64);
    Ok(())
}

fn digest<D: Digest>(cx: Context<'_>, name: &str) -> Result<usize> {
    let Some(data) = cx.bytes(1) else {
        return Err(Error::illegal_params(format!("Usage: digest.{name}(string)")));
    };
    cx.push_bytes(D::digest(data));
    Ok(1)
}

/// `base64_encode(data, is_url_safe, has_no_padding, is_one_line)`.
fn lua_digest_base64_encode(cx: Context<'_>) -> Result<usize> {
    let data = cx.check_bytes(1)?;
    let (is_url_safe, has_no_padding, is_one_line) = (cx.boolean(2), cx.boolean(3), cx.boolean(4));
    let text = if is_url_safe {
        URL_SAFE_NO_PAD.encode(data)
    } else if has_no_padding {
        STANDARD_NO_PAD.encode(data)
    } else {
        STANDARD.encode(data)
    };
    if is_url_safe || is_one_line || text.len() < BASE64_LINE {
        cx.push_bytes(text);
        return Ok(1);
    }
    let mut lines = Vec::with_capacity(text.len() + text.len() / BASE64_LINE + 1);
    for line in text.as_bytes().chunks(BASE64_LINE) {
        lines.extend_from_slice(line);
        if line.len() == BASE64_LINE {
            lines.push(b'\n');
        }
    }
    cx.push_bytes(lines);
    Ok(1)
}

/// Decodes both alphabets of base64, skipping other characters; needs no padding.
pub(super) fn decode_base64(text: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut accumulator) = (0_u32, 0_u32);
    for &byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        accumulator = accumulator << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            data.push((accumulator >> bits) as u8);
        }
    }
    data
}

fn lua_digest_base64_decode(cx: Context<'_>) -> Result<usize> {
    cx.push_bytes(decode_base64(cx.check_bytes(1)?));
    Ok(1)
}

/// `pbkdf2(password, salt, iterations, size)`, with HMAC of SHA-256, on the blocking pool.
fn lua_digest_pbkdf2(cx: Context<'_>) -> Result<usize> {
    let (password, salt) = (cx.check_bytes(1)?.to_vec(), cx.check_bytes(2)?.to_vec());
    let rounds = u32::try_from(cx.check_integer(3)?).unwrap_or(0).max(1);
    let size = usize::try_from(cx.check_integer(4)?).unwrap_or(0);
    let key = fiber::blocking(move || {
        let mut key = vec![0; size];
        pbkdf2::pbkdf2_hmac::<sha2::Sha256>(&password, &salt, rounds, &mut key);
        key
    });
    cx.push_bytes(key);
    Ok(1)
}

fn aes_arguments<'a>(cx: Context<'a>, what: &str) -> Result<(&'a [u8], &'a [u8], &'a [u8])> {
    let (Some(data), Some(key), Some(iv)) = (cx.bytes(1), cx.bytes(2), cx.bytes(3)) else {
        let usage = format!("Usage: digest.aes256cbc.{what}(string, key, iv)");
        return Err(Error::illegal_params(usage));
    };
    let wrong = |what: &str, expected: usize, got: usize| {
        let message = format!("{what} length doesn't equal to cipher {what} length: ");
        Error::illegal_params(format!("{message}expected {expected}, got {got}"))
    };
    if key.len() != AES_KEY_SIZE {
        return Err(wrong("Key", AES_KEY_SIZE, key.len()));
    } else if iv.len() != AES_IV_SIZE {
        return Err(wrong("Initial vector", AES_IV_SIZE, iv.len()));
    }
    Ok((data, key, iv))
}

fn lua_digest_aes_encrypt(cx: Context<'_>) -> Result<usize> {
    let (data, key, iv) = aes_arguments(cx, "encrypt")?;
    let cipher =
        cbc::Encryptor::<aes::Aes256>::new_from_slices(key, iv).expect("the sizes were checked");
    cx.push_bytes(cipher.encrypt_padded_vec::<Pkcs7>(data));
    Ok(1)
}

fn lua_digest_aes_decrypt(cx: Context<'_>) -> Result<usize> {
    let (data, key, iv) = aes_arguments(cx, "decrypt")?;
    let cipher =
        cbc::Decryptor::<aes::Aes256>::new_from_slices(key, iv).expect("the sizes were checked");
    let data = cipher
        .decrypt_padded_vec::<Pkcs7>(data)
        .map_err(|_| Error::illegal_params("the data is not what this key encrypted"))?;
    cx.push_bytes(data);
    Ok(1)
}

/// `urandom(size)`: bytes of the system's generator.
fn lua_digest_urandom(cx: Context<'_>) -> Result<usize> {
    let size = usize::try_from(cx.check_integer(1)?)
        .map_err(|_| cx.bad_argument(1, "a size must not be negative"))?;
    let mut bytes = vec![0_u8; size];
    fill_random(&mut bytes)?;
    cx.push_bytes(bytes);
    Ok(1)
}

/// Fills a buffer with bytes of the system's generator.
pub(in crate::builtin) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: the rest of the buffer is writable.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(count) {
            Ok(count) => filled += count,
            Err(_) => {
                let error = std::io::Error::last_os_error();
                if error.kind() != std::io::ErrorKind::Interrupted {
                    return Err(Error::system("getrandom", &error));
                }
            }
        }
    }
    Ok(())
}

/// # Safety
/// `data` points to `size` bytes.
unsafe fn slice<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        return &[];
    }
    // SAFETY: promised by the caller.
    unsafe { std::slice::from_raw_parts(data, size) }
}

/// CRC-32C without the inversions at both ends, so that it goes on from its own result.
unsafe extern "C" fn crc32_update(crc: u32, data: *const u8, size: usize) -> u32 {
    // SAFETY: the Lua half passes a string and its size.
    !crc32c::crc32c_append(!crc, unsafe { slice(data, size) })
}

/// Guava's consistent hash: a number below `buckets` that rarely changes when `buckets` grows.
extern "C" fn guava(mut state: u64, buckets: i32) -> i32 {
    let mut candidate = 0;
    loop {
        state = state.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let fraction = ((state >> 33) as f64 + 1.0) / f64::from(1_u32 << 31);
        let next = (f64::from(candidate + 1) / fraction) as i32;
        if next < 0 || next >= buckets {
            return candidate;
        }
        candidate = next;
    }
}

/// MurmurHash3 of 32 bits, fed in parts: the bytes of an unfinished block wait in `tail`.
#[repr(C)]
struct Murmur {
    hash: u32,
    total: u32,
    tail: [u8; 4],
    tail_size: u32,
}

const MURMUR_C1: u32 = 0xcc9e_2d51;
const MURMUR_C2: u32 = 0x1b87_3593;

fn murmur_mix(block: u32) -> u32 {
    block.wrapping_mul(MURMUR_C1).rotate_left(15).wrapping_mul(MURMUR_C2)
}

impl Murmur {
    fn block(&mut self, block: u32) {
        self.hash ^= murmur_mix(block);
        self.hash = self.hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }

    fn update(&mut self, mut data: &[u8]) {
        self.total = self.total.wrapping_add(data.len() as u32);
        while self.tail_size > 0 && self.tail_size < 4 {
            let Some((first, rest)) = data.split_first() else { return };
            self.tail[self.tail_size as usize] = *first;
            self.tail_size += 1;
            data = rest;
        }
        if self.tail_size == 4 {
            self.tail_size = 0;
            self.block(u32::from_le_bytes(self.tail));
        }
        let (blocks, rest) = data.as_chunks::<4>();
        for block in blocks {
            self.block(u32::from_le_bytes(*block));
        }
        self.tail[..rest.len()].copy_from_slice(rest);
        self.tail_size = rest.len() as u32;
    }

    fn finish(&self) -> u32 {
        let mut hash = self.hash;
        if self.tail_size > 0 {
            let mut tail = [0; 4];
            let size = self.tail_size as usize;
            tail[..size].copy_from_slice(&self.tail[..size]);
            hash ^= murmur_mix(u32::from_le_bytes(tail));
        }
        hash ^= self.total;
        hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
        hash ^ hash >> 16
    }
}

unsafe extern "C" fn murmur_process(state: *mut Murmur, data: *const u8, size: usize) {
    // SAFETY: the Lua half passes a state of its own and a string with its size.
    unsafe { (*state).update(slice(data, size)) }
}

unsafe extern "C" fn murmur_result(state: *const Murmur) -> u32 {
    // SAFETY: as above.
    unsafe { (*state).finish() }
}

// The states live in memory of the Lua half, which is aligned to 8 and of the size it was told.

unsafe extern "C" fn xxh32_reset(state: *mut Xxh32, seed: u32) {
    // SAFETY: see above.
    unsafe { state.write(Xxh32::new(seed)) }
}

unsafe extern "C" fn xxh32_update(state: *mut Xxh32, data: *const u8, size: usize) {
    // SAFETY: see above; the state was reset when it was made.
    unsafe { (*state).update(slice(data, size)) }
}

unsafe extern "C" fn xxh32_digest(state: *const Xxh32) -> u32 {
    // SAFETY: see above.
    unsafe { (*state).digest() }
}

unsafe extern "C" fn xxh64_reset(state: *mut Xxh64, seed: u64) {
    // SAFETY: see above.
    unsafe { state.write(Xxh64::new(seed)) }
}

unsafe extern "C" fn xxh64_update(state: *mut Xxh64, data: *const u8, size: usize) {
    // SAFETY: see above.
    unsafe { (*state).update(slice(data, size)) }
}

unsafe extern "C" fn xxh64_digest(state: *const Xxh64) -> u64 {
    // SAFETY: see above.
    unsafe { (*state).digest() }
}
