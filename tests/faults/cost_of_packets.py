"""How many milliseconds of CPU the most expensive packets cost on this machine.

`python -m tests.faults.cost_of_packets`
"""

from __future__ import annotations

from tests.faults.test_cost_of_a_packet import busy_pair, cost, cost_of_plain_packet
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


def main() -> None:
    plain = min(cost_of_plain_packet() for _ in range(30))
    print(f"{'a plain packet':40} {plain * 1e3:7.3f} ms")
    for name in WORST_PACKETS:
        small, large = (cheapest(name, size) * 1e3 for size in (ETHERNET, LARGEST))
        print(f"{name:40} {small:7.3f} ms {large:7.3f} ms")


if __name__ == "__main__":
    main()
