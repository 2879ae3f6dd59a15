"""The workload: clients of the subject, and the generator that starts their operations at the planned times."""
