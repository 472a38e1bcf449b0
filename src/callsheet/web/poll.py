"""Looking at S3 now and then, for what nobody tells us of."""

from __future__ import annotations

import logging
import threading

from callsheet.errors import CallsheetError
from callsheet.web.jobs import Jobs
from callsheet.web.jobstore import Wanted

_SYNC = Wanted("sync")
_log = logging.getLogger(__name__)


class Poller:
    """Asks for a sync of all actors every so many minutes, unless one waits already."""

    def __init__(self, jobs: Jobs, minutes: float) -> None:
        self._jobs = jobs
        self._every_s = minutes * 60
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="callsheet-poll", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            if any(job.state == "queued" and job.wanted == _SYNC for job in self._jobs.all()):
                continue
            try:
                self._jobs.submit(_SYNC, polled=True)
            except CallsheetError as error:
                _log.warning("No sync was asked for: %s", error.sentence)
