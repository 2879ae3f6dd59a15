"""What is tested: real processes in groups of their own, and real Redis servers."""
