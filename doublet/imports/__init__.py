"""Files of conversions become events: offline sales, and what happened before there was a pixel.

A file is read row by row (`files`), its columns are mapped to fields of an event (`fields`,
`guess`, `mapping`), the words in its cells are understood or refused (`values`), and each row
becomes one event of the Conversions API (`rows`). `run` looks a file through and imports it;
`book` remembers what was imported, so that nothing gets in twice.
"""
