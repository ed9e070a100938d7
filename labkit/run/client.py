"""nbclient and jupyter_client, with what a run without a browser needs of them."""

from __future__ import annotations

import asyncio

import zmq
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

START_TIMEOUT_S = 120
OUTPUT_TIMEOUT_S = 60  # for what a cell printed to arrive after it has ended
LOOK_AGAIN_S = 1


class ThisPython(KernelSpecManager):
    """The kernel of the running Python, whatever kernels are installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The same for every name."""
        return KernelSpec(**get_kernel_dict())


class Manager(AsyncKernelManager):
    """Starts that kernel; its outputs are encrypted on their way and none is dropped."""

    def __init__(self):
        super().__init__(kernel_spec_manager=ThisPython())
        if self.has_trait("transport_encryption") and zmq.has("curve"):
            self.transport_encryption = "auto"  # other users of this machine cannot read along

    def client(self, **options):
        """A client that takes in whatever comes: by default ZeroMQ drops outputs when a thousand wait to be read."""
        client = super().client(**options)
        client.context.setsockopt(zmq.RCVHWM, 0)
        return client


class Client(NotebookClient):
    """Executes cells one by one, without a time limit: that is the business of the caller.

    nbclient answers messages of output widgets while it waits for the end of a cell, on the same socket. Sending can
    swallow the sign that something has arrived, and the wait would have no end. So it looks again now and then.
    """

    def __init__(self, notebook, manager: Manager, **options):
        super().__init__(
            notebook, km=manager, timeout=LOOK_AGAIN_S, startup_timeout=START_TIMEOUT_S, iopub_timeout=OUTPUT_TIMEOUT_S,
            raise_on_iopub_timeout=True, store_widget_state=True, **options,
        )

    async def _async_handle_timeout(self, timeout, cell=None) -> None:
        """Neither an error nor an interrupt, as it would be for nbclient: wait on."""
        await asyncio.sleep(0.01)  # the rest of the time may be 0
