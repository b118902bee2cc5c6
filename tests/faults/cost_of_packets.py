"""How many milliseconds of CPU the most expensive packets cost on this machine.

For those that set free what came before them the dearest step, how many there are and what they cost
together.

`python -m tests.faults.cost_of_packets`
"""

from __future__ import annotations

import gc
import time

from tests.faults.test_cost_of_a_packet import busy_pair, cost, cost_of_plain_packet
from tests.support.worst_hoards import HOARDS, steps_of
from tests.support.worst_packets import ETHERNET, LARGEST, WORST_PACKETS, worst_packet


def cheapest(name: str, size: int) -> float:
    """The least of ten tries, with DATA or I-DATA, idle or busy, whichever is dearer."""
    dearest = 0.0
    for kind in range(4):
        costs = []
        for _ in range(10):
            pair = busy_pair(interleaving=kind < 2, busy=kind % 2 == 0)
            costs.append(cost(pair, worst_packet(name, pair.a.association, size)))
        dearest = max(dearest, min(costs))
    return dearest


HELD = 18_600
"""Messages of two bytes that the default window holds."""


def cost_of_steps(name: str) -> list[float]:
    costs = []
    gc.disable()
    for step in steps_of(HOARDS[name](HELD)):
        start = time.process_time()
        step()
        costs.append(time.process_time() - start)
    gc.enable()
    return costs


def main() -> None:
    plain = min(cost_of_plain_packet() for _ in range(30))
    print(f"{'a plain packet':40} {plain * 1e3:7.3f} ms")
    for name in WORST_PACKETS:
        small, large = (cheapest(name, size) * 1e3 for size in (ETHERNET, LARGEST))
        print(f"{name:40} {small:7.3f} ms {large:7.3f} ms")
    for name in HOARDS:
        costs = min((cost_of_steps(name) for _ in range(5)), key=max)
        together = f"{len(costs):4} steps, {sum(costs) * 1e3:.1f} ms together"
        print(f"{name:40} {max(costs) * 1e3:7.3f} ms {together}")


if __name__ == "__main__":
    main()
