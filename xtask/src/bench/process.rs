//! What a server takes of the machine, found by the port that it listens on. Linux only; elsewhere nothing is known.

use std::{fs, net::SocketAddr};

/// The process that listens on an address.
pub fn listening_on(address: SocketAddr) -> Option<u32> {
    let port = format!(":{:04X}", address.port());
    let sockets = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    // Columns: number, local address, remote address, state (0A: listens), …; the tenth is the socket's inode.
    let listens = |line: &&str| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next().is_some_and(|local| local.ends_with(&port)) && columns.nth(1) == Some("0A")
    };
    let inode = sockets.iter().flat_map(|table| table.lines()).find(listens)?.split_whitespace().nth(9)?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|process| process.file_name().to_str()?.parse().ok()).find(|process: &u32| {
        let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == socket.as_str())
    })
}

/// Resident memory in bytes.
pub fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Seconds of processor time that a process has had, and that all have had together.
#[derive(Debug, Clone, Copy)]
pub struct CpuTime {
    pub process: f64,
    pub all: f64,
}

impl CpuTime {
    /// Until now.
    pub fn now(process: u32) -> Option<Self> {
        // Fields behind the name in parentheses; user and system time are the 14th and 15th of all.
        let own = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let own = own.rsplit_once(')')?.1.split_whitespace().skip(11).take(2).map(ticks).sum();
        // User, nice, system, (idle, waiting,) interrupts.
        let all = fs::read_to_string("/proc/stat").ok()?;
        let all: Vec<f64> = all.lines().next()?.split_whitespace().skip(1).map(ticks).collect();
        let all = all.get(..3)?.iter().chain(all.get(5..7)?).sum();
        Some(Self { process: own, all })
    }
}

/// Linux gives times in hundredths of a second, whatever its own clock does.
fn ticks(text: &str) -> f64 {
    text.parse().unwrap_or(0.0) / 100.0
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_its_port_and_has_memory_and_time() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = listening_on(listener.local_addr().unwrap());
        assert_eq!(found, Some(std::process::id()));
        assert!(resident(std::process::id()).unwrap() > 100_000);
        let time = CpuTime::now(std::process::id()).unwrap();
        assert!(time.all >= time.process);
    }
}
