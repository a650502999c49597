"""`pymacaron-serve`: granian's HTTP, which is native code, with workers and manners of ours.

command.py reads the configuration and binds · master.py keeps the workers alive · worker.py is the
life of one · gateway.py hands a request to the application · bodies.py reads what it brings.
"""
