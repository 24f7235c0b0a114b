//! What this process may use: CPUs and memory that the cgroup and the machine grant.

use std::{fs, path::Path};

/// Memory that is left to everything else by default: one part in this many.
const RESERVED_SHARE: u64 = 10;

/// CPUs that this process may keep busy, at least 1.
///
/// The standard library already honours affinity and the cgroup's CPU quota.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of memory that this process may plan with: the smaller of what the machine has free and what the cgroup's limit
/// leaves, less a reserve. `u64::MAX` where neither can be read.
pub fn memory() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available_in_meminfo(&text));
    let cgroup =
        cgroup_limit(Path::new("/sys/fs/cgroup"), &fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
    match (machine, cgroup) {
        (None, None) => u64::MAX,
        (machine, cgroup) => {
            let granted = machine.unwrap_or(u64::MAX).min(cgroup.unwrap_or(u64::MAX));
            granted - granted / RESERVED_SHARE
        }
    }
}

/// `MemAvailable` of `/proc/meminfo` in bytes (proc(5)).
fn available_in_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The smallest memory limit on the path of this process's cgroup, version 2 (`memory.max`) or 1
/// (`memory.limit_in_bytes`). `membership` is the text of `/proc/self/cgroup`.
fn cgroup_limit(root: &Path, membership: &str) -> Option<u64> {
    let mut smallest = None;
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let (mount, file) = if controllers.is_empty() {
            (root.to_path_buf(), "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        // A limit anywhere above holds too; inside a container the path may not exist below the mount, its root does.
        let own = mount.join(path.trim_start_matches('/'));
        for folder in own.ancestors().take_while(|folder| folder.starts_with(&mount)) {
            let limit = fs::read_to_string(folder.join(file)).ok().and_then(|text| text.trim().parse::<u64>().ok());
            smallest = match (smallest, limit) {
                (Some(a), Some(b)) => Some(std::cmp::min::<u64>(a, b)),
                (a, b) => a.or(b),
            };
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read_in_bytes() {
        assert_eq!(available_in_meminfo("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(available_in_meminfo("MemAvailable: many kB\n"), None);
        assert_eq!(available_in_meminfo(""), None);
    }

    #[test]
    fn the_smallest_limit_above_a_cgroup_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("outer/memory.max"), "5000\n").unwrap();
        fs::write(root.path().join("memory.max"), "9000\n").unwrap();
        assert_eq!(cgroup_limit(root.path(), "0::/outer/inner\n"), Some(5000));
        assert_eq!(cgroup_limit(root.path(), "0::/\n"), Some(9000));
        assert_eq!(cgroup_limit(root.path(), "0::/not/mounted/here\n"), Some(9000));
    }

    #[test]
    fn version_1_hierarchies_are_read() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("memory/job")).unwrap();
        fs::write(root.path().join("memory/job/memory.limit_in_bytes"), "7000\n").unwrap();
        assert_eq!(cgroup_limit(root.path(), "3:cpu,cpuacct:/job\n2:memory:/job\n"), Some(7000));
    }
}
