//! Hot reload: watches the folder of the application, and has it load the files that change.
//!
//! How a file takes the place of its old version is the application's matter: its module
//! `reload` (`lua/reload.lua`) does it, and says in the log what went wrong. An application
//! without that module is not watched.
//!
//! # Yields
//! the fiber `reload`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::base::error::{Error, Result, Type};
use crate::fiber;
use crate::lua::{self, Context, Kind};

/// Silence after which a file counts as written: editors save in several steps.
const QUIET: Duration = Duration::from_millis(50);

/// Changes of the files of a folder, from [`watch`] on.
pub struct Changes {
    folder: PathBuf,
    watcher: notify::Result<RecommendedWatcher>,
    files: mpsc::UnboundedReceiver<PathBuf>,
}

/// Watches the folder that `file` is in, and those below it.
pub fn watch(file: &str) -> Changes {
    let file = std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file));
    let folder = file.parent().unwrap_or(Path::new("/")).to_path_buf();
    let (sender, files) = mpsc::unbounded_channel();
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let Ok(event) = event else { return };
        if matches!(event.kind, EventKind::Access(_) | EventKind::Remove(_)) {
            return;
        }
        let is_lua = |path: &PathBuf| path.extension().is_some_and(|name| name == "lua");
        for path in event.paths.into_iter().filter(is_lua) {
            // The fiber ends with the process; then nobody wants to know.
            let _ = sender.send(path);
        }
    });
    let watcher = watcher
        .and_then(|mut watcher| watcher.watch(&folder, RecursiveMode::Recursive).map(|()| watcher));
    Changes { folder, watcher, files }
}

/// Has the application, which has started, load what changes.
pub fn follow(changes: Changes) -> Result<()> {
    if !lua::enter(has_module) {
        return Ok(());
    }
    let folder = changes.folder.display();
    let watcher = changes
        .watcher
        .map_err(|error| Error::new(Type::System, format!("cannot watch {folder}: {error}")))?;
    tracing::info!("changes in {folder} take effect when they are saved");
    let fiber = fiber::spawn("reload", move || {
        let _watcher = watcher;
        load(changes.files);
    });
    fiber.set_system();
    Ok(())
}

fn load(mut changes: mpsc::UnboundedReceiver<PathBuf>) {
    while let Ok(Some(first)) = fiber::wait_or_cancel(changes.recv()) {
        let mut paths = BTreeSet::from([first]);
        while let Ok(Ok(Some(more))) =
            fiber::wait_or_cancel(tokio::time::timeout(QUIET, changes.recv()))
        {
            paths.insert(more);
        }
        for path in paths.iter().filter(|path| path.is_file()) {
            if let Err(error) = lua::enter(|cx| reload(cx, path)) {
                tracing::error!("{}: not reloaded: {error}", path.display());
            }
        }
    }
}

/// Pushes `package.loaded.reload`; false: there is none.
fn push_module(cx: Context<'_>) -> bool {
    cx.get_global("package");
    cx.raw_get_field(-1, "loaded");
    cx.raw_get_field(-1, "reload") == Kind::Table
}

fn has_module(cx: Context<'_>) -> bool {
    push_module(cx)
}

/// `reload.file(path)`, which says itself what it did.
fn reload(cx: Context<'_>, path: &Path) -> Result<()> {
    if !push_module(cx) {
        return Ok(());
    }
    cx.get_field(-1, "file");
    cx.push_bytes(path.as_os_str().as_encoded_bytes());
    cx.call(1, 0)
}
