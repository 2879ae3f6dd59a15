"""S3: the guide's first application (chapter 3) in `main`, its application factory (chapter 4) in `factory`."""
