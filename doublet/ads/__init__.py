"""Ad platforms' own figures come in: names, spend and counts by day, and who saw or clicked what.

Files are looked through and imported as conversions are (`doublet.imports`), by what their columns
are (`fields`, `guess`), a touch or a day a row (`rows`). `graph` asks a host of the Graph Insights
API for the same, page by page, and goes on where it was cut off.
"""
