//! `Disk` as a SQLite VFS: the one file of the workspace with `unsafe`, for tests alone.
//!
//! A VFS is a table of C functions that SQLite calls with raw pointers; there is no safe way to give
//! it one. Neighbours: `disk` does all that a file does; here is only the passing on, the locks
//! between connections, and the memory that they share (SQLite's wal-index), which no Rust code
//! reads. A path is `/NUMBER/NAME`; the number says which disk.
#![expect(unsafe_code, reason = "a SQLite VFS is C functions over raw pointers")]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock};

use libsqlite3_sys as ffi;

use super::disk::{Disk, InodeId};

/// The name by which a file is opened on a `Mounted` disk.
pub const NAME: &str = "throng-power";

/// A disk that SQLite can open files on, until it is dropped.
#[derive(Debug)]
pub struct Mounted {
    number: u64,
    pub disk: Arc<Disk>,
}

impl Mounted {
    pub fn new(disk: Arc<Disk>) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        static REGISTER: Once = Once::new();
        REGISTER.call_once(register);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        mounts().insert(number, Arc::new(Mount { disk: disk.clone(), files: Mutex::default() }));
        Self { number, disk }
    }

    /// The path of a file on this disk.
    pub fn path(&self, name: &str) -> PathBuf {
        format!("/{}/{name}", self.number).into()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        mounts().remove(&self.number);
    }
}

/// A disk with what connections share on it.
#[derive(Debug)]
struct Mount {
    disk: Arc<Disk>,
    files: Mutex<HashMap<InodeId, Arc<Mutex<Shared>>>>,
}

/// What the connections to one file share.
#[derive(Debug, Default)]
struct Shared {
    /// The lock each connection holds, by its number.
    locks: HashMap<u64, c_int>,
    /// The wal-index: words for their alignment, boxed so that the addresses stay; written and read
    /// by SQLite alone, under its own rules.
    regions: Vec<Box<[u64]>>,
    /// Its locks: who holds each, and how.
    region_locks: [HashMap<u64, c_int>; ffi::SQLITE_SHM_NLOCK as usize],
}

/// Bytes of a region, as SQLite asks for them.
const REGION_LEN: usize = 32 * 1024;

/// One open file. SQLite makes the room for it, `open` fills it.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

struct Handle {
    number: u64,
    disk: Arc<Disk>,
    inode: InodeId,
    shared: Arc<Mutex<Shared>>,
    /// A journal or a WAL that may be new: its first sync is the folder's too, as in SQLite's own
    /// layer.
    syncs_folder: AtomicBool,
}

fn mounts() -> MutexGuard<'static, HashMap<u64, Arc<Mount>>> {
    static MOUNTS: OnceLock<Mutex<HashMap<u64, Arc<Mount>>>> = OnceLock::new();
    MOUNTS.get_or_init(Mutex::default).lock().expect("nothing panics while it holds the mounts")
}

/// Which disk and which name a path stands for.
fn mount_of(path: &str) -> Option<(Arc<Mount>, &str)> {
    let (number, name) = path.strip_prefix('/')?.split_once('/')?;
    Some((mounts().get(&number.parse().ok()?)?.clone(), name))
}

fn register() {
    // SAFETY: the default VFS is looked up by SQLite itself and outlives the process; ours is leaked
    // and so does too; its functions are the ones below, of the types the table asks for.
    unsafe {
        let default = ffi::sqlite3_vfs_find(ptr::null());
        assert!(!default.is_null(), "SQLite has a default VFS");
        let vfs = ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<File>() as c_int,
            mxPathname: 512,
            pNext: ptr::null_mut(),
            zName: c"throng-power".as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xRandomness: (*default).xRandomness,
            xSleep: (*default).xSleep,
            xCurrentTime: (*default).xCurrentTime,
            xCurrentTimeInt64: (*default).xCurrentTimeInt64,
            xGetLastError: None,
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        };
        let registered = ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0);
        assert_eq!(registered, ffi::SQLITE_OK, "SQLite takes a VFS");
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

fn code(outcome: Result<(), c_int>) -> c_int {
    outcome.err().unwrap_or(ffi::SQLITE_OK)
}

/// SAFETY: `name` is null or a C string that lives as long as the call.
unsafe fn text<'a>(name: *const c_char) -> Option<&'a str> {
    // SAFETY: as above; null is sorted out first.
    unsafe { (!name.is_null()).then(|| CStr::from_ptr(name)) }?.to_str().ok()
}

/// SAFETY: `file` was filled by `open` and not yet closed; SQLite calls for one file one at a time.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a Handle {
    // SAFETY: as above; `handle` came from a box that `close` alone takes back.
    unsafe { &*(*file.cast::<File>()).handle }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    // SAFETY: SQLite gives `szOsFile` bytes at `file`, a C string or null as the name, and null or a
    // place for the flags. Without methods the file is not closed.
    unsafe {
        (*file).pMethods = ptr::null();
        let Some((mount, name)) = text(name).and_then(mount_of) else {
            return ffi::SQLITE_CANTOPEN;
        };
        let inode = match mount.disk.open(name, flags & ffi::SQLITE_OPEN_CREATE != 0) {
            Ok(inode) => inode,
            Err(code) => return code,
        };
        let mut files = mount.files.lock().expect("nothing panics while it holds the files");
        let shared = files.entry(inode).or_default().clone();
        drop(files);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let journals = ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_WAL;
        let syncs_folder = flags & ffi::SQLITE_OPEN_CREATE != 0 && flags & journals != 0;
        let syncs_folder = AtomicBool::new(syncs_folder);
        let handle = Handle { number, disk: mount.disk.clone(), inode, shared, syncs_folder };
        (*file.cast::<File>()).handle = Box::into_raw(Box::new(handle));
        (*file).pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: a C string, for this call.
    match unsafe { text(name) }.and_then(mount_of) {
        Some((mount, name)) => code(mount.disk.delete(name, sync != 0)),
        None => ffi::SQLITE_IOERR_DELETE_NOENT,
    }
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: a C string and a place for the answer, for this call.
    unsafe {
        let found = text(name).and_then(mount_of);
        *out = c_int::from(found.is_some_and(|(mount, name)| mount.disk.exists(name)));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    len: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: a C string and `len` bytes for the answer, which are not the same.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes_with_nul();
        if name.len() > len as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `open` made the box; SQLite closes a file once and then forgets it.
    let handle = unsafe { Box::from_raw((*file.cast::<File>()).handle) };
    let mut shared = handle.shared();
    shared.locks.remove(&handle.number);
    for holders in &mut shared.region_locks {
        holders.remove(&handle.number);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    into: *mut c_void,
    len: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: an open file and `len` bytes to write to, for this call.
    let (handle, into) =
        unsafe { (handle(file), std::slice::from_raw_parts_mut(into.cast::<u8>(), len as usize)) };
    match handle.disk.read(handle.inode, offset as usize, into) {
        Ok(count) if count == into.len() => ffi::SQLITE_OK,
        Ok(count) => {
            into[count..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(code) => code,
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    len: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: an open file and `len` bytes to read, for this call.
    let (handle, bytes) =
        unsafe { (handle(file), std::slice::from_raw_parts(from.cast::<u8>(), len as usize)) };
    code(handle.disk.write(handle.inode, offset as usize, bytes))
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    code(handle.disk.truncate(handle.inode, size as usize))
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let sync_folder = handle.syncs_folder.swap(false, Ordering::Relaxed);
    code(handle.disk.sync(handle.inode, sync_folder))
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: an open file and a place for the answer.
    unsafe {
        let handle = handle(file);
        *size = handle.disk.size(handle.inode) as i64;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    handle.lock(level)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    handle.shared().locks.insert(handle.number, level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: an open file and a place for the answer.
    unsafe {
        let shared = handle(file).shared();
        let reserved = shared.locks.values().any(|level| *level >= ffi::SQLITE_LOCK_RESERVED);
        *out = c_int::from(reserved);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

/// What SQLite's own layer says on this system.
unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    len: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file and a place for the answer. The region is boxed and lives until the last
    // connection is closed; only SQLite reads and writes it.
    unsafe {
        *out = ptr::null_mut();
        if len as usize != REGION_LEN {
            return ffi::SQLITE_IOERR;
        }
        let mut shared = handle(file).shared();
        while extend != 0 && shared.regions.len() <= region as usize {
            shared.regions.push(vec![0; REGION_LEN / size_of::<u64>()].into_boxed_slice());
        }
        if let Some(region) = shared.regions.get_mut(region as usize) {
            *out = region.as_mut_ptr().cast();
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    handle.lock_regions(first as usize..(first + count) as usize, flags)
}

unsafe extern "C" fn shm_barrier(_: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, forget: c_int) -> c_int {
    // SAFETY: an open file. `forget` comes from the last connection, which uses the regions no more.
    let mut shared = unsafe { handle(file) }.shared();
    if forget != 0 {
        shared.regions.clear();
    }
    ffi::SQLITE_OK
}

impl Handle {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("nothing panics while it holds a file's locks")
    }

    fn lock(&self, level: c_int) -> c_int {
        let mut shared = self.shared();
        let others = shared.locks.iter().filter(|(number, _)| **number != self.number);
        let strongest = others.map(|(_, level)| *level).max().unwrap_or(ffi::SQLITE_LOCK_NONE);
        let allowed = match level {
            ffi::SQLITE_LOCK_SHARED => strongest < ffi::SQLITE_LOCK_PENDING,
            ffi::SQLITE_LOCK_RESERVED => strongest < ffi::SQLITE_LOCK_RESERVED,
            _ => strongest == ffi::SQLITE_LOCK_NONE,
        };
        if !allowed {
            return ffi::SQLITE_BUSY;
        }
        shared.locks.insert(self.number, level);
        ffi::SQLITE_OK
    }

    fn lock_regions(&self, regions: std::ops::Range<usize>, flags: c_int) -> c_int {
        let mut shared = self.shared();
        let regions = &mut shared.region_locks[regions];
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            for holders in regions {
                holders.remove(&self.number);
            }
            return ffi::SQLITE_OK;
        }
        let how = flags & (ffi::SQLITE_SHM_SHARED | ffi::SQLITE_SHM_EXCLUSIVE);
        let shares = how == ffi::SQLITE_SHM_SHARED;
        let in_the_way = |(number, held): (&u64, &c_int)| {
            *number != self.number && !(shares && *held == ffi::SQLITE_SHM_SHARED)
        };
        if regions.iter().any(|holders| holders.iter().any(in_the_way)) {
            return ffi::SQLITE_BUSY;
        }
        for holders in regions {
            holders.insert(self.number, how);
        }
        ffi::SQLITE_OK
    }
}
