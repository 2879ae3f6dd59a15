"""What runs inside the application's processes.

The modules import the standard library, what the application has, and each other. They use nothing that Python 3.8
or Celery 5.1 lacks, because an application may have an environment of its own.
"""
