"""Doublet: pixel, Conversions API, deduplication and reports for ad conversions, self-hosted.

The modules in the order in which an event meets them:

ground      errors, settings, event, normalize, variants, phone, redact, countries
in          accept (request → records), collect (HTTP), pixel/ (the browser script)
substrate   log/ (durable buffer), lake (log → Delta tables), engine/ (SQL), catalog (accounts)
models      models/ (events → events_deduplicated, by changed keys)
use         reports/ (one SQL file per report)
faces       worker (keeps tables fresh, serves readers), web/, backup/, demo/
            serve (supervisor), cli/
"""

__version__ = "0.1.0"
