//! Which clock the lines and the rotation follow: that of `TZ`, as Go reads it
//! (Go `time/zoneinfo_unix.go`).

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

/// Where Go looks for the file of a zone, in this order (Go `time/zoneinfo_unix.go`:
/// platformZoneSources).
const DIRECTORIES: [&str; 4] = [
    "/usr/share/zoneinfo",
    "/usr/share/lib/zoneinfo",
    "/usr/lib/locale/TZ",
    "/etc/zoneinfo",
];

/// A longer file describes no zone, bytes (Go `time/sys_unix.go`: maxFileSize).
const LONGEST: u64 = 10 << 20;

/// The zone of the environment.
pub(crate) fn local() -> TimeZone {
    if cfg!(windows) {
        return TimeZone::system();
    }
    of(
        std::env::var_os("TZ").as_deref(),
        &DIRECTORIES.map(Path::new),
    )
}

/// Without `TZ` the machine's zone; empty, and where nothing is found, UTC. A colon before a path
/// or a name means nothing.
fn of(tz: Option<&OsStr>, directories: &[&Path]) -> TimeZone {
    let Some(tz) = tz else {
        return read(Path::new("/etc/localtime")).unwrap_or(TimeZone::UTC);
    };
    let Some(tz) = tz.to_str() else {
        return TimeZone::UTC;
    };
    let name = tz.strip_prefix(':').unwrap_or(tz);
    let paths: Vec<PathBuf> = match name {
        "" | "UTC" => Vec::new(),
        path if path.starts_with('/') => vec![path.into()],
        name => directories.iter().map(|dir| dir.join(name)).collect(),
    };
    let found = paths.iter().find_map(|path| read(path));
    found.unwrap_or(TimeZone::UTC)
}

fn read(path: &Path) -> Option<TimeZone> {
    // A pipe or a device would hold up the start.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut data = Vec::new();
    let mut file = File::open(path).ok()?.take(LONGEST);
    file.read_to_end(&mut data).ok()?;
    TimeZone::tzif("Local", &data).ok()
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use jiff::Timestamp;

    use super::*;

    /// A zone file of one offset and no changes (RFC 9636), as zic writes it.
    fn tzif(seconds: i32, name: &str) -> Vec<u8> {
        let hours = -(seconds / 3600);
        let mut file = Vec::new();
        for _ in 0..2 {
            file.extend(b"TZif2");
            file.extend([0; 15]);
            let counts = [0, 0, 0, 0, 1, name.len() as u32 + 1];
            file.extend(counts.into_iter().flat_map(u32::to_be_bytes));
            file.extend(seconds.to_be_bytes());
            file.extend([0, 0]);
            file.extend(name.bytes());
            file.push(0);
        }
        file.extend(format!("\n{name}{hours}\n").bytes());
        file
    }

    #[test]
    fn tz_is_read_as_go_reads_it() {
        let dir = std::env::temp_dir().join(format!("frp-log-zone-{}", std::process::id()));
        fs::create_dir_all(dir.join("second/Asia")).unwrap();
        let shanghai = dir.join("second/Asia/Shanghai");
        fs::write(&shanghai, tzif(8 * 3600, "CST")).unwrap();
        fs::write(dir.join("second/broken"), "TZif").unwrap();
        let directories = [dir.join("first"), dir.join("second")];
        let directories = directories.each_ref().map(PathBuf::as_path);
        let hour = |tz: &str| {
            let zone = of(Some(OsStr::new(tz)), &directories);
            zone.to_datetime(Timestamp::UNIX_EPOCH).hour()
        };
        let path = shanghai.to_str().unwrap();
        for (tz, want) in [
            ("Asia/Shanghai", 8),
            (":Asia/Shanghai", 8),
            (path, 8),
            (&format!(":{path}"), 8),
            ("", 0),
            (":", 0),
            ("UTC", 0),
            // Go knows neither rules nor what is not there.
            ("CST-8", 0),
            ("Asia/Nowhere", 0),
            ("broken", 0),
            ("Asia", 0),
            ("/dev/zero", 0),
        ] {
            assert_eq!(hour(tz), want, "TZ={tz}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
