"""queuectl completion: scripts for bash, zsh and fish, made from the tables of commands and options.

The scripts know every word that is fixed; ids of jobs and names of queues they ask of queuectl itself, at most 50.
"""

from __future__ import annotations

from ..errors import InvalidInput
from ..model import STATES
from . import ALIASES, load
from . import COMMANDS as TABLE
from .command import Arguments, Command, Option
from .text import out

SHELLS = ("bash", "zsh", "fish")
# What an option's value is, by the name of its place; and how positional words are completed.
FILES, FOLDERS = ("FILE",), ("FOLDER",)
WORDS = {"STATE": " ".join(STATES), "WHAT": "rerun hold fail", "bash|zsh|fish": " ".join(SHELLS)}


def run(arguments: Arguments) -> int:
    shell = arguments.words[0]
    if shell not in SHELLS:
        raise InvalidInput(f"unknown shell {shell[:40]!r}", hint="one of " + ", ".join(SHELLS))
    out({"bash": bash, "zsh": zsh, "fish": fish}[shell]())
    return 0


def groups() -> dict[str, list[str]]:
    """The first words that have second words: `worker` → start, stop, …"""
    found: dict[str, list[str]] = {}
    for name in TABLE:
        first, _, second = name.partition(" ")
        if second:
            found.setdefault(first, []).append(second)
    return found


def first_words() -> list[str]:
    return sorted({name.partition(" ")[0] for name in (*TABLE, *ALIASES)})


def commands() -> dict[str, Command]:
    """Every spelling of every command that takes options of its own, aliases included."""
    found = {name: load(name) for name in TABLE}
    for alias, words in ALIASES.items():
        name = " ".join(words[:2])
        found[alias] = found[name if name in found else words[0]]
    return found


def kind(place: str) -> str:
    """What stands at a place: `job`, `queue`, `setting`, `file`, `folder`, or a list of words; empty: nothing we know.

    >>> kind("FILE"), kind("STATE"), kind("N")
    ('file', 'pending processing completed failed dead cancelled', '')
    """
    if place in FILES:
        return "file"
    if place in FOLDERS:
        return "folder"
    first = place.split(" ")[0]
    return {"JOB": "job", "QUEUE": "queue", "NAME": "setting"}.get(first, WORDS.get(place, ""))


# ---------------------------------------------------------------- bash

BASH = """\
# queuectl completion for bash:  source <(queuectl completion bash)
_queuectl() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} name=${{COMP_WORDS[1]}} i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${{COMP_WORDS[i]}} == -- ]] && {{ _queuectl_words file; return; }}
    done
    ((COMP_CWORD == 1)) && {{ _queuectl_words "{first}"; return; }}
    case $name in
{groups}
    esac
    case "$name:$prev" in
{values}
    esac
    case "$name:$cur" in
{words}
    esac
}}
_queuectl_words() {{
    case $1 in
        job) set -- "$(queuectl list -q 2>/dev/null) all last" ;;
        queue) set -- "$(queuectl queue list -q 2>/dev/null)" ;;
        setting) set -- "$(queuectl config list -q 2>/dev/null)" ;;
        file | folder)
            local IFS=$'\\n' what=-f
            [[ $1 == folder ]] && what=-d
            COMPREPLY=($(compgen $what -- "$cur"))
            return ;;
    esac
    COMPREPLY=($(compgen -W "$1" -- "$cur"))
}}
complete -F _queuectl queuectl
"""


def bash() -> str:
    """One script of three tables: second words, values of options by (command, option), the rest by command."""
    chosen = {first: f'_queuectl_words "{" ".join(seconds)}"' for first, seconds in groups().items()}
    deeper = 'name="$name ${COMP_WORDS[2]}"'
    branches = [f"{first}) ((COMP_CWORD == 2)) && {{ {words}; return; }}; {deeper} ;;" for first, words in chosen.items()]
    values: dict[str, list[str]] = {}
    words = []
    for name, command in commands().items():
        for option in [option for option in command.options if option.takes]:
            values.setdefault(kind(option.takes), []).extend([f'"{name}:{flag}"' for flag in option.flags])
        words.append(f'"{name}:"-*) _queuectl_words "{" ".join(all_flags(command))}" ;;')
        if kind(command.words):
            words.append(f'"{name}:"*) _queuectl_words "{kind(command.words)}" ;;')
    taken = [f'{"|".join(patterns)}) _queuectl_words "{place}"; return ;;' for place, patterns in values.items()]
    return BASH.format(first=" ".join(first_words()), groups=_indented(branches), values=_indented(taken), words=_indented(words))


def all_flags(command: Command) -> list[str]:
    return [flag for option in command.options for flag in option.flags] + ["--help"]


def _indented(lines: list[str]) -> str:
    return "\n".join([" " * 8 + line for line in lines])


# ---------------------------------------------------------------- zsh

ZSH = """\
#compdef queuectl
# queuectl completion for zsh:  source <(queuectl completion zsh), after compinit
autoload -U +X bashcompinit && bashcompinit
{bash}"""


def zsh() -> str:
    """zsh understands bash's completions once it is told to: one script to keep right instead of two."""
    return ZSH.format(bash=bash())


# ---------------------------------------------------------------- fish

FISH_KINDS = {
    "job": "(queuectl list -q 2>/dev/null) all last",
    "queue": "(queuectl queue list -q 2>/dev/null)",
    "setting": "(queuectl config list -q 2>/dev/null)",
}


def fish() -> str:
    seconds = groups()
    lines = [
        "# queuectl completion for fish:  queuectl completion fish | source",
        "complete -c queuectl -f",
        f"complete -c queuectl -n __fish_use_subcommand -a '{' '.join(first_words())}'",
    ]
    for first, words in seconds.items():
        seen = f"__fish_seen_subcommand_from {first}; and not __fish_seen_subcommand_from {' '.join(words)}"
        lines.append(f"complete -c queuectl -n '{seen}' -a '{' '.join(words)}'")
    for name, command in commands().items():
        where = "; and ".join([f"__fish_seen_subcommand_from {word}" for word in name.split(" ")])
        lines += [_fish_option(where, option) for option in command.options]
        place = kind(command.words)
        if place:
            lines.append(f"complete -c queuectl -n '{where}' {_fish_value(place)}")
    return "\n".join(lines) + "\n"


def _fish_option(where: str, option: Option) -> str:
    spelled = " ".join([f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags])
    alone = "-r" if kind(option.takes) == "file" else "-x"
    takes = f" {alone} {_fish_value(kind(option.takes))}".rstrip() if option.takes else ""
    about = option.help.replace("\\", "\\\\").replace("'", "\\'")
    return f"complete -c queuectl -n '{where}' {spelled}{takes} -d '{about}'"


def _fish_value(place: str) -> str:
    if place == "file":
        return "-F"
    if place == "folder":
        return "-a '(__fish_complete_directories)'"
    return f"-a '{FISH_KINDS.get(place, place)}'" if place else ""


COMMANDS = {
    "completion": Command(
        run,
        words="bash|zsh|fish",
        least=1,
        most=1,
        example="source <(queuectl completion bash)",
        about="Prints a script; completes commands, options, ids of jobs and names of queues.",
    )
}
