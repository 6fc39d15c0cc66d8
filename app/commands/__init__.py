"""The verbs of the command line, grouped by what they act on; each is imported when it is called."""
