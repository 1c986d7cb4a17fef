//! The display that a window is on: whether there is one, and that its end is not the program's.
//!
//! Xlib ends a process whose X server is gone: by a function that it calls to report that, and by one that it calls when
//! that returns. Both can be replaced, from libX11 1.7 on: see XSetIOErrorHandler and XSetIOErrorExitHandler in its manual.
//! So can the one that it calls for a request that is refused, such as to draw in a window that somebody has destroyed.

use anyhow::{Result, bail};

#[cfg(all(unix, not(target_os = "macos")))]
pub(crate) use x11::is_gone;
#[cfg(all(unix, not(target_os = "macos")))]
pub(super) use x11::outlive;

/// A display that was found. While this is there nobody's leaving makes the display start anew, as an X server does when its
/// last client goes.
pub(crate) struct Display {
    #[cfg(unix)]
    _connection: Option<std::os::unix::net::UnixStream>,
}

/// Tells whether a window can be hoped for; quick, and without opening one.
pub(crate) fn find_display() -> Result<Display> {
    let is_set = |variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    if cfg!(all(unix, not(target_os = "macos"))) && !["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(is_set) {
        bail!("there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)");
    }
    Ok(Display {
        #[cfg(unix)]
        _connection: connection()?,
    })
}

/// A local X server listens at a socket whose name is known. DISPLAY outlives it in terminals that were left open.
#[cfg(unix)]
fn connection() -> Result<Option<std::os::unix::net::UnixStream>> {
    use anyhow::Context;
    let display = std::env::var("DISPLAY").unwrap_or_default();
    let number = display.strip_prefix(':').and_then(|rest| rest.split('.').next()).filter(|number| !number.is_empty());
    let Some(number) = number else { return Ok(None) };
    let socket = format!("/tmp/.X11-unix/X{number}");
    let connection = std::os::unix::net::UnixStream::connect(&socket);
    connection.map(Some).with_context(|| format!("the display {display} can't be reached"))
}

#[cfg(all(unix, not(target_os = "macos")))]
mod x11 {
    use std::ffi::{c_int, c_void};
    use std::sync::atomic::{AtomicBool, Ordering};

    use libloading::{Library, Symbol};
    use raw_window_handle::{HasDisplayHandle, RawDisplayHandle};

    /// Set by Xlib's call, and never taken back: without its display a process opens no other one.
    static GONE: AtomicBool = AtomicBool::new(false);

    /// `void XSetIOErrorExitHandler(Display *, void (*)(Display *, void *), void *)`
    type SetExit = unsafe extern "C" fn(*mut c_void, extern "C" fn(*mut c_void, *mut c_void), *mut c_void);

    /// `XIOErrorHandler XSetIOErrorHandler(int (*)(Display *))`
    type SetReport = unsafe extern "C" fn(extern "C" fn(*mut c_void) -> c_int) -> *const c_void;

    extern "C" fn note(_display: *mut c_void) -> c_int {
        GONE.store(true, Ordering::SeqCst);
        0
    }

    /// `XErrorHandler XSetErrorHandler(int (*)(Display *, XErrorEvent *))`
    type SetRefused = unsafe extern "C" fn(extern "C" fn(*mut c_void, *mut c_void) -> c_int) -> *const c_void;

    /// What an X server refuses of minifb's requests is to draw in a window that is not there.
    extern "C" fn note_refused(display: *mut c_void, _event: *mut c_void) -> c_int {
        note(display)
    }

    extern "C" fn go_on(_display: *mut c_void, _data: *mut c_void) {}

    /// Whether the display, or the window on it, went away without being closed.
    pub(crate) fn is_gone() -> bool {
        GONE.load(Ordering::SeqCst)
    }

    /// From now on the process outlives the window's display. Where Xlib is too old for that, nothing changes.
    #[allow(unsafe_code, reason = "Xlib has no safe face, and ends the process otherwise")]
    pub(in crate::view) fn outlive(window: &impl HasDisplayHandle) {
        let Ok(RawDisplayHandle::Xlib(handle)) = window.display_handle().map(|handle| handle.as_raw()) else { return };
        let Some(display) = handle.display else { return };
        // SAFETY: the library is loaded already, by minifb, and stays loaded; so it runs nothing when it is opened again.
        let Ok(library) = (unsafe { Library::new("libX11.so.6") }) else { return };
        // SAFETY: the types are those of the manual pages.
        let set_exit: Result<Symbol<'_, SetExit>, _> = unsafe { library.get(b"XSetIOErrorExitHandler\0") };
        // SAFETY: as above.
        let set_report: Result<Symbol<'_, SetReport>, _> = unsafe { library.get(b"XSetIOErrorHandler\0") };
        // SAFETY: as above.
        let set_refused: Result<Symbol<'_, SetRefused>, _> = unsafe { library.get(b"XSetErrorHandler\0") };
        if let (Ok(set_exit), Ok(set_report), Ok(set_refused)) = (set_exit, set_report, set_refused) {
            // SAFETY: the display is that of a window that is open; the functions live for ever and touch no data.
            unsafe {
                set_exit(display.as_ptr(), go_on, std::ptr::null_mut());
                set_report(note);
                set_refused(note_refused);
            }
        }
    }
}

/// Elsewhere a window's end is an error of the window's own.
#[cfg(not(all(unix, not(target_os = "macos"))))]
pub(crate) fn is_gone() -> bool {
    false
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
pub(super) fn outlive<Window>(_window: &Window) {}
