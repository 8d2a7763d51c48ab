"""Guarded work: functions run in processes of their own, which a bad item takes down alone.

A worker is a plain interpreter rather than one of `multiprocessing`: that would import the
parent's main module, be it Dagster or the command line, into what is to be measured. Within
`forking` it is forked from one that has imported what workers need.

Parent and worker talk through the worker's standard input and output. The worker ends once the
parent closes them, wherever it is at, and so when the parent dies, however that comes about.

A worker notes the item it works on in a few bytes of memory that the parent sees. So the parent
knows which item crashed it, names an item that takes long, and ends a worker that one holds up.

================ ==========================================================
`calls`          one function in a worker, as a generator or beside other work
`crew`           many items in several workers
`servers`        the processes that workers are forked from
`process`        a worker as its parent has it
`child`          a worker's own side
`watch`          what both sides see
`forks`          how a process is forked
================ ==========================================================
"""

from musicflow.worker.calls import beside, iterate
from musicflow.worker.child import Rations, begin, end, log, waiting
from musicflow.worker.crew import each
from musicflow.worker.process import WorkerError
from musicflow.worker.servers import forking

__all__ = [
    "Rations",
    "WorkerError",
    "begin",
    "beside",
    "each",
    "end",
    "forking",
    "iterate",
    "log",
    "waiting",
]
