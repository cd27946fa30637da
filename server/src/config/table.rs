//! The README's table of flags, which is what clap knows of them.

use clap::{Arg, CommandFactory as _};

use super::Cli;

/// Marks around the table in the README.
const START: &str =
    "<!-- The flags, as `crosspoint --help` says them: UPDATE=1 cargo test --workspace readme_has_the_flags writes them here. -->\n";
const END: &str = "<!-- The flags end. -->\n";

fn table() -> String {
    let command = Cli::command();
    let rows = command.get_arguments().filter(|arg| arg.get_env().is_some()).map(row);
    format!("\n| flag | default | |\n|---|---|---|\n{}\n", rows.collect::<String>())
}

fn row(arg: &Arg) -> String {
    let takes_value = arg.get_action().takes_values();
    let value = arg.get_value_names().filter(|_| takes_value).map(|names| format!(" {}", names.join(" "))).unwrap_or_default();
    let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    // A flag that is nothing unless it is given says in its help what holds without it.
    let (text, said) = text.split_once(" [default: ").map_or((text.as_str(), ""), |(text, said)| (text, said.trim_end_matches(['.', ']'])));
    let default = match arg.get_default_values() {
        [default] if takes_value => format!("`{}`", default.display()),
        _ => said.to_owned(),
    };
    let choices: Vec<_> = arg.get_possible_values().iter().map(|choice| format!("`{}`", choice.get_name())).collect();
    let choices = if takes_value && !choices.is_empty() { format!(": {}", choices.join(", ")) } else { String::new() };
    let flag = format!("`--{}{value}`", arg.get_long().unwrap_or_default());
    let cells = [flag, default, format!("{}{choices}", text.trim_end_matches('.'))];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

#[test]
fn readme_has_the_flags() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (before, rest) = readme.split_once(START).expect("the README has the mark before the table");
    let (written, after) = rest.split_once(END).expect("the README has the mark behind the table");
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, format!("{before}{START}{}{END}{after}", table())).unwrap();
    }
    assert_eq!(written, table(), "UPDATE=1 cargo test --workspace readme_has_the_flags writes it");
}
