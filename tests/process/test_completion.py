"""Completion, in the shells themselves."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from dispycos.commands import programs
from tests.helpers import run_program

DISPYCOS = [sys.executable, "-m", "dispycos"]

# Answers each line of words with what bash offers for the last of them, as readline would ask.
ASK = """
eval "$1"
while IFS= read -r line; do
    COMP_WORDS=() COMPREPLY=()
    read -ra COMP_WORDS <<< "$line"
    [[ $line == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
    how=$(complete -p "${COMP_WORDS[0]}") || exit 3
    function=${how#*-F } && function=${function%% *}
    "$function" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[*]}"
done
"""


def script(shell: str) -> str:
    code, out, err = run_program([*DISPYCOS, "completion", shell])
    assert (code, err) == (0, "")
    return out


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_options_values_and_files(tmp_path: Path) -> None:
    (tmp_path / "a file.toml").touch()
    (tmp_path / "folder").mkdir()
    wanted = {
        "dispycos doc": "dockerfile doctor",
        "dispycos config --sh": "--show_origin",
        "dispycos config --show-": "--show-origin",
        "dispycos config --check ": "a file.toml folder",
        "dispycos config --check = a": "a file.toml",
        "dispycos config no": "node",
        "dispycos completion f": "fish",
        "dispycos key fi": "fingerprint",
        "dispycos status --j": "--json",
        "dispycos --relay": "--relay_nodes",
        "dispycosnode --dest_path ": "folder",
        "dispycosnode.py --dest-path f": "folder",
        "dispycosnode --cpus ": "",
        "dispycosnode --udp_p": "--udp_port",
        "dispycosnode con": "",
    }
    code, out, err = run_program(
        ["bash", "--norc", "-c", ASK, "bash", script("bash")], input="\n".join(wanted) + "\n", cwd=tmp_path
    )
    assert (code, err) == (0, "")
    assert dict(zip(wanted, out.splitlines(), strict=True)) == wanted


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_every_command_is_completed() -> None:
    code, out, _ = run_program(
        ["bash", "--norc", "-c", ASK, "bash", script("bash")], input="dispycos \n", timeout=10
    )
    assert code == 0 and set(out.split()) == set(programs.COMMANDS)


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
def test_fish_completes_them_too(tmp_path: Path) -> None:
    (tmp_path / "c.fish").write_text(script("fish"))
    words = ("dispycos confi", "dispycos config --che", "dispycosnode --ud")
    ask = "; ".join(["source c.fish", *(f"complete -C '{line}'" for line in words)])
    code, out, err = run_program(["fish", "--no-config", "-c", ask], cwd=tmp_path)
    assert (code, err) == (0, "")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["config", "--check", "--udp_port"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_takes_it_and_knows_both_commands(tmp_path: Path) -> None:
    (tmp_path / "c.zsh").write_text(script("zsh"))
    ask = "autoload -Uz compinit && compinit -D && source c.zsh && "
    ask += "print $_comps[dispycos] $_comps[dispycosnode]"
    code, out, err = run_program(["zsh", "-f", "-c", ask], cwd=tmp_path)
    assert (code, out.split(), err) == (0, ["_dispycos", "_dispycos"], "")
