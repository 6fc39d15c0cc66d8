"""The parts of the composer, one file each; every `show_...` draws one part of the current draft."""
