//! Requests of `net.box`, from Lua values to packets.
//!
//! # Yields
//! when a `__serialize` function does

use super::{Transport, is_given, transport};
use crate::base::error::{Error, Result};
use crate::builtin::r#box::argument::{Buffer, encode_array, is_array};
use crate::builtin::r#box::tuple::LuaTuple;
use crate::builtin::r#box::tuple_extension;
use crate::builtin::serializer;
use crate::client_error;
use crate::db::authentication::{Method, SALT_SIZE, scramble};
use crate::lua::{Context, Kind, Module};
use crate::value::mp;
use crate::xrow::iproto::{key, kind};

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module.function("send", lua_net_box_send).function("send_bytes", lua_net_box_send_bytes)
}

/// The place of the first argument that belongs to the request.
const FIRST: i32 = 5;

/// `send(transport, type, number, stream, ...)`: writes a request; what follows depends on its
/// type, see the functions below.
fn lua_net_box_send(cx: Context<'_>) -> Result<usize> {
    let transport = transport(cx)?.clone();
    let request_type = u16::try_from(cx.check_integer(2)?).unwrap_or(u16::MAX);
    let sync = cx.check_integer(3)?.cast_unsigned();
    let stream = cx.opt_integer(4, 0)?.cast_unsigned();
    let mut body = Body { bytes: Buffer::take(), count: 0 };
    match request_type {
        kind::PING | kind::ROLLBACK => {}
        kind::ID => identify(cx, &mut body)?,
        kind::AUTH => authenticate(cx, &mut body, &transport)?,
        kind::SELECT => select(cx, &mut body)?,
        kind::INSERT | kind::REPLACE => {
            body.space(cx, FIRST)?;
            body.array(key::TUPLE, cx, FIRST + 1)?;
        }
        kind::DELETE | kind::UPDATE => change_by_key(cx, request_type, &mut body)?,
        kind::UPSERT => {
            body.space(cx, FIRST)?;
            body.uint(key::INDEX_BASE, 1);
            body.array(key::TUPLE, cx, FIRST + 1)?;
            body.array(key::OPS, cx, FIRST + 2)?;
        }
        kind::CALL | kind::CALL_16 | kind::EVAL => {
            let is_eval = request_type == kind::EVAL;
            let name = if is_eval { key::EXPR } else { key::FUNCTION_NAME };
            body.text(name, cx.check_bytes(FIRST)?);
            call_arguments(cx, &mut body)?;
        }
        kind::BEGIN | kind::COMMIT => transaction(cx, &mut body)?,
        kind::WATCH | kind::UNWATCH | kind::WATCH_ONCE => {
            body.text(key::EVENT_KEY, cx.check_bytes(FIRST)?);
        }
        kind::EXECUTE | kind::PREPARE => sql(cx, &mut body)?,
        other => return Err(client_error!(ER_UNKNOWN_REQUEST_TYPE, u32::from(other))),
    }
    let mut packet = Buffer::take();
    packet.extend_from_slice(&[0xce, 0, 0, 0, 0]);
    mp::write_map_len(&mut packet, 2 + u32::from(stream != 0));
    packet.push(key::REQUEST_TYPE);
    mp::write_uint(&mut packet, u64::from(request_type));
    packet.push(key::SYNC);
    mp::write_uint(&mut packet, sync);
    if stream != 0 {
        packet.push(key::STREAM_ID);
        mp::write_uint(&mut packet, stream);
    }
    mp::write_map_len(&mut packet, body.count);
    packet.extend_from_slice(&body.bytes);
    let size = u32::try_from(packet.len() - 5)
        .map_err(|_| Error::illegal_params("net.box: the request is too large"))?;
    packet[1..5].copy_from_slice(&size.to_be_bytes());
    transport.send(&packet);
    Ok(0)
}

/// `send_bytes(transport, bytes)`: writes them as they are.
fn lua_net_box_send_bytes(cx: Context<'_>) -> Result<usize> {
    transport(cx)?.clone().send(cx.check_bytes(2)?);
    Ok(0)
}

/// The pairs of a body.
struct Body {
    bytes: Buffer,
    count: u32,
}

impl Body {
    fn key(&mut self, name: u8) -> &mut Vec<u8> {
        self.count += 1;
        self.bytes.push(name);
        &mut self.bytes
    }

    fn uint(&mut self, name: u8, value: u64) {
        mp::write_uint(self.key(name), value);
    }

    fn text(&mut self, name: u8, value: &[u8]) {
        mp::write_str(self.key(name), value);
    }

    /// A tuple, key or list: what is no array is made one.
    fn array(&mut self, name: u8, cx: Context<'_>, index: i32) -> Result<()> {
        let is_object = cx.kind(index) == Kind::Cdata && LuaTuple::get(cx, index).is_none();
        if is_object && !cx.is_null(index) {
            // A `msgpack.object` may hold an array already.
            let mut value = Buffer::take();
            serializer::encode(cx, index, &mut value, &serializer::msgpack_config())?;
            if is_array(&value) {
                self.key(name).extend_from_slice(&value);
                return Ok(());
            }
        }
        let value = encode_array(cx, index)?;
        self.key(name).extend_from_slice(&value);
        Ok(())
    }

    /// A space or index by id or by name.
    fn object(&mut self, id: u8, name: u8, cx: Context<'_>, index: i32) -> Result<()> {
        match cx.kind(index) {
            Kind::String => self.text(name, cx.check_bytes(index)?),
            _ => self.uint(id, cx.check_integer(index)?.cast_unsigned()),
        }
        Ok(())
    }

    fn space(&mut self, cx: Context<'_>, index: i32) -> Result<()> {
        self.object(key::SPACE_ID, key::SPACE_NAME, cx, index)
    }

    fn index(&mut self, cx: Context<'_>, index: i32) -> Result<()> {
        self.object(key::INDEX_ID, key::INDEX_NAME, cx, index)
    }
}

/// version, features (an array)
fn identify(cx: Context<'_>, body: &mut Body) -> Result<()> {
    body.uint(key::VERSION, cx.check_integer(FIRST)?.cast_unsigned());
    body.array(key::FEATURES, cx, FIRST + 1)
}

/// user, password, method or nil
fn authenticate(cx: Context<'_>, body: &mut Body, transport: &Transport) -> Result<()> {
    let user = cx.check_bytes(FIRST)?;
    let password = cx.opt_bytes(FIRST + 1)?;
    let method = cx.opt_bytes(FIRST + 2)?.map(Method::by_name).transpose()?.unwrap_or_default();
    if method.requires_encryption() && transport.is_plain() {
        let method = format!("Authentication method '{}'", method.name());
        return Err(client_error!(ER_UNSUPPORTED, method, "unencrypted connection"));
    }
    body.text(key::USER_NAME, user);
    let proof = body.key(key::TUPLE);
    let Some(password) = password else {
        // Guest has none to prove.
        mp::write_array_len(proof, 0);
        return Ok(());
    };
    mp::write_array_len(proof, 2);
    mp::write_str(proof, method.name().as_bytes());
    let salt: &[u8; SALT_SIZE] = &transport.salt;
    match method {
        Method::ChapSha1 => mp::write_str(proof, &scramble(password, salt)),
        Method::PapSha256 => mp::write_str(proof, password),
    }
    Ok(())
}

/// space, index, iterator, offset, limit, key, after or nil, whether to fetch the position
fn select(cx: Context<'_>, body: &mut Body) -> Result<()> {
    body.space(cx, FIRST)?;
    body.index(cx, FIRST + 1)?;
    for (name, index) in
        [(key::ITERATOR, FIRST + 2), (key::OFFSET, FIRST + 3), (key::LIMIT, FIRST + 4)]
    {
        let number = cx.check_number(index)?;
        body.uint(name, if number < 0.0 { 0 } else { (number as u64).min(u64::from(u32::MAX)) });
    }
    body.array(key::KEY, cx, FIRST + 5)?;
    match cx.bytes(FIRST + 6) {
        Some(position) => body.text(key::AFTER_POSITION, position),
        None if !cx.is_null(FIRST + 6) => body.array(key::AFTER_TUPLE, cx, FIRST + 6)?,
        None => {}
    }
    if cx.boolean(FIRST + 7) {
        mp::write_bool(body.key(key::FETCH_POSITION), true);
    }
    Ok(())
}

/// space, index, key and, to update, operations
fn change_by_key(cx: Context<'_>, request_type: u16, body: &mut Body) -> Result<()> {
    body.space(cx, FIRST)?;
    body.index(cx, FIRST + 1)?;
    if request_type == kind::UPDATE {
        body.uint(key::INDEX_BASE, 1);
    }
    body.array(key::KEY, cx, FIRST + 2)?;
    if request_type == kind::UPDATE {
        body.array(key::TUPLE, cx, FIRST + 3)?;
    }
    Ok(())
}

/// name, arguments, whether the server takes tuples with their formats
fn call_arguments(cx: Context<'_>, body: &mut Body) -> Result<()> {
    if cx.kind(FIRST + 1) == Kind::Cdata && LuaTuple::get(cx, FIRST + 1).is_none() {
        // A `msgpack.object`: it is the list of arguments itself.
        let mut value = Buffer::take();
        serializer::encode(cx, FIRST + 1, &mut value, &serializer::msgpack_config())?;
        if !is_array(&value) {
            return Err(client_error!(ER_TUPLE_NOT_ARRAY));
        }
    }
    if !cx.boolean(FIRST + 2) {
        return body.array(key::TUPLE, cx, FIRST + 1);
    }
    let (result, formats) = tuple_extension::collect(|| body.array(key::TUPLE, cx, FIRST + 1));
    result?;
    if !formats.is_empty() {
        tuple_extension::write_formats(&formats, body.key(key::TUPLE_FORMATS));
    }
    Ok(())
}

/// timeout, isolation, whether synchronous; each may be nil
fn transaction(cx: Context<'_>, body: &mut Body) -> Result<()> {
    if is_given(cx, FIRST) {
        let timeout = cx.check_number(FIRST)?;
        mp::write_f64(body.key(key::TIMEOUT), timeout);
    }
    if is_given(cx, FIRST + 1) {
        body.uint(key::TXN_ISOLATION, cx.check_integer(FIRST + 1)?.cast_unsigned());
    }
    if cx.boolean(FIRST + 2) {
        mp::write_bool(body.key(key::IS_SYNC), true);
    }
    Ok(())
}

/// text or number of a prepared statement, parameters
fn sql(cx: Context<'_>, body: &mut Body) -> Result<()> {
    match cx.bytes(FIRST) {
        Some(text) => body.text(key::SQL_TEXT, text),
        None => body.uint(key::STMT_ID, cx.check_integer(FIRST)?.cast_unsigned()),
    }
    body.array(key::SQL_BIND, cx, FIRST + 1)?;
    body.array(key::OPTIONS, cx, FIRST + 2)
}
