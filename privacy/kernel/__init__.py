"""The compiled library: clipped sums of a knowledge-tracing LSTM and integer noise, in C++.

Optional. Where it was not built, ``library.kernel_available`` says so; ``privacy/engine.py`` and
``privacy/discrete_gaussian.py`` do the same work in torch and NumPy.
"""
