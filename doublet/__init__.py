"""Doublet: pixel, Conversions API, deduplication and reports for ad conversions, self-hosted.

The modules in the order in which an event meets them:

ground      errors, settings, event, normalize, variants, phone, redact, countries, decoding
in          accept (request → records), collect (HTTP), pixel/ (the browser script)
substrate   log/ (durable buffer), lake (log → Delta tables), engine/ (SQL), catalog (accounts)
models      models/ (events → events_deduplicated, by changed keys)
use         reports/ (one SQL file per report), audiences/, lookalikes/, products/, live/ (what has
            just arrived), refused/ (what was not accepted, and its replay), alerts/, person/
shops       shops/ (webhooks → events, order messages), deliveries/, errands, recipes/ (code for
            sites), guide/ and probe/ (set-up and its checks), reconcile/, imports/
faces       worker (keeps tables fresh, serves readers), web/, graph/ (Meta's API for reading),
            openapi/, client/ (for sites), backup/, demo/, serve (supervisor), cli/
"""

__version__ = "0.1.0"
