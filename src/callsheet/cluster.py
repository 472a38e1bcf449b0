"""The workers of a Dask cluster as an executor: the one module that speaks to dask, which is imported when a cluster is asked for.

Rules of this module: what goes to a worker is data, pickled here by the standard library, so that nothing goes by accident; what dask
raises ends here as an error of ours.
"""

from __future__ import annotations

import logging
import pickle
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from callsheet import system
from callsheet.errors import CallsheetError, ClusterError, UsageError, WorkerLost

if TYPE_CHECKING:
    from distributed import Client

_P = ParamSpec("_P")
_T = TypeVar("_T")

_CONNECT_S = 5
_CLOSE_S = 2
_COUNT_EVERY_S = 5.0
_EXTRA = "pip install 'callsheet[dask]'"
_CHECKED = ("callsheet", "distributed")


class Cluster(Executor):
    """Runs jobs on the workers, each at least once: a job whose worker is lost is run again, on another one.

    Jobs are module-level functions, and they, what they are given and what they return can be pickled. A future raises what its job
    raised if that is a `CallsheetError`; `WorkerLost` if the job lost several workers, one after the other; `ClusterError` if
    the cluster failed. It cannot be cancelled, for it is not known whether its job has begun.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._workers = client.get_executor(pure=False)
        self._at_once = 0
        self._counted_s = -_COUNT_EVERY_S

    @property
    def at_once(self) -> int:
        """How many jobs keep all workers busy by now: two for each thread, so that none waits for its next one. `ClusterError`"""
        if system.monotonic() - self._counted_s >= _COUNT_EVERY_S:
            with _mapped(self._client):
                self._at_once = 2 * max(1, sum(self._client.nthreads().values()))
            self._counted_s = system.monotonic()
        return self._at_once

    def submit(self, job: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        told: Future[_T] = Future()
        told.set_running_or_notify_cancel()
        message = pickle.dumps((job, args, kwargs))
        with _mapped(self._client):
            self._workers.submit(_run, message).add_done_callback(partial(self._pass_on, told))
        return told

    def _pass_on(self, told: Future[Any], asked: Future[Any]) -> None:
        try:
            with _mapped(self._client):
                result = asked.result()
        except CallsheetError as error:
            told.set_exception(error)
        else:
            told.set_result(result)


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """The workers of the cluster whose scheduler is at `address`, such as `tcp://10.0.0.1:8786`.

    `UsageError` if dask is not installed, or that is no address; `ClusterError` if the scheduler does not answer within a few
    seconds, has no workers, or workers that are without callsheet or have another version. Jobs that wait when the block ends are
    given up; those that run are not.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            "A cluster needs dask, which is not installed", hint=f"{_EXTRA}, here and on the workers."
        ) from error
    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{address!r} is no scheduler's address: {error}", hint="Write tcp://HOST:8786") from error
    except OSError as error:
        hint = "Is it running, and the address the one that it told when it started? dask scheduler"
        raise ClusterError(f"The scheduler at {address} did not answer within {_CONNECT_S} s", hint=hint) from error
    try:
        with _mapped(client):
            _check(client, address)
        yield Cluster(client)
    finally:
        # It is over, whether or not the scheduler hears of it.
        with suppress(Exception), _without_tracebacks():
            client.close(timeout=_CLOSE_S)


@contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Each answer that is still waited for when a connection is closed may be logged, with a traceback: not meanwhile."""

    def is_other(record: logging.LogRecord) -> bool:
        return record.exc_info is None or not isinstance(record.exc_info[1], OSError)

    logger = logging.getLogger("tornado.application")
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def _check(client: Client, address: str) -> None:
    """Whether there are workers, and each can do what it will be asked."""
    if not client.nthreads():
        raise ClusterError(f"The scheduler at {address} has no workers", hint=f"Start some: dask worker {address}")
    here = versions()
    told: dict[str, Any] = client.run(versions, on_error="return")
    for worker, there in sorted(told.items()):
        if isinstance(there, Exception):
            hint = f"Install it there: {_EXTRA}"
            raise ClusterError(f"The worker {worker} cannot load callsheet: {there}", hint=hint)
        if there != here:
            hint = "Install the same versions on all workers."
            raise ClusterError(f"The worker {worker} has {_listed(there)}; here it is {_listed(here)}", hint=hint)


def versions() -> dict[str, str]:
    """What must be alike here and on every worker."""
    from importlib.metadata import version

    return {"Python": ".".join(platform.python_version_tuple()[:2]), **{name: version(name) for name in _CHECKED}}


def _listed(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in found.items())


def _run(message: bytes) -> object:
    """A job, on its worker."""
    job, args, kwargs = pickle.loads(message)  # noqa: S301  a scheduler that is not trusted could run anything anyway
    return job(*args, **kwargs)


@contextmanager
def _mapped(client: Client) -> Iterator[None]:
    """Turns what a cluster may raise into an error of ours."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    address = client.scheduler.addr if client.scheduler else "?"
    try:
        yield
    except CallsheetError:
        raise
    except KilledWorker as error:
        message = f"{error.allowed_failures + 1} workers were lost, one after the other, while they were at it"
        raise WorkerLost(message, hint="Their logs say more: too little memory, perhaps.") from error
    except (CancelledError, OSError) as error:
        hint = "What was done is recorded, or found by the next run: start it again."
        raise ClusterError(f"The scheduler at {address} was lost", hint=hint) from error
    except Exception as error:
        hint = "The worker's log says more."
        raise ClusterError(f"A job failed on its worker: {type(error).__name__}: {error}", hint=hint) from error
