"""``trio-sctp bench``: an iperf for data channels.

Two processes, the server and a client for each workload, exchange messages for a fixed time; a third
one, which takes no part in it, shows the progress and makes the table.  On two machines the server is
started by hand.
"""
