//! The native half of the module loaders: where this process and its main script are.
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::path::PathBuf;

use crate::base::error::Result;
use crate::lua::{Context, Module};

thread_local! {
    static SCRIPT: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Names the program's main script, next to which modules are searched. To be called before the
/// modules are opened.
pub fn set_script(path: impl Into<PathBuf>) {
    SCRIPT.set(Some(path.into()));
}

/// Pushes `cwd`, `script` and `relative_to_cwd`.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("cwd", lua_loaders_cwd)
        .function("script", lua_loaders_script)
        .function("relative_to_cwd", lua_loaders_relative_to_cwd);
    Ok(())
}

fn working_folder() -> String {
    std::env::current_dir()
        .map_or_else(|_| ".".to_owned(), |path| path.to_string_lossy().into_owned())
}

fn lua_loaders_cwd(cx: Context<'_>) -> Result<usize> {
    cx.push_bytes(working_folder());
    Ok(1)
}

fn lua_loaders_script(cx: Context<'_>) -> Result<usize> {
    SCRIPT.with_borrow(|script| match script {
        Some(path) => cx.push_bytes(path.to_string_lossy().as_bytes()),
        None => cx.push_nil(),
    });
    Ok(1)
}

/// `relative_to_cwd(path)`: an absolute path without the part it shares with the working folder.
fn lua_loaders_relative_to_cwd(cx: Context<'_>) -> Result<usize> {
    let path = cx.check_text(1)?;
    let folder = working_folder();
    if !path.starts_with('/') || !folder.starts_with('/') {
        cx.push_bytes(path);
        return Ok(1);
    }
    let shared =
        folder.split('/').zip(path.split('/')).take_while(|(ours, its)| ours == its).count();
    cx.push_bytes(path.split('/').skip(shared).collect::<Vec<_>>().join("/"));
    Ok(1)
}
