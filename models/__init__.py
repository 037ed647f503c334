"""Knowledge tracing: from students' interactions to tensors, networks, parameters and metrics.

Pure functions of numpy arrays and torch modules. Nothing here reads a file, logs, asks the clock
or knows about privacy and the network. Importing this package alone loads neither torch nor
numpy.
"""
