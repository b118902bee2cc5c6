"""What the command says about itself, and what it does without its libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

import trio_sctp
from tests.support.commands import run_to_end
from trio_sctp.cli.commands import trio_sctp as command

SUBCOMMANDS = ["bench", "browser", "client", "echo", "receive", "send"]


def test_every_subcommand_has_help_and_is_listed() -> None:
    runner = CliRunner()
    overview = runner.invoke(command, ["--help"])
    assert overview.exit_code == 0
    assert sorted(command.commands) == SUBCOMMANDS
    for name in SUBCOMMANDS:
        assert f"  {name} " in overview.output
        said = runner.invoke(command, [name, "-h"])
        assert said.exit_code == 0
        assert len(said.output.splitlines()) > 10
        assert all(len(line) <= 80 for line in said.output.splitlines()), said.output


def test_the_version_is_the_library_s() -> None:
    said = CliRunner().invoke(command, ["--version"])
    assert trio_sctp.__version__ in said.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench", "--seconds", "nan"],
        ["bench", "--timeout", "nan"],
        ["client", "--timeout", "nan", "127.0.0.1", "9"],
        ["send", "--timeout", "nan", __file__, "127.0.0.1", "9"],
    ],
)
def test_a_time_that_is_no_number_is_refused(arguments: list[str]) -> None:
    """It was in every range: a benchmark of nothing, or a traceback."""
    said = CliRunner().invoke(command, arguments)
    assert said.exit_code == 2
    assert f"Invalid value for '{arguments[1]}': 'nan' is no time." in said.output


async def test_without_its_libraries_the_command_says_what_to_install() -> None:
    hide = "import sys; sys.modules['click'] = None; from trio_sctp.cli import main; main()"
    result = await run_to_end([sys.executable, "-c", hide])
    assert result.returncode == 1
    assert b"pip install 'trio-sctp[cli]'" in result.stderr


@pytest.mark.parametrize("arguments", [["nonsense"], ["echo", "--udp", "70000"], ["client", "x"]])
def test_wrong_arguments_are_a_usage_error(arguments: list[str]) -> None:
    assert CliRunner().invoke(command, arguments).exit_code == 2


def test_measuring_processes_need_none_of_the_command_s_libraries() -> None:
    check = (
        "import sys, trio_sctp.cli.bench.worker;"
        "sys.exit('click' in sys.modules or 'rich' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)
