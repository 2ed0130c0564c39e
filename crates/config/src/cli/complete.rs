//! Shell completion: a small script for each shell, which asks the program itself for the
//! candidates, so that they are those of the version that is installed.
//!
//! The scripts call `PROGRAM __complete -- WORD... :LAST`, where LAST is the word at the cursor as
//! far as it is written; the colon keeps it from vanishing where it is empty.

use super::command::{Command, Flag, Shell, Takes, flags};
use super::parse::find_command;
use super::usage::shown_below;
use crate::keys::Rule;
use crate::suggest::Program;

/// What may stand for the last word: a line for each, with its meaning behind a tab.
pub(crate) fn candidates(program: Program, words: &[String]) -> String {
    let Some((last, before)) = words.split_last() else {
        return String::new();
    };
    let last = last.strip_prefix(':').unwrap_or(last);
    let (path, rest) = find_command(program, before.to_vec());
    let Some(command) = path.last().copied() else {
        return String::new();
    };
    let waiting = rest.last().and_then(|word| flag_without_value(&path, word));
    let found: Vec<(String, &str)> = if let Some(flag) = waiting {
        values(&flag)
    } else if last.starts_with('-') {
        let shown = flags(&path).into_iter();
        shown
            .map(|flag| (format!("--{}", flag.name), flag.about))
            .collect()
    } else {
        let below = shown_below(command);
        below.map(|c| (c.name.to_owned(), c.about)).collect()
    };
    found
        .into_iter()
        .filter(|(name, _)| name.starts_with(last))
        .map(|(name, about)| format!("{name}\t{about}\n"))
        .collect()
}

/// The flag that takes the word behind `word` as its value.
fn flag_without_value(path: &[&'static Command], word: &str) -> Option<Flag> {
    let flag = match word.strip_prefix("--") {
        Some(long) => {
            let name = long.replace('_', "-");
            flags(path).into_iter().find(|flag| flag.name == name)
        }
        None => {
            let short = word.strip_prefix('-')?;
            flags(path)
                .into_iter()
                .find(|flag| flag.short.is_some_and(|letter| short == letter.to_string()))
        }
    }?;
    (flag.takes != Takes::Bool).then_some(flag)
}

/// The values that the flag's key may have; none where the shell should offer files.
fn values(flag: &Flag) -> Vec<(String, &'static str)> {
    match flag.gives.as_ref().map(|gives| gives.key.rule) {
        Some(Rule::OneOf { values, .. }) => values.iter().map(|v| ((*v).to_owned(), "")).collect(),
        _ => Vec::new(),
    }
}

/// The script for a shell.
pub(crate) fn script(program: Program, shell: Shell) -> String {
    let script = match shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
        Shell::Power => POWERSHELL,
    };
    script.replace("PROGRAM", program.name())
}

const BASH: &str = r#"# bash completion for PROGRAM; to load it: source <(PROGRAM completion bash)
_PROGRAM() {
    local line
    local cur="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\t'*}")
    done < <("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" ":$cur" 2>/dev/null)
}
complete -o default -F _PROGRAM PROGRAM
"#;

const ZSH: &str = r#"#compdef PROGRAM
# zsh completion for PROGRAM; to load it: source <(PROGRAM completion zsh)
_PROGRAM() {
    local -a found
    found=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT-1]}" ":${words[CURRENT]}" 2>/dev/null)}")
    found=("${(@)found:#}")
    if (( ! $#found )); then
        _files
        return
    fi
    found=("${(@)found//:/\\:}")
    found=("${(@)found/$'\t'/:}")
    _describe PROGRAM found
}
if [ "$funcstack[1]" = "_PROGRAM" ]; then
    _PROGRAM "$@"
else
    compdef _PROGRAM PROGRAM
fi
"#;

const FISH: &str = r#"# fish completion for PROGRAM; to load it: PROGRAM completion fish | source
function __PROGRAM_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    $program __complete -- $words ":$current" 2>/dev/null
end
complete -c PROGRAM -a '(__PROGRAM_complete)'
"#;

const POWERSHELL: &str = r#"# PowerShell completion for PROGRAM; to load it:
# PROGRAM completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName PROGRAM -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object { $_.ToString() })
    $rest = @($words | Select-Object -Skip 1)
    & $words[0] __complete '--' @rest ":$wordToComplete" 2>$null | ForEach-Object {
        $name, $about = $_ -split "`t", 2
        [System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', "$name $about".Trim())
    }
}
"#;
