"""Foreign relinearisation keys are loaded for the first time in a process of their own (ADR 0014).

They are the one object that comes in SEAL's own format. Whatever the bytes do to zstd, NumPy or
SEAL, they do it to a process that holds nothing else; the compute node's server goes on and answers
the sender.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from mpcseg.ckks.key_material import key_bytes_limit, load_relinearisation_keys
from mpcseg.ckks.parameters import ParameterSet, parameter_set
from mpcseg.errors import MalformedBlobError, MpcsegError

# About ten times what a check takes, and less than the sender waits for an answer.
_SECONDS = 20.0
_BYTES_PER_SECOND = 4e6

# spawn: a fork would copy gRPC's threads and locks in an unknown state.
_CONTEXT = multiprocessing.get_context("spawn")

_HINT = "The node goes on; the sender must make new keys and send them again."


class KeyCheck:
    """Checks relinearisation keys of one study, one at a time. Compute node; from any thread.

    Args:
        parameters: of the study.
        seconds: for one check; None for plenty for keys of these parameters.
        spare_bytes: memory that a check may take beyond what it has before it looks at a byte;
            None for plenty as well.
    """

    def __init__(
        self,
        parameters: ParameterSet,
        *,
        seconds: float | None = None,
        spare_bytes: int | None = None,
    ) -> None:
        largest = key_bytes_limit(parameters, relinearisation=True)
        self._parameters = parameters
        self._seconds = _SECONDS + largest / _BYTES_PER_SECOND if seconds is None else seconds
        # Saved, decompressed, handed over, and inside SEAL with both polynomials.
        self._spare_bytes = 6 * largest + (256 << 20) if spare_bytes is None else spare_bytes
        self._one_at_a_time = threading.Lock()

    def verify(self, path: Path) -> None:
        """Have SEAL load the relinearisation keys in a file, in a process that then ends.

        Raises:
            SecretKeyRefusedError: they are a secret key.
            MalformedBlobError: they are not relinearisation keys of these parameters, or the
                process crashed over them, or took too long or too much memory.
            BlobTooLargeError: longer than relinearisation keys.
        """
        with self._one_at_a_time:
            answer = self._ask(path)
        if answer is not None:
            raise answer

    def _ask(self, path: Path) -> MpcsegError | None:
        ours, theirs = _CONTEXT.Pipe(duplex=False)
        limits = (self._seconds, self._spare_bytes)
        process = _CONTEXT.Process(
            target=check_keys,
            args=(theirs, self._parameters.name, path, *limits),
            name="mpcseg key check",
            daemon=True,
        )
        process.start()
        # Its end is open in the child alone, so that its death is noticed here.
        theirs.close()
        try:
            if not ours.poll(self._seconds):
                return _unfinished(f"took longer than {self._seconds:g} s")
            answer: MpcsegError | None = ours.recv()
            return answer
        except (EOFError, OSError):
            process.join()
            return _unfinished(f"ended without an answer (exit status {process.exitcode})")
        finally:
            ours.close()
            process.kill()
            process.join()


def _unfinished(what: str) -> MalformedBlobError:
    return MalformedBlobError(f"The check of the relinearisation keys {what}.", _HINT)


def check_keys(
    answer: Connection[MpcsegError | None, None],
    parameters: str,
    path: Path,
    seconds: float,
    spare_bytes: int,
) -> None:
    """Load keys and say how that went; the checking process's main."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the node's to handle.
    own = parameter_set(parameters)
    _ = own.ring  # made before the limits: it is no foreign byte's doing
    _limit_this_process(seconds, spare_bytes)
    found: MpcsegError | None = None
    try:
        load_relinearisation_keys(own, path.read_bytes())
    except MpcsegError as error:
        found = error
    except MemoryError:
        found = _unfinished("took too much memory")
    except Exception as error:
        # Its text may quote anything.
        found = _unfinished(f"failed ({type(error).__name__})")
    with contextlib.suppress(BrokenPipeError):
        answer.send(found)


def _limit_this_process(seconds: float, spare_bytes: int) -> None:
    """End with the node's patience, without a core file, within a bounded address space."""
    signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM kills, also inside SEAL
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + spare_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
