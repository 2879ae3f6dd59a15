"""The probes: the parts of brownout that run inside the application's processes.

The modules of this package import only the standard library, the application's own libraries, and each other. The
modules of this package use nothing that Python 3.8 or Celery 5.1 lacks, because an application may have an environment
of its own.
"""
