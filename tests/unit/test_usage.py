"""The help of all programs: whole, in a terminal, as a page of the manual, and by topic."""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dispycos import cli, config
from dispycos.commands import manual, page_tables, programs, topics
from dispycos.usage import Described, parser_of, told_default
from dispycos.wording import harmless, many, program_of, sentence
from tests.helpers import ROOT, run_main

PROGRAMS = {**programs.COMMANDS, **programs.PROGRAMS, **programs.MODULES}


def options(parser: Described) -> list[argparse.Action]:
    return [action for action in parser._actions if action.help != argparse.SUPPRESS]


@pytest.mark.row("DS-02", "DN-01")
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_help_has_examples_statuses_and_says_what_each_option_is(name: str) -> None:
    parser = parser_of(PROGRAMS[name].main())
    titles = {section.title: section.pairs for section in parser.sections}
    assert len(titles["examples"]) >= (1 if name == "dockerfile" else 2)
    assert {code for code, _ in titles["exit status"]} >= {"0", "2"}
    assert [action.dest for action in options(parser) if not action.help] == []
    # Whoever leaves out a number or a choice learns what is taken then.
    untold = [
        action.dest
        for action in options(parser)
        if action.nargs != 0
        and action.default not in (None, "", argparse.SUPPRESS)
        and not isinstance(action.default, list)
        and "default" not in f"{action.help}{told_default(action)}"
    ]
    assert untold == []
    text = parser.format_help()
    for pairs in titles.values():
        assert all(left in text for left, _ in pairs)


def test_a_paragraph_is_filled_what_is_laid_out_stays_and_defaults_are_told() -> None:
    parser = Described(
        prog="p", about="one\ntwo\n\n  a  b", examples=[("p x", "does it")], statuses={0: "fine"}
    )
    parser.section("of times")
    parser.add_argument("--wait", type=float, default=2.5, metavar="SEC", help="how long")
    parser.add_argument("--often", type=int, default=3, help="how often (default: three)")
    text = parser.format_help()
    assert "one two\n\n  a  b\n" in text and "of times:\n  --wait SEC" in text
    assert "how long (default: 2.5)" in text and text.count("default") == 2
    assert "SEC is a number of seconds" in text
    assert text.endswith("examples:\n  p x  does it\n\nexit status:\n  0  fine\n")


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_the_pages_of_the_manual_are_set_without_a_warning(tmp_path: Path) -> None:
    manual.write(tmp_path)
    pages = sorted(tmp_path.iterdir())
    assert {"dispycos.1", "dispycosnode.1", "dispycos-doctor.1"} <= {page.name for page in pages}
    ended = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", *pages], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, b"")
    typed = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-c", tmp_path / "dispycos-config.1"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert 'peer = ["head.example:9705"]' in typed.stdout


@pytest.mark.parametrize("name", [*topics.TOPICS, *topics.COMING, "ports", "servers"])
def test_a_topic_is_a_page_of_the_documentation(name: str) -> None:
    code, out, err = run_main(cli.main, "help", name)
    assert (code, err) == (0, "") and out.startswith("# ")
    assert "](" not in out and "<!--" not in out
    assert "```" not in out and "\x1b" not in out
    text = [line for line in out.splitlines() if not line.startswith("    ")]  # the others are code
    assert all(len(line) <= 80 for line in text if " " in line.strip())
    assert topics.TOPICS.get(name) is None or (ROOT / "docs" / topics.TOPICS[name][0]).exists()


def test_help_names_everything_and_what_is_near() -> None:
    code, out, _ = run_main(cli.main, "help")
    assert code == 0 and all(f"\n  {name} " in out for name in (*PROGRAMS, *topics.TOPICS))
    whole = parser_of(programs.COMMANDS["doctor"].main()).format_help()
    assert run_main(cli.main, "help", "doctor")[1] == whole
    code, out, err = run_main(cli.main, "help", "docter")
    assert (code, out) == (1, "") and "did you mean 'doctor'?" in err
    code, out, err = run_main(cli.main, "docter")
    assert (code, out) == (2, "") and "did you mean 'doctor'?" in err
    assert run_main(cli.main, "help", "--man", "doctor")[1].startswith('.TH "DISPYCOS-DOCTOR"')


def test_a_page_is_laid_out_and_its_links_are_told_by_their_place() -> None:
    page = (
        "a [key](../security.md) and\n[another](security.md#x)\n\n- one two three\n  four\n- five\n\n"
        "| a | b | c |\n|---|---|---|\n| x | `y\\|z` is longer | w |\n\n"
        "```\n  code   as it is, however long\n\nmore\n```\n\n"
        "1. so\n\n   ```\n   typed\n   ```\n2. on\n"
    )
    assert topics.laid_out(page, "howto", 24).split("\n") == [
        "a key (`dispycos help",
        "security`) and another",
        "",
        "- one two three four",
        "- five",
        "",
        "a  b                c",
        "-  ---------------  -",
        "x  `y|z` is longer  w",
        "",
        "      code   as it is, however long",
        "",
        "    more",
        "",
        "1. so",
        "",
        "       typed",
        "",
        "2. on",
    ]
    shown = topics.laid_out("# A\n\n```sh\nb\n\nc\n```\n", "", 24, colour=True)
    assert shown == "\x1b[1m# A\x1b[0m\n\n    \x1b[36mb\x1b[0m\n\n    \x1b[36mc\x1b[0m"


def test_cells_of_a_table_are_filled_and_where_words_do_not_fit_it_is_a_list() -> None:
    table = [
        "| who | what is done | rows |",
        "|---|---|---|",
        "| one | nothing at all, for so long | R-1 |",
        "| two | it ends | R-2, R-3 |",
    ]
    assert page_tables.laid_out(table, 30) == [
        "who  what is done     rows",
        "---  ---------------  --------",
        "one  nothing at all,  R-1",
        "     for so long",
        "",
        "two  it ends          R-2, R-3",
    ]
    assert page_tables.laid_out(table, 15) == [
        "one",
        "    what is",
        "    done:",
        "    nothing at",
        "    all, for so",
        "    long",
        "    rows: R-1",
        "",
        "two",
        "    what is",
        "    done: it",
        "    ends",
        "    rows: R-2,",
        "    R-3",
    ]


def test_what_is_counted_is_called_by_its_number() -> None:
    assert [many(number, "node") for number in (0, 1, 2000)] == ["0 nodes", "1 node", "2,000 nodes"]
    assert [many(number, "task waits", "tasks wait") for number in (1, 2)] == ["1 task waits", "2 tasks wait"]


def test_a_program_is_called_as_people_call_it() -> None:
    lines = {
        "/usr/sbin/nginx -g x": "nginx",
        "/opt/py/bin/python3.11 -X dev -u /usr/bin/dispycosnode --daemon": "dispycosnode",
        "python -m dispycos.node -c 1": "dispycos.node",
        "python -c print()": "python",
        "python": "python",
        "": "a program",
    }
    assert {line: program_of(line.split()) for line in lines} == lines


def refused(run: Callable[..., int | None], arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a program says of wrong usage: the last line, behind how it is used."""
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    out, err = capsys.readouterr()
    *usage, told = err.splitlines()
    assert (ended.value.code, out) == (2, "") and usage[0].startswith("usage: ") and len(usage) <= 6
    return told.partition(": error: ")[2]


@pytest.mark.row("DS-02", "DN-01")
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_names_the_option_that_was_meant_and_its_release(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = PROGRAMS[name].main()
    assert refused(run, ["--hepl"], capsys) == "unknown option --hepl; did you mean --help?"
    with pytest.raises(SystemExit, match="0"):
        run(["--version"])
    assert capsys.readouterr().out.startswith(f"dispycos {config.RELEASE} (Python 3.")


@pytest.mark.parametrize("name", PROGRAMS)
def test_nonsense_is_told_with_the_option_whose_value_it_is(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = PROGRAMS[name].main()
    for action in parser_of(run)._actions:
        if action.nargs == 0 or not action.option_strings or action.type is shlex.split:
            continue
        named = f"argument {'/'.join(action.option_strings)}: "
        # Of most texts only the world can say that they are of no use; of an empty one, everybody.
        for value in ["", *([" "] if action.type else [])]:
            assert refused(run, [action.option_strings[0], value], capsys).startswith(named)


@pytest.mark.parametrize(
    ("name", "typed", "told"),
    [
        ("dispycosnode", "--tcp-prots 1", "unknown option --tcp_prots; did you mean --tcp_ports?"),
        ("dispycosnode", "--max=1", "did you mean --max_pulse_interval or --max_file_size?"),
        ("dispycosnode", "--qqq --cpuz 2", "unknown option --qqq; `dispycosnode --help` shows all; unknown"),
        ("dispycosnode", "-z", "unknown option -z; `dispycosnode --help` shows all"),
        ("dispycosnode", "---", "unknown option ---; `dispycosnode --help` shows all"),
        ("dispycosnode", "---name", "unknown option ---name; did you mean --name?"),
        ("dispycosnode", "--\x1b[2J\x07=1", r"unknown option --\x1b[2J\x07; `"),
        ("key", "-\x1b\u202e", r"unknown option -\x1b\u202e; `"),
        ("dispycosnode", "here", "unexpected argument 'here'"),
        ("dispycos", "--json status", "those of a command stand behind it, as in `dispycos status --json`"),
        ("easycluster", "--srve", "unknown option --srve; did you mean --serve?"),
        ("easycluster", "", "one of the arguments -g/--generate-key -S/--serve"),
        ("ssh", "--cpsu 2", "unknown option --cpsu; did you mean --cpus?"),
        ("key", "", "say which: new or fingerprint"),
        ("key", "nwe x", "'nwe' is none of new, fingerprint; did you mean 'new'?"),
        ("slurm", "--nmae x strat", "unknown option --nmae; did you mean --name?"),
        ("slurm", "strat", "'strat' is none of start, status, stop; did you mean 'start'?"),
        ("systemd", "", "say which: node or scheduler"),
        ("systemd", "node --cpus 2", "stand behind --, as in `dispycos systemd node -- --cpus 2`"),
        ("config", "nod --cpus 2", "argument SECTION: 'nod' is none of"),
        ("config", "node --cpuz 2", "did you mean --cpus?"),
        ("dispycos-classic", "-m oneshoot", "did you mean 'oneshot'?"),
        ("dispycos-classic", "--host 203.0.113.77", "argument --host: can't listen at 203.0.113.77"),
        ("dispycos-classic", "--keyfile x", "--keyfile is of no use without --certfile"),
        ("dispycos", "-i 0.0.0.0 -s short", "argument -s/--secret: the secret has fewer than 8 characters"),
        ("dispycos.rpc.registry", "-p 65536", "argument -p/--port: '65536' is no port between 0 and 65535"),
        ("easycluster", "-S -b no.such.host.invalid", "argument -b/--bind: can't resolve 'no.such.host.inv"),
        ("dispycos.workers.master", "-i 203.0.113.77", "argument -i/--ip_addr/--host: can't listen at 203.0"),
        ("ssh", "host1 --service_start soon", "argument --service_start: 'soon' is no time of day HH:MM"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(
    name: str, typed: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(PROGRAMS[name].main(), typed.split(), capsys)


def test_a_missing_or_wrong_word_is_told_with_what_each_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for typed in ([], ["roate"]):
        with pytest.raises(SystemExit, match="2"):
            programs.COMMANDS["key"].main()(typed)
        assert "\n  new FILE            make this file, with a new key" in capsys.readouterr().err


def test_help_is_given_whatever_else_is_typed() -> None:
    code, out, _ = run_main(cli.main, "key", "--nosuch", "--help")
    assert code == 0 and out == parser_of(programs.COMMANDS["key"].main()).format_help()


def test_what_others_wrote_can_t_command_a_terminal() -> None:
    assert harmless("a\tb\n\x1b[2J\r\x07ü\u202e") == "a\tb\n\\x1b[2J\\r\\x07ü\\u202e"
    assert harmless("a\n", keep="") == "a\\n"
    wrong = FileNotFoundError(2, "there is no\nsuch file", "\x1b[2J\n")
    assert sentence(wrong) == "\\x1b[2J : there is no such file"
    assert sentence(ValueError("\x1b is none")) == "\\x1b is none"


@pytest.mark.parametrize(
    "name", ["dispycos.gateways.socketserver", "dispycos.rpc.registry", "dispycos-classic"]
)
def test_a_key_file_that_is_not_there_is_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert PROGRAMS[name].main()(["--secret_file", "no\x1bfile"]) == 1
    told = capsys.readouterr().err
    assert r": no\x1bfile: there is no such file; `dispycos key new no\x1bfile` makes it" in told
    assert told.count("\n") == 1
