"""An AsyncClient that is used like a Client, so that one test can be of both."""

from __future__ import annotations

import asyncio
import inspect
import threading

import titan


class Awaited:
    """Runs an AsyncClient on an event loop in a thread, and waits for every answer."""

    def __init__(self, *args, **options):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client = self._run(self._make(*args, **options))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        try:
            self._run(self._client.__aexit__(*error))
        finally:
            self._end()

    def close(self, timeout=30.0):
        if self._loop.is_closed():
            return
        try:
            self._run(self._client.close(timeout))
        finally:
            self._end()

    def __getattr__(self, name):
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*args, **options):
            result = self._run(self._call(found, args, options))
            return self._iterate(result) if inspect.isasyncgen(result) else result

        return call

    def _iterate(self, events):
        try:
            while True:
                yield self._run(events.__anext__())
        except StopAsyncIteration:
            return
        finally:
            self._run(events.aclose())

    async def _make(self, *args, **options):
        return titan.AsyncClient(*args, **options)

    async def _call(self, function, args, options):
        result = function(*args, **options)
        return await result if inspect.isawaitable(result) else result

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def _end(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
