//! A disk for tests: in memory, and as bad as told.
//!
//! It keeps two images of each file: what readers see, and what the medium has. A crash keeps the
//! second only, with names as of the last sync of their directory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, DiskFile};

/// What goes wrong. Each applies until it is taken back.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    /// Writes take at most this many bytes at a time.
    pub short_write: Option<usize>,
    /// This many more bytes fit.
    pub space: Option<usize>,
    /// Syncing fails and forgets that data is dirty, as Linux does.
    pub sync_fails: bool,
    /// Cutting a file fails.
    pub truncate_fails: bool,
}

#[derive(Default)]
struct Content {
    visible: Vec<u8>,
    medium: Vec<u8>,
    /// Whether `visible` differs from `medium` in a way that a sync would still write.
    is_dirty: bool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    /// Names as the medium has them.
    names: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    faults: Faults,
    sync_count: usize,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct HostileDisk(Arc<Mutex<State>>);

impl HostileDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    pub fn sync_count(&self) -> usize {
        self.state().sync_count
    }

    /// The disk after the machine has lost power now.
    pub fn crash(&self) -> HostileDisk {
        let state = self.state();
        let after = HostileDisk::default();
        for (path, content) in &state.names {
            let medium = content.lock().unwrap().medium.clone();
            after.put(path, medium);
        }
        after
    }

    /// Places a file, synced.
    pub fn put(&self, path: &Path, data: Vec<u8>) {
        let content = Content { visible: data.clone(), medium: data, is_dirty: false };
        let content = Arc::new(Mutex::new(content));
        let mut state = self.state();
        state.files.insert(path.to_owned(), content.clone());
        state.names.insert(path.to_owned(), content);
    }

    pub fn get(&self, path: &Path) -> Vec<u8> {
        self.state().files[path].lock().unwrap().visible.clone()
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().files.keys().cloned().collect()
    }

    fn file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let content = self.state().files.get(path).cloned();
        let content = content.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(HostileFile { disk: self.clone(), content }))
    }
}

impl Disk for HostileDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if self.exists(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.state().files.insert(path.to_owned(), Arc::default());
        self.file(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(path)
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(path)
    }

    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let state = self.state();
        let inside = state.files.keys().filter(|file| file.parent() == Some(path));
        Ok(inside.map(name).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let content = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.state().files.remove(path);
        removed.map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &Path) -> bool {
        self.state().files.contains_key(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.names.retain(|name, _| name.parent() != Some(path));
        let inside: Vec<_> = state
            .files
            .iter()
            .filter(|(name, _)| name.parent() == Some(path))
            .map(|(name, content)| (name.clone(), content.clone()))
            .collect();
        state.names.extend(inside);
        Ok(())
    }
}

struct HostileFile {
    disk: HostileDisk,
    content: Arc<Mutex<Content>>,
}

impl DiskFile for HostileFile {
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let mut size = data.len();
        if let Some(most) = state.faults.short_write {
            size = size.min(most);
        }
        if let Some(space) = &mut state.faults.space {
            if *space == 0 {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            size = size.min(*space);
            *space -= size;
        }
        let mut content = self.content.lock().unwrap();
        let end = offset as usize + size;
        if content.visible.len() < end {
            content.visible.resize(end, 0);
        }
        content.visible[offset as usize..end].copy_from_slice(&data[..size]);
        content.is_dirty = true;
        Ok(size)
    }

    fn read_at(&self, data: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content.lock().unwrap();
        let rest = content.visible.get(offset as usize..).unwrap_or_default();
        let size = rest.len().min(data.len());
        data[..size].copy_from_slice(&rest[..size]);
        Ok(size)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().visible.len() as u64)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        if self.disk.state().faults.truncate_fails {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let mut content = self.content.lock().unwrap();
        content.visible.resize(size as usize, 0);
        content.is_dirty = true;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.sync_count += 1;
        let mut content = self.content.lock().unwrap();
        if state.faults.sync_fails {
            // Some of the data may have reached the medium, and the kernel will not try again.
            let size = content.visible.len();
            let reached = content.medium.len() + size.saturating_sub(content.medium.len()) / 2;
            content.medium = content.visible[..reached.min(size)].to_vec();
            content.is_dirty = false;
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        if content.is_dirty {
            content.medium = content.visible.clone();
            content.is_dirty = false;
        }
        Ok(())
    }
}
