//! Executes the requests that do not call Lua: data, transactions, identification, events.
//!
//! Keys and tuples go to the database as slices of the packet.
//!
//! # Yields
//! changes, when triggers do or when the log has no room

use std::time::Duration;

use super::client::{Client, feature};
use super::packet::offers;
use crate::base::error::{Error, Result};
use crate::builtin::r#box::{session, tuple_extension};
use crate::client_error;
use crate::db::authentication::Proof;
use crate::db::{After, BeginOptions, Database, Isolation, SelectOptions, access, security};
use crate::lua;
use crate::memtx::IteratorType;
use crate::net::iproto::reply::{self, Meta};
use crate::tuple::RawTuple;
use crate::value::mp::{self, Reader};
use crate::xrow::iproto::{key, kind};
use crate::xrow::{Request, Row};

/// The version of the protocol that this server speaks.
pub(super) const PROTOCOL_VERSION: u64 = 10;

/// Executes a request and appends its reply.
pub(super) fn execute(client: &Client, row: &Row<'_>, meta: Meta, out: &mut Vec<u8>) -> Result<()> {
    let database = crate::builtin::r#box::space::database()?;
    match row.header.request_type().unwrap_or(u16::MAX) {
        kind::SELECT
        | kind::INSERT
        | kind::REPLACE
        | kind::UPDATE
        | kind::DELETE
        | kind::UPSERT => data(client, Request::decode(row, true)?, meta, out),
        kind::BEGIN => begin(database, row).map(|()| reply::ok(out, meta)),
        kind::COMMIT => commit(database, row).map(|()| reply::ok(out, meta)),
        kind::ROLLBACK => database.rollback().map(|()| reply::ok(out, meta)),
        kind::PING => {
            reply::ok(out, meta);
            Ok(())
        }
        kind::ID => identify(client, row, meta, out),
        kind::AUTH => authenticate(client, row).map(|()| reply::ok(out, meta)),
        // Neither is answered.
        kind::WATCH => client.watch(&watched_key(row)?, meta.sync),
        kind::UNWATCH => client.unwatch(&watched_key(row)?),
        kind::WATCH_ONCE => watch_once(&watched_key(row)?, meta, out),
        kind::EXECUTE | kind::PREPARE => {
            access::check_sql(database)?;
            Err(client_error!(ER_UNSUPPORTED, "Lycosa", "SQL"))
        }
        kind::INSERT_ARROW => Err(client_error!(ER_UNSUPPORTED, "memtx", "arrow format")),
        kind::JOIN
        | kind::SUBSCRIBE
        | kind::FETCH_SNAPSHOT
        | kind::REGISTER
        | kind::VOTE
        | kind::VOTE_DEPRECATED => Err(client_error!(ER_UNSUPPORTED, "Lycosa", "replication")),
        other => Err(client_error!(ER_UNKNOWN_REQUEST_TYPE, u32::from(other))),
    }
}

/// Executes a request for data and appends its reply.
pub(super) fn data(
    client: &Client,
    mut request: Request<'_>,
    meta: Meta,
    out: &mut Vec<u8>,
) -> Result<()> {
    let database = crate::builtin::r#box::space::database()?;
    resolve(database, &mut request)?;
    match request.kind {
        kind::SELECT => select(database, client, &request, meta, out),
        kind::INSERT_ARROW => Err(client_error!(ER_UNSUPPORTED, "memtx", "arrow format")),
        _ => change(database, client, request, meta, out),
    }
}

/// Whether it asks for nothing but the tuple with a whole key, as far as it says itself.
#[inline]
pub(super) fn is_point(request: &Request<'_>) -> bool {
    request.kind == kind::SELECT
        && (request.index_id, request.offset, request.iterator) == (0, 0, 0)
        && request.limit > 0
        && !request.fetch_position
        && (request.after_position, request.after_tuple) == (None, None)
        && (request.space_name, request.index_name) == (None, None)
}

/// Writes the reply to such a request from what was found.
#[inline]
pub(super) fn point_reply(
    client: &Client,
    tuple: Option<&RawTuple>,
    meta: Meta,
    out: &mut Vec<u8>,
) {
    let is_extended = client.has_feature(feature::DML_TUPLE_EXTENSION);
    let data = reply::begin_data(out, u32::from(kind::OK), meta, u8::from(is_extended));
    let formats = write_tuples(tuple, is_extended, out);
    data.set_count(out, u32::from(tuple.is_some()));
    end_data(data, formats, out);
}

/// Puts the ids in the place of the names that a client gave.
fn resolve(database: &Database, request: &mut Request<'_>) -> Result<()> {
    if let Some(name) = request.space_name {
        let name = String::from_utf8_lossy(name).into_owned();
        let space = database.schema().space_by_name(&name);
        request.space_id = space.ok_or_else(|| client_error!(ER_NO_SUCH_SPACE, name))?.id();
    }
    if let Some(name) = request.index_name {
        let name = String::from_utf8_lossy(name).into_owned();
        let space = database.schema().find(request.space_id)?;
        let index = space.indexes().iter().find(|index| index.definition().name == name);
        let index =
            index.ok_or_else(|| client_error!(ER_NO_SUCH_INDEX_NAME, name, space.name()))?;
        request.index_id = index.id();
    }
    Ok(())
}

fn select(
    database: &Database,
    client: &Client,
    request: &Request<'_>,
    meta: Meta,
    out: &mut Vec<u8>,
) -> Result<()> {
    let iterator = IteratorType::from_number(request.iterator)
        .ok_or_else(|| Error::illegal_params("Invalid iterator type"))?;
    let after = match (request.after_position, request.after_tuple) {
        (Some(position), _) => After::Position(position),
        (None, Some(tuple)) => After::Tuple(tuple),
        (None, None) => After::Start,
    };
    let options = SelectOptions {
        iterator,
        offset: u64::from(request.offset),
        limit: u64::from(request.limit),
        after,
        fetch_position: request.fetch_position,
    };
    let key = request.key.unwrap_or(&[0x90]);
    let selection = database.select(request.space_id, request.index_id, key, &options)?;
    let position = selection.position.filter(|_| request.fetch_position);
    let is_extended = client.has_feature(feature::DML_TUPLE_EXTENSION);
    let more = u8::from(position.is_some()) + u8::from(is_extended);
    let data = reply::begin_data(out, u32::from(kind::OK), meta, more);
    let tuples = selection.tuples.iter().map(|tuple| &**tuple);
    let formats = write_tuples(tuples, is_extended, out);
    data.set_count(out, selection.tuples.len() as u32);
    if let Some(position) = position {
        out.push(key::POSITION);
        mp::write_str(out, &position);
    }
    end_data(data, formats, out);
    Ok(())
}

/// Writes tuples; as extensions, the formats they need are returned.
fn write_tuples<'t>(
    tuples: impl IntoIterator<Item = &'t RawTuple>,
    is_extended: bool,
    out: &mut Vec<u8>,
) -> Option<Vec<u16>> {
    if !is_extended {
        tuples.into_iter().for_each(|tuple| out.extend_from_slice(tuple.data()));
        return None;
    }
    let mut formats = Vec::new();
    for tuple in tuples {
        tuple_extension::write_extension(tuple, &mut formats, out);
    }
    Some(formats)
}

fn end_data(data: reply::Data, formats: Option<Vec<u16>>, out: &mut Vec<u8>) {
    if let Some(formats) = formats {
        out.push(key::TUPLE_FORMATS);
        tuple_extension::write_formats(&formats, out);
    }
    data.end(out);
}

fn change(
    database: &Database,
    client: &Client,
    mut request: Request<'_>,
    meta: Meta,
    out: &mut Vec<u8>,
) -> Result<()> {
    // The log names spaces by id.
    (request.space_name, request.index_name) = (None, None);
    let tuple = database.execute(&request)?;
    point_reply(client, tuple.as_deref(), meta, out);
    Ok(())
}

// Tarantool calls it so in some requests and so in others.
const REQUEST_BODY: &str = "request body";
const PACKET_BODY: &str = "packet body";

fn bad(what: &str) -> Error {
    client_error!(ER_INVALID_MSGPACK, what)
}

/// Calls `read` with each key of a body and a reader of its value, which is of the kind that
/// belongs to the key. `what` is wrong if it is not.
fn each_key<'a>(
    row: &Row<'a>,
    what: &str,
    mut read: impl FnMut(u8, &mut Reader<'a>) -> Option<()>,
) -> Result<()> {
    if row.body.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(row.body);
    let mut run = || {
        for _ in 0..reader.read_map_len()? {
            let name = reader.read_uint()?;
            let value = reader.skip()?;
            if !key::expected(name).accepts(*value.first()?) {
                return None;
            }
            read(u8::try_from(name).unwrap_or(u8::MAX), &mut Reader::new(value))?;
        }
        Some(())
    };
    run().ok_or_else(|| bad(what))
}

fn check_is_sync(is_sync: Option<bool>) -> Result<bool> {
    match is_sync {
        Some(false) => Err(Error::illegal_params("is_sync can only be true")),
        other => Ok(other.is_some()),
    }
}

fn begin(database: &Database, row: &Row<'_>) -> Result<()> {
    let (mut timeout, mut isolation, mut is_sync) = (0.0, 0, None);
    each_key(row, REQUEST_BODY, |name, value| {
        match name {
            key::TIMEOUT => timeout = value.read_f64()?,
            key::TXN_ISOLATION => isolation = value.read_uint()?,
            key::IS_SYNC => is_sync = Some(value.read_bool()?),
            _ => {}
        }
        Some(())
    })?;
    let is_synchronous = check_is_sync(is_sync)?;
    let isolation = match isolation {
        0 => Isolation::Default,
        1 => Isolation::ReadCommitted,
        2 => Isolation::ReadConfirmed,
        3 => Isolation::BestEffort,
        4 => Isolation::Linearizable,
        _ => return Err(Error::illegal_params("unknown isolation level")),
    };
    // Longer than a century is for ever.
    let is_bounded = timeout > 0.0 && timeout < 3_153_600_000.0;
    let timeout = is_bounded.then(|| Duration::from_secs_f64(timeout));
    database.begin(BeginOptions { timeout, isolation, is_synchronous })
}

fn commit(database: &Database, row: &Row<'_>) -> Result<()> {
    let mut is_sync = None;
    each_key(row, REQUEST_BODY, |name, value| {
        if name == key::IS_SYNC {
            is_sync = Some(value.read_bool()?);
        }
        Some(())
    })?;
    if check_is_sync(is_sync)?
        && let Some(transaction) = database.transaction()
    {
        transaction.set_synchronous(true);
    }
    database.commit()
}

fn identify(client: &Client, row: &Row<'_>, meta: Meta, out: &mut Vec<u8>) -> Result<()> {
    if row.body.is_empty() {
        return Err(bad(REQUEST_BODY));
    }
    let mut features = 0_u64;
    each_key(row, REQUEST_BODY, |name, value| {
        if name == key::FEATURES {
            for _ in 0..value.read_array_len()? {
                let feature = value.read_uint()?;
                // Those that are not known yet are for later versions.
                features |= u32::try_from(feature)
                    .ok()
                    .map_or(0, |bit| 1_u64.checked_shl(bit).unwrap_or(0));
            }
        }
        Some(())
    })?;
    if !offers(feature::CALL_RET_TUPLE_EXTENSION) {
        features &= !(1 << feature::CALL_RET_TUPLE_EXTENSION);
    }
    client.features.set(features);
    let offered: Vec<u8> = feature::ALL.into_iter().filter(|&feature| offers(feature)).collect();
    let packet = reply::begin(out, u32::from(kind::OK), meta);
    mp::write_map_len(out, 3);
    out.push(key::VERSION);
    mp::write_uint(out, PROTOCOL_VERSION);
    out.push(key::FEATURES);
    mp::write_array_len(out, offered.len() as u32);
    offered.iter().for_each(|feature| mp::write_uint(out, u64::from(*feature)));
    out.push(key::AUTH_TYPE);
    mp::write_str(out, security::policy().auth_type.name().as_bytes());
    packet.end(out);
    Ok(())
}

fn missing(name: u8) -> Error {
    client_error!(ER_MISSING_REQUEST_FIELD, key::name(u64::from(name)).unwrap_or("?"))
}

fn authenticate(client: &Client, row: &Row<'_>) -> Result<()> {
    if row.body.is_empty() {
        return Err(client_error!(ER_INVALID_MSGPACK, "missing request body"));
    }
    let (mut user, mut proof) = (None, None);
    each_key(row, PACKET_BODY, |name, value| {
        match name {
            key::USER_NAME => user = Some(value.read_str()?),
            key::TUPLE => proof = Some(value.rest()),
            _ => {}
        }
        Some(())
    })?;
    let user = user.ok_or_else(|| missing(key::USER_NAME))?;
    let proof = proof.ok_or_else(|| missing(key::TUPLE))?;
    session::authenticate(&String::from_utf8_lossy(user), Proof::Request(proof, &client.salt))
}

fn watched_key(row: &Row<'_>) -> Result<Vec<u8>> {
    if row.body.is_empty() {
        return Err(client_error!(ER_INVALID_MSGPACK, "missing request body"));
    }
    let mut found = None;
    each_key(row, PACKET_BODY, |name, value| {
        if name == key::EVENT_KEY {
            found = Some(value.read_str()?.to_vec());
        }
        Some(())
    })?;
    found.ok_or_else(|| missing(key::EVENT_KEY))
}

fn watch_once(name: &[u8], meta: Meta, out: &mut Vec<u8>) -> Result<()> {
    let value = lua::enter(|cx| {
        cx.get_global("box");
        cx.get_field(-1, "internal");
        cx.get_field(-1, "watched_value");
        cx.push_bytes(name);
        cx.call(1, 1)?;
        Ok::<_, Error>(cx.bytes(-1).map(<[u8]>::to_vec))
    })?;
    let data = reply::begin_data(out, u32::from(kind::OK), meta, 0);
    if let Some(value) = value {
        out.extend_from_slice(&value);
        data.set_count(out, 1);
    }
    data.end(out);
    Ok(())
}
