//! The machine that figures were measured on: its processor, its memory, its system, and how much memory this process has.
//!
//! Linux tells in files: `/proc/cpuinfo`, `/proc/meminfo`, `/proc/self/status` (proc(5)) and `/etc/os-release`
//! (os-release(5)). Elsewhere names are those that the program was built for, and memory is `None`: unknown, not 0.

use std::path::Path;
use std::{env, fmt, thread};

use crate::system::files;

/// More than any of these files has, on the largest machines too.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// What a machine is, for people who read figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The processor's name, or its architecture where it has no name.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The operating system.
    pub system: String,
}

impl Machine {
    /// The one that this program runs on.
    pub fn this() -> Self {
        let cpu = text("/proc/cpuinfo").and_then(|text| value(&text, "model name").map(str::to_owned));
        let system = text("/etc/os-release")
            .filter(|_| cfg!(target_os = "linux"))
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(unquoted));
        Self {
            cpu: cpu.unwrap_or_else(|| env::consts::ARCH.to_owned()),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory: text("/proc/meminfo").and_then(|text| bytes(&text, "MemTotal")),
            system: system.unwrap_or_else(|| env::consts::OS.to_owned()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = if self.cores == 1 { "core" } else { "cores" };
        write!(f, "{}, {} {cores}", self.cpu, self.cores)?;
        if let Some(memory) = self.memory {
            write!(f, ", {:.1} GB", memory as f64 / 1e9)?;
        }
        write!(f, ", {}", self.system)
    }
}

/// Bytes of memory that this process has at the moment.
pub fn memory_now() -> Option<u64> {
    bytes(&text("/proc/self/status")?, "VmRSS")
}

/// The most bytes of memory that this process has had so far.
pub fn memory_peak() -> Option<u64> {
    bytes(&text("/proc/self/status")?, "VmHWM")
}

fn text(path: &str) -> Option<String> {
    let bytes = files::read_at_most(Path::new(path), LONGEST_FILE).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What stands behind the first `name` and a colon.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

/// A value in the kernel's `kB`, which are of 1024 bytes.
fn bytes(text: &str, name: &str) -> Option<u64> {
    value(text, name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_the_kernel_writes_them() {
        let text = "processor\t: 0\nmodel name\t: A CPU: 2 GHz\nVmHWM:\t   1234 kB\nflags:\nVmRSS:\t12\n";
        assert_eq!(value(text, "model name"), Some("A CPU: 2 GHz"));
        assert_eq!(bytes(text, "VmHWM"), Some(1234 * 1024));
        assert_eq!((value(text, "flags"), value(text, "name"), bytes(text, "VmRSS")), (None, None, None));
        assert_eq!(unquoted("\"Debian GNU/Linux\"\n"), "Debian GNU/Linux");
    }

    #[test]
    fn a_machine_is_described_in_one_line() {
        let mut machine = Machine { cpu: "CPU".into(), cores: 2, memory: Some(16_600_000_000), system: "OS".into() };
        assert_eq!(machine.to_string(), "CPU, 2 cores, 16.6 GB, OS");
        (machine.cores, machine.memory) = (1, None);
        assert_eq!(machine.to_string(), "CPU, 1 core, OS");
        assert!(Machine::this().cores >= 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_had_no_less() {
        let megabyte = 1 << 20;
        // Unseen, the compiler would leave it out, and other tests' memory is not for this one to count on.
        let block = std::hint::black_box(vec![1u8; 64 * megabyte]);
        let (now, peak) = (memory_now().expect("known"), memory_peak().expect("known"));
        assert!(now >= std::hint::black_box(&block).len() as u64 && peak + (megabyte as u64) >= now, "{now} of {peak}");
    }
}
