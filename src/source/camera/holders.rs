//! Which programs have a device file open, as far as this user may know.

use std::fmt;
use std::fs;
use std::path::Path;

/// A program that has a file open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Its name.
    pub program: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.program, self.pid)
    }
}

/// The other processes of this user (of all users, for root) that have a file open. Each open file is a link in
/// `/proc/PID/fd` (proc(5)).
pub(super) fn holders(file: &Path) -> Vec<Holder> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut holders: Vec<Holder> = pids
        .filter(|&pid| pid != std::process::id())
        .filter(|pid| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            files.into_iter().any(|open| fs::read_link(open.path()).is_ok_and(|target| target == file))
        })
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            Holder { pid, program: name.trim().to_owned() }
        })
        .collect();
    holders.sort_by_key(|holder| holder.pid);
    holders
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_program_that_has_a_file_open_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        assert_eq!(holders(file.path()), []);
        let input = fs::File::open(file.path()).expect("the file");
        let mut child = Command::new("sleep").arg("1000").stdin(input).stdout(Stdio::null()).spawn().expect("a child");
        // Until it has become the other program it bears this one's name.
        while fs::read_to_string(format!("/proc/{}/comm", child.id())).is_ok_and(|name| name.trim() != "sleep") {}
        let found = holders(file.path());
        child.kill().expect("a running child can be killed");
        child.wait().expect("a killed child ends");
        assert_eq!(found, [Holder { pid: child.id(), program: "sleep".into() }]);
    }
}
