"""What pip installs: the package, its commands, its data; and what the Dockerfile never does."""

from __future__ import annotations

import email
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dispycos import config
from dispycos.commands import topics
from dispycos.commands.manual import pages
from tests.helpers import ROOT, run_program, run_python

SHIPPED = (
    "dispycos",
    "docs",
    "examples",
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "Dockerfile",
)

BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""


def build(kind: str, source: Path, target: Path) -> Path:
    """Let setuptools make a wheel or sdist of `source`."""
    code, out, err = run_python(BUILD, kind, str(target), cwd=source, timeout=50)
    assert code == 0, err
    return target / out.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist of a copy of the project."""
    pytest.importorskip("setuptools", minversion="78.1.1")
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    source.mkdir()
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    return build("build_sdist", source, folder)


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """A wheel made from the sdist, as pip makes it."""
    folder = sdist.parent
    with tarfile.open(sdist) as archive:
        # The filter came with 3.11.4, and is asked for from 3.12 on.
        archive.extractall(
            folder / "unpacked", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )
    (unpacked,) = (folder / "unpacked").iterdir()
    return build("build_wheel", unpacked, folder)


@pytest.mark.row("DN-42")
def test_the_dockerfile_is_in_the_installed_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("dispycos/data/Dockerfile") == (ROOT / "Dockerfile").read_bytes()
        texts = [*(ROOT / "dispycos/data").glob("*/*.yaml"), *(ROOT / "dispycos/data").glob("*/*.service")]
        assert len(texts) == 8
        assert {str(text.relative_to(ROOT)) for text in texts} <= set(archive.namelist())


@pytest.mark.row("DN-01", "DS-02")
@pytest.mark.parametrize("command", ["dispycosnode", "dispycos"])
def test_both_names_of_each_command_are_installed(wheel: Path, command: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert any(name.endswith(f".data/scripts/{command}.py") for name in names)
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        lines = archive.read(entry_points).decode().splitlines()
        assert f"{command} = dispycos.entry:{command}" in lines


def test_the_wheel_has_every_module_and_nothing_else(wheel: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "dispycos").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {
        f"dispycos/examples/{path.name}"
        for path in (ROOT / "examples").iterdir()
        if path.suffix in (".py", ".md")
    }
    expected |= {
        f"dispycos/docs/{page.relative_to(ROOT / 'docs')}"
        for folder in ("howto", "coming")
        for page in (ROOT / "docs" / folder).iterdir()
    }
    expected |= {f"dispycos/docs/{page}" for page, _ in topics.TOPICS.values()}
    with zipfile.ZipFile(wheel) as archive:
        manual = {name for name in archive.namelist() if "/data/share/man/man1/" in name}
        assert {Path(name).name for name in manual} == set(pages())
        installed = {
            name for name in archive.namelist() if ".dist-info/" not in name and ".data/" not in name
        }
    assert installed == expected
    assert "dispycos/py.typed" in installed


def test_the_sdist_builds_the_package_and_has_nothing_that_a_run_left(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        owners = {(member.uid, member.mode & 0o022) for member in archive.getmembers() if member.isfile()}
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE", "dispycos/py.typed", "PKG-INFO"} <= names
    assert {"dispycos/data/Dockerfile", "examples/README.md"} <= names
    left = [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".so", "results.json"))]
    assert left == []
    assert all(not writable for _, writable in owners), "others could write what is unpacked"


def test_the_metadata_say_what_an_index_shows(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (place,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        found = email.message_from_bytes(archive.read(place))
    assert not [name for name in names if name.split("/")[0] in ("tests", "bench", "docs")]
    assert (found["Name"], found["Version"]) == ("dispycos", config.RELEASE)
    assert found["Requires-Python"] == ">=3.11" and found["License-Expression"] == "Apache-2.0"
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    # What an index refuses, or shows as nothing.
    assert found["Summary"] and "\n" not in found["Summary"]
    assert found["Description-Content-Type"].startswith("text/markdown")
    assert found.get_payload().strip().startswith("# dispycos")  # type: ignore[union-attr]  # a text
    # Each extra names what it brings, and nothing asks for an extra that is none.
    extras = set(found.get_all("Provides-Extra") or ())
    asked = set(re.findall(r"extra == [\"'](\w+)[\"']", "\n".join(found.get_all("Requires-Dist") or ())))
    assert extras == asked >= {"speed", "top", "test"}


@pytest.mark.row("SE-58")
def test_run_time_dependencies_are_few_and_have_lower_bounds(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    needed = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    needed = [line for line in needed if "extra ==" not in line]
    assert {line.partition(">=")[0] for line in needed} == {
        *("psutil", "tornado", "msgpack", "cloudpickle", "tblib")
    }
    assert all(">=" in line for line in needed)


@pytest.mark.row("DN-01")
def test_the_program_file_is_not_misled_by_a_neighbour_named_like_the_package(tmp_path: Path) -> None:
    program = shutil.copy(ROOT / "dispycos/data/dispycosnode.py", tmp_path)
    (tmp_path / "dispycos.py").write_text("raise SystemExit('the neighbour was imported')\n")
    code, out, err = run_program([sys.executable, program, "--help"])
    assert "neighbour" not in out + err
    if (ROOT / "dispycos/node/cli.py").exists():
        assert code == 0, err
        assert "usage" in out


@pytest.mark.row("DN-01", "DS-02")
def test_every_installed_command_starts_and_is_not_misled_by_the_program_files(
    wheel: Path, tmp_path: Path
) -> None:
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--no-compile",  # most of it is not imported here
        "--prefix",
        tmp_path,
        wheel,
        "--ignore-installed",
    ]
    code, _, err = run_program(install, timeout=60)
    assert code == 0, err
    (modules,) = tmp_path.glob("lib/python*/site-packages")
    commands = sorted(path for path in (tmp_path / "bin").iterdir() if path.is_file())
    assert {"dispycos", "dispycos.py", "dispycosnode", "dispycosnode.py"} < {path.name for path in commands}
    for command in commands:
        code, out, err = run_program([sys.executable, command, "--help"], env={"PYTHONPATH": str(modules)})
        assert (code, err) == (0, ""), command
        assert "usage" in out.lower(), command


def instructions(dockerfile: Path) -> list[str]:
    """The instructions of a Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip()]


@pytest.mark.row("SE-10")
def test_no_key_can_enter_the_image() -> None:
    found = instructions(ROOT / "Dockerfile")
    words = {line.split()[0].upper() for line in found}
    # Nothing of the build context is copied, and no build argument exists.
    assert not words & {"COPY", "ADD", "ARG"}
    settings = [line for line in found if line.upper().startswith("ENV")]
    assert settings == ["ENV DISPYCOS_SECRET_FILE=/run/secrets/dispycos_key"]


@pytest.mark.row("DN-42")
def test_the_container_starts_a_node_as_a_plain_user() -> None:
    found = instructions(ROOT / "Dockerfile")
    assert found[-1] == 'CMD ["dispycosnode"]'
    assert [line for line in found if line.startswith("USER")] == ["USER dispycos"]
