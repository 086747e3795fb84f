"""What bash, zsh and fish are told of our commands: the text that completes their words.

Pure. Layer 8.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispycos.records import record

FILES, FOLDERS = "files", "folders"  # what a value may be, beside texts that can't be guessed


@record
class Option:
    """One option of a command."""

    names: tuple[str, ...]
    about: str
    value: str = ""  # "": it takes none; FILES, FOLDERS, or a word for what it is
    choices: tuple[str, ...] = ()


@record
class Command:
    """One command: its options, and the words that may follow it."""

    name: str
    about: str
    options: tuple[Option, ...] = ()
    words: tuple[tuple[str, str], ...] = ()  # each with what it means
    files: bool = False  # names of files may follow


def bash(programs: Sequence[Command], below: Sequence[Command]) -> str:
    """For bash. programs: the first has the commands of `below`."""
    cases = "\n".join(map(_bash_case, [*programs, *below]))
    names = " ".join(name for program in programs for name in (program.name, f"{program.name}.py"))
    known = "|".join(command.name.split()[1] for command in below)
    return f"""\
# Completion in bash: put  eval "$(dispycos completion bash)"  into ~/.bashrc
_dispycos() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} command=${{1##*/}}
    local options= words= files= folders= values= choices= positional=
    # --option=value comes as three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    command=${{command%.py}}
    if [[ $command == {programs[0].name} && $COMP_CWORD -gt 1 ]]; then
        case ${{COMP_WORDS[1]}} in
            {known}) command="{programs[0].name} ${{COMP_WORDS[1]}}" ;;
        esac
    fi
    case $command in
{cases}
    esac
    COMPREPLY=()
    if [[ " $files " == *" ${{prev//-/_}} "* ]]; then
        positional=f
    elif [[ " $folders " == *" ${{prev//-/_}} "* ]]; then
        positional=d
    elif [[ -n $choices ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur")
        return
    elif [[ " $values " == *" ${{prev//-/_}} "* ]]; then
        return
    elif [[ $cur == -* ]]; then
        # Both spellings are the same: who types the one gets the one.
        [[ ${{cur#--}} == *-* ]] && options=${{options//_/-}}
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    else
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    fi
    if [[ -n $positional ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -O "${{#COMPREPLY[@]}}" -t COMPREPLY < <(compgen -"$positional" -- "$cur")
    fi
}}
complete -F _dispycos {names}
"""


def _bash_case(command: Command) -> str:
    def those(options: Sequence[Option]) -> str:
        # As they are compared: with _ for each -.
        return " ".join(name.replace("-", "_") for option in options for name in option.names)

    every = command.options
    lines = [
        f"options='{' '.join(name for option in every for name in option.names)}'",
        f"words='{' '.join(word for word, _ in command.words)}'",
        f"files='{those([one for one in every if one.value == FILES])}'",
        f"folders='{those([one for one in every if one.value == FOLDERS])}'",
        f"values='{those([one for one in every if one.value not in ('', FILES, FOLDERS)])}'",
    ]
    if command.files:
        lines.append("positional=f")
    for option in every:
        if option.choices:
            names = "|".join(option.names)
            lines.append(f"case $prev in {names}) choices='{' '.join(option.choices)}' ;; esac")
    return f"        '{command.name}')\n            " + "\n            ".join(lines) + " ;;"


def zsh(programs: Sequence[Command], below: Sequence[Command]) -> str:
    """For zsh."""
    cases = "\n".join(map(_zsh_case, [*programs, *below]))
    names = " ".join(name for program in programs for name in (program.name, f"{program.name}.py"))
    known = "|".join(command.name.split()[1] for command in below)
    first = programs[0].name
    return f"""\
#compdef {names}
# Completion in zsh: put  eval "$(dispycos completion zsh)"  behind compinit in ~/.zshrc
_dispycos() {{
    local command=${{${{words[1]:t}}%.py}}
    local -a specs
    if [[ $command == {first} && $CURRENT -gt 2 && ${{words[2]}} == ({known}) ]]; then
        command="{first} ${{words[2]}}"
        shift words
        (( CURRENT-- ))
    fi
    case $command in
{cases}
    esac
    _arguments -s $specs
}}
compdef _dispycos {names}
"""


def _zsh_case(command: Command) -> str:
    def plain(text: str) -> str:
        for char in "\\[]:":
            text = text.replace(char, f"\\{char}")
        return text.replace("'", "’")

    action = {FILES: "_files", FOLDERS: "_files -/"}
    specs = []
    for option in command.options:
        for name in option.names:
            takes = ""
            if option.value:
                which = f"({' '.join(option.choices)})" if option.choices else action.get(option.value, " ")
                takes = f":{plain(option.value)}:{which}"
            specs.append(f"'*{name}[{plain(option.about)}]{takes}'")
    if command.words:
        words = " ".join(f"{word}\\:{_quoted(plain(about))}" for word, about in command.words)
        specs.append(f"'1: :(({words}))'")
    if command.files:
        specs.append("'*:file:_files'")
    lines = "\n                ".join(specs)
    return f"        '{command.name}')\n            specs=(\n                {lines}\n            ) ;;"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "”") + '"'


def fish(programs: Sequence[Command], below: Sequence[Command]) -> str:
    """For fish."""
    first = programs[0]
    lines = ["# Completion in fish: dispycos completion fish > ~/.config/fish/completions/dispycos.fish"]
    for program in programs:
        lines.append(f"complete -c {program.name} -f")
        where = "-n __fish_use_subcommand" if program is first else ""
        lines += _fish_options(program, f"-c {program.name} {where}")
        lines += [
            f"complete -c {program.name} {where} -a {w} -d {_single(about)}" for w, about in program.words
        ]
    for command in below:
        name = command.name.removeprefix(f"{first.name} ")
        where = f"-c {first.name} -n '__fish_seen_subcommand_from {name}'"
        lines += _fish_options(command, where)
        lines += [f"complete {where} -a {word} -d {_single(about)}" for word, about in command.words]
        if command.files:
            lines.append(f"complete {where} -F")
    return "\n".join(lines) + "\n"


def _fish_options(command: Command, where: str) -> list[str]:
    lines = []
    for option in command.options:
        parts = [f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names]
        if option.choices:
            parts.append(f"-x -a {_single(' '.join(option.choices))}")
        elif option.value:
            parts.append("-r -F" if option.value in (FILES, FOLDERS) else "-x")
        lines.append(f"complete {where} {' '.join(parts)} -d {_single(option.about)}")
    return lines


def _single(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
