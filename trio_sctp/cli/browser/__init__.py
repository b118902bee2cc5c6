"""``trio-sctp browser``: a page that shows what data channels do, live, and the server behind it.

A browser that opens the page makes one WebRTC connection to this process; everything on the page is
a data channel of that connection.  `signalling` is the HTTP side: the page's files and one POST that
answers an offer.  `visits` gives every channel that a page opens to what its protocol name asks for:
`chat`, `throughput`, `shared_files`, the echo and the figures of `visits` itself.  `bad_network` can
stand between one page and the server, to show what channels do when packets are lost.
"""
