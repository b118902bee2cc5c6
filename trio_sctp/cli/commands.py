"""The subcommands: their arguments, options and what ``--help`` says about them."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import click

from .. import UDP_ENCAPSULATION_PORT, __version__
from . import echo as echoing, transfer
from .bench import job as benchmark
from .bench.workloads import DEFAULT_WORKLOADS, Workload
from .extras import import_extra
from .running import run

__all__ = ["trio_sctp"]

PORT = click.IntRange(1, 65535)
LISTENING_PORT = click.IntRange(0, 65535)


class Seconds(click.FloatRange):
    """A time; NaN, which is in every range for click, is none."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Any:
        seconds = super().convert(value, param, context)
        if math.isnan(seconds):
            self.fail(f"{value!r} is no time.", param, context)
        return seconds


host_option = click.option(
    "--host", metavar="ADDRESS", help="Address to listen at.  Default: all of this machine."
)
timeout_option = click.option(
    "--timeout",
    type=Seconds(0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up if the peer has not answered by then.",
)
sctp_port_option = click.option(
    "--sctp-port",
    type=PORT,
    default=5000,
    show_default=True,
    metavar="PORT",
    help="The SCTP port inside the UDP datagrams.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trio-sctp")
def trio_sctp() -> None:
    """SCTP associations and WebRTC data channels over UDP (RFC 6951).

    \b
    Try it on one machine:
      trio-sctp browser                      a page that shows them live
      trio-sctp bench                        how fast data channels are here
      trio-sctp echo --udp 9899              ... in one terminal, and in another:
      trio-sctp client 127.0.0.1 9899

    Ctrl-C ends every command; peers are told.  Status 0 means that all went well, 1 that it
    did not, with the reason in one line on standard error.
    """


@trio_sctp.command(short_help="A page that shows data channels live.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address of the page; 0.0.0.0 lets others open it, a phone for instance.",
)
@click.option(
    "--port",
    type=LISTENING_PORT,
    default=8080,
    show_default=True,
    metavar="PORT",
    help="TCP port of the page; 0 for any free one.",
)
@click.option(
    "--udp-port",
    type=LISTENING_PORT,
    default=0,
    show_default=True,
    metavar="PORT",
    help="UDP port for all data channels; 0 for any free one.",
)
@click.option(
    "--public-host",
    "public_hosts",
    multiple=True,
    metavar="ADDRESS",
    help="Announce this address instead of the machine's own.",
)
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where shared files are.  Default: a temporary directory.",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the default browser.")
def browser(
    host: str,
    port: int,
    udp_port: int,
    public_hosts: tuple[str, ...],
    directory: Path | None,
    open_page: bool,
) -> None:
    """Serve a page that talks to this process over WebRTC data channels, and shows them at work.

    Echo, a chat between all who have the page open, throughput both ways, round-trip times of a
    reliable and an unreliable channel side by side, over this network or a bad one, and files
    both ways.  Everything runs on this machine; nothing is loaded from elsewhere.

    The first line of standard output tells the page's address.  Standard error tells who came
    and left.  Needs the extra `web`.

    \b
    Examples:
      trio-sctp browser --open
      trio-sctp browser --host 0.0.0.0 --port 8000 --udp-port 9000
    """
    site = import_extra("web", "trio_sctp.cli.browser.site")
    run(
        partial(
            site.run_site,
            host,
            port,
            udp_port=udp_port,
            public_hosts=public_hosts,
            directory=directory,
            open_page=open_page,
        ),
        ends_by_interrupt=True,
    )


@trio_sctp.command(short_help="Echo server for any SCTP stack over UDP.")
@click.option(
    "--udp",
    "port",
    type=LISTENING_PORT,
    default=UDP_ENCAPSULATION_PORT,
    show_default=True,
    metavar="PORT",
    help="UDP port to listen at; 0 for any free one.",
)
@host_option
@sctp_port_option
def echo(port: int, host: str | None, sctp_port: int) -> None:
    """Send everything back to whoever sent it.

    Any SCTP stack that speaks UDP encapsulation can connect: messages on data channels come back
    on the same channel, text as text and binary as binary; messages of peers without data
    channels come back on the same stream with the same payload protocol identifier.

    The first line of standard output tells the address, once peers may connect.  Standard error
    tells who came and left.

    \b
    Examples:
      trio-sctp echo --udp 9899
      trio-sctp echo --udp 0 --host 127.0.0.1
      trio-sctp echo --udp 9899 --sctp-port 7
    """
    run(partial(echoing.run_server, port, host=host, sctp_port=sctp_port), ends_by_interrupt=True)


@trio_sctp.command(short_help="Send lines to an echo server.")
@click.argument("host")
@click.argument("port", type=PORT)
@click.option("--plain", is_flag=True, help="Plain SCTP messages on stream 0, no data channel.")
@sctp_port_option
@timeout_option
def client(host: str, port: int, plain: bool, sctp_port: int, timeout: float) -> None:
    """Send lines of standard input to an echo server at HOST, UDP PORT, and print what returns.

    Each line is one text message.  It ends when standard input has ended and every line was
    answered.  With --plain it talks to SCTP stacks that know no data channels, usrsctp's
    echo_server for example.

    \b
    Examples:
      trio-sctp client 127.0.0.1 9899
      seq 1000 | trio-sctp client 192.0.2.1 9899
      trio-sctp client --plain --sctp-port 7 127.0.0.1 9899
    """
    job = partial(echoing.run_client, plain=plain, sctp_port=sctp_port, patience=timeout)
    run(partial(job, host, port))


@trio_sctp.command(short_help="Send a file.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.argument("host")
@click.argument("port", type=PORT)
@timeout_option
def send(file: Path, host: str, port: int, timeout: float) -> None:
    """Send FILE to a `trio-sctp receive` at HOST, UDP PORT.

    The bytes travel over one ordered, reliable data channel, as a stream.  It ends with status 0
    only when the receiver says that the whole file is on its disk and has the same SHA-256.

    \b
    Example:
      trio-sctp send holiday.mp4 192.0.2.1 9899
    """
    run(partial(transfer.run_sender, file, host, port, patience=timeout))


@trio_sctp.command(short_help="Receive files.")
@click.argument("port", type=LISTENING_PORT)
@click.argument(
    "directory", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path()
)
@host_option
@click.option("--once", is_flag=True, help="End after the first sender.")
def receive(port: int, directory: Path, host: str | None, once: bool) -> None:
    """Receive files at UDP PORT into DIRECTORY, which has to exist, by default the current one.

    Whoever reaches the port may send: choose --host and the directory accordingly.  A file
    appears under its name only when it is complete and its SHA-256 is right.  Nothing that exists
    is overwritten: a second `a.txt` becomes `a (2).txt`.  Of the name only the last part
    counts, without leading dots and what some system could misunderstand, so that nothing
    lands outside of DIRECTORY.

    The first line of standard output tells the address; then follows one line for each file.

    \b
    Examples:
      trio-sctp receive 9899 downloads
      trio-sctp receive --once --host 192.0.2.1 9899
    """
    run(
        partial(transfer.run_receiver, port, directory, host=host, once=once),
        ends_by_interrupt=not once,
    )


def _workloads(_: click.Context, __: click.Parameter, value: str) -> list[Workload]:
    try:
        return [Workload.named(name) for name in value.split(",")]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@trio_sctp.command(short_help="Measure data channels.")
@click.option("--server", "port", type=LISTENING_PORT, metavar="PORT", help="Be the server only.")
@click.option(
    "--client", "peer", type=(str, PORT), metavar="HOST PORT", help="Measure to a server."
)
@click.option(
    "--seconds",
    type=Seconds(0.05, 3600),
    metavar="SECONDS",
    default=3.0,
    show_default=True,
    help="How long each workload is measured.",
)
@click.option(
    "--workloads",
    default=DEFAULT_WORKLOADS,
    show_default=True,
    metavar="LIST",
    callback=_workloads,
    help="What to measure, separated by commas.",
)
@click.option("--json", "to_json", is_flag=True, help="Print JSON instead of a table.")
@host_option
@timeout_option
def bench(
    port: int | None,
    peer: tuple[str, int] | None,
    seconds: float,
    workloads: list[Workload],
    to_json: bool,
    host: str | None,
    timeout: float,
) -> None:
    """Measure data channels over UDP: throughput, message rate, round trips, CPU and memory.

    By default a server and a client process on this machine.  With two machines, start the server
    on one and the client on the other:

    \b
      trio-sctp bench --server 9899
      trio-sctp bench --client 192.0.2.1 9899

    Workloads are bulk-SIZE, messages of that size one way as fast as they go, and ping-SIZE,
    a message there and back, one at a time.  SIZE is in bytes, or with k or m: bulk-16k,
    bulk-1m, ping-64.  (small-SIZE is another word for bulk-SIZE.)  Each has an association and
    a client process of its own.

    Throughput is what the server received, from its first message to its last.  CPU is processor
    time of each end for 10^9 bytes.  Set-up is the time from opening the socket until the
    association stands.  The progress bar is on standard error, the result on standard output.
    """
    if port is not None and peer is not None:
        raise click.UsageError("--server and --client exclude each other")
    if port is not None:
        run(partial(benchmark.run_server, port, host=host), ends_by_interrupt=True)
        return
    run(
        partial(
            benchmark.run_measurements,
            workloads,
            server=peer,
            seconds=seconds,
            patience=timeout,
            to_json=to_json,
        )
    )
