"""The parts of the kit that run inside the application's processes.

These modules import only the standard library, the application's own libraries, and each other. The modules use
nothing that Python 3.8 or Celery 5.1 lacks, because an application may have an environment of its own.
"""
