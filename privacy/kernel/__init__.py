"""The compiled engine: clipped sums of a knowledge-tracing LSTM, without padding, in C++.

Optional. Where the library was not built, ``kernel_available`` says so and
``fedtrace.privacy.engine`` does the same work in torch.
"""

from fedtrace.privacy.kernel.library import instruction_sets, kernel_available
from fedtrace.privacy.kernel.tracing import TracingKernel, TracingShape

__all__ = ["TracingKernel", "TracingShape", "instruction_sets", "kernel_available"]
