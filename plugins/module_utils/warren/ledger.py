"""The ledger of the reference project, for what counts it on the control node."""

import sys
from pathlib import Path

# The project's own code counts, so that there is one count. The project is not installed here, but these two files need
# only the standard library.
sys.path.append(str(Path(__file__).resolve().parents[3] / "app/reference"))

from warren_app.ledger.records import RUN_ID, LedgerError, read_run
from warren_app.ledger.report import build_report

__all__ = ["RUN_ID", "LedgerError", "build_report", "read_run"]
