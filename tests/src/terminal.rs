//! A terminal of 80 columns and 24 rows with a program in it (`script` of util-linux).

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use crate::temp::TempDir;
use crate::wait::{eventually_within, within};

/// A program in a terminal; killed on drop.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    output: Arc<Mutex<Vec<u8>>>,
    directory: TempDir,
}

/// The end of the terminal does not end every program.
impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.directory.path().join("pid")) {
            let mut kill = std::process::Command::new("kill");
            let _ = kill.args(["-9", pid.trim()]).stderr(Stdio::null()).status();
        }
    }
}

/// How long a program may take to show something.
const PATIENCE: Duration = Duration::from_secs(20);

impl Terminal {
    /// Starts `program` with these arguments and environment variables.
    ///
    /// # Panics
    /// There is no `script`.
    #[must_use]
    pub fn run(program: &Path, args: &[OsString], environment: &[(&str, &str)]) -> Self {
        let words =
            std::iter::once(program.as_os_str()).chain(args.iter().map(OsString::as_os_str));
        let words: Vec<String> = words
            .map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")))
            .collect();
        let directory = TempDir::new();
        let command = format!(
            "cd {}; stty rows 24 cols 80; stty -g > before; \
             sh -c 'echo $$ > pid; cd \"$0\"; exec \"$@\"' \"$OLDPWD\" {}; \
             status=$?; stty -g > after; exit $status",
            directory.path().display(),
            words.join(" ")
        );
        let mut child = Command::new("script")
            .args(["-qefc", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(Vec::new()));
        let (mut shown, seen) = (child.stdout.take().unwrap(), output.clone());
        tokio::spawn(async move {
            let mut some = [0; 4096];
            while let Ok(n) = shown.read(&mut some).await
                && n > 0
            {
                seen.lock().unwrap().extend_from_slice(&some[..n]);
            }
        });
        Self {
            keyboard: child.stdin.take().unwrap(),
            child,
            output,
            directory,
        }
    }

    /// All that was shown so far, with the codes that drive a terminal.
    #[must_use]
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// Waits until `text` was shown.
    pub async fn expect(&self, text: &str) {
        self.expect_from(0, text).await;
    }

    /// Waits until `text` was shown behind the first `mark` bytes of [`Terminal::shown`].
    pub async fn expect_from(&self, mark: usize, text: &str) {
        eventually_within(PATIENCE, &format!("{text:?} is shown"), || async {
            let shown = self.output.lock().unwrap();
            String::from_utf8_lossy(shown.get(mark..).unwrap_or_default()).contains(text)
        })
        .await;
    }

    /// How many bytes were shown so far.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.output.lock().unwrap().len()
    }

    /// Sends a signal to the program, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.directory.path().join("pid")).unwrap();
        let mut kill = std::process::Command::new("kill");
        let sent = kill
            .args([&format!("-{name}"), pid.trim()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// How the terminal treats what is typed and shown (`stty -g`): before the program, and after its end.
    #[must_use]
    pub fn modes(&self) -> (String, String) {
        let mode = |name| std::fs::read_to_string(self.directory.path().join(name)).unwrap();
        (mode("before"), mode("after"))
    }

    /// Types that.
    pub async fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).await.unwrap();
        self.keyboard.flush().await.unwrap();
    }

    /// Waits for the end of the program.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = within(PATIENCE, "the program ends", self.child.wait()).await;
        ended.unwrap()
    }
}
