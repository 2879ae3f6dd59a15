"""Blocks of the text of a failure: lists of lines that are made from the values of `brownout.report.facts`."""
