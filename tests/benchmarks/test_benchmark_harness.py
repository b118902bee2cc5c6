"""The benchmark program itself: short runs over each stack, and what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import scale
from tests.benchmarks.__main__ import STACKS, open_stack
from tests.benchmarks.bars import scale_bars, transfer_bars
from tests.benchmarks.report import as_json, medians, tables
from tests.benchmarks.runner import Measurement
from tests.benchmarks.workloads import WORKLOADS, Workload, round_trip_figures
from tests.support.live_peers import python_with_aiortc


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


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("workload", ["bulk-16k", "ping-64"])
def test_every_stack_runs(stack: str, workload: str, tmp_path: Path) -> None:
    python = python_with_aiortc() if stack == "aiortc" else None
    short = Workload(workload, WORKLOADS[workload].size, WORKLOADS[workload].ping, seconds=0.05)
    result = open_stack(stack, tmp_path, python).run(short)
    assert result.peak_mib > 1
    if short.ping:
        assert result.rtt_median_us
        assert result.rtt_p99_us
        assert 0 < result.rtt_median_us <= result.rtt_p99_us
    else:
        assert result.megabytes_per_second
        assert result.sender_cpu_per_gb


@pytest.mark.parametrize("name", ["channels", "associations"])
def test_scale_is_measured(name: str) -> None:
    result = scale.measure(name, 20)
    assert result.seconds < 5
    assert result.client_mib > 1
    assert result.server_mib > 1
    assert f"| idle {name} | 20 |" in scale.table({name: scale.median_of([result])})


def test_bars_can_be_missed() -> None:
    figures = {
        "bulk-16k": {"megabytes_per_second": 10.0},
        "small-64": {"messages_per_second": 15_000.0},
        "ping-64": {"rtt_median_us": 100.0},
    }
    bars = transfer_bars(figures, figures)
    assert [bar.met for bar in bars] == [False, True, False]
    assert bars[0].row() == "| 16 KiB messages, MB/s over aiortc's | ≥ 6 | 1 | **missed** |"
    one = scale.Scale(1, 4.0, 99.0, 101.0, 1.0)
    assert [bar.met for bar in scale_bars(one, one)] == [False, True, True]


def test_a_table_has_medians_and_ratios() -> None:
    results = {
        "bulk": {"ours": [measured(1.0), measured(50.0), measured(60.0)], "c": [measured(100.0)]}
    }
    table = tables(results, "c").splitlines()
    assert table[0].split("|")[1:3] == [" bulk ", " MB/s         "]
    assert " 50.0 (0.50x) " in table[2]
    assert " 100.0 " in table[3]
    assert "RTT" not in tables(results)


def test_the_json_keeps_every_run() -> None:
    runs = [measured(None, 3.0), measured(None, 1.0), measured(None, 2.0)]
    made = as_json({"ping": {"ours": runs}})["ping"]["ours"]
    assert isinstance(made, dict)
    assert made["median"] == {"rtt_median_us": 2.0, "peak_mib": 10.0}
    assert len(made["runs"]) == 3
    assert medians([]) == {}


def test_round_trip_figures_are_microseconds() -> None:
    figures = round_trip_figures([i / 1e6 for i in range(200)])
    assert figures == {
        "rtt_median_us": pytest.approx(100.0),
        "rtt_p99_us": pytest.approx(198.0),
    }
