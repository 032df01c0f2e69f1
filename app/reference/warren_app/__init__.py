"""Warren's reference Celery project: example tasks and the ledger."""
