"""`pymacaron-serve`: an HTTP server for WSGI applications.

command.py reads the configuration and binds · master.py keeps the workers alive · worker.py is the
life of one · crew.py has its threads and connections · connection.py reads requests, with llhttp in
native code · gateway.py asks the application · heads.py, bodies.py: of answers, of requests.
"""
