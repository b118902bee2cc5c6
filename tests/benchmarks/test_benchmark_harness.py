"""The benchmark program itself: short runs over each stack, and what it prints."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.benchmarks import linearity, load, plots, scale, where
from tests.benchmarks.__main__ import turns
from tests.benchmarks.bars import bars, table
from tests.benchmarks.report import (
    as_json,
    by_message_size,
    medians,
    report,
    tables,
    whole_stack,
)
from tests.benchmarks.runner import Measurement
from tests.benchmarks.stacks import RELAYED, STACKS, open_stack
from tests.benchmarks.workloads import PACKET_SIZE, WORKLOADS, round_trip_figures


def measured(rate: float | None, median: float | None = None) -> Measurement:
    return Measurement(
        megabytes_per_second=rate,
        messages_per_second=None,
        rtt_median_us=median,
        rtt_p99_us=None,
        setup_ms=None,
        sender_cpu_per_gb=None,
        receiver_cpu_per_gb=None,
        cpu_us_per_message=None,
        peak_mib=10.0,
    )


@pytest.mark.parametrize("stack", [*STACKS, "trio_sctp rtc compiled"])
@pytest.mark.parametrize("workload", ["bulk-16k", "ping-64"])
def test_every_stack_runs(stack: str, workload: str, tmp_path: Path) -> None:
    short = dataclasses.replace(WORKLOADS[workload], seconds=0.05)
    result = open_stack(stack, tmp_path).run(short)
    assert result.peak_mib > 1
    assert result.setup_ms
    if short.ping:
        assert result.rtt_median_us
        assert result.rtt_p99_us
        assert 0 < result.rtt_median_us <= result.rtt_p99_us
    else:
        assert result.megabytes_per_second
        assert result.sender_cpu_per_gb


@pytest.mark.parametrize("workload", [name for name, w in WORKLOADS.items() if w.needs_ours])
@pytest.mark.parametrize("stack", ["trio_sctp", "trio_sctp rtc"])
def test_what_only_this_library_has_is_measured(stack: str, workload: str, tmp_path: Path) -> None:
    short = dataclasses.replace(WORKLOADS[workload], seconds=0.05)
    result = open_stack(stack, tmp_path).run(short)
    assert result.messages_per_second


def test_a_relay_stands_between_the_ends(tmp_path: Path) -> None:
    lossy = dataclasses.replace(WORKLOADS["bulk-16k-loss"], seconds=0.05)
    result = open_stack("trio_sctp", tmp_path).run(lossy)
    assert result.sender_cpu_per_gb


def test_each_stack_is_measured_with_what_it_has() -> None:
    pairs = [(w.name, stack) for w, stack in turns(list(WORKLOADS.values()), list(STACKS))]
    assert ("small-64-nowait", "trio_sctp rtc") in pairs
    assert ("small-64-nowait", "tcp") not in pairs
    assert ("bulk-16k-mtu", "trio_sctp dtls") in pairs
    assert [stack for name, stack in pairs if name == "bulk-16k-loss"] == list(RELAYED)
    assert [stack for name, stack in pairs if name == "ping-64"] == list(STACKS)


@pytest.mark.parametrize("name", ["channels", "associations"])
def test_scale_is_measured(name: str) -> None:
    result = scale.measure(name, 20)
    assert result.seconds > 0
    assert result.client_mib > 1
    assert result.server_mib > 1
    assert f"| idle {name} | 20 |" in scale.table({name: scale.median_of([result])})


@pytest.mark.parametrize("name", ["chatty", "greedy"])
def test_load_is_measured(name: str) -> None:
    result = load.measure(name, 5, 4.0)  # in which each of five clients gets its turn, however slow
    assert result.associations == 5
    assert result.messages_per_second > 1
    assert 0 < result.slowest_over_mean <= 1
    assert f"| 5 {name} |" in load.table({name: load.median_of([result])})


def test_linearity_is_measured() -> None:
    base = linearity.Case("1 channel", total=linearity.MIB)
    for case in (
        base,
        dataclasses.replace(base, channels=10),
        dataclasses.replace(base, loss=0.05),
        dataclasses.replace(base, nowait=True),
        dataclasses.replace(base, core=True),
    ):
        result = linearity.run_here(case)
        assert result["cpu_per_gb"] > 0
        assert (result["resent"] > 0) == (case.loss > 0)
    assert "| no loss |" in linearity.table(dict.fromkeys(linearity.CASES, 1.0))


def results_of(stacks: tuple[str, ...], size: float) -> dict[str, Any]:
    """As if each figure of each transfer were this."""
    median = {
        "megabytes_per_second": size,
        "messages_per_second": size,
        "rtt_median_us": size,
        "cpu_us_per_message": size,
        "sender_cpu_per_gb": size,
        "receiver_cpu_per_gb": size,
    }
    each = {stack: {"median": median} for stack in stacks}
    return {"transfers": dict.fromkeys(WORKLOADS, each)}


def test_the_compiled_build_has_bars_of_its_own() -> None:
    results = results_of(("trio_sctp", "trio_sctp compiled", "aiortc"), 70.0)
    ping = results["transfers"]["ping-64"] = dict(results["transfers"]["ping-64"])
    ping["trio_sctp compiled"] = {"median": {"rtt_median_us": 35.0}}
    found = {bar.what: bar.met for bar in bars(results)}
    assert not found["round trip over aiortc's"]
    assert found["round trip over aiortc's, compiled"]


def test_bars_are_met_or_missed_or_not_known() -> None:
    found = {bar.what: bar for bar in bars(results_of(("trio_sctp", "usrsctp"), 40_000.0))}
    assert found["16 KiB messages, MB/s over usrsctp's, goal"].met
    assert found["16 KiB messages, CPU over usrsctp's, goal"].met
    assert found["64-byte messages a second"].met
    missed = found["64-byte messages a second, without waiting"]
    assert not missed.met
    assert missed.row() == (
        "| 64-byte messages a second, without waiting | ≥ 60,000 | 40,000 | **missed** |"
    )
    assert not any("aiortc" in what or "idle" in what for what in found)
    assert "| wanted |" in table(list(found.values()))
    costs = {"linearity": dict.fromkeys(linearity.CASES, 1.0) | {"5 % loss": 2.0}}
    assert [bar.met for bar in bars(costs)] == [True, True, True, False]


def test_plots_are_small_and_name_the_stacks() -> None:
    results = results_of(STACKS, 70.0)
    for plot in plots.PLOTS.values():
        drawn = plots.draw(plot, results)
        assert ElementTree.fromstring(drawn).tag.endswith("svg")
        assert len(drawn) < 6000
        assert all(f">{stack}<" in drawn for stack in STACKS)


def test_a_table_has_medians_and_ratios() -> None:
    results = {
        "bulk": {"ours": [measured(1.0), measured(50.0), measured(60.0)], "c": [measured(100.0)]}
    }
    found = as_json(results)
    table = tables(found, "c").splitlines()
    assert table[0].split("|")[1:3] == [" bulk ", " MB/s         "]
    assert " 50.0 (0.50x) " in table[2]
    assert " 100.0 " in table[3]
    assert "RTT" not in tables(found)


def test_a_report_has_the_parts_that_were_measured() -> None:
    results = {"conditions": {"python": "3.11"}, **results_of(("trio_sctp", "tcp"), 50.0)}
    costs = dict.fromkeys(linearity.CASES, 1.0)
    found = report({**results, "linearity": costs})
    assert found.startswith("3.11.\n")
    assert "| bulk-16k " in found
    assert "| 5 % loss |" in found
    assert "idle" not in found
    assert "| round trip over a trio TCP stream's |" in found


def test_whole_stacks_are_compared_in_one_table() -> None:
    transfers = results_of(("trio_sctp rtc", "aiortc rtc", "tcp"), 1234.5)["transfers"]
    (table,) = whole_stack(transfers)
    head, _, ours, theirs = table.splitlines()
    assert [cell.strip() for cell in head.split("|")[1:4]] == [
        "whole stack",
        "set-up ms",
        "16 KiB, MB/s",
    ]
    assert [cell.strip() for cell in ours.split("|")[1:6]] == [
        "trio_sctp rtc",
        "",  # was not measured
        "1234.5",
        "1234.5",
        "1,234",
    ]
    assert theirs.startswith("| aiortc rtc ")
    assert whole_stack({"bulk-16k": {"trio_sctp rtc": transfers["bulk-16k"]["tcp"]}}) == []


def test_what_short_messages_cost_is_told_for_each_stack() -> None:
    transfers = results_of(("tcp", "trio_sctp", "aiortc"), 5.0)["transfers"]
    (table,) = by_message_size(
        {**transfers, "bulk-64k": {"trio_sctp": transfers["bulk-1k"]["tcp"]}}
    )
    *_, row = table.splitlines()
    assert [cell.strip() for cell in row.split("|")[1:5]] == ["trio_sctp", "10.0", "10.0", "1.0"]
    assert by_message_size({}) == []


def test_a_window_is_held_whatever_is_lost() -> None:
    """What differs with losses is the handling of losses, not the size of batches."""
    held = linearity.Case("held", core=True, window=50, total=linearity.MIB)
    rates = []
    for loss in (0.0, 0.05):
        transfer = linearity.core_transfer(dataclasses.replace(held, loss=loss))
        result = transfer.run()
        assert result["cpu_per_gb"] > 0
        assert (result["resent"] > 0) == (loss > 0)
        rates.append(linearity.MIB / transfer.now)
    window = 50 * PACKET_SIZE / 0.002  # over the round trip
    assert 0.7 * window < rates[0] < window
    assert rates[1] > 0.5 * rates[0], "congestion control would have left a tenth of it"


def test_the_compiled_build_has_a_linearity_table_of_its_own() -> None:
    costs = dict.fromkeys(linearity.CASES, 1.0)
    dear = {**costs, "1 KiB messages": 2.0}
    results = {"conditions": {}, "linearity": costs, "linearity compiled": dear}
    found = report(results)
    assert "| transfer | CPU s/GB |" in found
    assert "| transfer, compiled | CPU s/GB |" in found
    missed = [bar.what for bar in bars(results) if not bar.met]
    assert missed == ["CPU for a byte, 1 KiB messages over 16 MiB messages, compiled"]


def test_the_json_keeps_every_run() -> None:
    runs = [measured(None, 3.0), measured(None, 1.0), measured(None, 2.0)]
    made = as_json({"ping": {"ours": runs}})["ping"]["ours"]
    assert made["median"] == {"rtt_median_us": 2.0, "peak_mib": 10.0}
    assert len(made["runs"]) == 3
    assert medians([]) == {}


def test_round_trip_figures_are_microseconds() -> None:
    figures = round_trip_figures([i / 1e6 for i in range(200)])
    assert figures == {
        "rtt_median_us": pytest.approx(100.0),
        "rtt_p99_us": pytest.approx(198.0),
    }


def test_a_sample_counts_for_the_innermost_layer() -> None:
    run = "unrolled_run (/site-packages/trio/_core/_run.py:1)"
    send = "send (/clone/trio_sctp/_pump.py:1)"
    lines = [
        "<module> (/clone/tests/benchmarks/peers/trio_sctp_udp.py:1) 1000",
        f"{run};get_events (/site-packages/trio/_core/_io_epoll.py:1) 500",
        f"{run};reschedule (/site-packages/trio/_core/_run.py:2) 10",
        f"{run};{send} 20",
        f"{run};{send};take (/clone/trio_sctp/_core/tx/send_queue.py:1);popleft (/lib/q.py:1) 50",
        f"{run};{send};encode_data (/clone/trio_sctp/_wire/data_chunks.py:1) 20",
    ]
    assert where.shares(lines) == {
        "core": 0.5,
        "this library's trio side": 0.2,
        "headers and CRC-32C": 0.2,
        "trio": 0.1,
    }
    table = where.table({"sender": where.shares(lines)})
    assert "| core | 50% |" in table
    assert "DTLS" not in table
