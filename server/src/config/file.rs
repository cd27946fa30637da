//! Flags from a file: TOML, a flag's name for a key. What the command line or the environment says stands above it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use super::Cli;

impl Cli {
    /// Reads the command line, the environment, and the file that either names.
    ///
    /// # Errors
    /// When a flag or the file is wrong, or what they say together; as help and version are asked for, which clap has as errors, too.
    pub fn load(arguments: impl IntoIterator<Item = OsString>) -> Result<(Self, ArgMatches), clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let mut command = Self::command();
        if let Some(path) = named(&arguments).or_else(|| env::var_os("CROSSPOINT_CONFIG").filter(|path| !path.is_empty())) {
            let path = Path::new(&path);
            let wrong = |cause: String| Self::command().error(ErrorKind::Io, format!("the file {} (--config): {cause}", path.display()));
            let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
            command = with_defaults(command, &text).map_err(wrong)?;
        }
        let matches = command.try_get_matches_from(arguments)?;
        let cli = Self::from_arg_matches(&matches)?.checked()?;
        Ok((cli, matches))
    }
}

/// The value of `--config` on a command line, before it is parsed: parsing needs what is in the file.
fn named(arguments: &[OsString]) -> Option<OsString> {
    let mut arguments = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            return arguments.next().cloned();
        }
        if let Some(path) = argument.to_str().and_then(|argument| argument.strip_prefix("--config=")) {
            return Some(path.into());
        }
    }
    None
}

/// Makes what the file says the flags' defaults.
fn with_defaults(mut command: Command, text: &str) -> Result<Command, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    for (key, value) in table {
        let flag = key.replace('_', "-");
        let found = command.get_arguments().find(|argument| is_setting(argument) && argument.get_long() == Some(&flag));
        let argument = found.ok_or_else(|| format!("there is no flag --{flag}"))?;
        let takes_many = matches!(argument.get_action(), ArgAction::Append);
        let values: Option<Vec<String>> = match value.as_array() {
            Some(values) if takes_many => values.iter().map(plain).collect(),
            Some(_) | None => plain(&value).map(|value| vec![value]),
        };
        let values = values.ok_or_else(|| format!("{key} takes {}", if takes_many { "texts in an array" } else { "one value" }))?;
        let id = argument.get_id().clone();
        // Once in the life of the process, and clap wants it for all of that.
        let values: Vec<&'static str> = values.into_iter().map(|value| &*value.leak()).collect();
        command = command.mut_arg(id, |argument| argument.default_values(values));
    }
    Ok(command)
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::Boolean(value) => Some(value.to_string()),
        toml::Value::Float(value) => Some(value.to_string()),
        toml::Value::Integer(value) => Some(value.to_string()),
        toml::Value::String(value) => Some(value.clone()),
        toml::Value::Array(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// Whether a file may say it: not what is to be done instead of serving.
fn is_setting(argument: &Arg) -> bool {
    !["check", "config", "help", "print_config", "version"].contains(&argument.get_id().as_str())
}

/// What is in force, as a file for `--config`: what is set by nobody is a comment, and so is what is secret.
#[must_use]
pub fn print(matches: &ArgMatches) -> String {
    let mut text = String::new();
    let command = Cli::command();
    for argument in command.get_arguments().filter(|argument| is_setting(argument)) {
        let (Some(flag), id) = (argument.get_long(), argument.get_id().as_str()) else { continue };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "# {help}");
        let values: Vec<String> = matches.get_raw(id).into_iter().flatten().map(quoted).collect();
        let value = match (&values[..], argument.get_action()) {
            ([], _) => {
                let _ = writeln!(text, "# {flag} =\n");
                continue;
            }
            (_, _) if argument.is_hide_env_values_set() => {
                let _ = writeln!(text, "# {flag} = \"…\"\n");
                continue;
            }
            ([value], ArgAction::SetTrue) => value.trim_matches('"').to_owned(),
            (values, ArgAction::Append) => format!("[{}]", values.join(", ")),
            (values, _) => values.join(" "),
        };
        let from = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "  # from the command line",
            Some(ValueSource::EnvVariable) => "  # from the environment",
            Some(_) | None => "",
        };
        let _ = writeln!(text, "{flag} = {value}{from}\n");
    }
    text
}

/// A text as TOML writes it, which is as JSON does.
fn quoted(text: &OsStr) -> String {
    serde_json::Value::from(text.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, flags: &[&str]) -> Result<(Cli, ArgMatches), clap::Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crosspoint.toml");
        fs::write(&path, text).unwrap();
        let config = format!("--config={}", path.display());
        Cli::load(["crosspoint", &config].iter().chain(flags).map(OsString::from))
    }

    #[test]
    fn file_stands_below_the_command_line() {
        let text = "listen = '127.0.0.1:7'\nmax-viewers = 3\nno_udp = true\nallow-host = ['a.example', 'b.example']\nstall = 0.5\n";
        let (cli, _) = load(text, &["--max-viewers=4"]).unwrap();
        let config = cli.config;
        assert_eq!((config.listen.port(), config.limits.max_viewers, config.no_udp), (7, 4, true));
        assert_eq!((config.allow_host.len(), config.limits.stall.as_millis()), (2, 500));
    }

    #[test]
    fn what_is_wrong_in_it_is_told() {
        let cases = [
            ("colour = 'red'", "--colour"),
            ("listen = ['a', 'b']", "one value"),
            ("listen = 'nowhere'", "--listen"),
            ("listen = ", "--config"),
            ("[listen]\nport = 1", "one value"),
            ("config = 'other.toml'", "--config"),
            ("tls-cert = 'a.pem'", "--tls-key"),
        ];
        for (text, named) in cases {
            let error = load(text, &[]).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
        let gone = Cli::load(["crosspoint", "--config", "/nowhere/at/all.toml"].map(OsString::from)).unwrap_err().to_string();
        assert!(gone.contains("/nowhere/at/all.toml"), "{gone}");
    }

    #[test]
    fn print_is_a_file_that_says_the_same_and_no_secret() {
        let flags =
            ["--listen=[::1]:9", "--token=view:hush-hush-hush", "--allow-host=a.example,b.example", "--trust-forwarded", "--stall=2s"];
        let (_, matches) = load("max-publishers = 5", &flags).unwrap();
        let printed = print(&matches);
        assert!(printed.contains("listen = \"[::1]:9\"  # from the command line") && !printed.contains("hush"), "{printed}");
        let (cli, _) = load(&printed, &[]).unwrap();
        let config = cli.config;
        assert_eq!((config.listen.port(), config.limits.max_publishers, config.trust_forwarded), (9, 5, true));
        assert_eq!((config.allow_host.len(), config.token.len(), config.limits.stall.as_secs()), (2, 0, 2));
    }
}
