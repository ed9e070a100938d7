"""The local Lambda: AWS's own runtime client runs a handler, in processes of its own, against a Runtime API of ours.

::

    caller -- Invoke API or function URL --> service -- Runtime API --> environments: awslambdaric, your handler
                                                |                       (one process each, one request at a time)
    owner  ------ pipe ------> warden ----------+
"""

from labkit.serving.serverless.local_lambda import LocalLambda
from labkit.serving.serverless.records import EnvironmentInfo, Invocation, InvocationRecord
from labkit.serving.serverless.settings import FunctionSettings

__all__ = ["EnvironmentInfo", "FunctionSettings", "Invocation", "InvocationRecord", "LocalLambda"]
