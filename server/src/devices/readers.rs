//! Who has a device open already.

use std::fs;
use std::path::Path;

/// How often other processes have the device at `path` open; nothing when some of them do not let us look.
pub(crate) fn count(path: &Path) -> Option<usize> {
    let path = fs::canonicalize(path).ok()?;
    let own = std::process::id().to_string();
    let mut count = 0;
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let is_process = name.to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && name != own);
        if !is_process {
            continue;
        }
        match fs::read_dir(process.path().join("fd")) {
            Ok(files) => count += files.flatten().filter(|file| fs::read_link(file.path()).is_ok_and(|open| open == path)).count(),
            // It ended meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn other_process_is_counted_and_we_are_not() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let _ours = fs::File::open(file.path()).expect("opened");
        if count(file.path()).is_none() {
            eprintln!("skipped: other processes do not let us look");
            return;
        }
        assert_eq!(count(file.path()), Some(0));
        let mut reader = Command::new("sh");
        reader.args(["-c", r#"exec 3<"$0" && echo open && read line"#]).arg(file.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut reader = reader.spawn().expect("a shell");
        let mut said = String::new();
        BufReader::new(reader.stdout.as_mut().expect("piped")).read_line(&mut said).expect("it says so");
        assert_eq!(count(file.path()), Some(1));
        drop(reader.stdin.take());
        reader.wait().expect("it ends");
        assert_eq!(count(file.path()), Some(0));
    }
}
