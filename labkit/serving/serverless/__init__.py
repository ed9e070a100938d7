"""The local Lambda: a function in environments of its own, run by AWS's runtime client against a Runtime API on this machine.

::

    caller -- Invoke API or function URL --> service -- Runtime API --> environment: awslambdaric, lambda_function.handler
                                                |                        (one process each, one request at a time)
    owner  ------ pipe ------> warden ----------+
"""

from labkit.serving.serverless.local_lambda import LocalLambda
from labkit.serving.serverless.records import EnvironmentInfo, Invocation, InvocationRecord
from labkit.serving.serverless.settings import FunctionSettings

__all__ = ["EnvironmentInfo", "FunctionSettings", "Invocation", "InvocationRecord", "LocalLambda"]
