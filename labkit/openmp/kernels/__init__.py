"""Well-known kernels, each as a ladder of versions: serial, parallel but wrong or slow, corrected, fast.

``labkit.openmp.kernels.ladder`` finds them by name; each kernel has a file of its own, which is loaded when it is
asked for and compiled when it is called.
"""
