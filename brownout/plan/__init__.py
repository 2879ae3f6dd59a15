"""What shall happen, as data: nothing here opens, starts or waits for anything."""
