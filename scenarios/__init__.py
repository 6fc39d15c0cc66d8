"""The scenarios that ship with Microcosm, one file each."""
