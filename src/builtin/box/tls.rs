//! TLS parameters as Lua gives them: those of a URI, or of another table with the same names.
//!
//! # Yields
//! `server` and `client`, while files are read

use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};

use crate::base::error::{Error, Result};
use crate::fiber;
use crate::lua::{Context, Kind};
use crate::net::tls::{Settings, VerifyClient};

/// The field of the table on the top of the stack; of a list, as in parameters of a URI, the first.
fn field(cx: Context<'_>, name: &str) -> Result<Option<String>> {
    let top = cx.top();
    if cx.raw_get_field(-1, name) == Kind::Table {
        cx.raw_get_index(-1, 1);
    }
    let value = match cx.kind(-1) {
        Kind::None | Kind::Nil => None,
        _ => Some(
            cx.check_text(-1)
                .map_err(|_| Error::illegal_params(format!("{name} is expected to be a string")))?
                .to_owned(),
        ),
    };
    cx.set_top(top);
    Ok(value.filter(|value| !value.is_empty()))
}

fn verify_client(cx: Context<'_>) -> Result<Option<VerifyClient>> {
    let Some(name) = field(cx, "ssl_verify_client")? else { return Ok(None) };
    let invalid = || Error::illegal_params(format!("Invalid ssl_verify_client: {name}"));
    VerifyClient::by_name(&name).map(Some).ok_or_else(invalid)
}

/// What the table at `index` says, if it is one and asks for TLS.
pub(super) fn settings(cx: Context<'_>, index: i32) -> Result<Option<Settings>> {
    if cx.kind(index) != Kind::Table {
        return Ok(None);
    }
    cx.push_value(index);
    let read = || {
        match field(cx, "transport")?.as_deref() {
            None | Some("plain") => return Ok(None),
            Some("ssl") => {}
            Some(other) => {
                return Err(Error::illegal_params(format!("Invalid transport: {other}")));
            }
        }
        Ok(Some(Settings {
            key_file: field(cx, "ssl_key_file")?,
            cert_file: field(cx, "ssl_cert_file")?,
            ca_file: field(cx, "ssl_ca_file")?,
            ciphers: field(cx, "ssl_ciphers")?,
            password: field(cx, "ssl_password")?,
            password_file: field(cx, "ssl_password_file")?,
            verify_client: verify_client(cx)?,
        }))
    };
    let result = read();
    cx.pop(1);
    result
}

/// How a server makes connections: reads the files. Yields.
pub(super) fn server(settings: Option<Settings>) -> Result<Option<Arc<ServerConfig>>> {
    settings.map(|settings| fiber::blocking(move || settings.server())).transpose()
}

/// How a client makes connections: reads the files. Yields.
pub(super) fn client(settings: Option<Settings>) -> Result<Option<Arc<ClientConfig>>> {
    settings.map(|settings| fiber::blocking(move || settings.client())).transpose()
}
